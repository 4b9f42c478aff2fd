package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/gatepost/gatepost/internal/backup"
	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/unit"
)

// restoreFlags are the options of restore.
type restoreFlags struct{ force, dryRun, keepConfig bool }

func newRestore(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "restore DIR", Short: "Put a backup back",
		Long: `Put a backup back.

DIR is one backup, or a directory of backups, of which the newest is taken. All
of it is compared with its checksums before anything is touched. Gatepost must
not run. What is there already is refused, or with --force moved aside: nothing
is deleted. Files that lay neither in the data directory nor beside the
configuration are named, with the command that puts them back.`,
		Example: "  gatepost restore --dry-run /var/backups/gatepost\n  gatepost restore /var/backups/gatepost/gatepost-20261120T030000Z",
		Args:    cobra.ExactArgs(1),
	}
	var f restoreFlags
	cmd.Flags().BoolVar(&f.force, "force", false, "move aside what is there")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "verify the backup and say what would be done")
	cmd.Flags().BoolVar(&f.keepConfig, "keep-config", false, "keep the configuration of this host, and go by it")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
		defer stop()
		done, err := a.restore(ctx, args[0], f)
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(cmd.OutOrStdout(), done)
		}
		if f.dryRun {
			return done.plan(cmd.OutOrStdout())
		}
		done.talk(cmd.ErrOrStderr())
		return nil
	}
	return cmd
}

// restored is what restore has done, or would do.
type restored struct {
	Backup        string             `json:"backup"`
	Time          time.Time          `json:"time"`
	Host          string             `json:"host"`
	Version       string             `json:"version"`
	Files         int                `json:"files"`
	Bytes         int64              `json:"bytes"`
	DataDirectory string             `json:"data_directory"`
	Steps         []backup.Step      `json:"steps"`
	Extra         []string           `json:"extra"`
	Elsewhere     []backup.Elsewhere `json:"elsewhere"`
	gid           int
}

// restore puts the set in dir into its place.
func (a *app) restore(ctx context.Context, dir string, f restoreFlags) (done restored, err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return done, err
	}
	set, err := backup.Open(dir)
	if errors.Is(err, backup.ErrNoSet) {
		return done, hint(err, "name a directory gatepost-TIME that gatepost backup has made, or the one that holds it")
	}
	if err != nil {
		return done, err
	}
	defer set.Close()
	progress, clear := watched()
	extra, err := set.Verify(ctx, progress)
	clear()
	if err != nil {
		return done, hint(err, "take another backup; nothing was touched")
	}
	cfg, place, err := a.place(set, f)
	if err != nil {
		return done, err
	}
	m := set.Manifest
	done = restored{Backup: set.Dir, Time: m.Time, Host: m.Host, Version: m.Version, Files: len(m.Files), Bytes: m.Bytes(),
		DataDirectory: cfg.DataDirectory, Extra: list(extra), Elsewhere: list(m.Elsewhere), gid: cfg.MailGID}
	if f.dryRun {
		done.Steps, err = set.Plan(ctx, place, time.Now())
		if errors.Is(err, backup.ErrNotEmpty) {
			warn(os.Stderr, "%v: it needs --force", err)
			err = nil
		}
		if busy := isLocked(cfg.DataDirectory); busy != nil {
			warn(os.Stderr, "%v: stop it before", busy)
		}
		return done, err
	}
	done.Steps, err = putBack(ctx, cfg, set, place)
	return done, err
}

// place returns where a set goes, and the configuration that says so.
func (a *app) place(set *backup.Set, f restoreFlags) (cfg Config, p backup.Place, err error) {
	if f.keepConfig {
		cfg, err = a.load()
	} else {
		if p.Config, err = filepath.Abs(a.configPath); err == nil {
			cfg = Default()
			err = config.Load(set.ConfigFile(), &cfg)
		}
		if err != nil {
			err = hint(err, "the configuration in the backup can not be used here; --keep-config goes by the one of this host")
		}
	}
	if err != nil {
		return cfg, p, err
	}
	p.DataDirectory, p.Force, p.Check = cfg.DataDirectory, f.force, checkAsOwner
	p.UID, p.GID = cfg.MailUID, cfg.MailGID
	if uid := os.Geteuid(); uid != 0 {
		p.UID, p.GID = -1, -1
		if uid != cfg.MailUID {
			return cfg, p, hint(fmt.Errorf("user id %d can not give files to user id %d", uid, cfg.MailUID), "run the command as root")
		}
	}
	return cfg, p, nil
}

// putBack makes the data directory where it is missing, holds its lock, and
// restores.
func putBack(ctx context.Context, cfg Config, set *backup.Set, p backup.Place) ([]backup.Step, error) {
	dir := cfg.DataDirectory
	err := os.Mkdir(dir, 0o700)
	if err == nil && p.UID >= 0 {
		err = os.Chown(dir, p.UID, p.GID)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, hint(fmt.Errorf("data directory: %w", err), "make the directory above it, and run the command as root")
	}
	lock, err := lockData(dir)
	if errors.Is(err, errLocked) {
		return nil, hint(err, "systemctl stop gatepost.service gatepost-{postfix,dovecot,private}.socket, then restore again")
	}
	if err != nil {
		return nil, lockHint(cfg, err)
	}
	defer lock.Close()
	if p.UID >= 0 {
		if err := lock.Chown(p.UID, p.GID); err != nil {
			return nil, fmt.Errorf("lock file: %w", err)
		}
	}
	progress, clear := watched()
	steps, err := set.Restore(ctx, p, time.Now(), progress)
	clear()
	if errors.Is(err, backup.ErrNotEmpty) {
		return nil, hint(err, "--force moves aside what is there; --dry-run says what would be done")
	}
	if errors.Is(err, os.ErrPermission) {
		return nil, hint(err, "run the command as root, or leave the configuration as it is with --keep-config")
	}
	if errors.Is(err, syscall.ENOSPC) {
		return nil, hint(err, "make room on the disk of %s; nothing was changed", dir)
	}
	return steps, err
}

// isLocked returns errLocked where a Gatepost has the directory. It makes no
// file.
func isLocked(dir string) error {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil
	}
	defer f.Close()
	if errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB), unix.EWOULDBLOCK) {
		return errLocked
	}
	return nil
}

// plan prints what would be done.
func (r restored) plan(w io.Writer) error {
	fmt.Fprintf(w, "%s is whole: %d files, %v, of %s at %s\n", printable(r.Backup), r.Files, unit.Size(r.Bytes), printable(r.Host), r.Time.Format(time.RFC3339))
	var rows [][]string
	for _, s := range r.Steps {
		rows = append(rows, []string{s.Do, s.To, s.From})
	}
	return printTable(w, []string{"DO", "TO", "FROM"}, rows)
}

// talk says what was done, and what is left to do.
func (r restored) talk(w io.Writer) {
	fmt.Fprintf(w, "gatepost: restored %s, of %s at %s, into %s\n", printable(r.Backup), printable(r.Host), r.Time.Format(time.RFC3339), r.DataDirectory)
	asides := map[string]bool{}
	for _, s := range r.Steps {
		if s.Do != backup.Aside {
			continue
		}
		aside := s.To
		if strings.HasPrefix(s.From, r.DataDirectory+"/") {
			aside = filepath.Dir(s.To)
		}
		if !asides[aside] {
			fmt.Fprintf(w, "gatepost: what was there is %s\n", printable(aside))
		}
		asides[aside] = true
	}
	for _, e := range r.Extra {
		warn(w, "%s is in the backup's directory but not of it, and was left", e)
	}
	for _, e := range r.Elsewhere {
		warn(w, "not in the backup: %s", e.What)
	}
	for _, s := range r.Steps {
		if s.Do == backup.Yours {
			fmt.Fprintf(w, "gatepost: to do: install -D -m 0640 -o root -g %d %s %s\n", r.gid, shellWord(s.From), shellWord(s.To))
		}
	}
	fmt.Fprintln(w, "gatepost: to do: gatepost config check")
	fmt.Fprintln(w, "gatepost: to do: systemctl start gatepost")
}

// shellWord quotes what a person is to paste.
func shellWord(s string) string {
	s = printable(s)
	if strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("/._-+@%:=,", r)
	}) {
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	return s
}
