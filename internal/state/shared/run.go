package shared

import (
	"context"
	"log/slog"
	"time"
)

// run tries the common store: while it is away, when it was idle, and when a
// list takes long. No user's request is ever the one that tries. It also brings
// to the store what it has not seen.
func (s *Store) run(ctx context.Context) {
	t := time.NewTimer(s.cfg.Idle)
	defer t.Stop()
	for {
		near := s.near.Load()
		every, over := s.cfg.Probe, (<-chan struct{})(nil)
		if near != nil {
			every, over = s.cfg.Idle, near.over
		}
		t.Reset(every)
		select {
		case <-ctx.Done():
			return
		case <-over: // it opened: wait as long as an open one does
			continue
		case <-s.poke:
			s.try(ctx)
		case <-t.C:
			if near == nil || time.Since(time.Unix(0, s.asked.Load())) >= s.cfg.Idle {
				s.try(ctx)
			}
		}
		if s.near.Load() != nil && s.pending() > 0 {
			s.drain(ctx)
		}
	}
}

// poked has the store tried soon.
func (s *Store) poked() {
	select {
	case s.poke <- struct{}{}:
	default: // it will be
	}
}

// try probes the store once, and heals the breaker if that was well often enough.
func (s *Store) try(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, s.cfg.Wait)
	begin := time.Now()
	_, err := guarded(limited, func(ctx context.Context) (struct{}, error) { return struct{}{}, s.remote.Probe(ctx) })
	took := time.Since(begin)
	cancel()
	if ctx.Err() != nil {
		return
	}
	s.mu.Lock()
	s.counts.probes++
	why, heal := s.breaker.probe(err == nil, took)
	if why != "" {
		s.opened(why, err)
	}
	s.mu.Unlock()
	if err == nil {
		s.asked.Store(time.Now().UnixNano())
	}
	if heal {
		s.heal(ctx)
	}
}

// heal merges the counters, so that no limit forgets what it allowed, and sends
// requests to the common store again.
func (s *Store) heal(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, s.cfg.MergeTime)
	err := s.mergeCounts(limited, direct)
	cancel()
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		s.log.LogAttrs(ctx, slog.LevelDebug, "counters are merged later", slog.Any("err", err))
	}
	s.closeBreaker()
	s.drain(ctx)
	s.healed.tell()
}
