package filter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/limit"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/maildir"
	"github.com/gatepost/gatepost/internal/outgoing"
	"github.com/gatepost/gatepost/internal/script"
	"github.com/gatepost/gatepost/internal/state"
)

// world is a mail root with one user, and everything that filtering asks.
type world struct {
	t    testing.TB
	root string
	cfg  Config
	*Filter
	stop *stopper
	user account.User

	mu      sync.Mutex // guards all below
	entries map[string]state.Entry
	sent    []outgoing.Mail
	off     bool
	full    error
	given   int
	refuse  bool
	counted int
	aliases []account.Alias // instead of the usual ones
}

// stopper ends a delivery before its n-th step, as kill -9 does.
type stopper struct{ left int }

type killed struct{ step string }

func (s *stopper) step(name string) {
	if s == nil {
		return
	}
	if s.left--; s.left < 0 {
		panic(killed{name})
	}
}

func address(t testing.TB, s string) mailaddr.Address {
	t.Helper()
	a, err := mailaddr.ParsePath(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func newWorld(t testing.TB, change func(*Config)) *world {
	t.Helper()
	w := &world{t: t, root: t.TempDir(), entries: map[string]state.Entry{}}
	w.user = account.User{ID: 1, Addr: address(t, "alice@example.org")}
	w.cfg = Default()
	w.cfg.Enabled, w.cfg.MailRoot, w.cfg.Hostname, w.cfg.AuthservID, w.cfg.SpamScore = true, w.root, "mx.example.org", "mx.example.org", 6
	if change != nil {
		change(&w.cfg)
	}
	w.folder("")
	w.restart()
	return w
}

// restart makes a new Filter, as a new process does.
func (w *world) restart() {
	w.t.Helper()
	f, err := New(w.cfg, Deps{Accounts: w, Scripts: script.New(script.Config{Root: w.root}), State: w, Outgoing: w, Limits: w, SRS: rewriter{}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.Filter = f
}

func (w *world) home() string { return filepath.Join(w.root, "example.org", "alice") }

// folder makes a folder, "" for the mailbox, and returns its path.
func (w *world) folder(name string) string {
	w.t.Helper()
	dir := filepath.Join(w.home(), "Maildir")
	if name != "" {
		dir = filepath.Join(dir, "."+name)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		w.t.Fatal(err)
	}
	return dir
}

func (w *world) write(path, text string) string {
	w.t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// script makes text the user's script, where Pigeonhole has it.
func (w *world) script(text string) {
	w.t.Helper()
	w.write(filepath.Join(w.home(), "sieve", "main.sieve"), text)
	link := filepath.Join(w.home(), ".dovecot.sieve")
	if err := os.Remove(link); err != nil && !errors.Is(err, os.ErrNotExist) {
		w.t.Fatal(err)
	}
	if err := os.Symlink("sieve/main.sieve", link); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) log() string {
	b, err := os.ReadFile(filepath.Join(w.home(), logName))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		w.t.Fatal(err)
	}
	return string(b)
}

const plain = "From: bob@example.net\r\nTo: alice@example.org\r\nSubject: Hi\r\nMessage-ID: <1@example.net>\r\n\r\nHello.\r\n"

// message is a message for alice, the n-th of its queue.
func (w *world) message(raw string, n int) Message {
	return Message{
		User: w.user, RcptTo: w.user.Addr, MailFrom: address(w.t, "bob@example.net"),
		Source:  maildir.Source{Key: maildir.NewKey(fmt.Sprint(n)), Arrived: time.Now()},
		Scanned: true, Top: []byte("Return-Path: <bob@example.net>\nDelivered-To: alice@example.org\n"),
		Body: func() io.Reader { return strings.NewReader(raw) },
	}
}

// deliver plans and sends, and returns the plan.
func (w *world) deliver(m Message) *Plan {
	w.t.Helper()
	p := w.Plan(w.t.Context(), m)
	if p == nil {
		return nil
	}
	w.Send(w.t.Context(), p)
	if err := w.Done(w.t.Context(), p); err != nil {
		w.t.Error(err)
	}
	return p
}

// shown is where the copies of p go, with their flags.
func shown(p *Plan) string {
	if p == nil {
		return "none"
	}
	var out []string
	for _, c := range p.Copies {
		s := c.Folder.String()
		if c.Flags != "" {
			s += ":" + c.Flags
		}
		if c.Content != nil {
			s += " edited"
		}
		out = append(out, s)
	}
	if !p.Refuse.IsZero() {
		out = append(out, p.Refuse.String())
	}
	return strings.Join(out, ", ")
}

func (w *world) Domain(_ context.Context, name string) (account.Domain, error) {
	if name == "example.org" {
		return account.Domain{Name: name}, nil
	}
	return account.Domain{}, account.ErrNotFound
}

func (w *world) Aliases(context.Context, string) ([]account.Alias, error) {
	if w.aliases != nil {
		return w.aliases, nil
	}
	return []account.Alias{
		{Addr: mailaddr.Address{LocalPart: "info", Domain: "example.org"}, To: []mailaddr.Address{w.user.Addr}},
		{Addr: mailaddr.Address{LocalPart: "all", Domain: "example.org"}, To: []mailaddr.Address{{LocalPart: "info", Domain: "example.org"}}},
		{Addr: mailaddr.Address{Domain: "example.org"}, To: []mailaddr.Address{w.user.Addr}},
	}, nil
}

func (w *world) Version() uint64 { return 1 }

func (w *world) Get(_ context.Context, t state.Table, key string) (state.Entry, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e, ok := w.entries[string(t)+" "+key]
	if !ok || !time.Now().Before(e.Expires) {
		return state.Entry{}, state.ErrNotFound
	}
	return e, nil
}

func (w *world) Put(_ context.Context, t state.Table, e state.Entry, _ bool) error {
	w.stop.step("put " + e.Key)
	w.mu.Lock()
	defer w.mu.Unlock()
	if e.Key == "" || len(e.Key) > state.MaxKeyBytes || e.Expires.IsZero() {
		return state.ErrInvalid
	}
	w.entries[string(t)+" "+e.Key] = e
	return nil
}

func (w *world) Add(m outgoing.Mail) error {
	w.stop.step("add")
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.full != nil {
		return w.full
	}
	w.sent = append(w.sent, m)
	return nil
}

func (w *world) On() bool { return !w.off }

func (w *world) Take(_ context.Context, s *limit.Set, m *limit.Mail) ([]limit.Result, error) {
	w.counted++
	if m.User != "alice@example.org" || !m.Outbound {
		w.t.Errorf("counted %+v", m)
	}
	return []limit.Result{{Limit: &limit.Limit{Name: "hourly"}, Allowed: !w.refuse}}, nil
}

func (w *world) Give(context.Context, []limit.Result, limit.Of, int64) error {
	w.given++
	return nil
}

type rewriter struct{}

func (rewriter) Forward(from mailaddr.Address, _ time.Time) mailaddr.Address {
	return mailaddr.Address{LocalPart: "SRS0=" + from.LocalPart, Domain: "srs.example.org"}
}
