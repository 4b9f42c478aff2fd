package main

import (
	"context"
	"errors"
	"log/slog"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/account/mysql"
	"github.com/gatepost/gatepost/internal/learn"
	"github.com/gatepost/gatepost/internal/limit"
	"github.com/gatepost/gatepost/internal/state"
	"github.com/gatepost/gatepost/internal/state/redis"
	"github.com/gatepost/gatepost/internal/state/shared"
	"github.com/gatepost/gatepost/internal/stated"
)

// openAccounts opens the accounts where the configuration has them: in a file, or
// in MySQL for several hosts.
func openAccounts(ctx context.Context, cfg Config, path string, log *slog.Logger) (account.Backend, error) {
	if cfg.MySQL.On() {
		s, err := mysql.Open(ctx, cfg.MySQL, log)
		if err != nil {
			return nil, err // and no nil pointer within an interface
		}
		return s, nil
	}
	s, err := account.OpenSQLite(ctx, path, log)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// openState opens this host's state and, with Redis, that of all hosts over it.
func (s *stores) openState(ctx context.Context, cfg Config, path string, log *slog.Logger) (err error) {
	o := s.own
	if o.state, err = state.OpenSQLite(ctx, path, log); err != nil {
		return err
	}
	var all state.Store = o.state
	if cfg.Redis.Enabled() {
		if o.redis, err = redis.Open(ctx, cfg.Redis, log); err != nil {
			return errors.Join(err, o.state.Close())
		}
		if o.shared, err = shared.New(ctx, o.redis, o.state, limit.Join, log); err != nil {
			return errors.Join(err, o.redis.Close(), o.state.Close())
		}
		all = o.shared // its Close is that of both
	}
	s.open = append(s.open, all)
	o.hub = stated.NewHub(all)
	s.state = o.hub.View("own")
	return nil
}

// openLearn opens the learned filter. With Redis all hosts learn as one; without
// it what still waits for a Redis of earlier is learned here alone.
func (s *stores) openLearn(ctx context.Context, cfg Config, log *slog.Logger) (err error) {
	o := s.own
	deps := learn.Deps{Accounts: &mailboxes{accounts: s.accounts}}
	if o.shared != nil {
		deps.Stream = o.shared
	}
	if o.learn, err = learn.OpenWith(ctx, cfg.DataDirectory, cfg.Learn, deps, log); err != nil {
		return err
	}
	s.learn, s.open = o.learn, append(s.open, o.learn)
	if deps.Stream != nil {
		return nil
	}
	return o.learn.Drain(ctx)
}

// measureShared adds what the state of all hosts counts.
func (s *stores) measureShared() {
	store := s.own.shared
	if store == nil {
		return
	}
	gauge := func(name, help string, value func(shared.Stats) float64) {
		s.metrics.Gauge("gatepost_shared_state_"+name, help, func() float64 { return value(store.Stats()) })
	}
	count := func(name, help string, value func(shared.Stats) float64) {
		s.metrics.Counter("gatepost_shared_state_"+name+"_total", help, func() float64 { return value(store.Stats()) })
	}
	gauge("away", "1 while the shared state does not answer and this host goes on alone.", func(st shared.Stats) float64 {
		if st.Away {
			return 1
		}
		return 0
	})
	count("trips", "How often the shared state went away.", func(st shared.Stats) float64 { return float64(st.Trips) })
	count("failed", "Requests that the shared state refused while it was not away.", func(st shared.Stats) float64 { return float64(st.Failed) })
	count("alone", "Requests that were counted on this host alone.", func(st shared.Stats) float64 { return float64(st.Alone) })
	gauge("doubtful", "Requests that may have been counted twice.", func(st shared.Stats) float64 { return float64(st.Doubtful) })
	count("merged_counters", "Counters that were merged into the shared state.", func(st shared.Stats) float64 { return float64(st.MergedCounters) })
	count("merged_rows", "Rows that were merged into the shared state.", func(st shared.Stats) float64 { return float64(st.MergedRows) })
	gauge("pending", "Counters and rows that are to be merged.", func(st shared.Stats) float64 { return float64(st.Pending) })
	count("lost", "Counters and rows that found no room to be merged.", func(st shared.Stats) float64 { return float64(st.Lost) })
	gauge("clock_ahead_seconds", "How far the clock of the shared state is ahead of this host's.", func(st shared.Stats) float64 { return st.Ahead.Seconds() })
	s.measureStream()
}

// measureStream adds what the stream counts by which hosts learn as one.
func (s *stores) measureStream() {
	if _, ok := s.own.learn.StreamStatus(); !ok {
		return
	}
	series := func(name, help string, add func(name, help string, value func() float64), value func(learn.StreamStatus) float64) {
		add("gatepost_learn_"+name, help, func() float64 {
			st, _ := s.own.learn.StreamStatus()
			return value(st)
		})
	}
	series("stream_away", "1 while the learn stream does not answer.", s.metrics.Gauge, func(st learn.StreamStatus) float64 {
		if st.Away {
			return 1
		}
		return 0
	})
	series("outbox_events", "Learns that wait for the learn stream.", s.metrics.Gauge, func(st learn.StreamStatus) float64 { return float64(st.Outbox) })
	series("events_total", "Events of the learn stream that were performed here.", s.metrics.Counter, func(st learn.StreamStatus) float64 { return float64(st.Applied) })
	series("gaps_total", "How often events of the learn stream were missed.", s.metrics.Counter, func(st learn.StreamStatus) float64 { return float64(st.Gaps) })
	series("skipped_total", "Events of the learn stream that could not be read.", s.metrics.Counter, func(st learn.StreamStatus) float64 { return float64(st.Skipped) })
}
