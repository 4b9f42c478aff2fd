package greylist

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/state"
)

var errDisk = errors.New("disk is away")

// fakeStore is a store whose time is set by the test.
type fakeStore struct {
	now  time.Time
	rows map[string]state.Entry
	// failGet and failPut are whether these fail.
	failGet, failPut bool
	gets             int
}

func newStore() *fakeStore { return &fakeStore{rows: map[string]state.Entry{}} }

func (s *fakeStore) Get(_ context.Context, _ state.Table, key string) (state.Entry, error) {
	s.gets++
	if s.failGet {
		return state.Entry{}, errDisk
	}
	e, ok := s.rows[key]
	if !ok || !e.Expires.After(s.now) {
		return state.Entry{}, state.ErrNotFound
	}
	return e, nil
}

func (s *fakeStore) Put(_ context.Context, _ state.Table, e state.Entry, _ bool) error {
	if s.failPut {
		return errDisk
	}
	s.rows[e.Key] = e
	return nil
}

func (s *fakeStore) Delete(_ context.Context, _ state.Table, key string) error {
	delete(s.rows, key)
	return nil
}

func (s *fakeStore) List(_ context.Context, _ state.Table, prefix string) ([]state.Entry, error) {
	var out []state.Entry
	for key, e := range s.rows {
		if strings.HasPrefix(key, prefix) && e.Expires.After(s.now) {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(a, b state.Entry) int { return strings.Compare(a.Key, b.Key) })
	return out, nil
}

// fakeWorld answers all other questions.
type fakeWorld struct {
	orgs      map[string]string // sender domain → organization
	written   string            // "user author"
	listed    string
	mailboxes map[string]string
	asked     int // questions to SPF
}

func (w *fakeWorld) Authenticated(_ context.Context, _ netip.Addr, _, mailFrom string) (string, bool) {
	w.asked++
	_, domain, _ := cutLast(mailFrom)
	org, ok := w.orgs[domain]
	return org, ok
}

func (w *fakeWorld) Correspondent(_ context.Context, user string, author mailaddr.Address) bool {
	return w.written == user+" "+author.String()
}

func (w *fakeWorld) Listed(_ context.Context, client netip.Addr) bool {
	return client.String() == w.listed
}

func (w *fakeWorld) Mailbox(_ context.Context, rcpt string) string { return w.mailboxes[rcpt] }

// begin is when the tests begin.
var begin = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// rig is a greylist with all that it asks.
type rig struct {
	*Greylist
	store *fakeStore
	world *fakeWorld
	now   time.Time
}

func newRig(t testing.TB, change func(c *Config)) *rig {
	t.Helper()
	r := &rig{store: newStore(), world: &fakeWorld{orgs: map[string]string{}}, now: begin}
	r.store.now = begin
	c := Default()
	if change != nil {
		change(&c)
	}
	g, err := New(c, Deps{State: r.store, Authenticator: r.world, Correspondence: r.world, Listed: r.world, Mailboxes: r.world}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	r.Greylist = g
	return r
}

// after lets time pass.
func (r *rig) after(d time.Duration) *rig {
	r.now = r.now.Add(d)
	r.store.now = r.now
	return r
}

// from asks about mail of a client without a name.
func (r *rig) from(t testing.TB, client, mailFrom, rcpt string) Outcome {
	return r.ask(t, Query{Client: netip.MustParseAddr(client), MailFrom: mailFrom, RcptTo: rcpt})
}

func (r *rig) ask(t testing.TB, q Query) Outcome { return r.See(t.Context(), q, r.now) }
