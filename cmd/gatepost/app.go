package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"syscall"

	"github.com/gatepost/gatepost/internal/admin"
	"github.com/gatepost/gatepost/internal/config"
)

// defaultConfig is where the configuration is when --config does not say.
const defaultConfig = "/etc/gatepost/gatepost.yaml"

// app is what all commands share.
type app struct {
	configPath string
}

// load reads the configuration.
func (a *app) load() (Config, error) {
	cfg := Default()
	err := config.Load(a.configPath, &cfg)
	if errors.Is(err, os.ErrNotExist) {
		return cfg, hint(err, "gatepost config init > %s writes a commented sample", a.configPath)
	}
	if err != nil {
		return cfg, hint(err, "gatepost --config %s config check says all that is wrong", a.configPath)
	}
	return cfg, nil
}

// client returns a client of the running process, or, when none runs, of the
// stores opened here. The caller closes it with the returned function.
func (a *app) client(ctx context.Context) (*admin.Client, func(), error) {
	cfg, err := a.load()
	if err != nil {
		return nil, nil, err
	}
	c := admin.NewClient(cfg.adminSocket())
	err = c.Health(ctx)
	var refused *admin.Error
	switch {
	case err == nil || errors.As(err, &refused) && refused.Status == http.StatusServiceUnavailable: // it answers, and says what is wrong
		return c, func() {}, nil
	case errors.Is(err, os.ErrPermission), errors.As(err, &refused) && refused.Status == http.StatusForbidden:
		return nil, nil, hint(err, "run the command as root")
	case !errors.Is(err, admin.ErrAway):
		return nil, nil, err
	}
	return openLocal(ctx, cfg)
}

// openLocal opens the stores of a Gatepost that does not run, as their owner.
func openLocal(ctx context.Context, cfg Config) (*admin.Client, func(), error) {
	if err := becomeOwner(cfg.DataDirectory); err != nil {
		return nil, nil, err
	}
	lock, err := lockData(cfg.DataDirectory)
	if errors.Is(err, errLocked) {
		return nil, nil, hint(err, "a gatepost runs but does not answer on %s; look at its log", cfg.adminSocket())
	}
	if errors.Is(err, os.ErrPermission) {
		return nil, nil, hint(err, "run the command as root")
	}
	if err != nil {
		return nil, nil, err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	s, err := openStores(ctx, cfg, log)
	if err != nil {
		return nil, nil, errors.Join(err, lock.Close())
	}
	done := func() {
		if err := errors.Join(s.close(), lock.Close()); err != nil {
			log.LogAttrs(ctx, slog.LevelError, "stores not closed", slog.Any("err", err))
		}
	}
	return admin.Local(s.backend(), log), done, nil
}

// becomeOwner gives up root for the owner of dir: a store that root had opened
// would have files that Gatepost can not write afterwards.
func becomeOwner(dir string) error {
	st, err := os.Stat(dir)
	if err != nil {
		return hint(fmt.Errorf("data directory: %w", err),
			"install -d -o vmail -g vmail -m 0700 %s makes it", dir)
	}
	if os.Geteuid() != 0 {
		return nil
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok || sys.Uid == 0 {
		return hint(fmt.Errorf("data directory %s belongs to root", dir),
			"chown -R vmail:vmail %s gives it to the mail user", dir)
	}
	if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(int(sys.Gid)), syscall.Setuid(int(sys.Uid))); err != nil {
		return fmt.Errorf("become user id %d: %w", sys.Uid, err)
	}
	return nil
}
