package known

import (
	"context"
	"log/slog"
	"net/netip"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/state"
)

// rows is a store whose clock is the caller's.
type rows struct {
	m   map[string]state.Entry
	now *time.Time
}

func (r rows) Get(_ context.Context, t state.Table, key string) (state.Entry, error) {
	e, ok := r.m[string(t)+"/"+key]
	if !ok || !e.Expires.After(*r.now) {
		return state.Entry{}, state.ErrNotFound
	}
	return e, nil
}

func (r rows) Put(_ context.Context, t state.Table, e state.Entry, _ bool) error {
	r.m[string(t)+"/"+e.Key] = e
	return nil
}

// clock is a memory with a time of its own.
type clock struct {
	*Memory
	t   *testing.T
	now time.Time
}

func newClock(t *testing.T) *clock {
	c := &clock{t: t, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	c.Memory = New(rows{map[string]state.Entry{}, &c.now})
	return c
}

func (c *clock) days(n int) { c.now = c.now.Add(time.Duration(n) * 24 * time.Hour) }

func addr(s string) mailaddr.Address {
	a, err := mailaddr.Parse(s)
	if err != nil {
		panic(err)
	}
	return a
}

func (c *clock) sent(user, name, id string, to ...string) {
	c.t.Helper()
	s := Sent{User: addr(user), Name: name, MessageID: id, At: c.now}
	for _, a := range to {
		s.RcptTo = append(s.RcptTo, addr(a))
	}
	if err := c.Sent(c.t.Context(), s); err != nil {
		c.t.Fatal(err)
	}
}

func (c *clock) came(from, to string) Came {
	return Came{Author: addr(from), Proved: true, RcptTo: []mailaddr.Address{addr(to)},
		Client: netip.MustParseAddr("198.51.100.9"), OwnDomains: []string{"example.org"}, At: c.now}
}

func (c *clock) ask(m Came) Facts {
	c.t.Helper()
	f, err := c.Ask(c.t.Context(), m)
	if err != nil {
		c.t.Fatal(err)
	}
	return f
}

func TestReply(t *testing.T) {
	c := newClock(t)
	c.sent("alice@example.org", "", "<1@example.org>", "bob@sender.example")
	answer := c.came("carol@other.example", "alice@example.org")
	answer.References = []string{"<x@y>", "<1@example.org>"}
	if !c.ask(answer).Reply {
		t.Error("an answer is not known")
	}
	elsewhere := answer
	elsewhere.RcptTo = []mailaddr.Address{addr("dave@example.org")}
	if c.ask(elsewhere).Reply {
		t.Error("a Message-ID that somebody else wrote counts as an answer to him")
	}
	c.days(91)
	answer.At = c.now
	if c.ask(answer).Reply {
		t.Error("an answer after 91 days counts")
	}
}

func TestThread(t *testing.T) {
	c := newClock(t)
	m := c.came("carol@other.example", "alice@example.org")
	m.References = []string{"<never@example.org>"}
	c.sent("alice@example.org", "", "<1@example.org>")
	if c.ask(m).Thread {
		t.Error("a young memory says that nobody sent a message")
	}
	c.days(100)
	m.At = c.now
	c.sent("alice@example.org", "", "<2@example.org>")
	if !c.ask(m).Thread {
		t.Error("a message of ours that nobody sent is not noticed")
	}
	m.References = []string{"<never@elsewhere.example>"}
	if c.ask(m).Thread {
		t.Error("a message of another domain is taken for ours")
	}
}

func TestCorrespondent(t *testing.T) {
	c := newClock(t)
	c.sent("Alice+news@example.org", "", "", "Bob+x@sender.example")
	m := c.came("bob@sender.example", "alice@example.org")
	if !c.ask(m).Correspondent {
		t.Error("who was written to is no correspondent")
	}
	m.Proved = false
	if c.ask(m).Correspondent {
		t.Error("an author who is not proved is a correspondent")
	}
	if c.ask(c.came("bob@sender.example", "dave@example.org")).Correspondent {
		t.Error("another user's correspondent")
	}
}

func TestFirst(t *testing.T) {
	c := newClock(t)
	c.sent("alice@example.org", "", "")
	if c.ask(c.came("new@sender.example", "alice@example.org")).First {
		t.Error("all are first to a young memory")
	}
	c.days(20)
	m := c.came("new@sender.example", "alice@example.org")
	if !c.ask(m).First {
		t.Error("a first message is not noticed")
	}
	if err := c.Judged(t.Context(), m, 0); err != nil {
		t.Fatal(err)
	}
	if c.ask(m).First {
		t.Error("first a second time")
	}
	spam := c.came("spam@sender.example", "alice@example.org")
	if err := c.Judged(t.Context(), spam, 1); err != nil {
		t.Fatal(err)
	}
	if !c.ask(spam).First {
		t.Error("spam made its author known")
	}
}

func TestNamesake(t *testing.T) {
	c := newClock(t)
	c.sent("alice@example.org", "Alice Example", "", "alice.private@mail.example")
	m := c.came("boss@mail.example", "bob@example.org")
	m.Name = "EXAMPLE, Alice"
	if got := c.ask(m).Namesake; got != "alice@example.org" {
		t.Errorf("Namesake = %q", got)
	}
	for name, other := range map[string]Came{
		"own domain":              {Author: addr("alice2@example.org"), Name: "Alice Example"},
		"one word":                {Author: addr("x@mail.example"), Name: "Alice"},
		"she wrote there herself": {Author: addr("alice.private@mail.example"), Name: "Alice Example", Proved: true, RcptTo: []mailaddr.Address{addr("alice@example.org")}},
	} {
		other.OwnDomains, other.At = []string{"example.org"}, c.now
		if got := c.ask(other).Namesake; got != "" {
			t.Errorf("%s: Namesake = %q", name, got)
		}
	}
	m.RcptTo, m.OwnDomains = []mailaddr.Address{addr("carol@example.net")}, []string{"example.net"}
	if got := c.ask(m).Namesake; got != "" {
		t.Errorf("to another domain on this server: Namesake = %q", got)
	}
	c.sent("mallory@example.net", "Example Alice", "")
	m.RcptTo, m.OwnDomains = []mailaddr.Address{addr("bob@example.org")}, []string{"example.org"}
	if got := c.ask(m).Namesake; got != "alice@example.org" {
		t.Errorf("after somebody of another domain took the name: Namesake = %q", got)
	}
}

func TestReputation(t *testing.T) {
	c := newClock(t)
	m := c.came("a@mail.sender.co.uk", "alice@example.org")
	for range 15 {
		if err := c.Judged(t.Context(), m, 1); err != nil {
			t.Fatal(err)
		}
	}
	want := []Reputation{{"domain", "sender.co.uk", 0.75}, {"network", "198.51.100.0/24", 0.75}}
	if got := c.ask(m).Reputation; !reflect.DeepEqual(got, want) {
		t.Errorf("Reputation = %+v, want %+v", got, want)
	}
	forged := m
	forged.Proved = false
	if got := c.ask(forged).Reputation; len(got) != 1 || got[0].Of != "network" {
		t.Errorf("not proved: Reputation = %+v", got)
	}
	c.days(28)
	m.At = c.now
	if got := c.ask(m).Reputation[0].Value; got < 0.42 || got > 0.43 {
		t.Errorf("after two half-lives %v, want 3.75/8.75", got)
	}
	if err := c.Judged(t.Context(), m, 0.5); err != nil {
		t.Fatal(err)
	}
	if got := c.ask(m).Reputation[0].Value; got > 0.43 {
		t.Error("what is neither wanted nor spam counts")
	}
	if keys := reputationKeys(c.came("a@gmail.com", "alice@example.org")); keys[0].key != "a@gmail.com" {
		t.Errorf("a provider's domain has a reputation: %v", keys)
	}
	private := c.came("a@sender.example", "alice@example.org")
	private.Client, private.Proved = netip.MustParseAddr("10.0.0.7"), false
	if keys := reputationKeys(private); keys != nil {
		t.Errorf("a private network has a reputation: %v", keys)
	}
}

// TestOverState: what is remembered is there after a restart.
func TestOverState(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	open := func() *state.SQLite {
		s, err := state.OpenSQLite(t.Context(), path, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	now := time.Now()
	if err := New(s).Sent(t.Context(), Sent{User: addr("a@example.org"), MessageID: "<1@x>", RcptTo: []mailaddr.Address{addr("b@c.example")}, At: now}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open()
	defer s.Close()
	f, err := New(s).Ask(t.Context(), Came{Author: addr("b@c.example"), Proved: true, References: []string{"<1@x>"}, RcptTo: []mailaddr.Address{addr("a@example.org")}, At: now})
	if err != nil || !f.Reply || !f.Correspondent {
		t.Errorf("Ask = %+v, %v", f, err)
	}
}

func TestReferences(t *testing.T) {
	got := References([]string{"<a@b> (some words)"}, []string{"<1@x> <2@x>,\r\n <3@x> nonsense <with blank@x>"})
	if want := []string{"<a@b>", "<3@x>", "<2@x>", "<1@x>"}; !reflect.DeepEqual(got, want) {
		t.Errorf("References = %q, want %q", got, want)
	}
	if got := References(nil, []string{strings.Repeat("<i@x> ", 1000)}); len(got) != maxReferences {
		t.Errorf("%d references", len(got))
	}
}

func FuzzReferences(f *testing.F) {
	f.Add("<a@b> <c@d>", "<x@y>\r\n\t<z@z>")
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, id := range References([]string{a}, []string{b}) {
			if again, ok := messageID(id); !ok || again != id {
				t.Errorf("References gives %q", id)
			}
		}
	})
}

func BenchmarkAsk(b *testing.B) {
	now := time.Now()
	m := New(rows{map[string]state.Entry{}, &now})
	c := Came{Author: addr("b@c.example"), Proved: true, Name: "Bob Example", References: []string{"<1@x>", "<2@x>"},
		RcptTo: []mailaddr.Address{addr("a@example.org")}, Client: netip.MustParseAddr("198.51.100.9"), At: now}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Ask(b.Context(), c); err != nil {
			b.Fatal(err)
		}
	}
}
