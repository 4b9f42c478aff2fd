package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/backup"
	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/keys"
	"github.com/gatepost/gatepost/internal/learn"
	"github.com/gatepost/gatepost/internal/state"
)

// newBackupHelper is what backup and restore start when they run as root: a
// store is opened by its owner only, but what is written has to be root's.
func newBackupHelper(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "backup-helper", Short: "Read a data directory for backup and restore, as its owner", Hidden: true,
		Example: "  gatepost backup-helper stream > data.tar",
	}
	cmd.AddCommand(&cobra.Command{
		Use: "stream", Short: "Write the data directory as a tar", Args: cobra.NoArgs,
		Example: "  gatepost backup-helper stream > data.tar",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.load()
			if err == nil {
				err = becomeOwner(cfg)
			}
			if err != nil {
				return err
			}
			return streamLocal(cmd.Context(), cfg, cmd.OutOrStdout())
		},
	}, &cobra.Command{
		Use: "check DIR", Short: "Open the stores in a directory, as a start would", Args: cobra.ExactArgs(1),
		Example: "  gatepost backup-helper check /var/lib/gatepost",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := becomeOwner(Config{DataDirectory: args[0]}); err != nil {
				return err
			}
			return checkStores(cmd.Context(), args[0])
		},
	})
	return cmd
}

// streamLocal writes a data directory that no Gatepost has open.
func streamLocal(ctx context.Context, cfg Config, w io.Writer) error {
	lock, err := waitLock(ctx, cfg.DataDirectory, func() bool { return false })
	if err != nil {
		return lockHint(cfg, err)
	}
	err = (&backup.Source{Dir: cfg.DataDirectory}).Stream(ctx, w)
	return errors.Join(err, lock.Close())
}

// checkStores opens the stores that are in dir, as a start would.
func checkStores(ctx context.Context, dir string) error {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	in := func(name string) string { return filepath.Join(dir, name) }
	for _, s := range []struct {
		name string
		open func() (io.Closer, error)
	}{
		{"accounts.db", func() (io.Closer, error) { return account.OpenSQLite(ctx, in("accounts.db"), log) }},
		{"state.db", func() (io.Closer, error) { return state.OpenSQLite(ctx, in("state.db"), log) }},
		{"learn.db", func() (io.Closer, error) { return learn.Open(ctx, dir, learn.Default(), nil, log) }},
		{"journal.db", func() (io.Closer, error) { return journal.Open(ctx, in("journal.db"), journal.Default(), log) }},
		{"dkim", func() (io.Closer, error) { _, err := keys.Open(in("dkim"), log); return nil, err }},
	} {
		if _, err := os.Lstat(in(s.name)); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		c, err := s.open()
		if err != nil {
			return err
		}
		if c == nil {
			continue
		}
		if err := c.Close(); err != nil {
			return fmt.Errorf("close %s: %w", s.name, err)
		}
	}
	return nil
}

// backupHelper is this program as "backup-helper ARGS". It ends when nobody reads what it
// writes.
func backupHelper(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/proc/self/exe", append([]string{"backup-helper"}, args...)...)
	cmd.Stderr = os.Stderr
	return cmd
}

// checkAsOwner is checkStores by who owns dir.
func checkAsOwner(ctx context.Context, dir string) error {
	if os.Geteuid() != 0 {
		return checkStores(ctx, dir)
	}
	if err := backupHelper(ctx, "check", dir).Run(); err != nil {
		return fmt.Errorf("its stores do not open, see above: %w", err)
	}
	return nil
}

// dataStream returns the stream of the data directory: from the process that
// runs, else read here, by its owner. The function ends it, and says whether all
// was well.
func (a *app) dataStream(ctx context.Context, cfg Config) (io.Reader, func() error, error) {
	c, err := running(ctx, cfg)
	if err == nil {
		in, err := c.Backup(ctx)
		if err != nil {
			return nil, nil, err
		}
		return in, in.Close, nil
	}
	if !isAway(err) {
		return nil, nil, err
	}
	if _, err := os.Stat(cfg.DataDirectory); err != nil {
		return nil, nil, lockHint(cfg, fmt.Errorf("data directory: %w", err))
	}
	if os.Geteuid() != 0 {
		r, w := io.Pipe()
		go func() { w.CloseWithError(streamLocal(ctx, cfg, w)) }()
		return r, r.Close, nil
	}
	cmd := backupHelper(ctx, "stream", "--config", a.configPath)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read the data directory as its owner: %w", err)
	}
	return out, func() error {
		if err := errors.Join(out.Close(), cmd.Wait()); err != nil {
			return fmt.Errorf("read the data directory as its owner: %w", err)
		}
		return nil
	}, nil
}
