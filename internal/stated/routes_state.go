package stated

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gatepost/gatepost/internal/state"
)

// stateRoutes serve the state.
func (s *Server) stateRoutes() {
	on(s, "state/get", 0, func(ctx context.Context, p *peer, in row) (any, error) {
		if !p.reads(in.Table) {
			return nil, p.noTable(in.Table)
		}
		e, err := s.parts.State.View(p.name).Get(ctx, in.Table, string(in.Key))
		return entryOf(e), err
	})
	onSize(s, "state/list", 0, maxBody, large, func(ctx context.Context, p *peer, in row) (any, error) {
		if !p.reads(in.Table) {
			return nil, p.noTable(in.Table)
		}
		all, err := s.parts.State.View(p.name).List(ctx, in.Table, string(in.Key))
		out := make([]entry, len(all))
		for i, e := range all {
			out[i] = entryOf(e)
		}
		return out, err
	})
	on(s, "state/put", 0, func(ctx context.Context, p *peer, in put) (any, error) {
		if !p.puts(in.Table, in.Entry.Key) {
			return nil, p.noTable(in.Table)
		}
		return nil, s.parts.State.View(p.name).Put(ctx, in.Table, in.Entry.entry(), in.Sync)
	})
	on(s, "state/delete", 0, func(ctx context.Context, p *peer, in row) (any, error) {
		if !p.puts(in.Table, in.Key) {
			return nil, p.noTable(in.Table)
		}
		return nil, s.parts.State.View(p.name).Delete(ctx, in.Table, string(in.Key))
	})
	s.counterRoutes()
}

// noTable is the refusal of a table, which for one that nobody knows is that of
// the store.
func (p *peer) noTable(t state.Table) error {
	for _, known := range state.Tables {
		if t == known {
			return fmt.Errorf("%w: table %s for user id %d", ErrForbidden, t, p.uid)
		}
	}
	return fmt.Errorf("%w: table %q", state.ErrInvalid, t)
}

// errLate means that nobody waits for the answer any more.
var errLate = errors.New("asked too long ago, nothing is counted")

func (s *Server) counterRoutes() {
	view := func(p *peer) *View { return s.parts.State.View(p.name) }
	on(s, "state/take", rightCounters, func(ctx context.Context, p *peer, in claim) (any, error) {
		return view(p).Take(ctx, string(in.Key), in.N, in.Max, in.Window)
	})
	onSize(s, "state/take-all", rightCounters, maxClaims, nil, func(ctx context.Context, p *peer, in claims) (any, error) {
		if !in.Until.IsZero() && !time.Now().Before(in.Until) {
			return nil, errLate
		}
		all := make([]state.Claim, len(in.Claims))
		for i, c := range in.Claims {
			all[i] = state.Claim{Key: string(c.Key), N: c.N, Max: c.Max, Window: c.Window, Soft: c.Soft}
		}
		return view(p).TakeAll(ctx, all, in.Ask)
	})
	onSize(s, "state/merge", rightMerge, maxMerging, huge, func(ctx context.Context, p *peer, in merging) (any, error) {
		all := make([]state.Merged, len(in.Counters))
		for i, c := range in.Counters {
			all[i] = state.Merged{Key: string(c.Key), Max: c.Max, Window: c.Window, Grants: c.Grants}
		}
		// An ID is one of that user's: nobody keeps another's counts out.
		return nil, view(p).Merge(ctx, fmt.Sprintf("%d/%s", p.uid, in.ID), all)
	})
	on(s, "state/give", rightCounters, func(ctx context.Context, p *peer, in give) (any, error) {
		return nil, view(p).Give(ctx, string(in.Key), in.N, in.At)
	})
	on(s, "state/reset", rightCounters|rightChange, func(ctx context.Context, p *peer, in row) (any, error) {
		return nil, view(p).Reset(ctx, string(in.Key))
	})
	on(s, "state/counters", rightCounters|rightChange, func(ctx context.Context, p *peer, in row) (any, error) {
		all, err := view(p).Counters(ctx, string(in.Key))
		out := make([]counter, len(all))
		for i, c := range all {
			out[i] = counter{Key: []byte(c.Key), Counter: c}
			out[i].Counter.Key = ""
		}
		return out, err
	})
}
