package resolver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/gatepost/gatepost/internal/dnstest"
	"github.com/gatepost/gatepost/internal/mailerr"
	"github.com/gatepost/gatepost/internal/unit"
)

// idle fails the test when r has something under way.
func idle(t *testing.T, r *Resolver) {
	t.Helper()
	for range cap(r.slots) {
		r.slots <- struct{}{} // waits for flights that were given up
	}
	for range cap(r.slots) {
		<-r.slots
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.flights) != 0 {
		t.Errorf("%d flights are left", len(r.flights))
	}
}

// TestLookupEach: each name has the answer that it has by itself.
func TestLookupEach(t *testing.T) {
	for _, loopback := range []string{"127.0.0.1:0", "[::1]:0"} {
		t.Run(loopback, func(t *testing.T) {
			zone := dnstest.NewZone()
			zone.MustAdd(records)
			srv, err := dnstest.Start(loopback, zone)
			if err != nil {
				t.Skip("no such address here: " + err.Error())
			}
			defer srv.Close()
			cfg := Default()
			cfg.Servers = []string{srv.Addr()}
			r, err := New(cfg, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			names := []string{"a.example.org", "A.Example.ORG.", "nosuch.example.org", "alias.example.org", "dead.example.org",
				"", "a..example", strings.Repeat("a", 64) + ".example", "odd (name).example", "example.org"}
			want := []string{"192.0.2.1", "192.0.2.1", "", "192.0.2.1", "", "", "", "", "", ""}
			for _, cached := range []bool{false, true} {
				zone.Queries()
				addrs, errs := r.LookupEach(t.Context(), names)
				for i, name := range names {
					if got := text(addrs[i]); got != want[i] || errs[i] != nil {
						t.Errorf("LookupEach: %q is %q, %v, want %q", name, got, errs[i], want[i])
					}
				}
				// The two names without an SOA record are not kept.
				if n := len(zone.Queries()); !cached && n != 6 || cached && n > 4 {
					t.Errorf("cached %v: %d queries", cached, n)
				}
			}
			if n := len(r.together.idle[srv.Addr()]); n != 1 {
				t.Errorf("%d sockets are kept, want 1", n)
			}
			idle(t, r)
		})
	}
}

func text(addrs []netip.Addr) string {
	var out []string
	for _, a := range addrs {
		out = append(out, a.String())
	}
	return strings.Join(out, " ")
}

// TestLookupEachFaults: a name whose server is ill costs what it costs by
// itself, and none of the others anything.
func TestLookupEachFaults(t *testing.T) {
	r, zone := start(t, records, func(c *Config) { c.Timeout, c.Attempts = unit.Duration(100*time.Millisecond), 2 })
	for _, tc := range []struct {
		name    string
		fault   dnstest.Fault
		want    string // "" for an error
		queries int
	}{
		{"SERVFAIL is tried again, then an error", dnstest.ServFail, "", 2},
		{"REFUSED too", dnstest.Refused, "", 2},
		{"silence too", dnstest.Timeout, "", 2},
		{"cut: TCP", dnstest.Truncate, "192.0.2.1", 3},
		{"strangers' answers are passed over", dnstest.Stray, "192.0.2.1", 1},
		{"no EDNS", dnstest.NoEDNS, "192.0.2.1", 3},
		{"an error is not kept", dnstest.Healthy, "192.0.2.1", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r.cache = newCache(1 << 20)
			zone.Fail("a.example.org", tc.fault)
			zone.Queries()
			addrs, errs := r.LookupEach(t.Context(), []string{"nosuch1.example", "a.example.org", "nosuch2.example"})
			if errs[0] != nil || errs[2] != nil {
				t.Errorf("the others: %v, %v", errs[0], errs[2])
			}
			if got := text(addrs[1]); got != tc.want || (errs[1] == nil) != (tc.want != "") {
				t.Errorf("LookupEach = %s, %v, want %s", got, errs[1], tc.want)
			}
			if errs[1] != nil && mailerr.ClassOf(errs[1]) != mailerr.Transient {
				t.Errorf("error %v is not transient", errs[1])
			}
			if n := len(zone.Queries()) - 2; n != tc.queries {
				t.Errorf("%d queries, want %d", n, tc.queries)
			}
			idle(t, r)
		})
	}
}

func TestLookupEachSecondServer(t *testing.T) {
	ill := dnstest.NewZone()
	ill.Fail(".", dnstest.ServFail)
	srv, err := dnstest.Start("127.0.0.1:0", ill)
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	r, _ := start(t, records, func(c *Config) { c.Servers = append([]string{srv.Addr()}, c.Servers...) })
	if addrs, errs := r.LookupEach(t.Context(), []string{"a.example.org"}); errs[0] != nil || text(addrs[0]) != "192.0.2.1" {
		t.Errorf("LookupEach = %v, %v", addrs, errs)
	}
	if q := ill.Queries(); len(q) != 1 {
		t.Errorf("the first server was asked %d times, want 1", len(q))
	}
}

// TestLookupEachIsCapped: more names than may be under way are asked in turn.
func TestLookupEachIsCapped(t *testing.T) {
	for _, most := range []int{1, 3, 256} {
		r, zone := start(t, "", func(c *Config) { c.MaxQueries = most })
		var names []string
		for i := range 3 * maxTogether {
			zone.MustAdd(fmt.Sprintf("n%d.example. 300 IN A 192.0.2.1", i))
			names = append(names, fmt.Sprintf("n%d.example", i))
		}
		addrs, errs := r.LookupEach(t.Context(), names)
		for i := range names {
			if errs[i] != nil || text(addrs[i]) != "192.0.2.1" {
				t.Fatalf("%d at once: %s is %v, %v", most, names[i], addrs[i], errs[i])
			}
		}
		idle(t, r)
	}
}

// TestLookupEachEnds: a batch ends with its context and leaves nothing behind;
// who waits for one of its questions besides goes on.
func TestLookupEachEnds(t *testing.T) {
	r, zone := start(t, records, func(c *Config) { c.Timeout = unit.Duration(5 * time.Second) })
	zone.Fail("a.example.org", dnstest.Timeout)
	zone.Fail("b.example.org", dnstest.Timeout)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		_, errs := r.LookupEach(ctx, []string{"a.example.org", "b.example.org", "nosuch.example"})
		for i := range 2 {
			if !errors.Is(errs[i], context.Canceled) || mailerr.ClassOf(errs[i]) != mailerr.Transient {
				t.Errorf("error %v, want the end of the context", errs[i])
			}
		}
		zone.Fail("a.example.org", dnstest.Healthy)
	})
	waiters := func() int {
		r.mu.Lock()
		defer r.mu.Unlock()
		if f := r.flights[key{"a.example.org.", dns.TypeA}]; f != nil {
			return f.waiters
		}
		return 0
	}
	for waiters() < 1 {
		runtime.Gosched()
	}
	var addrs []netip.Addr
	var err error
	wg.Go(func() { addrs, err = r.LookupIP(t.Context(), "ip4", "a.example.org") })
	for waiters() < 2 {
		runtime.Gosched()
	}
	cancel()
	wg.Wait()
	if err != nil || text(addrs) != "192.0.2.1" {
		t.Errorf("the other caller: %v, %v", addrs, err)
	}
	if _, errs := r.LookupEach(ctx, []string{"c.example.org"}); !errors.Is(errs[0], context.Canceled) {
		t.Errorf("after the end: %v", errs[0])
	}
	idle(t, r)
}

// TestLookupEachAfterRestart: a server that was started anew answers, over a
// socket of the time before or a new one.
func TestLookupEachAfterRestart(t *testing.T) {
	zone := dnstest.NewZone()
	zone.MustAdd(records)
	srv, err := dnstest.Start("127.0.0.1:0", zone)
	if err != nil {
		t.Fatal(err)
	}
	addr := srv.Addr()
	cfg := Default()
	cfg.Servers, cfg.CacheSize, cfg.Timeout = []string{addr}, 0, unit.Duration(200*time.Millisecond)
	r, err := New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ask := func() error {
		_, errs := r.LookupEach(t.Context(), []string{"a.example.org", "nosuch.example"})
		return errors.Join(errs...)
	}
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	if err := srv.Close(); err != nil {
		t.Fatal(err)
	}
	if ask() == nil {
		t.Error("a server that is gone answers")
	}
	if srv, err = dnstest.Start(addr, zone); err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	if err := ask(); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	idle(t, r)
}

// TestLookupEachPanic: what breaks a batch costs its answers, and nothing is
// left behind that others would wait for.
func TestLookupEachPanic(t *testing.T) {
	r, _ := start(t, records)
	r.servers = nil // an index of it panics
	if _, errs := r.LookupEach(t.Context(), []string{"a.example.org", "b.example.org"}); errs[0] == nil || errs[1] == nil {
		t.Errorf("errors %v", errs)
	}
	idle(t, r)
}

// TestSocketsOfBatches: only to a server on this host a socket is kept, and only
// one without a question that may still be answered.
func TestSocketsOfBatches(t *testing.T) {
	for _, tc := range []struct {
		server string
		spoilt bool
		kept   int
	}{
		{"127.0.0.1:53", false, 1}, {"[::1]:53", false, 1}, {"127.0.0.1:53", true, 0},
		{"192.0.2.53:53", false, 0}, {"[2001:db8::53]:53", false, 0}, {"dns.example:53", false, 0},
	} {
		conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		s := sharedSockets{idle: map[string][]*together{}}
		s.done(&together{server: tc.server, conn: conn, ctx: t.Context()}, tc.spoilt)
		if n := len(s.idle[tc.server]); n != tc.kept {
			t.Errorf("%+v: %d sockets are kept", tc, n)
		}
		if closed := errors.Is(conn.Close(), net.ErrClosed); closed == (tc.kept == 1) {
			t.Errorf("%+v: closed %v", tc, closed)
		}
	}
}

// TestQueryOnTheWire: a question of a batch is what any other is.
func TestQueryOnTheWire(t *testing.T) {
	for _, name := range []string{"a.example.org.", `odd\ \(name\)\200.example.`, "xn--nxasmq6b.example.", strings.Repeat("a.", 126) + "a."} {
		for _, ad := range []bool{false, true} {
			k := key{name, dns.TypeA}
			q := query(k, true, true, ad)
			want, err := q.Pack()
			if err != nil {
				t.Fatal(err)
			}
			got, err := appendQuery([]byte("before"), k, q.Id, ad)
			if err != nil || !bytes.Equal(got, append([]byte("before"), want...)) {
				t.Errorf("appendQuery(%q, %v) = %x, %v, want %x", name, ad, got, err, want)
			}
		}
	}
	if got, err := appendQuery([]byte("before"), key{strings.Repeat("a", 64) + ".", dns.TypeA}, 1, false); err == nil || string(got) != "before" {
		t.Errorf("appendQuery takes a label of 64 octets: %q, %v", got, err)
	}
}

// FuzzDatagram: whatever arrives on the socket of a batch settles its question
// at most once, and only with the right id and name.
func FuzzDatagram(f *testing.F) {
	for _, rr := range []string{"", "a.example. 300 IN A 192.0.2.1", "a.example. 300 IN CNAME b.example.", "b.example. 300 IN A 192.0.2.1"} {
		m := new(dns.Msg).SetReply(&dns.Msg{MsgHdr: dns.MsgHdr{Id: 7}, Question: []dns.Question{{Name: "a.example.", Qtype: dns.TypeA, Qclass: dns.ClassINET}}})
		if rr != "" {
			r, err := dns.NewRR(rr)
			if err != nil {
				f.Fatal(err)
			}
			m.Answer = []dns.RR{r}
		}
		wire, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire)
		f.Add(wire[:len(wire)-1])
	}
	cfg := Default()
	cfg.Servers = []string{"127.0.0.1:1"}
	f.Fuzz(func(t *testing.T, wire []byte) {
		r, err := New(cfg, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // what goes on by itself is left behind
		a := &asking{key: key{"a.example.", dns.TypeA}, id: 7}
		r.joinAll([]*asking{a})
		r.slots <- struct{}{}
		b := &batch{r: r, ctx: ctx, byID: map[uint16]*asking{7: a}}
		took := b.take(wire)
		var m dns.Msg
		ok := m.Unpack(wire) == nil || m.Truncated
		if took && (!ok || m.Id != 7 || !m.Response || len(m.Question) == 1 && !strings.EqualFold(m.Question[0].Name, "a.example.")) {
			t.Errorf("%x is taken for an answer", wire)
		}
		if took != (len(b.byID) == 0) || took != (len(r.slots) == 0) {
			t.Errorf("taken %v, %d under way, %d slots", took, len(b.byID), len(r.slots))
		}
		if b.take(wire) && took {
			t.Error("one answer settles two questions")
		}
	})
}

// BenchmarkForty is what a message asks of DNS lists: together, and one by one
// as it was. The DNS server's work is in it.
func BenchmarkForty(b *testing.B) {
	r, _ := start(b, "", func(c *Config) { c.CacheSize = 0 })
	var names []string
	for i := range 40 {
		names = append(names, fmt.Sprintf("n%d.example", i))
	}
	b.Run("together", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, errs := r.LookupEach(b.Context(), names); slices.ContainsFunc(errs, func(err error) bool { return err != nil }) {
				b.Fatal(errs)
			}
		}
	})
	b.Run("one by one", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var wg sync.WaitGroup
			for _, n := range names {
				wg.Go(func() {
					if _, err := r.LookupIP(b.Context(), "ip4", n); err != nil {
						b.Error(err)
					}
				})
			}
			wg.Wait()
		}
	})
}
