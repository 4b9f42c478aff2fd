package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/gatepost/gatepost/internal/admin"
	"github.com/gatepost/gatepost/internal/backup"
	"github.com/gatepost/gatepost/internal/unit"
)

func newBackup(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "backup DIR", Short: "Copy all that gatepost keeps, while it runs",
		Long: `Copy all that gatepost keeps, while it runs.

Each backup is a new directory DIR/gatepost-TIME, whose path is printed: keys,
accounts, state, journal, what was learned, quarantine, outgoing mail, the
configuration and the files that it names. The mail itself, Postfix, Dovecot,
certificates, and accounts or state on other servers are not in it. Nothing of
an older backup is changed; --keep removes the oldest ones.

It holds private keys and password hashes: only its owner can read it.`,
		Example: "  gatepost backup /var/backups/gatepost\n  gatepost backup --keep 14 /var/backups/gatepost",
		Args:    cobra.ExactArgs(1),
	}
	keep := cmd.Flags().Int("keep", 0, "keep so many backups in DIR and remove the older ones; 0 keeps all")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *keep < 0 {
			return &misuse{fmt.Errorf("--keep: %d is below 0", *keep)}
		}
		ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
		defer stop()
		done, err := a.backup(ctx, args[0], *keep)
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
			err = hint(err, "make room on the disk of %s, or remove old backups there; no part of this one is left", args[0])
		}
		if done.Path == "" {
			return err
		}
		if *asJSON {
			return errors.Join(err, printJSON(cmd.OutOrStdout(), done))
		}
		fmt.Fprintln(cmd.OutOrStdout(), printable(done.Path))
		done.talk(cmd.ErrOrStderr())
		return err
	}
	return cmd
}

// backedUp is what backup has done.
type backedUp struct {
	Path  string    `json:"path"`
	Time  time.Time `json:"time"`
	Files int       `json:"files"`
	Bytes int64     `json:"bytes"`
	// Rows counts the rows of each table, by "FILE TABLE".
	Rows      map[string]int64   `json:"rows"`
	LeftOut   []string           `json:"left_out"`
	Elsewhere []backup.Elsewhere `json:"elsewhere"`
	Removed   []string           `json:"removed"`
}

// backup makes a set in dir.
func (a *app) backup(ctx context.Context, dir string, keep int) (done backedUp, err error) {
	cfg, err := a.load()
	if err != nil {
		return done, err
	}
	configPath, err := filepath.Abs(a.configPath)
	if err == nil {
		dir, err = filepath.Abs(dir)
	}
	if err != nil {
		return done, err
	}
	if strings.HasPrefix(dir+"/", cfg.DataDirectory+"/") {
		return done, &misuse{hint(fmt.Errorf("%s is in the data directory, which is what is copied", dir), "name a directory elsewhere, best on another disk")}
	}
	b, err := backup.Create(dir, backup.Manifest{Version: version, Host: cfg.Hostname, DataDirectory: cfg.DataDirectory,
		Config: configPath, Elsewhere: elsewhere(cfg)})
	if errors.Is(err, os.ErrPermission) {
		return done, hint(err, "run the command as root, or name a directory in which you may write")
	}
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	if err := a.receive(ctx, b, cfg); err != nil {
		return done, err
	}
	if err := addFiles(ctx, b, configPath, cfg); err != nil {
		return done, err
	}
	set, m, err := b.Commit(ctx)
	if err != nil {
		return done, err
	}
	done = backedUp{Path: set, Time: m.Time, Files: len(m.Files), Bytes: m.Bytes(), Rows: map[string]int64{},
		LeftOut: list(m.LeftOut), Elsewhere: list(m.Elsewhere), Removed: []string{}}
	for _, f := range m.Files {
		for table, n := range f.Rows {
			done.Rows[path.Base(f.Path)+" "+table] = n
		}
	}
	if keep > 0 {
		removed, err := backup.Prune(dir, keep)
		done.Removed = list(removed)
		return done, err
	}
	return done, nil
}

// receive takes the data directory.
func (a *app) receive(ctx context.Context, b *backup.Builder, cfg Config) error {
	in, end, err := a.dataStream(ctx, cfg)
	if err != nil {
		return err
	}
	progress, clear := watched()
	err = b.Receive(ctx, in, progress)
	clear()
	if err == nil { // a tar may be followed by zeros
		_, err = io.Copy(io.Discard, io.LimitReader(in, 1<<20))
	}
	if endErr := end(); err == nil || errors.Is(err, backup.ErrCut) {
		err = errors.Join(err, endErr)
	}
	if errors.Is(err, backup.ErrCut) {
		return hint(err, "gatepost, or who reads for it, was stopped in the middle: its log says why; then run the backup again")
	}
	return err
}

// watched returns a progress bar for a person who watches, and what ends it.
func watched() (backup.Progress, func()) {
	if !term.IsTerminal(int(os.Stderr.Fd())) {
		return nil, func() {}
	}
	var bar *progressbar.ProgressBar
	return func(done, all int64) {
			if bar == nil {
				bar = progressbar.NewOptions64(max(all, 1), progressbar.OptionSetWriter(os.Stderr), progressbar.OptionClearOnFinish(),
					progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionShowBytes(true))
			}
			_ = bar.Set64(min(done, max(all, 1))) // a bar that cannot be drawn is no reason to stop
		}, func() {
			if bar != nil {
				_ = bar.Finish()
			}
		}
}

// talk tells a person at a terminal what is in it, and everybody what is not.
func (d backedUp) talk(w io.Writer) {
	if term.IsTerminal(int(os.Stderr.Fd())) {
		counts := make([]string, 0, 8)
		for _, key := range slices.Sorted(maps.Keys(d.Rows)) {
			if file, table, _ := strings.Cut(key, " "); file == "accounts.db" && (table == "domains" || table == "users" || table == "aliases") {
				counts = append(counts, fmt.Sprintf("%d %s", d.Rows[key], table))
			}
		}
		fmt.Fprintf(w, "gatepost: %d files, %v; %s\n", d.Files, unit.Size(d.Bytes), strings.Join(counts, ", "))
	}
	for _, l := range d.LeftOut {
		warn(w, "not in the backup: %s", l)
	}
	for _, e := range d.Elsewhere {
		warn(w, "not in the backup: %s; save it with %s", e.What, e.How)
	}
	for _, r := range d.Removed {
		fmt.Fprintf(w, "gatepost: removed %s\n", printable(r))
	}
}

// isAway reports whether no Gatepost answers.
func isAway(err error) bool { return errors.Is(err, admin.ErrAway) }
