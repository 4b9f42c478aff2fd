package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/user"
	"strconv"
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
	if a.configPath == "" {
		return cfg, &misuse{hint(errors.New("--config has no file"), "%s is read without --config", defaultConfig)}
	}
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
	c, err := running(ctx, cfg)
	if err == nil {
		return c, func() {}, nil
	}
	if !errors.Is(err, admin.ErrAway) {
		return nil, nil, err
	}
	return openLocal(ctx, cfg)
}

// running returns a client of the process that runs, admin.ErrAway if none does.
func running(ctx context.Context, cfg Config) (*admin.Client, error) {
	c := admin.NewClient(cfg.adminSocket())
	c.Warn = func(text string) { warn(os.Stderr, "%s", text) }
	err := c.Health(ctx)
	var refused *admin.Error
	switch {
	case err == nil || errors.As(err, &refused) && refused.Status == http.StatusServiceUnavailable: // it answers, and says what is wrong
		return c, nil
	case errors.Is(err, os.ErrPermission), errors.As(err, &refused) && refused.Status == http.StatusForbidden:
		return nil, mayNot(cfg)
	}
	return nil, err
}

// mayNot is what a stranger is told.
func mayNot(cfg Config) error {
	uid := cfg.MailUID
	if owner, ok := placeOwner(cfg.DataDirectory); ok {
		uid = owner // another one in the split shape
	}
	name := fmt.Sprintf("user id %d", uid)
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		name = u.Username
	}
	return hint(fmt.Errorf("only root and %s may ask gatepost", name), "run the command as root")
}

// openLocal opens the stores of a Gatepost that does not run, as their owner.
// Another command may have them, or a Gatepost that starts: it waits a while,
// and asks that Gatepost once it answers.
func openLocal(ctx context.Context, cfg Config) (*admin.Client, func(), error) {
	if err := becomeOwner(cfg); err != nil {
		return nil, nil, err
	}
	var c *admin.Client
	lock, err := waitLock(ctx, cfg.DataDirectory, func() bool {
		started, err := running(ctx, cfg)
		c = started
		return err == nil
	})
	switch {
	case c != nil && errors.Is(err, errLocked):
		return c, func() {}, nil
	case errors.Is(err, os.ErrPermission):
		return nil, nil, mayNot(cfg)
	case err != nil:
		return nil, nil, lockHint(cfg, err)
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
	c = admin.Local(s.backend(), log)
	c.Warn = func(text string) { warn(os.Stderr, "%s", text) }
	return c, done, nil
}

// becomeOwner gives up root for the owner of the data directory: a store that
// root had opened would have files that Gatepost can not write afterwards.
func becomeOwner(cfg Config) error {
	dir := cfg.DataDirectory
	st, err := os.Stat(dir)
	switch {
	case errors.Is(err, os.ErrPermission):
		return mayNot(cfg)
	case err != nil:
		return lockHint(cfg, fmt.Errorf("data directory: %w", err))
	}
	if os.Geteuid() != 0 {
		return nil
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok || sys.Uid == 0 {
		return hint(fmt.Errorf("data directory %s belongs to root", dir),
			"chown -R %d:%d %s gives it to the mail user", cfg.MailUID, cfg.MailGID, dir)
	}
	if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(int(sys.Gid)), syscall.Setuid(int(sys.Uid))); err != nil {
		return fmt.Errorf("become user id %d: %w", sys.Uid, err)
	}
	return nil
}
