package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"reflect"
	"strings"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/gatepost/gatepost/internal/config"
)

// reloader takes a new configuration whole, or keeps the old.
type reloader struct {
	path    string
	start   Config // what the process started with
	stores  *stores
	daemons *daemons
	level   *slog.LevelVar
	log     *slog.Logger
}

// loop reloads at each signal until ctx ends.
func (r *reloader) loop(ctx context.Context, hup <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
		}
		notify(r.log, daemon.SdNotifyReloading)
		if err := r.reload(); err != nil {
			for _, f := range config.Faults(err) {
				r.log.LogAttrs(ctx, slog.LevelError, "configuration not taken, the old one goes on", slog.Any("err", f))
			}
		} else {
			r.log.LogAttrs(ctx, slog.LevelInfo, "configuration taken", slog.String("config", r.path))
		}
		notify(r.log, daemon.SdNotifyReady)
	}
}

// reload reads the file and hands it out. Nothing is handed out before all of
// it is known to be good.
func (r *reloader) reload() error {
	next := Default()
	if err := config.Load(r.path, &next); err != nil {
		return err
	}
	if next.fixed() != r.start.fixed() {
		return errors.New("hostname, a directory, recipient_delimiter, mail_uid or mail_gid changed, which only a restart can take")
	}
	seen := r.stores.adjusted(next)
	if err := seen.checkFiles(); err != nil {
		return err
	}
	if err := r.stores.keys.Reload(); err != nil {
		return err
	}
	if names := restartOnly(r.start, next); len(names) > 0 {
		r.log.LogAttrs(context.Background(), slog.LevelWarn, "settings changed that only a restart takes",
			slog.String("settings", strings.Join(names, " ")))
	}
	active := next.Policyd.ActiveLimits()
	r.stores.limits.Store(&active)
	r.stores.guard.Reconfigure(next.Guard)
	r.stores.journal.Reconfigure(next.Journal)
	r.stores.keys.Reconfigure(next.DKIM)
	r.level.Set(slog.Level(next.Log.Level))
	return r.daemons.reconfigure(next)
}

// restartOnly names what differs of the settings that are read at the start.
// The sample file and the manual mark the same.
func restartOnly(old, next Config) []string {
	var out []string
	for _, s := range []struct {
		key       string
		old, next any
	}{
		{"log.format", old.Log.Format, next.Log.Format},
		{"mysql", old.MySQL, next.MySQL},
		{"redis", old.Redis, next.Redis},
		{"resolver", old.Resolver, next.Resolver},
		{"learn.watch", old.Learn.Watch, next.Learn.Watch},
		{"learn.junk", old.Learn.Junk, next.Learn.Junk},
		{"learn.trash", old.Learn.Trash, next.Learn.Trash},
		{"queue_helper", old.QueueHelper, next.QueueHelper},
		{"milter.max_connections", old.Milter.MaxConnections, next.Milter.MaxConnections},
		{"authd.max_connections", old.Authd.MaxConnections, next.Authd.MaxConnections},
		{"authd.hash_memory", old.Authd.HashMemory, next.Authd.HashMemory},
		{"authd.default_pass_scheme", old.Authd.DefaultPassScheme, next.Authd.DefaultPassScheme},
		{"dict.max_connections", old.Dict.MaxConnections, next.Dict.MaxConnections},
		{"auth_policy.listen", old.AuthPolicy.Listen, next.AuthPolicy.Listen},
		{"auth_policy.api_key_file", old.AuthPolicy.APIKeyFile, next.AuthPolicy.APIKeyFile},
		{"auth_policy.max_connections", old.AuthPolicy.MaxConnections, next.AuthPolicy.MaxConnections},
		{"ban_sinks", old.BanSinks, next.BanSinks},
		{"watch_logs", old.WatchLogs, next.WatchLogs},
		{"lmtpd.max_connections", old.Lmtpd.MaxConnections, next.Lmtpd.MaxConnections},
		{"managesieve.listen", old.Managesieve.Listen, next.Managesieve.Listen},
		{"managesieve.max_connections", old.Managesieve.MaxConnections, next.Managesieve.MaxConnections},
	} {
		if !reflect.DeepEqual(s.old, s.next) {
			out = append(out, s.key)
		}
	}
	return out
}
