package resolver

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/gatepost/gatepost/internal/mailerr"
	"github.com/gatepost/gatepost/internal/unit"
)

// fake returns a resolver whose server takes a second and answers from zone,
// which maps a name to records and authority; and a counter of questions.
func fake(t *testing.T, zone map[string]string, change ...func(*Config)) (*Resolver, func() int) {
	t.Helper()
	cfg := Default()
	cfg.Servers = []string{"192.0.2.53"}
	for _, c := range change {
		c(&cfg)
	}
	r, err := New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	asked := 0
	r.exchange = func(ctx context.Context, _, _ string, q *dns.Msg) (*dns.Msg, error) {
		mu.Lock()
		asked++
		mu.Unlock()
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		m := new(dns.Msg).SetReply(q)
		p := dns.NewZoneParser(strings.NewReader(zone[q.Question[0].Name]), ".", "")
		for rr, ok := p.Next(); ok; rr, ok = p.Next() {
			if rr.Header().Rrtype == dns.TypeSOA {
				m.Ns = append(m.Ns, rr)
			} else {
				m.Answer = append(m.Answer, rr)
			}
		}
		return m, p.Err()
	}
	return r, func() int { mu.Lock(); defer mu.Unlock(); return asked }
}

const soa = " IN SOA ns.example. hm.example. 1 2 3 4 "

func TestCacheHoldsForTheTTL(t *testing.T) {
	for _, tc := range []struct {
		name, records string
		want          time.Duration
	}{
		{"TTL", `a.example. 100 IN TXT "x"`, 100 * time.Second},
		{"the smallest TTL of a chain", "a.example. 50 IN CNAME b.example.\nb.example. 100 IN TXT \"x\"", 50 * time.Second},
		{"at most max_ttl", `a.example. 99999 IN TXT "x"`, time.Hour},
		{"TTL 0", `a.example. 0 IN TXT "x"`, 0},
		{"TTL with the highest bit", `a.example. 4294967295 IN TXT "x"`, 0},
		{"negative: minimum of the SOA", "example. 900" + soa + "30", 30 * time.Second},
		{"negative: TTL of the SOA", "example. 20" + soa + "300", 20 * time.Second},
		{"negative without a SOA", "", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, asked := fake(t, map[string]string{"a.example.": tc.records})
				look := func() {
					if _, err := r.LookupTXT(t.Context(), "a.example"); err != nil {
						t.Fatal(err)
					}
				}
				look()
				if tc.want > 0 {
					time.Sleep(tc.want - time.Nanosecond)
					look()
					if n := asked(); n != 1 {
						t.Fatalf("asked %d times within %v", n, tc.want)
					}
					time.Sleep(time.Nanosecond)
				}
				look()
				if n := asked(); n != 2 {
					t.Errorf("asked %d times after %v, want 2", n, tc.want)
				}
			})
		})
	}
}

func TestCacheIsBounded(t *testing.T) {
	c := newCache(100 * 1024)
	now := time.Unix(0, 0)
	ans := answer{text: []string{strings.Repeat("x", 1024)}, ttl: time.Hour}
	for i := range 1000 {
		c.put(key{fmt.Sprintf("n%d.example.", i), 16}, ans, now)
		if _, ok := c.find(key{"n0.example.", 16}, now); !ok {
			t.Fatal("the answer in use went first")
		}
	}
	if c.used > c.size || len(c.items) != inOrder(c) || len(c.items) < 50 {
		t.Errorf("%d octets of %d in %d items, %d in order", c.used, c.size, len(c.items), inOrder(c))
	}
	if _, ok := c.find(key{"n1.example.", 16}, now); ok {
		t.Error("the oldest answer is still there")
	}
	c.put(key{"huge.example.", 16}, answer{text: []string{strings.Repeat("x", 20*1024)}, ttl: time.Hour}, now)
	if _, ok := c.find(key{"huge.example.", 16}, now); ok {
		t.Error("an answer of a fifth of the cache is kept")
	}
	slots := len(c.slab)
	for n := c.slab[0].next; n != 0; n = c.slab[0].next {
		c.drop(n)
	}
	if c.used != 0 || len(c.items) != 0 {
		t.Errorf("an empty cache holds %d octets, %d items", c.used, len(c.items))
	}
	for i := range 50 {
		c.put(key{fmt.Sprintf("n%d.example.", i), 16}, ans, now)
	}
	if len(c.slab) != slots || inOrder(c) != 50 {
		t.Errorf("%d entries in %d places, want 50 in %d", inOrder(c), len(c.slab), slots)
	}
}

// inOrder counts the entries from the one used last, and from the other end.
func inOrder(c *cache) int {
	forth, back := 0, 0
	for n := c.slab[0].next; n != 0; n = c.slab[n].next {
		forth++
	}
	for n := c.slab[0].prev; n != 0; n = c.slab[n].prev {
		back++
	}
	if forth != back {
		return -1
	}
	return forth
}

// Two keys with one hash are not taken for each other: the later pushes the
// earlier out.
func TestCacheHashes(t *testing.T) {
	c, now := newCache(1<<20), time.Now()
	yes, no := answer{text: []string{"x"}, ttl: time.Hour, secure: true}, answer{gone: true, secure: true, ttl: time.Hour}
	a := key{"a.example.", 16}
	c.put(a, yes, now)
	c.put(key{"b.example.", 16}, no, now)
	n := c.items[c.hash(a)]
	c.slab[n].name = "other.example."
	if got, ok := c.find(a, now); ok {
		t.Errorf("found %+v of another name", got)
	}
	c.slab[n].name, c.slab[n].rtype = a.name, 1
	if got, ok := c.find(a, now); ok {
		t.Errorf("found %+v of another type", got)
	}
	c.put(a, no, now)
	for _, k := range []key{a, {"b.example.", 16}} {
		if got, ok := c.find(k, now); !ok || !got.gone || !got.secure || len(got.text) != 0 {
			t.Errorf("find(%v) = %+v, %v", k, got, ok)
		}
	}
	c.put(a, yes, now)
	if got, ok := c.find(a, now); !ok || got.gone || !got.secure || len(got.text) != 1 || inOrder(c) != 2 {
		t.Errorf("find = %+v, %v with %d entries", got, ok, inOrder(c))
	}
}

func TestSameQuestionIsAskedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, asked := fake(t, map[string]string{"a.example.": `a.example. 0 IN TXT "x"`})
		first, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := r.LookupTXT(first, "a.example"); err == nil {
				t.Error("a cancelled caller got an answer")
			}
		})
		synctest.Wait()
		for range 50 {
			wg.Go(func() {
				if txt, err := r.LookupTXT(t.Context(), "A.example."); err != nil || len(txt) != 1 {
					t.Errorf("LookupTXT = %q, %v", txt, err)
				}
			})
		}
		synctest.Wait()
		cancel() // the others still wait
		wg.Wait()
		if n := asked(); n != 1 {
			t.Errorf("asked %d times, want 1", n)
		}
		if len(r.flights) != 0 {
			t.Errorf("%d flights are left", len(r.flights))
		}
	})
}

func TestQueriesAreCapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, asked := fake(t, nil, func(c *Config) { c.MaxQueries = 3 })
		var wg sync.WaitGroup
		begin := time.Now()
		for i := range 9 {
			wg.Go(func() {
				if _, err := r.LookupTXT(t.Context(), fmt.Sprintf("n%d.example", i)); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if n := asked(); n != 3 {
			t.Errorf("%d at once, want 3", n)
		}
		wg.Wait()
		if took := time.Since(begin); took != 3*time.Second {
			t.Errorf("took %v, want 3s", took)
		}
	})
}

func TestAliasLeftOpenIsAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		zone := map[string]string{
			"a.example.": "a.example. 300 IN CNAME b.example.",
			"b.example.": "b.example. 300 IN CNAME c.example.",
			"c.example.": `c.example. 300 IN TXT "x"`,
		}
		r, asked := fake(t, zone)
		if txt, err := r.LookupTXT(t.Context(), "a.example"); err != nil || len(txt) != 1 || asked() != 3 {
			t.Errorf("LookupTXT = %q, %v after %d questions", txt, err, asked())
		}
		for i := range 30 {
			zone[fmt.Sprintf("n%d.example.", i)] = fmt.Sprintf("n%d.example. 300 IN CNAME n%d.example.", i, i+1)
		}
		if _, err := r.LookupTXT(t.Context(), "n0.example"); err == nil {
			t.Error("a chain of 30 aliases was followed")
		}
		if n := asked() - 3; n > maxAliases+1 {
			t.Errorf("%d questions for one chain", n)
		}
	})
}

func TestPerTryTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, asked := fake(t, nil, func(c *Config) {
			c.Servers = []string{"192.0.2.1", "192.0.2.2"}
			c.Timeout = unit.Duration(300 * time.Millisecond)
		})
		begin := time.Now()
		_, err := r.LookupTXT(t.Context(), "a.example")
		if took := time.Since(begin); err == nil || took != 1200*time.Millisecond || asked() != 4 {
			t.Errorf("LookupTXT = %v in %v with %d questions, want 4 tries of 300ms", err, took, asked())
		}
	})
}

func TestPanicIsAnError(t *testing.T) {
	r, _ := fake(t, nil)
	r.exchange = func(context.Context, string, string, *dns.Msg) (*dns.Msg, error) { panic("planted") }
	if _, err := r.LookupTXT(t.Context(), "a.example"); err == nil || mailerr.ClassOf(err) != mailerr.Transient {
		t.Errorf("LookupTXT = %v, want a transient error", err)
	}
}

func BenchmarkLookupCached(b *testing.B) {
	r, _ := start(b, records)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.LookupTXT(context.Background(), "example.org"); err != nil {
			b.Fatal(err)
		}
	}
}
