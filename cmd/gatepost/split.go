package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"golang.org/x/sync/errgroup"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/guard"
	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/keys"
	"github.com/gatepost/gatepost/internal/learn"
	"github.com/gatepost/gatepost/internal/limit"
	"github.com/gatepost/gatepost/internal/mtasts"
	"github.com/gatepost/gatepost/internal/secret"
	"github.com/gatepost/gatepost/internal/srs"
	"github.com/gatepost/gatepost/internal/state"
	"github.com/gatepost/gatepost/internal/state/shared"
	"github.com/gatepost/gatepost/internal/stated"
	"github.com/gatepost/gatepost/internal/tlspolicy"
)

// stateName is the process that has the files in the split shape, and its socket.
const stateName = "state"

// stateSocket is where the daemons of the split shape ask.
func (c *Config) stateSocket() string { return filepath.Join(c.RuntimeDirectory, stateName) }

// shape says how a process serves.
type shape int

const (
	// alone opens the files and serves daemons: the one process.
	alone shape = iota
	// keeper opens the files and serves them to daemons that run beside it.
	keeper
	// asker serves daemons and opens no file: it asks the keeper.
	asker
)

// shapeOf returns the shape of a process with those arguments. There is no
// setting: who owns the data directory opens it, and a daemon that was named and
// is somebody else asks its owner.
func shapeOf(cfg Config, names []string, named bool) (shape, error) {
	uid := os.Geteuid()
	if uid == 0 {
		return 0, hint(errors.New("serve does not run as root"),
			"systemd's unit runs it as vmail; by hand: setpriv --reuid=%d --regid=%d --clear-groups gatepost serve", cfg.MailUID, cfg.MailGID)
	}
	owner, known := ownerOf(cfg.DataDirectory)
	switch {
	case slices.Contains(names, stateName) && known && owner != uid:
		return 0, hint(fmt.Errorf("serve state runs as user id %d, but %s belongs to user id %d", uid, cfg.DataDirectory, owner),
			"docs/howto/split.md says who owns what; chown -R gatepost-state: %s gives it away", cfg.DataDirectory)
	case slices.Contains(names, stateName):
		return keeper, nil
	case named && known && owner != uid:
		if slices.Contains(names, stated.Lmtpd) && uid != cfg.MailUID {
			return 0, hint(fmt.Errorf("lmtpd runs as user id %d, but mail_uid is %d", uid, cfg.MailUID), "mail belongs to the mail user, and lmtpd writes it")
		}
		return asker, nil
	case uid != cfg.MailUID:
		return 0, hint(fmt.Errorf("serve runs as user id %d, but mail_uid is %d", uid, cfg.MailUID),
			"set mail_uid to the owner of %s, and run serve as that user", cfg.MailRoot)
	}
	return alone, nil
}

// ownerOf returns whose a directory is, if that can be found out.
func ownerOf(dir string) (uid int, known bool) {
	st, err := os.Stat(dir)
	if err != nil {
		// One that is hidden from us is not ours.
		return 0, errors.Is(err, os.ErrPermission)
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(sys.Uid), true
}

// askStores returns stores that the keeper has, for the named daemons. It waits
// for the keeper.
func askStores(ctx context.Context, cfg Config, names []string, log *slog.Logger) (*stores, error) {
	s := newStores(cfg)
	s.remote = stated.Dial(cfg.stateSocket(), version, log)
	s.open = append(s.open, s.remote)
	if err := s.askAll(ctx, cfg, names, log); err != nil {
		return nil, errors.Join(err, s.close())
	}
	s.measure()
	return s, nil
}

func (s *stores) askAll(ctx context.Context, cfg Config, names []string, log *slog.Logger) error {
	for _, name := range names {
		if err := ownPlace(cfg, name); err != nil {
			return err
		}
	}
	log.LogAttrs(ctx, slog.LevelInfo, "the data directory is somebody else's: asking its owner",
		slog.String("socket", cfg.stateSocket()), slog.String("data_directory", cfg.DataDirectory))
	if err := s.remote.Wait(ctx); err != nil {
		return hint(err, "gatepost serve state answers the owner of %s", daemonDir(cfg, names[0]))
	}
	s.accounts = s.remote.Accounts()
	if err := s.askState(ctx, names, log); err != nil {
		return err
	}
	s.rates = account.NewLimits(s.accounts)
	s.journal, s.learn, s.quarantine = askedJournal{s.remote.Journal()}, askedLearner{s.remote.Learner()}, s.remote.Quarantine()
	s.keys = noKeys{}
	if slices.Contains(names, stated.Milter) {
		k, err := s.remote.Keys(ctx)
		if err != nil {
			return fmt.Errorf("signing keys: %w", err)
		}
		s.keys = k
	}
	if err := s.overState(cfg, log); err != nil {
		return err
	}
	events := s.remote.Events()
	s.senders = &senders{teller: events, watcher: events}
	s.senders.outgoing = s.remote.Outgoing(s.senders.on.Load)
	if err := s.senders.reconfigure(cfg.senders()); err != nil {
		return err
	}
	return s.askGuard(ctx, cfg, names, log)
}

// askState takes the keeper's state. policyd goes on alone while the keeper is away,
// and what it counted then it hands over. The others do not: a verdict that is in
// memory only, or a forgotten vacation, would be worse than none.
func (s *stores) askState(ctx context.Context, names []string, log *slog.Logger) error {
	if !slices.Equal(names, []string{stated.Policyd}) {
		s.state = s.remote.State()
		return nil
	}
	alone, err := shared.New(ctx, s.remote.State().Remote(), state.OpenMemory(log), limit.Join, log)
	if err != nil {
		return err
	}
	s.state, s.open = alone, append(s.open, closer(func() { closeAlone(alone, log) }))
	return nil
}

// closeAlone says what is lost with the memory of a process that was alone to its end.
func closeAlone(alone *shared.Store, log *slog.Logger) {
	ctx := context.Background()
	if n := alone.Stats().Pending; n > 0 {
		log.LogAttrs(ctx, slog.LevelWarn, "what was counted without the state process was not handed over and is lost", slog.Int("pending", n))
	}
	if err := alone.Close(); err != nil {
		log.LogAttrs(ctx, slog.LevelWarn, "state not closed", slog.Any("err", err))
	}
}

// askGuard makes the guard of a process that asks: its bans are those of all.
// lmtpd has nobody to guard.
func (s *stores) askGuard(ctx context.Context, cfg Config, names []string, log *slog.Logger) (err error) {
	deps := s.guardDeps(cfg, nil)
	if slices.Equal(names, []string{stated.Lmtpd}) {
		deps.State = noState{}
	}
	s.guard, err = guard.New(ctx, cfg.Guard, deps, log)
	return err
}

// ask keeps what was asked for current until ctx ends.
func (s *stores) ask(ctx context.Context, g *errgroup.Group) {
	g.Go(func() error { return s.remote.Accounts().Follow(ctx) })
	if k, ok := s.keys.(*stated.Keys); ok {
		g.Go(func() error { k.Run(ctx); return nil })
	}
}

// spoolOf is where a daemon that asks puts what it judges or delivers while it
// does: the data directory is not its own.
func spoolOf(cfg Config, name string) string {
	return filepath.Join(daemonDir(cfg, name), "spool")
}

// ownPlace looks whether the directory of a daemon is there and its own, and
// makes and empties the spool of who has one.
func ownPlace(cfg Config, name string) error {
	place := daemonDir(cfg, name)
	if owner, ok := placeOwner(place); !ok || owner != os.Geteuid() {
		return hint(fmt.Errorf("%s is not there, or not the directory of user id %d, as which %s runs", place, os.Geteuid(), name),
			"install -d -o %d -g %d -m 0700 %s", os.Geteuid(), os.Getegid(), place)
	}
	if name != stated.Milter && name != stated.Lmtpd {
		return nil
	}
	dir := spoolOf(cfg, name)
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("spool of %s: %w", name, err)
	}
	return emptySpool(dir)
}

// adjusted returns cfg with the directories of this process, without what only
// the keeper reads.
func (s *stores) adjusted(cfg Config) Config {
	if s.own == nil {
		cfg.Notices.WebhookFile, cfg.Notices.Templates = "", ""
		cfg.Milter.SpoolDirectory, cfg.Lmtpd.SpoolDirectory = spoolOf(cfg, stated.Milter), spoolOf(cfg, stated.Lmtpd)
	}
	return cfg
}

// srsKeys returns the keys of rewritten senders: those of the file, which only
// its owner reads.
func (s *stores) srsKeys(path string) ([]secret.Value, error) {
	if s.own == nil {
		return s.remote.SRSKeys(context.Background())
	}
	s.own.srs.Lock()
	defer s.own.srs.Unlock()
	return srs.Keys(path)
}

// forwarder is what mail to other providers goes by.
func (s *stores) forwarder(cfg Config, log *slog.Logger) (*forwarder, error) {
	if s.own != nil {
		return newForwarder(cfg, s, log)
	}
	f := &forwarder{srs: &srs.Live{}}
	r, err := cfg.rewriter(s.srsKeys)
	if err != nil {
		return nil, err
	}
	f.srs.Set(r)
	sts, err := mtasts.New(mtasts.Deps{DNS: s.dns, Store: s.state}, log)
	if err != nil {
		return nil, err
	}
	s.open = append(s.open, closer(sts.Close))
	f.tls, err = tlspolicy.New(cfg.Policyd.TLSPolicy, s.dns, sts)
	return f, err
}

// askedJournal is the keeper's journal, whose settings are the keeper's.
type askedJournal struct{ *stated.Journal }

// Reconfigure does nothing.
func (askedJournal) Reconfigure(journal.Config) {}

// askedLearner is the keeper's learned filter.
type askedLearner struct{ *stated.Learner }

// Reconfigure does nothing.
func (askedLearner) Reconfigure(learn.Config) {}

// noKeys are the signing keys of a daemon that signs nothing.
type noKeys struct{}

// Active returns none.
func (noKeys) Active(string) []keys.Key { return nil }

// Waiting is false.
func (noKeys) Waiting(string) bool { return false }

// Sign is not asked.
func (noKeys) Sign([]keys.Key, io.Reader) ([]string, error) {
	return nil, errors.New("this daemon signs nothing")
}

// Reload has nothing to read.
func (noKeys) Reload() error { return nil }

// Reconfigure does nothing.
func (noKeys) Reconfigure(keys.Config) {}

// noState is the state of a guard that nobody asks.
type noState struct{}

// Put keeps nothing.
func (noState) Put(context.Context, state.Table, state.Entry, bool) error { return nil }

// Delete has nothing to remove.
func (noState) Delete(context.Context, state.Table, string) error { return nil }

// List has nothing.
func (noState) List(context.Context, state.Table, string) ([]state.Entry, error) { return nil, nil }
