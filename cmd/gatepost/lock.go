package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gatepost/gatepost/internal/backup"
)

// errLocked means that another Gatepost holds the data directory.
var errLocked = errors.New("another gatepost uses the data directory")

// lockData takes the lock of the data directory, which the kernel frees with
// the process however it ends. No SQLite file is ever written by two of us.
func lockData(dir string) (*os.File, error) {
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock file: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, lockError(err)), f.Close())
	}
	return f, nil
}

// How long a lock is waited for, and how often it is tried.
const (
	lockTime  = 5 * time.Second
	lockEvery = 50 * time.Millisecond
)

// waitLock is lockData that waits for whoever has the lock, until enough says
// that there is no need.
func waitLock(ctx context.Context, dir string, enough func() bool) (*os.File, error) {
	for end := time.Now().Add(lockTime); ; {
		lock, err := lockData(dir)
		if err == nil {
			if err := backup.Unfinished(dir); err != nil {
				return nil, errors.Join(err, lock.Close())
			}
		}
		if !errors.Is(err, errLocked) || enough() || time.Now().After(end) {
			return lock, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(lockEvery):
		}
	}
}

// lockHint adds to an error of the data directory's lock what mends it.
func lockHint(cfg Config, err error) error {
	dir := cfg.DataDirectory
	switch {
	case errors.Is(err, errLocked):
		return hint(err, "nothing answers on %s: a command, or a gatepost that starts or hangs, has held the lock for %v; fuser -v %s shows which",
			cfg.adminSocket(), lockTime, filepath.Join(dir, "lock"))
	case errors.Is(err, backup.ErrUnfinished):
		return hint(err, "gatepost restore --force DIR, with the same backup, ends it")
	case errors.Is(err, os.ErrNotExist):
		return hint(err, "install -d -o %d -g %d -m 0700 %s makes it", cfg.MailUID, cfg.MailGID, dir)
	case errors.Is(err, os.ErrPermission):
		return hint(err, "chown -R %d:%d %s gives it to the mail user", cfg.MailUID, cfg.MailGID, dir)
	}
	return err
}

func lockError(err error) error {
	if errors.Is(err, unix.EWOULDBLOCK) {
		return errLocked
	}
	return err
}
