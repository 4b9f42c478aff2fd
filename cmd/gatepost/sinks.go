package main

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync/atomic"

	"github.com/gatepost/gatepost/internal/guard"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/sink"
	"github.com/gatepost/gatepost/internal/tail"
	"github.com/gatepost/gatepost/internal/unit"
)

// outlet hands what the guard changes to the sinks, which are made after it:
// they ask it for its bans.
type outlet struct{ sinks atomic.Pointer[sink.Sinks] }

// changed is guard.Deps.Changed.
func (o *outlet) changed(c guard.Change) {
	if s := o.sinks.Load(); s != nil {
		s.Changed(sink.Change{Ban: sinkBan(c.Ban), Lifted: c.Lifted, Observed: c.Mode != unit.Enforce})
	}
}

func sinkBan(b guard.Ban) sink.Ban {
	return sink.Ban{ID: b.ID, Network: b.Network, Services: b.Services, Reason: b.Reason, Since: b.Since, Until: b.Until}
}

// newSinks makes the sinks for the bans of g that bite as a whole.
func newSinks(all Config, g *guard.Guard, log *slog.Logger) (*sink.Sinks, error) {
	cfg := all.BanSinks
	cfg.Nftables.Socket = filepath.Join(all.RuntimeDirectory, "firewall")
	cfg.Command.Told = filepath.Join(all.DataDirectory, "ban_command.jsonl")
	return sink.New(cfg, func(ctx context.Context) ([]sink.Ban, error) {
		all, err := g.Bans(ctx)
		if err != nil || g.Mode() != unit.Enforce {
			return nil, err
		}
		var out []sink.Ban
		for _, b := range all {
			if !b.Shared && !b.Observe {
				out = append(out, sinkBan(b))
			}
		}
		return out, nil
	}, log)
}

// newTail reads the logs of other programs for g.
func newTail(cfg tail.Config, dataDir string, g *guard.Guard, log *slog.Logger) (*tail.Logs, error) {
	return tail.New(cfg, filepath.Join(dataDir, "logs.json"), func(ctx context.Context, e tail.Event) {
		user := ""
		if a, err := mailaddr.Parse(e.User); err == nil { // else it is no account of ours
			user = a.Folded().String()
		}
		g.Note(ctx, guard.Event{Kind: guard.Reported, Addr: e.Addr, User: user, Service: e.Service})
	}, log)
}

// gauges is what metrics need of a set.
type gauges interface {
	Gauge(name, help string, value func() float64)
	Counter(name, help string, value func() float64)
}

// measureSinks makes the series of the sinks and of the logs.
func measureSinks(m gauges, s *sink.Sinks, l *tail.Logs) {
	sum := func(of func(sink.Stats) float64) func() float64 {
		return func() (n float64) {
			for _, st := range s.Stats() {
				n += of(st)
			}
			return n
		}
	}
	m.Gauge("gatepost_ban_sinks_behind", "Sinks that do not have all bans.", sum(func(st sink.Stats) float64 {
		if st.Behind {
			return 1
		}
		return 0
	}))
	m.Gauge("gatepost_ban_sink_waiting", "Changes of bans that wait for a sink.", sum(func(st sink.Stats) float64 { return float64(st.Waiting) }))
	m.Counter("gatepost_ban_sink_carried_total", "Changes of bans that sinks took.", sum(func(st sink.Stats) float64 { return float64(st.Carried) }))
	m.Counter("gatepost_ban_sink_failed_total", "Tries of a sink that failed.", sum(func(st sink.Stats) float64 { return float64(st.Failed) }))
	m.Counter("gatepost_watch_logs_lines_total", "Lines read from logs of other programs.", func() float64 { return float64(l.Stats().Lines) })
	m.Counter("gatepost_watch_logs_events_total", "Failed logins read from logs of other programs.", func() float64 { return float64(l.Stats().Events) })
	m.Counter("gatepost_watch_logs_skipped_total", "Lines of such logs that were too long or too old.", func() float64 { return float64(l.Stats().Skipped) })
}
