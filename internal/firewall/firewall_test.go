package firewall

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/listen"
)

var quiet = slog.New(slog.DiscardHandler)

// serve starts a helper and returns a client of it.
func serve(t *testing.T, uid int, k kernel) (*Client, *Helper) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	ln, err := listen.Unix(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	h := NewHelper(uid, quiet)
	h.kernel = k
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Serve(ctx, ln, 0) }()
	c := NewClient(path)
	t.Cleanup(func() {
		_ = c.Close()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return c, h
}

// memory stands for the kernel: sets that take no two ranges that overlap.
type memory struct {
	mu    sync.Mutex
	sets  map[set][]span
	loads int
	fail  error
}

func (m *memory) load(all map[set][]span, _ time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.loads++
	if m.fail != nil {
		return m.fail
	}
	m.sets = map[set][]span{}
	for s, spans := range all {
		m.sets[s] = append([]span(nil), spans...)
	}
	return nil
}

func (m *memory) apply(changes []change, _ time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	for _, c := range changes {
		have := m.sets[c.set]
		for _, d := range c.del {
			i := -1
			for j, s := range have {
				if s == d {
					i = j
				}
			}
			if i < 0 {
				return errors.New("no such element")
			}
			have = append(have[:i], have[i+1:]...)
		}
		for _, a := range c.add {
			for _, s := range have {
				if !s.last.Less(a.first) && !a.last.Less(s.first) {
					return errors.New("elements overlap")
				}
			}
			have = append(have, a)
		}
		m.sets[c.set] = have
	}
	return nil
}

func (m *memory) whole() (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sets != nil, nil
}

func (m *memory) remove() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sets = nil
	return nil
}

func (m *memory) list() ([]Range, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []Range
	for _, s := range sets() {
		for _, sp := range m.sets[s] {
			out = append(out, Range{sp.first, sp.last, s.service, time.Until(sp.end).Round(time.Second)})
		}
	}
	return out, nil
}

func TestHelperAndClient(t *testing.T) {
	m := &memory{}
	c, h := serve(t, os.Getuid(), m)
	ctx := t.Context()
	ban := Ban{netip.MustParsePrefix("203.0.113.7/32"), []string{"mx", "submission", "imap"}, 90 * time.Second}
	if err := c.Ban(ctx, ban); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "sync comes first") {
		t.Errorf("before sync: %v", err)
	}
	left, err := c.Sync(ctx, []Ban{ban,
		{netip.MustParsePrefix("203.0.113.8/32"), []string{"mx"}, time.Hour},
		{netip.MustParsePrefix("0.0.0.0/0"), []string{"imap"}, time.Hour},
		{netip.MustParsePrefix("127.0.0.1/32"), []string{"imap"}, time.Hour}})
	if err != nil || left != 3 {
		t.Fatalf("Sync = %d, %v, want three left out", left, err)
	}
	a := netip.MustParseAddr("203.0.113.7")
	want := []Range{{a, a, "imap", 90 * time.Second}, {a, a, "submission", 90 * time.Second}}
	if got, err := c.List(ctx); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("List = %v, %v, want %v", got, err, want)
	}
	for _, tc := range []struct {
		b    Ban
		want error
	}{
		{Ban{netip.MustParsePrefix("::/0"), []string{"imap"}, time.Hour}, ErrNetwork},
		{Ban{netip.MustParsePrefix("::1/128"), []string{"imap"}, time.Hour}, ErrNetwork},
		{Ban{netip.MustParsePrefix("203.0.113.9/32"), []string{"mx"}, time.Hour}, ErrNoService},
		{Ban{netip.MustParsePrefix("203.0.113.9/32"), nil, time.Hour}, ErrNoService},
	} {
		if err := c.Ban(ctx, tc.b); !errors.Is(err, tc.want) {
			t.Errorf("Ban(%v) = %v, want %v", tc.b, err, tc.want)
		}
	}
	loads := m.loads
	m.sets = nil // flushed
	h.check(ctx, time.Now())
	if got, _ := c.List(ctx); m.loads != loads+1 || len(got) != 2 {
		t.Errorf("after a flush the kernel has %v", got)
	}
	if err := c.Off(ctx); err != nil {
		t.Error(err)
	}
	h.check(ctx, time.Now())
	if m.sets != nil {
		t.Error("what was switched off is put back")
	}
	m.fail = errors.New("a fault\nof the kernel")
	if _, err := c.Sync(ctx, nil); !errors.Is(err, ErrRefused) {
		t.Errorf("a failing kernel: %v", err)
	}
}

// TestStrangers get no answer, and what is no request ends the connection.
func TestStrangers(t *testing.T) {
	c, _ := serve(t, os.Getuid()+1, &memory{})
	if _, err := c.List(t.Context()); !errors.Is(err, ErrAway) {
		t.Errorf("another user: %v", err)
	}
	m := &memory{}
	c, _ = serve(t, os.Getuid(), m)
	for _, line := range []string{
		"ban 203.0.113.7/32 smtp 60\n", "ban 203.0.113.7/32 25 60\n", "ban 203.0.113.7 imap 60\n", "ban 203.0.113.7/32 imap 0\n", "ban 203.0.113.7/24 imap 60\n",
		"ban 203.0.113.7/32 submission,imap 60\n", "ban 203.0.113.7/32 imap,imap 60\n", "sync -1\n", "sync 999999999\n", "list \n", "LIST\n", "\n", "off now\n",
		"sync 1\nban 203.0.113.7/32 imap 60\n", "ban 203.0.113.7/32 imap 99999999999999999999\n", "list\r\n", strings.Repeat("a", 2*maxLine) + "\n",
	} {
		conn, err := net.Dial("unix", c.path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte(line + "list\n")); err != nil {
			t.Error(err)
		}
		b, _ := io.ReadAll(conn)
		if s := string(b); s != "" && (!strings.HasPrefix(s, "no ") || strings.Count(s, "\n") != 1) {
			t.Errorf("%q: answer %q", line, s)
		}
		conn.Close()
	}
	if m.sets != nil {
		t.Error("a bad line changed the firewall")
	}
	if err := NewClient(c.path + "x").Off(t.Context()); !errors.Is(err, ErrAway) {
		t.Errorf("no helper: %v", err)
	}
}

// TestIdle: the helper ends by itself when nobody is connected.
func TestIdle(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ln, err := listen.Unix(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := NewHelper(os.Getuid(), quiet).Serve(t.Context(), ln, 20*time.Millisecond); err != nil {
		t.Error(err)
	}
}

func TestCheckNetwork(t *testing.T) {
	for _, tc := range []struct {
		in string
		ok bool
	}{
		{"203.0.113.7/32", true}, {"203.0.113.0/24", true}, {"11.0.0.0/8", true}, {"10.0.0.0/7", false},
		{"0.0.0.0/8", false}, {"0.0.0.0/32", false}, {"127.0.0.0/8", false}, {"127.1.2.3/32", false}, {"224.0.0.1/32", false}, {"255.255.255.255/32", false}, {"169.254.0.1/32", false},
		{"2001:db8::/64", true}, {"2001::/16", true}, {"2000::/15", false}, {"::/128", false}, {"::1/128", false}, {"::/64", false},
		{"ff02::1/128", false}, {"fe80::/64", false}, {"::ffff:203.0.113.7/128", false},
	} {
		if err := CheckNetwork(netip.MustParsePrefix(tc.in)); (err == nil) != tc.ok {
			t.Errorf("CheckNetwork(%s) = %v", tc.in, err)
		}
	}
	if CheckNetwork(netip.Prefix{}) == nil {
		t.Error("no network is one")
	}
}

// TestSpansAgreeWithBook is the property behind the sets: what is applied step
// by step never overlaps, is what a load would give, and covers an address
// exactly until the last of its bans ends.
func TestSpansAgreeWithBook(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	now := time.Unix(1_800_000_000, 0)
	m := &memory{sets: map[set][]span{}}
	b := book{}
	imap := set{"imap", false}
	for step := range 3000 {
		now = now.Add(time.Duration(r.IntN(3)) * time.Second)
		for s := range m.sets { // as the kernel does
			var stay []span
			for _, sp := range m.sets[s] {
				if now.Before(sp.end) {
					stay = append(stay, sp)
				}
			}
			m.sets[s] = stay
		}
		p, _ := netip.AddrFrom4([4]byte{203, 0, 113, byte(r.IntN(64))}).Prefix(26 + r.IntN(7))
		next := held{[]string{"imap"}, now.Add(time.Duration(1+r.IntN(100)) * time.Second)}
		if r.IntN(3) == 0 {
			next = held{}
		}
		if err := m.apply(b.put(p, next, now), now); err != nil {
			t.Fatalf("step %d, %v: %v", step, p, err)
		}
		for i := range 64 {
			a := netip.AddrFrom4([4]byte{203, 0, 113, byte(i)})
			var want, got time.Time
			for q, h := range b {
				if q.Contains(a) && h.end.After(want) && now.Before(h.end) {
					want = h.end
				}
			}
			for _, s := range m.sets[imap] {
				if !a.Less(s.first) && !s.last.Less(a) {
					got = s.end
				}
			}
			if !got.Equal(want) {
				t.Fatalf("step %d, after %v: %v is banned until %v, want %v", step, p, a, got, want)
			}
		}
	}
}

func FuzzRequest(f *testing.F) {
	for _, s := range []string{"list", "off", "sync 5", "ban 203.0.113.7/32 imap,submission 600", "lift 2001:db8::/64", "ban 0.0.0.0/0 imap 1", "ban 203.0.113.7/32 25 1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		r, err := parseRequest(line)
		if err != nil {
			return
		}
		for _, s := range r.ban.Services {
			for _, p := range Ports(s) {
				if p == 25 || p == 0 {
					t.Fatalf("%+v", r)
				}
			}
		}
		if r.ban.Network.IsValid() && CheckNetwork(r.ban.Network) != nil {
			t.Fatalf("%+v", r)
		}
		wire, err := appendRequest(nil, r)
		if err != nil || string(wire) != line+"\n" {
			t.Errorf("appendRequest(%+v) = %q, %v", r, wire, err)
		}
	})
}

func FuzzAnswer(f *testing.F) {
	f.Add("ok 1", "203.0.113.0 203.0.113.255 imap 60")
	f.Add("no way", "")
	f.Fuzz(func(t *testing.T, line, next string) {
		_, _ = parseAnswer(line, true)
		_, _ = parseAnswer(line, false)
		r, err := parseRange(next)
		if err != nil {
			return
		}
		if again := appendAnswer(nil, []Range{r}, true, nil); !bytes.Equal(again, []byte("ok 1\n"+next+"\n")) {
			t.Errorf("%+v is written %q", r, again)
		}
	})
}
