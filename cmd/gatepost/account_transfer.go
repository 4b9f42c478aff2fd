package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/account/mysql"
	"github.com/gatepost/gatepost/internal/account/transfer"
	"github.com/gatepost/gatepost/internal/admin"
)

func newAccount(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "account", Short: "Move all accounts into a file, and into another store",
		Long: `Move all accounts into a file, and into another store: domains, users with
hashes and restrictions, aliases, grants, posting rules, allow and deny entries,
app passwords, groups, rates, and keys of our own.

The file has password hashes in it: it is made readable for its owner only.`,
		Example: "  gatepost account export accounts.jsonl\n  gatepost --config new.yaml account import accounts.jsonl",
	}
	cmd.AddCommand(newAccountExport(a), newAccountImport(a))
	return cmd
}

func newAccountExport(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "export FILE|-", Short: "Write all accounts into a new file, or to standard output",
		Example: "  gatepost account export accounts.jsonl\n  gatepost account export - | ssh mx2 gatepost account import -",
		Args:    cobra.ExactArgs(1),
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		// Opened before root is given up: who calls says where files go.
		out, err := newOutput(cmd, args[0])
		if err != nil {
			return err
		}
		var sum transfer.Sum
		err = a.withMovable(cmd.Context(), func(s transfer.Store) (err error) {
			bar := newBar()
			defer bar.finish()
			sum, err = transfer.Export(cmd.Context(), s, out, bar.set)
			return err
		})
		if err = errors.Join(err, out.finish(err == nil)); err != nil {
			return err
		}
		switch {
		case *asJSON && args[0] != "-":
			return printJSON(cmd.OutOrStdout(), sum)
		case args[0] == "-":
			return nil // standard output has the file
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%d rows in %s, SHA-256 %s\n", sum.Rows(), args[0], sum.SHA256)
		return printCounts(cmd, sum)
	}
	return cmd
}

func newAccountImport(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "import FILE|-", Short: "Put the accounts of a file into the store",
		Long: `Put the accounts of a file into the store. The file is read to its end first: a
damaged one changes nothing. What is there and equal is passed over, so a run
that was cut is gone on with by the same command. What is there and differs
stays, and is told, unless --replace puts the file's in its place. At the end the
store is read again and held against the file.`,
		Example: "  gatepost account import --dry-run accounts.jsonl\n  gatepost account import accounts.jsonl",
		Args:    cobra.ExactArgs(1),
	}
	var o transfer.Options
	cmd.Flags().BoolVar(&o.DryRun, "dry-run", false, "change nothing, and tell what would be changed")
	cmd.Flags().BoolVar(&o.Replace, "replace", false, "put rows of the file in place of those that differ")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		in, err := input(cmd, args[0])
		if err != nil {
			return err
		}
		defer func() { _ = in.Close() }() // it was only read
		var rep transfer.Report
		err = a.withMovable(cmd.Context(), func(s transfer.Store) (err error) {
			bar := newBar()
			defer bar.finish()
			o.Progress = bar.set
			if rep, err = transfer.Import(cmd.Context(), s, in, o); err != nil {
				return importHint(err) // what kept it from beginning has a hint of its own
			}
			return nil
		})
		if err != nil {
			return err
		}
		return printReport(cmd, rep, o, *asJSON)
	}
	return cmd
}

func importHint(err error) error {
	if errors.Is(err, transfer.ErrFormat) {
		return hint(err, "nothing was changed; write the file again by gatepost account export")
	}
	return hint(err, "what was done stays; the same command goes on from there")
}

// printReport says what an import did. Rows that were refused are the answer no.
func printReport(cmd *cobra.Command, rep transfer.Report, o transfer.Options, asJSON bool) error {
	w := cmd.OutOrStdout()
	if asJSON {
		if err := printJSON(w, rep); err != nil {
			return err
		}
	} else {
		for _, t := range rep.Troubles {
			fmt.Fprintf(w, "line %d: %s: %s\n", t.Line, printable(t.Row), printable(t.Why))
		}
		if n := rep.Refused - len(rep.Troubles); n > 0 {
			fmt.Fprintf(w, "… and %d more\n", n)
		}
		would := ""
		if o.DryRun {
			would = " (dry run: nothing was written)"
		}
		fmt.Fprintf(w, "%d rows: %d added, %d the same, %d replaced, %d refused%s\n",
			rep.Rows(), rep.Added, rep.Same, rep.Replaced, rep.Refused, would)
		if rep.Verified {
			fmt.Fprintf(w, "verified: the store has all rows of the file, and %d more\n", rep.More)
		}
	}
	switch {
	case rep.Refused > 0:
		return &saidNo{}
	case !rep.Verified && !o.DryRun:
		return errors.New("the store that was read again does not have all rows of the file: somebody else changes it")
	}
	return nil
}

func printCounts(cmd *cobra.Command, sum transfer.Sum) error {
	var rows [][]string
	for _, k := range transfer.Kinds() {
		rows = append(rows, []string{string(k), strconv.Itoa(sum.Counts[k])})
	}
	return printTable(cmd.OutOrStdout(), []string{"KIND", "ROWS"}, rows)
}

// withMovable runs f with the account store itself: of a running Gatepost the admin
// socket hands out hashes in a backup of everything only.
func (a *app) withMovable(ctx context.Context, f func(transfer.Store) error) (err error) {
	cfg, err := a.load()
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	s, done, err := openMovable(ctx, cfg, log)
	if err != nil {
		return err
	}
	return errors.Join(f(s), done())
}

// openMovable opens the account store of a Gatepost that does not run, as its
// owner. done closes it.
func openMovable(ctx context.Context, cfg Config, log *slog.Logger) (s transfer.Store, done func() error, err error) {
	if cfg.MySQL.On() { // a gatepost may run meanwhile: it looks at what changed, and no file is shared
		if err := becomeOwner(cfg); err != nil { // whose the password file is
			return nil, nil, err
		}
		s, err := mysql.Open(ctx, cfg.MySQL, log)
		if err != nil {
			return nil, nil, err
		}
		return s, s.Close, nil
	}
	if _, err := running(ctx, cfg); err == nil {
		return nil, nil, hint(errors.New("gatepost runs and has the accounts, and password hashes do not leave it"),
			"systemctl stop gatepost, then again; Postfix and senders keep the mail meanwhile")
	} else if !errors.Is(err, admin.ErrAway) {
		return nil, nil, err
	}
	if err := becomeOwner(cfg); err != nil {
		return nil, nil, err
	}
	lock, err := waitLock(ctx, cfg.DataDirectory, func() bool { return false })
	switch {
	case errors.Is(err, os.ErrPermission):
		return nil, nil, mayNot(cfg)
	case err != nil:
		return nil, nil, lockHint(cfg, err)
	}
	file, err := account.OpenSQLite(ctx, filepath.Join(cfg.DataDirectory, "accounts.db"), log)
	if err != nil {
		return nil, nil, errors.Join(err, lock.Close())
	}
	return file, func() error { return errors.Join(file.Close(), lock.Close()) }, nil
}

// output is the file of an export, or standard output.
type output struct {
	io.Writer
	file *os.File // nil for standard output
}

// newOutput makes a new file that only its owner reads: one that is there may
// be readable for others, or be somebody's only copy.
func newOutput(cmd *cobra.Command, name string) (*output, error) {
	if name == "-" {
		if term.IsTerminal(int(os.Stdout.Fd())) {
			return nil, &misuse{errors.New("the file has password hashes, which are not for a terminal: name a file, or use a pipe")}
		}
		return &output{Writer: cmd.OutOrStdout()}, nil
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil, hint(err, "name a file that is not there yet")
	}
	if err != nil {
		return nil, err
	}
	return &output{f, f}, nil
}

// finish closes the file, whole and on disk, or else empty: half of one is of no
// use, and has hashes in it. It can not always be removed, as root was given up.
func (o *output) finish(whole bool) error {
	if o.file == nil {
		return nil
	}
	if whole {
		return errors.Join(o.file.Sync(), o.file.Close())
	}
	err := errors.Join(o.file.Truncate(0), o.file.Close())
	_ = os.Remove(o.file.Name())
	return err
}

// input opens the file of an import. It is read twice, so standard input goes
// through a file that nobody else can open.
func input(cmd *cobra.Command, name string) (*os.File, error) {
	if name != "-" {
		return os.Open(name)
	}
	f, err := os.CreateTemp("", "gatepost-accounts-")
	if err != nil {
		return nil, err
	}
	err = os.Remove(f.Name()) // it lives as long as it is open
	if err == nil {
		_, err = io.Copy(f, cmd.InOrStdin())
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read standard input: %w", err), f.Close())
	}
	return f, nil
}

// bar shows progress where somebody watches.
type bar struct{ shown *progressbar.ProgressBar }

func newBar() *bar { return &bar{} }

func (b *bar) set(done, total int) {
	if !term.IsTerminal(int(os.Stderr.Fd())) {
		return
	}
	if b.shown == nil {
		b.shown = progressbar.NewOptions(total, progressbar.OptionSetWriter(os.Stderr), progressbar.OptionClearOnFinish(),
			progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionShowCount())
	}
	_ = b.shown.Set(done) // a bar that cannot be drawn is no reason to stop
}

func (b *bar) finish() {
	if b.shown != nil {
		_ = b.shown.Finish()
	}
}
