package policyd

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/mailaddr"
)

func TestCutNetstring(t *testing.T) {
	for _, tc := range []struct {
		in     string
		data   string
		length int
		bad    bool
	}{
		{in: "3:abc,", data: "abc", length: 6},
		{in: "0:,", data: "", length: 3},
		{in: "3:abc,4:more,", data: "abc", length: 6},
		{in: "3:a,c,", data: "a,c", length: 6},
		{in: ""},
		{in: "3"},
		{in: "3:"},
		{in: "3:abc"},
		{in: "8192:"},
		{in: "8193", bad: true},
		{in: "8193:", bad: true},
		{in: "99999", bad: true},
		{in: "00003:abc,", bad: true},
		{in: "03:abc,", bad: true},
		{in: ":abc,", bad: true},
		{in: "-1:,", bad: true},
		{in: "3abc,", bad: true},
		{in: "3:abcd", bad: true},
		{in: "request=smtpd_access_policy\n", bad: true},
	} {
		data, n, err := cutNetstring([]byte(tc.in))
		if string(data) != tc.data || n != tc.length || errors.Is(err, ErrNetstring) != tc.bad {
			t.Errorf("cutNetstring(%q) = %q, %d, %v, want %q, %d, error %v", tc.in, data, n, err, tc.data, tc.length, tc.bad)
		}
	}
}

func TestAnswerAppend(t *testing.T) {
	for _, tc := range []struct {
		in   Answer
		want string // "" for a refusal
	}{
		{Answer{StatusOK, "a@example.org"}, "16:OK a@example.org,"},
		{Answer{StatusNotFound, ""}, "9:NOTFOUND ,"},
		{Answer{StatusTemp, "why"}, "8:TEMP why,"},
		{Answer{StatusPerm, "why"}, "8:PERM why,"},
		{Answer{}, ""},
		{Answer{"MAYBE", "x"}, ""},
		{Answer{StatusOK, ""}, ""},
		{Answer{StatusNotFound, "x"}, ""},
		{Answer{StatusOK, "a\nb"}, ""},
		{Answer{StatusOK, strings.Repeat("a", MaxLookupReplyBytes-2)}, ""},
	} {
		got, err := tc.in.Append(nil)
		if string(got) != tc.want || (err != nil) != (tc.want == "") {
			t.Errorf("Append(%.60v) = %.60q, %v, want %q", tc.in, got, err, tc.want)
		}
	}
	if got, err := (Answer{StatusOK, strings.Repeat("a", MaxLookupReplyBytes-3)}).Append(nil); err != nil || len(got) != MaxLookupReplyBytes+8 {
		t.Errorf("Append of the longest answer = %d bytes, %v", len(got), err)
	}
}

func FuzzNetstring(f *testing.F) {
	for _, s := range []string{"31:virtual_mailbox_maps a@b.example,", "0:,", "9999:", "3:abc", "1: ,", "24:virtual_alias_maps  a b@c,x"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		data, n, err := cutNetstring(b)
		if err != nil || n == 0 {
			if n != 0 || data != nil {
				t.Errorf("cutNetstring(%q) = %q, %d, %v", b, data, n, err)
			}
			return
		}
		if again := appendNetstring(nil, string(data)); !bytes.Equal(again, b[:n]) {
			t.Errorf("appendNetstring(%q) = %q, want %q", data, again, b[:n])
		}
		l, err := ParseLookup(data)
		if err != nil {
			return
		}
		wire, err := l.Append(nil)
		if err != nil || !bytes.Equal(wire, b[:n]) {
			t.Errorf("Append(%+v) = %q, %v, want %q", l, wire, err, b[:n])
		}
	})
}

// tables is a socketmap server and one connection to it.
type tables struct {
	t        testing.TB
	accounts *fakeAccounts
	conn     net.Conn
	r        *bufio.Reader
	dial     func() net.Conn
}

func newTables(t testing.TB, change func(*Config)) *tables {
	t.Helper()
	return newTablesWith(t, change, Deps{})
}

// newTablesWith takes all of deps but the accounts.
func newTablesWith(t testing.TB, change func(*Config), deps Deps) *tables {
	t.Helper()
	cfg := Default()
	if change != nil {
		change(&cfg)
	}
	x := &tables{t: t, accounts: newAccounts()}
	deps.Accounts = x.accounts
	s, err := NewSocketmap(cfg, deps, quiet)
	if err != nil {
		t.Fatal(err)
	}
	ln := newPipeListener()
	x.dial = ln.dial
	serve(t, s.Serve, ln)
	x.connect()
	return x
}

func (x *tables) connect() {
	x.conn = x.dial()
	x.r = bufio.NewReader(x.conn)
	c := x.conn
	x.t.Cleanup(func() { _ = c.Close() })
}

// ask returns the reply without its frame.
func (x *tables) ask(name, key string) string {
	x.t.Helper()
	b, err := Lookup{name, key}.Append(nil)
	if err != nil {
		x.t.Fatal(err)
	}
	return x.raw(string(b))
}

func (x *tables) raw(s string) string {
	x.t.Helper()
	go func() { _, _ = io.WriteString(x.conn, s) }()
	got, err := readNetstring(x.r)
	if err != nil {
		x.t.Fatalf("no reply to %q: %v", s, err)
	}
	return got
}

func readNetstring(r *bufio.Reader) (string, error) {
	size, err := r.ReadString(':')
	if err != nil {
		return "", err
	}
	n, err := strconv.Atoi(strings.TrimSuffix(size, ":"))
	if err != nil {
		return "", err
	}
	b := make([]byte, n+1)
	if _, err := io.ReadFull(r, b); err != nil || b[n] != ',' {
		return "", fmt.Errorf("reply %q: %w", b, errors.Join(err, errors.New("no comma")))
	}
	return string(b[:n]), nil
}

func TestSocketmap(t *testing.T) {
	x := newTables(t, nil)
	a := x.accounts
	a.user("dot.ted+fixed@example.org")
	a.user("a b@example.org")
	a.alias("info@example.org", "alice@example.org", "far@example.net")
	a.alias("team+red@example.org", "bob@example.org")
	a.alias("team@example.org", "alice@example.org")
	a.alias("bob@example.org", "bob@example.org", "copy@example.net") // a mailbox with a copy
	a.domains["all.example"] = true
	a.user("carol@all.example")
	a.alias("post@all.example", "carol@all.example")
	a.alias("@all.example", "carol@all.example", "x+y@example.net")
	a.alias("old@gone.example", "alice@example.org") // rows of a domain that is not ours
	a.alias("@gone.example", "alice@example.org")
	a.user("ghost@gone.example")
	const none = "NOTFOUND "
	for _, tc := range []struct{ name, key, want string }{
		{MapDomains, "example.org", "OK example.org"},
		{MapDomains, "EXAMPLE.Org", "OK example.org"},
		{MapDomains, "example.net", none},
		{MapDomains, "sub.example.org", none},
		{MapDomains, "gone.example", none},
		{MapDomains, "", none},
		{MapDomains, "*", none},
		{MapDomains, "alice@example.org", none},
		{MapDomains, "@example.org", none},
		{MapDomains, " example.org", none},
		{MapDomains, "example.org\x00", none},
		{MapDomains, "[192.0.2.1]", none},

		{MapMailboxes, "alice@example.org", "OK alice@example.org"},
		{MapMailboxes, "ALICE@Example.org", "OK alice@example.org"},
		{MapMailboxes, "alice+List@example.org", "OK alice@example.org"},
		{MapMailboxes, "dot.ted+fixed@example.org", "OK dot.ted+fixed@example.org"},
		{MapMailboxes, "dot.ted+other@example.org", none},
		{MapMailboxes, `"a b"@example.org`, `OK "a b"@example.org`},
		{MapMailboxes, "a b@example.org", `OK "a b"@example.org`},
		{MapMailboxes, "info@example.org", none},
		{MapMailboxes, "nobody@example.org", none},
		{MapMailboxes, "+alice@example.org", none},
		{MapMailboxes, "any@all.example", none}, // a catch-all is no mailbox
		{MapMailboxes, "@example.org", none},
		{MapMailboxes, "example.org", none},
		{MapMailboxes, "alice", none},
		{MapMailboxes, "", none},
		{MapMailboxes, "ghost@gone.example", none},
		{MapMailboxes, strings.Repeat("a", 1000) + "@example.org", none},

		{MapAliases, "info@example.org", "OK alice@example.org, far@example.net"},
		{MapAliases, "Info@example.org", "OK alice@example.org, far@example.net"},
		{MapAliases, "info+Box@example.org", "OK alice+Box@example.org, far+Box@example.net"},
		{MapAliases, "team+red@example.org", "OK bob@example.org"},
		{MapAliases, "team+blue@example.org", "OK alice+blue@example.org"},
		{MapAliases, "alice@example.org", none},
		{MapAliases, "bob@example.org", "OK bob@example.org, copy@example.net"},
		{MapAliases, "bob+x@example.org", "OK bob+x@example.org, copy+x@example.net"},
		{MapAliases, "example.org", none}, // virtual_alias_domains defaults to this map
		{MapAliases, "all.example", none},
		{MapAliases, "@all.example", none},
		{MapAliases, "post@all.example", "OK carol@all.example"},
		{MapAliases, "any@all.example", "OK carol@all.example, x+y@example.net"},
		{MapAliases, "any+tag@all.example", "OK carol@all.example, x+y@example.net"},
		{MapAliases, "carol@all.example", none}, // a mailbox does not fall to the catch-all
		{MapAliases, "Carol+tag@all.example", none},
		{MapAliases, "old@gone.example", none},
		{MapAliases, "any@gone.example", none},

		{"canonical_maps", "example.org", "PERM no such map"},
		{"VIRTUAL_ALIAS_MAPS", "info@example.org", "PERM no such map"},
	} {
		if got := x.ask(tc.name, tc.key); got != tc.want {
			t.Errorf("%s %.60q = %q, want %q", tc.name, tc.key, got, tc.want)
		}
	}
	for _, malformed := range []string{"0:,", "3:abc,", "2: x,"} {
		if got := x.raw(malformed); got != "PERM malformed request" {
			t.Errorf("%q got %q, want PERM", malformed, got)
		}
	}
}

func TestSocketmapDelimiters(t *testing.T) {
	x := newTables(t, func(c *Config) { c.RecipientDelimiter = "-+" })
	if got := x.ask(MapAliases, "sales-x+y@example.org"); got != "OK alice-x+y@example.org, bob-x+y@example.org" {
		t.Errorf("alias with another delimiter = %q", got)
	}
	x = newTables(t, func(c *Config) { c.RecipientDelimiter = "" })
	if got := x.ask(MapMailboxes, "alice+x@example.org"); got != "NOTFOUND " {
		t.Errorf("mailbox without delimiter = %q", got)
	}
}

// TestForeignDomains asks every map for addresses of domains that are not ours,
// some of which look like them.
func TestForeignDomains(t *testing.T) {
	x := newTables(t, nil)
	x.accounts.alias("@example.org", "alice@example.org")
	x.accounts.alias("@", "alice@example.org") // no store would take it
	rnd := rand.New(rand.NewPCG(1, 2))
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789-."
	word := func() string {
		b := make([]byte, 1+rnd.IntN(12))
		for i := range b {
			b[i] = letters[rnd.IntN(len(letters))]
		}
		return string(b)
	}
	for range 10_000 {
		domain := word()
		switch rnd.IntN(4) {
		case 0:
			domain += ".example.org"
		case 1:
			domain = "example.org." + domain
		case 2:
			domain += "example.org"
		}
		for _, tc := range [][2]string{
			{MapDomains, domain}, {MapMailboxes, "alice@" + domain}, {MapAliases, "sales@" + domain}, {MapAliases, domain},
		} {
			if got := x.ask(tc[0], tc[1]); got != "NOTFOUND " {
				t.Fatalf("%s %q = %q, want NOTFOUND", tc[0], tc[1], got)
			}
		}
	}
}

func TestSocketmapStoreAway(t *testing.T) {
	x := newTables(t, nil)
	calls := 0
	for _, fail := range []int{1, 2, 3, 4} { // the store goes away at that look-up
		for _, q := range [][2]string{{MapDomains, "example.org"}, {MapMailboxes, "no+x@example.org"}, {MapAliases, "no+x@example.org"}} {
			calls = 0
			x.accounts.setHook(func(context.Context) error {
				if calls++; calls >= fail {
					return errors.New("database is locked by /var/lib/x")
				}
				return nil
			})
			got := x.ask(q[0], q[1])
			want := "TEMP accounts are not available"
			if calls < fail { // it had answered before
				want = got
			}
			if got != want || strings.Contains(got, "/var") {
				t.Errorf("%s %q with the store away at %d = %q, want %q", q[0], q[1], fail, got, want)
			}
		}
	}
}

func TestSocketmapCloses(t *testing.T) {
	x := newTables(t, nil)
	for _, in := range []string{"8193:", "99999999999999999999", "x", "3:abcd", "request=smtpd_access_policy\n\n", "9000:" + strings.Repeat("a", 9000) + ","} {
		go func() { _, _ = io.WriteString(x.conn, in) }()
		if got, _ := io.ReadAll(x.r); len(got) != 0 {
			t.Errorf("%.20q got %q, want the end", in, got)
		}
		x.connect()
	}
	x.accounts.setHook(func(context.Context) error { panic("planted") })
	go func() { _, _ = io.WriteString(x.conn, "35:virtual_mailbox_domains example.org,") }()
	if got, _ := io.ReadAll(x.r); len(got) != 0 {
		t.Errorf("a panic answered %q, want the end", got)
	}
	x.accounts.setHook(nil)
	x.connect()
	if got := x.ask(MapDomains, "example.org"); got != "OK example.org" {
		t.Errorf("after a panic got %q", got)
	}
}

func TestSocketmapPipelined(t *testing.T) {
	x := newTables(t, nil)
	one := "35:virtual_mailbox_domains example.org,"
	first := x.raw(strings.Repeat(one, 500))
	for range 499 {
		got, err := readNetstring(x.r)
		if err != nil || got != first || got != "OK example.org" {
			t.Fatalf("reply %q, %v, want the same for each", got, err)
		}
	}
}

func TestSocketmapLongAnswer(t *testing.T) {
	x := newTables(t, nil)
	var to []string
	for i := range 1000 {
		to = append(to, fmt.Sprintf("%s%d@example.net", strings.Repeat("a", 60), i))
	}
	x.accounts.alias("many@example.org", to...)
	if got := x.ask(MapAliases, "many@example.org"); !strings.HasPrefix(got, "OK ") || strings.Count(got, "@") != 1000 {
		t.Errorf("1000 targets = %.60q", got)
	}
	for i := range to {
		to[i] = strings.Repeat("b", 60) + "@" + strings.Repeat("c", 60) + ".example.net"
	}
	x.accounts.alias("more@example.org", to...)
	if got := x.ask(MapAliases, "more@example.org"); got != "TEMP answer cannot be sent" {
		t.Errorf("an answer beyond 100000 bytes = %.60q, want TEMP", got)
	}
}

func TestDecideIsPureOverRows(t *testing.T) {
	rows := Rows{Candidates: []Candidate{{Addr: addr("a@example.org"), Mailbox: true}}}
	rows.CatchAll.To = []mailaddr.Address{addr("b@example.org")}
	if a, b := DecideMailbox(rows), DecideAlias(rows); a.Status != StatusNotFound || b.Status != StatusNotFound {
		t.Errorf("rows of a foreign domain answer %v and %v, want NOTFOUND", a, b)
	}
	rows.Local = true
	if a, b := DecideMailbox(rows), DecideAlias(rows); a.Text != "a@example.org" || b.Status != StatusNotFound {
		t.Errorf("a mailbox answers %v and %v, want itself and NOTFOUND", a, b)
	}
	rows.Candidates[0].Mailbox = false
	if a, b := DecideMailbox(rows), DecideAlias(rows); a.Status != StatusNotFound || b.Text != "b@example.org" {
		t.Errorf("nobody answers %v and %v, want NOTFOUND and the catch-all", a, b)
	}
}
