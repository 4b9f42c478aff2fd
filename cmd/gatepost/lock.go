package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
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

func lockError(err error) error {
	if errors.Is(err, unix.EWOULDBLOCK) {
		return errLocked
	}
	return err
}
