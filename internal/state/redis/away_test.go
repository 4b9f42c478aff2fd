package redis

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/redistest"
	"github.com/gatepost/gatepost/internal/state"
)

// until waits for what servers and clients arrange among themselves.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(15 * time.Second); !done(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("waited for %s", what)
		}
	}
}

// counting counts one by one, four at once, until stopped; each error may or may
// not have counted.
type counting struct {
	granted, unknown atomic.Int64
	longest          atomic.Int64 // nanoseconds that a call took
	stop             chan struct{}
	all              sync.WaitGroup
}

func count(t *testing.T, s *Store) *counting {
	c := &counting{stop: make(chan struct{})}
	for range 4 {
		c.all.Go(func() {
			for {
				select {
				case <-c.stop:
					return
				case <-time.After(200 * time.Microsecond):
				}
				ctx, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond)
				began := time.Now()
				u, err := s.TakeAll(ctx, []state.Claim{
					{Key: "k", N: 1, Max: state.MaxCount, Window: time.Hour},
					{Key: "other", N: 1, Max: state.MaxCount, Window: 24 * time.Hour},
				}, false)
				c.longest.Store(max(c.longest.Load(), int64(time.Since(began))))
				cancel()
				if err != nil {
					c.unknown.Add(1)
				} else if u[0].OK {
					c.granted.Add(1)
				}
			}
		})
	}
	return c
}

// more waits until n more were counted.
func (c *counting) more(t *testing.T, n int64) {
	t.Helper()
	from := c.granted.Load()
	until(t, "counts", func() bool { return c.granted.Load() >= from+n })
}

// end stops and holds the counter against what was answered.
func (c *counting) end(t *testing.T, s *Store, lost int64) {
	t.Helper()
	close(c.stop)
	c.all.Wait()
	all, err := s.Counters(t.Context(), "k")
	if err != nil || len(all) != 1 {
		t.Fatalf("Counters() = %+v, %v", all, err)
	}
	least, most := c.granted.Load()-lost, c.granted.Load()+c.unknown.Load()
	if all[0].Used < least || all[0].Used > most {
		t.Errorf("counted %d, want %d to %d", all[0].Used, least, most)
	}
	t.Logf("%d counted, %d without an answer, longest %v", c.granted.Load(), c.unknown.Load(), time.Duration(c.longest.Load()))
}

// The slot of the limits moves to another master under traffic: nothing is lost,
// nothing fails, and nothing is counted twice.
func TestSlotMoves(t *testing.T) {
	lab := redistest.Cluster(t)
	s := openLab(t, lab, "moves")
	for range 100 { // counters that have to move with it
		if _, err := s.Take(t.Context(), "k", 1, state.MaxCount, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	slot := lab.Nodes[0].Do("CLUSTER", "KEYSLOT", s.names.counter("k")).(int64)
	c := count(t, s)
	for round := range 4 {
		c.more(t, 100)
		from, to := lab.Owner(slot), lab.Nodes[round%3]
		if from == to {
			continue
		}
		lab.Migrate(slot, from, to, func() { c.more(t, 100) })
	}
	c.more(t, 100)
	close(c.stop)
	c.all.Wait()
	all, err := s.Counters(t.Context(), "k")
	if err != nil || len(all) != 1 || all[0].Used != 100+c.granted.Load() || c.unknown.Load() > 4 {
		t.Errorf("Counters() = %+v, %v, want %d used; %d without an answer", all, err, 100+c.granted.Load(), c.unknown.Load())
	}
}

// A master is lost for good under traffic; its replica takes over.
func TestMasterLost(t *testing.T) {
	for name, start := range map[string]func(t *testing.T) *redistest.Lab{
		"cluster":  func(t *testing.T) *redistest.Lab { return redistest.Cluster(t, redistest.Replicas()) },
		"sentinel": func(t *testing.T) *redistest.Lab { return redistest.Sentinel(t) },
	} {
		t.Run(name, func(t *testing.T) {
			lab := start(t)
			s := openLab(t, lab, "lost")
			c := count(t, s)
			c.more(t, 200)
			victim := lab.Master()
			if name == "cluster" {
				victim = lab.Owner(lab.Nodes[0].Do("CLUSTER", "KEYSLOT", s.names.counter("k")).(int64))
			}
			before := c.granted.Load()
			lab.Kill(victim)
			until(t, "that the loss is noticed", func() bool { return s.Probe(t.Context()) != nil })
			began := time.Now()
			c.more(t, 200)
			t.Logf("counted again after %v", time.Since(began).Round(time.Millisecond))
			until(t, "the probe to be well", func() bool { return s.Probe(t.Context()) == nil })
			// What the replica had not read when its master died is lost.
			c.end(t, s, min(before, 50))
		})
	}
}

// A server that hangs or is gone costs a request its time limits and no more,
// and one that is back is used again.
func TestAway(t *testing.T) {
	lab := redistest.Single(t, redistest.Persist())
	s, n := openLab(t, lab, "away"), lab.Nodes[0]
	if _, err := s.Take(t.Context(), "k", 1, 10, time.Hour); err != nil {
		t.Fatal(err)
	}
	limited := func(what string, do func(ctx context.Context) error) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond)
		defer cancel()
		began := time.Now()
		err := do(ctx)
		if took := time.Since(began); err == nil || took > 300*time.Millisecond {
			t.Errorf("%s = %v after %v, want an error within 300ms", what, err, took)
		}
	}
	calls := map[string]func(ctx context.Context) error{
		"Take":  func(ctx context.Context) error { _, err := s.Take(ctx, "k", 1, 10, time.Hour); return err },
		"Probe": s.Probe,
		"Get":   func(ctx context.Context) error { _, err := s.Get(ctx, state.Seen, "k"); return err },
		"Put": func(ctx context.Context) error {
			return s.Put(ctx, state.Ban, state.Entry{Key: "k", Expires: time.Now().Add(time.Hour)}, true)
		},
		"List":  func(ctx context.Context) error { _, err := s.List(ctx, state.Seen, ""); return err },
		"Merge": func(ctx context.Context) error { return s.Merge(ctx, "id", []state.Merged{{Key: "k", Window: 1}}) },
	}
	lab.Stop(n)
	for what, do := range calls {
		limited(what+" of a server that hangs", do)
	}
	lab.Cont(n)
	until(t, "the server to be used again", func() bool { return s.Probe(t.Context()) == nil })
	lab.Kill(n)
	for what, do := range calls {
		limited(what+" of a server that is gone", do)
	}
	began := time.Now()
	lab.Restart(n)
	until(t, "the server to be used again", func() bool { return s.Probe(t.Context()) == nil })
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("the server was used again after %v", took)
	}
	// Whether the Take whose answer was lost counted is not known.
	u, err := s.Take(t.Context(), "k", 1, 10, time.Hour)
	if err != nil || u.Used < 2 || u.Used > 4 {
		t.Errorf("Take() after all that = %+v, %v", u, err)
	}
}

// A start with nobody there is no error.
func TestOpenWhileAway(t *testing.T) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(c *Config){
		"single":   func(c *Config) { c.Addresses = []string{addr} },
		"cluster":  func(c *Config) { c.Addresses = []string{addr, addr} },
		"sentinel": func(c *Config) { c.Addresses, c.MasterName = []string{addr}, "m" },
	} {
		cfg := Default()
		change(&cfg)
		s, err := Open(t.Context(), cfg, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatalf("Open %s: %v", name, err)
		}
		if _, err := s.Get(t.Context(), state.Seen, "k"); err == nil || errors.Is(err, state.ErrNotFound) {
			t.Errorf("%s: Get() of nobody = %v", name, err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("%s: Close() = %v", name, err)
		}
	}
}

// A server that forgot its scripts is told them again.
func TestScriptsForgotten(t *testing.T) {
	lab := redistest.Single(t)
	s := openLab(t, lab, "scripts")
	for i := range 3 {
		u, err := s.Take(t.Context(), "k", 1, 10, time.Hour)
		if err != nil || u.Used != int64(i+1) {
			t.Errorf("Take() %d = %+v, %v", i, u, err)
		}
		if err, bad := lab.Nodes[0].Do("SCRIPT", "FLUSH").(error); bad {
			t.Fatal(err)
		}
	}
}

// A server whose memory is full refuses writes, which the probe notices.
func TestProbeFull(t *testing.T) {
	lab := redistest.Single(t, redistest.Args("--maxmemory-policy", "noeviction"))
	s := openLab(t, lab, "full")
	if err := s.Probe(t.Context()); err != nil {
		t.Errorf("Probe() = %v", err)
	}
	lab.Nodes[0].Do("CONFIG", "SET", "maxmemory", "1000")
	if err := s.Probe(t.Context()); err == nil {
		t.Error("Probe() of a full server is well")
	}
	lab.Nodes[0].Do("CONFIG", "SET", "maxmemory", "0")
	lab.Nodes[0].Do("REPLICAOF", "127.0.0.1", "1")
	if err := s.Probe(t.Context()); err == nil {
		t.Error("Probe() of a replica is well")
	}
}

// One address of a Cluster is not enough, which the error says.
func TestOneNodeOfACluster(t *testing.T) {
	lab := redistest.Cluster(t)
	lab.Addresses = lab.Addresses[:1]
	s := openLab(t, lab, "one")
	var err error
	for i := 0; err == nil && i < 50; i++ {
		_, err = s.Get(t.Context(), state.Seen, string(rune('a'+i)))
		if errors.Is(err, state.ErrNotFound) {
			err = nil
		}
	}
	if err == nil || !strings.Contains(err.Error(), "name two of its nodes") {
		t.Errorf("Get() = %v, want a word about nodes", err)
	}
}
