package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/gatepost/gatepost/internal/admin"
)

// daemonNames are the daemons that serve knows.
var daemonNames = []string{"milter", "policyd", "authd", "lmtpd"}

func newServe(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "serve [DAEMON...]", Short: "Run the daemons until SIGTERM; SIGHUP takes a new configuration",
		Long: `Run the daemons (milter policyd authd lmtpd), all of them unless some are named.

SIGTERM lets sessions in hand finish. SIGHUP reads the configuration and the
DKIM keys again: a file with a fault changes nothing, and the log says why.
Serve does not run as root; start it as the user that owns the mail.

In the split shape "serve state" runs as the owner of the data directory and has
all files. A named daemon that runs as somebody else asks it and opens none; it
is known by its directory, which is called as the data directory with "-" and its
name behind and belongs to its user.`,
		Example:   "  gatepost serve --config /etc/gatepost/gatepost.yaml\n  gatepost serve state\n  gatepost serve milter",
		ValidArgs: append(slices.Clone(daemonNames), stateName),
		Args: func(_ *cobra.Command, args []string) error {
			for _, d := range args {
				if !slices.Contains(daemonNames, d) && d != stateName {
					return fmt.Errorf("%q is none of the daemons %s, nor %s", d, strings.Join(daemonNames, " "), stateName)
				}
			}
			if slices.Contains(args, stateName) && len(args) > 1 {
				return fmt.Errorf("%s is a process of its own: name no daemon beside it", stateName)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := a.load()
			if err != nil {
				return err
			}
			if len(args) == 0 {
				return serve(cmd.Context(), a, cfg, serving{names: daemonNames})
			}
			return serve(cmd.Context(), a, cfg, serving{names: args, named: true})
		},
	}
}

// newLog returns the logger of a configuration, on stderr.
func newLog(w io.Writer, cfg logConfig, level *slog.LevelVar) *slog.Logger {
	level.Set(slog.Level(cfg.Level))
	opts := &slog.HandlerOptions{Level: level}
	if cfg.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

// quietLog is the logger of commands that do one thing and say it themselves.
func quietLog() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
}

// serving is what the arguments of serve say.
type serving struct {
	names []string
	// named says that they were named, and not all by default.
	named bool
}

// serve runs the named daemons until a signal ends them.
func serve(ctx context.Context, a *app, cfg Config, what serving) error {
	as, err := shapeOf(cfg, what.names, what.named)
	if err != nil {
		return err
	}
	limitGarbage()
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP) // one that comes while the stores open must not end us
	defer signal.Stop(hup)
	level := new(slog.LevelVar)
	log := newLog(os.Stderr, cfg.Log, level)
	s, d, done, err := build(ctx, cfg, what, as, log)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	r := &reloader{path: a.configPath, start: cfg, stores: s, daemons: d, level: level, log: log}
	return errors.Join(runAll(ctx, r, hup, what.names), done())
}

// build makes the stores and the daemons of a process, and what closes them.
func build(ctx context.Context, cfg Config, what serving, as shape, log *slog.Logger) (*stores, *daemons, func() error, error) {
	if as == asker {
		s, err := askStores(ctx, cfg, what.names, log)
		if err != nil {
			return nil, nil, nil, err
		}
		d, err := newSome(s.adjusted(cfg), s, what.names, log)
		if err != nil {
			return nil, nil, nil, errors.Join(err, s.close())
		}
		return s, d, s.close, nil
	}
	lock, err := lockServe(ctx, cfg)
	if err != nil {
		return nil, nil, nil, err
	}
	s, err := openStores(ctx, cfg, log)
	if err != nil {
		return nil, nil, nil, errors.Join(err, lock.Close())
	}
	done := func() error { return errors.Join(s.close(), lock.Close()) }
	names := daemonNames
	if as == keeper {
		names = []string{"policyd"} // nobody asks it but "policy test"
	}
	d, err := newSome(cfg, s, names, log)
	if err != nil {
		return nil, nil, nil, errors.Join(err, done())
	}
	return s, d, done, nil
}

// lockServe takes the lock of the data directory. A command may have it for a
// moment. Whether a gatepost answers is not asked: its socket may be the one that
// systemd holds for us.
func lockServe(ctx context.Context, cfg Config) (*os.File, error) {
	lock, err := waitLock(ctx, cfg.DataDirectory, func() bool { return false })
	if errors.Is(err, errLocked) {
		return nil, hint(err, "systemctl status gatepost, or fuser -v %s, shows which", filepath.Join(cfg.DataDirectory, "lock"))
	}
	if err != nil {
		return nil, lockHint(cfg, err)
	}
	return lock, nil
}

// limitGarbage lets the collector run before garbage takes as much as what
// lives: most of that is the weights of the learned filter, which it need not
// look through. GOGC in the environment goes before.
func limitGarbage() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(20)
	}
}

// runAll serves every socket of the named daemons and the admin socket. One
// that fails ends all: half a Gatepost is worse than a restart.
func runAll(ctx context.Context, r *reloader, hup <-chan os.Signal, names []string) error {
	cfg, log := r.start, r.log
	sockets := append(r.daemons.sockets(names), r.private(names)...)
	lns, err := openSockets(cfg, sockets, log)
	if err != nil {
		return err
	}
	r.stores.measureQueues(sockets, lns, log)
	if r.daemons.authPolicy != nil && slices.Contains(names, "authd") {
		sock, ln, err := r.daemons.policyListener(cfg)
		if err != nil {
			for _, ln := range lns {
				err = errors.Join(err, ln.Close())
			}
			return err
		}
		sockets, lns = append(sockets, sock), append(lns, ln)
	}
	if r.daemons.managesieve != nil && slices.Contains(names, "lmtpd") {
		sock, ln, err := r.daemons.managesieveListener(cfg)
		if err != nil {
			for _, ln := range lns {
				err = errors.Join(err, ln.Close())
			}
			return err
		}
		sockets, lns = append(sockets, sock), append(lns, ln)
	}
	g, ctx := errgroup.WithContext(ctx)
	serveAll(ctx, g, sockets, lns)
	r.background(ctx, g)
	g.Go(func() error { r.loop(ctx, hup); return nil })
	g.Go(func() error { watchdog(ctx, r.daemons, log); return nil })
	g.Go(func() error {
		// At the beginning of the end: systemd then waits for no watchdog.
		<-ctx.Done()
		notify(log, daemon.SdNotifyStopping)
		return nil
	})
	log.LogAttrs(ctx, slog.LevelInfo, "serving", slog.String("version", version),
		slog.String("daemons", strings.Join(names, " ")), slog.String("config", r.path))
	notify(log, daemon.SdNotifyReady)
	err = g.Wait()
	log.LogAttrs(ctx, slog.LevelInfo, "stopped")
	return err
}

// background runs what works without being asked, until ctx ends.
func (r *reloader) background(ctx context.Context, g *errgroup.Group) {
	s, d := r.stores, r.daemons
	if d.judge != nil {
		d.judge.run(ctx, g, s)
	}
	if d.watcher != nil {
		g.Go(func() error { return d.watcher.Run(ctx) })
	}
	g.Go(func() error { return s.guard.Run(ctx) })
	if s.own == nil {
		s.ask(ctx, g)
		return
	}
	s.senders.run(ctx, g)
	g.Go(func() error { return s.own.hub.Run(ctx) })
	for _, f := range []func(context.Context){s.own.sinks.Run, s.own.logs.Run} {
		g.Go(func() error { f(ctx); return nil })
	}
	g.Go(func() error { s.own.keys.Run(ctx, s.own.freshDNS); return nil })
}

// private returns the sockets of the process that has the files: that of the
// command line, and in the split shape that of the daemons.
func (r *reloader) private(names []string) []socket {
	if r.stores.own == nil {
		return nil
	}
	backend := r.stores.backend()
	backend.Health = r.daemons.health
	backend.Policy = r.daemons.policyd
	backend.Rules = r.daemons.judge
	backend.Lists, backend.Maps, backend.Release = r.daemons.judge.lists, r.daemons.judge.maps, r.daemons.judge.releaser
	all := []socket{{name: "admin", dir: runtimeDir, mode: 0o600, serve: admin.New([]int{0, os.Geteuid()}, backend, r.log).Serve}}
	if slices.Contains(names, stateName) {
		all = append(all, socket{name: stateName, dir: runtimeDir, mode: 0o660, serve: r.stateServer().Serve})
	}
	return all
}

// serveAll serves each socket until ctx ends. The milter and lmtpd then finish
// what they have in hand before the others end: an smtpd in the middle of a
// message has questions for policyd too, and would wait for the next gatepost
// while this one waits for it.
func serveAll(ctx context.Context, g *errgroup.Group, sockets []socket, lns []net.Listener) {
	late, end := context.WithCancel(context.WithoutCancel(ctx))
	var first sync.WaitGroup
	for i, s := range sockets {
		until := late
		if s.first {
			until = ctx
			first.Add(1)
		}
		g.Go(func() error {
			if s.first {
				defer first.Done()
			}
			if err := s.serve(until, lns[i]); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			return nil
		})
	}
	g.Go(func() error {
		<-ctx.Done()
		first.Wait()
		end()
		return nil
	})
}

// notify tells systemd, if it asked (sd_notify(3)).
func notify(log *slog.Logger, what string) {
	if _, err := daemon.SdNotify(false, what); err != nil {
		log.LogAttrs(context.Background(), slog.LevelWarn, "systemd not told", slog.Any("err", err))
	}
}

// watchdog tells systemd that we live, at half of the time that it gives. A
// store that fails is no reason for a restart, one that does not answer is.
func watchdog(ctx context.Context, d *daemons, log *slog.Logger) {
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil || every <= 0 {
		return
	}
	t := time.NewTicker(every / 2)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			if err := d.health(ctx); err != nil {
				log.LogAttrs(ctx, slog.LevelError, "not well", slog.Any("err", err))
			}
			notify(log, daemon.SdNotifyWatchdog)
		}
	}
}
