package redis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/gatepost/gatepost/internal/state"
)

const (
	// quietFor is how long a subscription may say nothing until it is asked
	// whether it lives; as long after that it is given up.
	quietFor = 2 * time.Second
	// againAfter and againAtMost are the waits before a new subscription.
	againAfter  = 100 * time.Millisecond
	againAtMost = 2 * time.Second
	// busLost is how often a Cluster's watchers list anew, for its bus may lose
	// a message without a sign.
	busLost = 5 * time.Minute
)

var errQuiet = errors.New("the subscription is dead")

// Watch implements state.Watcher. While the server is away it goes on trying.
func (s *Store) Watch(ctx context.Context, tables []state.Table, changed func(state.Change), missed func()) error {
	for _, t := range tables {
		if !watched(t) {
			return fmt.Errorf("%w: table %q is not watched", state.ErrInvalid, t)
		}
	}
	w := &watch{store: s, tables: tables, changed: changed, missed: missed}
	wait := againAfter
	for {
		if s.closed.Load() {
			return state.ErrClosed
		}
		err := w.listen(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if w.heard {
			wait, w.heard = againAfter, false
		}
		s.log.LogAttrs(ctx, slog.LevelDebug, "redis subscription ended", slog.Any("err", s.wrap(ctx, "watch", err)))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
		wait = min(2*wait, againAtMost)
	}
}

// watch is one call of Watch.
type watch struct {
	store   *Store
	tables  []state.Table
	changed func(state.Change)
	missed  func()
	heard   bool // the last subscription stood
}

// listen subscribes and calls back until the subscription ends.
func (w *watch) listen(ctx context.Context) error {
	sub := w.store.client.Subscribe(ctx, w.store.names.channel())
	defer sub.Close()
	// Receive does not end with ctx while it reads.
	defer context.AfterFunc(ctx, func() { _ = sub.Close() })()
	_, cluster := w.store.client.(*goredis.ClusterClient)
	listed, asked := time.Now(), false
	for {
		msg, err := sub.ReceiveTimeout(ctx, quietFor)
		var slow net.Error
		if errors.As(err, &slow) && slow.Timeout() {
			if asked || !w.heard {
				return errQuiet
			}
			asked = true
			if err := sub.Ping(ctx); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		asked = false
		if _, confirmed := msg.(*goredis.Subscription); confirmed || cluster && time.Since(listed) > busLost {
			w.heard, listed = true, time.Now()
			w.missed()
		}
		if m, ok := msg.(*goredis.Message); ok {
			w.tell(ctx, m.Payload)
		}
	}
}

// tell passes on a change that somebody else made.
func (w *watch) tell(ctx context.Context, payload string) {
	writer, c, err := parseNotice([]byte(payload))
	if err != nil {
		w.store.log.LogAttrs(ctx, slog.LevelWarn, "message of another host ignored",
			slog.Int("bytes", len(payload)), slog.Any("err", err))
		return
	}
	if writer != w.store.writer && slices.Contains(w.tables, c.Table) {
		w.changed(c)
	}
}
