package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"

	"github.com/gatepost/gatepost/internal/listen"
)

// dirKind says in which directory a socket is.
type dirKind int

const (
	queueDir   dirKind = iota // "gatepost" in Postfix's queue directory
	runtimeDir                // ours
)

// socket is a listener with who serves it.
type socket struct {
	name  string
	dir   dirKind
	mode  fs.FileMode
	serve func(context.Context, net.Listener) error
	// first says that it ends before the others do, see serveAll.
	first bool
}

// path returns where the socket is.
func (s socket) path(cfg Config) string {
	if s.dir == queueDir {
		return filepath.Join(cfg.QueueDirectory, "gatepost", s.name)
	}
	return filepath.Join(cfg.RuntimeDirectory, s.name)
}

// openSockets returns a listener for each socket: the one that systemd passed,
// or a new one. On an error all are closed.
func openSockets(cfg Config, sockets []socket, log *slog.Logger) (lns []net.Listener, err error) {
	passed, err := listen.Systemd()
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			for _, ln := range lns {
				err = errors.Join(err, ln.Close())
			}
		}
	}()
	for _, s := range sockets {
		path := s.path(cfg)
		ln, ok := passed[path]
		if !ok {
			if ln, err = listen.Unix(path, s.mode); err != nil {
				return lns, socketHint(err, path)
			}
		}
		delete(passed, path)
		lns = append(lns, ln)
	}
	for path, ln := range passed {
		log.LogAttrs(context.Background(), slog.LevelWarn, "systemd passed a socket that nobody serves",
			slog.String("socket", path))
		if err := ln.Close(); err != nil {
			return lns, fmt.Errorf("close unused socket %s: %w", path, err)
		}
	}
	return lns, nil
}

// socketHint names the command that makes the directory.
func socketHint(err error, path string) error {
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
		return hint(err, "systemd-tmpfiles --create gatepost.conf makes %s with the right owner and group", filepath.Dir(path))
	}
	return err
}
