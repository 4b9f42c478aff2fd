package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/classify"
	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/delivery"
	"github.com/gatepost/gatepost/internal/evidence"
	"github.com/gatepost/gatepost/internal/known"
	"github.com/gatepost/gatepost/internal/learn"
	"github.com/gatepost/gatepost/internal/learn/watch"
	"github.com/gatepost/gatepost/internal/lists"
	"github.com/gatepost/gatepost/internal/lists/maps"
	"github.com/gatepost/gatepost/internal/lmtp"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/quarantine/release"
	"github.com/gatepost/gatepost/internal/scan"
)

// judge is what decides about spam: the rules, and what they are told.
type judge struct {
	engine   atomic.Pointer[scan.Engine]
	lists    *lists.Lists
	maps     *maps.Maps
	memory   *known.Memory
	evidence *evidence.Gatherer
	releaser *release.Releaser // nil where the quarantine is not ours
}

func newJudge(cfg Config, s *stores, verdicts *delivery.Verdicts, log *slog.Logger) (j *judge, err error) {
	j = &judge{memory: s.memory}
	if j.lists, err = lists.New(cfg.DNSLists, s.dns, s.metrics, log); err != nil {
		return nil, err
	}
	s.listed.lists.Store(j.lists)
	if j.maps, err = maps.New(cfg.Maps, s.metrics, log); err != nil {
		return nil, err
	}
	e, err := scan.New(cfg.Scan, scan.Deps{Maps: j.maps})
	if err != nil {
		return nil, err
	}
	j.engine.Store(e)
	j.evidence = evidence.New(evidence.Deps{
		Filter: s.learn, Lists: j.lists, Maps: j.maps, Memory: j.memory, Greylist: s.greylist,
		OwnDomain: func(ctx context.Context, domain string) bool {
			_, err := s.accounts.Domain(ctx, domain)
			return err == nil
		},
		MaySend: func(ctx context.Context, user, as mailaddr.Address) (bool, error) {
			return account.MaySend(ctx, s.accounts, user, as, cfg.RecipientDelimiter)
		},
	}, log)
	if s.own != nil {
		if j.releaser, err = newReleaser(cfg, s, verdicts, log); err != nil {
			return nil, err
		}
	}
	s.measureJudge(j)
	return j, nil
}

// newWatcher returns who learns from moves in mailboxes, nil when nothing is.
func newWatcher(cfg Config, s *stores, log *slog.Logger) *watch.Watcher {
	if !cfg.Learn.Watch {
		return nil
	}
	return watch.New(watch.Config{
		MailRoot: cfg.MailRoot, Junk: cfg.Learn.Junk, Trash: cfg.Learn.Trash, Trace: cfg.trace(),
	}, watch.Deps{Learner: s.learn, Filings: s.learn, Correspondents: s.memory}, log)
}

// scan judges a message by the configuration in force.
func (j *judge) scan(_ scan.Config, m scan.Message, now time.Time) scan.Result {
	return j.engine.Load().Scan(m, now)
}

// Rules returns the rules in force, with what each has hit.
func (j *judge) Rules() []scan.State { return j.engine.Load().Rules() }

// run keeps lists, maps and quarantine going until ctx ends.
func (j *judge) run(ctx context.Context, g *errgroup.Group, s *stores) {
	all := []func(context.Context){j.lists.Run, j.maps.Run}
	if s.own != nil {
		all = append(all, s.own.quarantine.Run, j.releaser.Run)
	}
	for _, f := range all {
		g.Go(func() error { f(ctx); return nil })
	}
}

// reconfigure takes what belongs to it. Validate has compiled the rules against
// the same maps, so that only a file can be a reason to refuse.
func (j *judge) reconfigure(next Config) error {
	if err := errors.Join(j.lists.Reconfigure(next.DNSLists), j.maps.Reconfigure(next.Maps)); err != nil {
		return err
	}
	e, err := scan.New(next.Scan, scan.Deps{Maps: j.maps})
	if err != nil {
		return err
	}
	e.Follow(j.engine.Load())
	j.engine.Store(e)
	return nil
}

// mapNames stands for the maps of a configuration whose files nobody has read.
type mapNames []string

// Names returns them all.
func (m mapNames) Names() []string { return m }

// Has is never asked.
func (mapNames) Has(string, string) bool { return false }

// compile reports what is wrong with the rules of the admin.
func (c *Config) compile() error {
	var names mapNames
	for _, m := range c.Maps {
		names = append(names, m.Name)
	}
	_, err := scan.New(c.Scan, scan.Deps{Maps: names})
	return config.Under("scan", err)
}

// trace says which fields of a stored message are our own.
func (c *Config) trace() learn.TraceConfig {
	return learn.TraceConfig{Hostname: c.Hostname, AuthservID: c.AuthservID, ScanBytes: int(c.Milter.ScanBytes)}
}

// newReleaser returns who gives messages back from quarantine, through our own
// delivery, and learns that they are ham.
func newReleaser(cfg Config, s *stores, verdicts *delivery.Verdicts, log *slog.Logger) (*release.Releaser, error) {
	return release.New(release.Deps{
		Spool: s.own.quarantine, Accounts: s.accounts, Verdicts: verdicts, Journal: s.journal,
		Handover: lmtp.Client{
			Path: filepath.Join(cfg.QueueDirectory, "gatepost", "lmtp"), Hostname: cfg.Hostname, Timeout: time.Minute,
		},
		Learn: func(ctx context.Context, raw []byte, user mailaddr.Address) error {
			item, err := learn.Extract(raw, cfg.trace(), new(classify.Features))
			if err != nil {
				return fmt.Errorf("learn a released message: %w", err)
			}
			_, err = s.learn.Learn(ctx, learn.Wish{Source: learn.Release, User: user.String(), Items: []learn.Item{item}})
			return err
		},
	}, cfg.Hostname, cfg.RecipientDelimiter, log)
}

// clientLists tells the greylist which clients are on DNS lists. Before there are
// any, nobody is.
type clientLists struct{ lists atomic.Pointer[lists.Lists] }

// listedFrom is the score from which on a line makes a client suspicious.
const listedFrom = 2

// Listed reports whether a list has the client.
func (c *clientLists) Listed(ctx context.Context, client netip.Addr) bool {
	l := c.lists.Load()
	if l == nil {
		return false
	}
	for _, line := range l.Ask(ctx, lists.Query{Client: client}) {
		if line.Score >= listedFrom {
			return true
		}
	}
	return false
}

// measureJudge adds what the filter counts itself to the metrics.
func (s *stores) measureJudge(j *judge) {
	count := func(name, help string, f func() uint64) {
		s.metrics.Counter(name, help, func() float64 { return float64(f()) })
	}
	count("gatepost_list_questions_total", "Questions to DNS lists.", func() uint64 { n, _, _ := j.lists.Totals(); return n })
	count("gatepost_list_listings_total", "Listings that DNS lists answered with.", func() uint64 { _, n, _ := j.lists.Totals(); return n })
	count("gatepost_list_unanswered_total", "Questions that DNS lists did not answer.", func() uint64 { _, _, n := j.lists.Totals(); return n })
	count("gatepost_greylist_deferred_total", "Questions that were answered with: come back later.", func() uint64 { return s.greylist.Stats().Deferred })
	count("gatepost_greylist_passed_total", "Strangers who came back and were let in.", func() uint64 { return s.greylist.Stats().Passed })
	count("gatepost_greylist_faults_total", "Mail that did not wait because the state did not answer.", func() uint64 { return s.greylist.Stats().Faults })
	if s.own == nil {
		return
	}
	s.metrics.Gauge("gatepost_quarantine_entries", "Messages in quarantine.",
		func() float64 { return float64(s.own.quarantine.Stats().Entries) })
	s.metrics.Gauge("gatepost_quarantine_bytes", "What the messages in quarantine take on the disk.",
		func() float64 { return float64(s.own.quarantine.Stats().Bytes) })
	s.metrics.Counter("gatepost_quarantine_evicted_total", "Messages that went before their time because the quarantine was full.",
		func() float64 { return float64(s.own.quarantine.Stats().Evicted) })
	s.metrics.Counter("gatepost_quarantine_refused_total", "Messages that could not be put into quarantine; their senders were asked to come back.",
		func() float64 { return float64(s.own.quarantine.Stats().Refused) })
}

// mailboxes tells the learner of accounts.
type mailboxes struct {
	accounts account.Store

	mu sync.Mutex // guards the fields below
	at time.Time
	n  int
}

// Held reports whether the account may not teach the filter.
func (m *mailboxes) Held(ctx context.Context, user string) (bool, error) {
	addr, err := mailaddr.Parse(user)
	if err != nil {
		return true, nil
	}
	u, err := m.accounts.User(ctx, addr)
	if errors.Is(err, account.ErrNotFound) {
		return true, nil
	}
	return u.Held || u.Disabled, err
}

// Mailboxes counts them, at most once in five minutes.
func (m *mailboxes) Mailboxes(ctx context.Context) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.n == 0 || time.Since(m.at) > 5*time.Minute {
		all, err := m.accounts.Users(ctx, "")
		if err != nil {
			return 0, err
		}
		m.n, m.at = len(all), time.Now()
	}
	return m.n, nil
}
