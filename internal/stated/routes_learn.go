package stated

import (
	"context"
	"fmt"

	"github.com/gatepost/gatepost/internal/learn"
)

// seen is what the watcher knows of a mailbox.
type seen struct {
	Mailbox string `json:"mailbox"`
	Seen    []byte `json:"seen,omitempty"`
}

// filed is what is known of a file: whether our delivery put it into Junk.
type filed struct {
	Junk  bool `json:"junk,omitempty"`
	Known bool `json:"known,omitempty"`
}

// learnRoutes serve the learned filter.
func (s *Server) learnRoutes() {
	l := s.parts.Learn
	on(s, "learn/score", rightScore, func(_ context.Context, _ *peer, features []byte) (any, error) { return l.ScoreItem(features) })
	onSize(s, "learn/learn", rightTeach, maxLarge, huge, func(ctx context.Context, _ *peer, w learn.Wish) (any, error) {
		// The word of an administrator has no bounds, and is not asked for here.
		if w.Source != learn.Move && w.Source != learn.Weak {
			return nil, fmt.Errorf("%w: to learn from %q", ErrForbidden, w.Source)
		}
		return l.Learn(ctx, w)
	})
	on(s, "learn/filed", rightTeach, func(ctx context.Context, _ *peer, in filing) (any, error) {
		junk, ok := l.Filed(ctx, in.Base)
		return filed{junk, ok}, nil
	})
	on(s, "learn/seen", rightTeach, func(ctx context.Context, _ *peer, in seen) (any, error) {
		b, err := l.Seen(ctx, in.Mailbox)
		return seen{in.Mailbox, b}, err
	})
	onSize(s, "learn/set-seen", rightTeach, maxLarge, huge, func(ctx context.Context, _ *peer, in seen) (any, error) {
		return nil, l.SetSeen(ctx, in.Mailbox, in.Seen)
	})
}
