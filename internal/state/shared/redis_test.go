package shared

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/redistest"
	"github.com/gatepost/gatepost/internal/state"
	"github.com/gatepost/gatepost/internal/state/redis"
	"github.com/gatepost/gatepost/internal/state/statetest"
)

func openRedis(t testing.TB, prefix string, addresses ...string) *redis.Store {
	t.Helper()
	cfg := redis.Default()
	cfg.Addresses, cfg.KeyPrefix = addresses, prefix
	s, err := redis.Open(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// host is a Store over a real server.
type host struct {
	*Store
	log *logBuffer
}

func openHost(t testing.TB, path string, remote Remote) *host {
	t.Helper()
	return openHostWith(t, Default(), path, remote)
}

func openHostWith(t testing.TB, cfg Config, path string, remote Remote) *host {
	t.Helper()
	log := &logBuffer{}
	s, err := open(t.Context(), cfg, remote, openSQLite(t, path), nil, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return &host{s, log}
}

// patient is for tests of what a store does that is well: a machine with other
// things to do makes it slow.
func patient() Config {
	cfg := Default()
	cfg.Wait, cfg.Slow = 10*time.Second, 10*time.Second
	return cfg
}

// onRedis opens a host on a server. Each has a local file of its own.
func onRedis(srv *redistest.Lab) statetest.Open {
	return func(t *testing.T, name string) state.Store {
		return openHostWith(t, patient(), filepath.Join(t.TempDir(), "state.db"), openRedis(t, strings.ReplaceAll(name, " ", "-")+":", srv.Addresses...)).Store
	}
}

func TestContractOnRedis(t *testing.T) {
	srv := redistest.Single(t, redistest.Persist())
	restart := func(*testing.T) { srv.Kill(srv.Nodes[0]); srv.Restart(srv.Nodes[0]) }
	statetest.Run(t, onRedis(srv), statetest.Restarts(restart, false))
	statetest.RunWatcher(t, onRedis(srv), restart)
}

// traffic asks from many goroutines until stop is called, and keeps what was
// granted and how long each waited.
type traffic struct {
	granted atomic.Int64
	mu      sync.Mutex // guards waits
	waits   []wait
	stop    func()
}

type wait struct{ at, took time.Duration }

// sends has workers ask each a request every other millisecond.
func (h *host) sends(t *testing.T, workers int) *traffic {
	ctx, cancel := context.WithCancel(t.Context())
	tr := &traffic{}
	begin := time.Now()
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			tick := time.NewTicker(2 * time.Millisecond)
			defer tick.Stop()
			for ctx.Err() == nil {
				<-tick.C
				at := time.Now()
				u, err := h.TakeAll(context.WithoutCancel(ctx), one("k", state.MaxCount), false)
				took := time.Since(at)
				if err != nil || !u[0].OK {
					t.Errorf("TakeAll() = %+v, %v", u, err)
				}
				tr.granted.Add(1)
				tr.mu.Lock()
				tr.waits = append(tr.waits, wait{at.Sub(begin), took})
				tr.mu.Unlock()
			}
		})
	}
	tr.stop = func() { cancel(); all.Wait() }
	return tr
}

// longest returns the longest wait of requests that began between two times.
func (tr *traffic) longest(from, to time.Duration) (longest time.Duration, n int) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for _, w := range tr.waits {
		if w.at >= from && w.at < to {
			longest, n = max(longest, w.took), n+1
		}
	}
	return longest, n
}

// settled waits until the store is used.
func (h *host) settled(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); h.Stats().Away || h.Stats().Pending > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the store is not back: %+v", h.Stats())
		}
	}
}

// slack is what this machine may add to the longest wait: it may have other
// things to do, and then any goroutine stands still. docs/howto/redis.md has the
// waits of a quiet one.
const slack = time.Second

// trouble is what happens to a server, or to the network before it.
type trouble struct {
	name        string
	begin, ends func(t *testing.T, lab *redistest.Lab, p *proxy)
}

var troubles = []trouble{
	{"slow",
		func(_ *testing.T, _ *redistest.Lab, p *proxy) { p.delay.Store(int64(200 * time.Millisecond)) },
		func(_ *testing.T, _ *redistest.Lab, p *proxy) { p.delay.Store(0) }},
	{"half open",
		func(_ *testing.T, _ *redistest.Lab, p *proxy) { p.hole.Store(true) },
		func(t *testing.T, _ *redistest.Lab, p *proxy) { p.cut(); p.hole.Store(false); p.listen(t, p.addr) }},
	{"cut",
		func(_ *testing.T, _ *redistest.Lab, p *proxy) { p.cut() },
		func(t *testing.T, _ *redistest.Lab, p *proxy) { p.listen(t, p.addr) }},
	{"SIGSTOP",
		func(_ *testing.T, lab *redistest.Lab, _ *proxy) { lab.Stop(lab.Nodes[0]) },
		func(_ *testing.T, lab *redistest.Lab, _ *proxy) { lab.Cont(lab.Nodes[0]) }},
	{"kill -9",
		func(_ *testing.T, lab *redistest.Lab, _ *proxy) { lab.Kill(lab.Nodes[0]) },
		func(_ *testing.T, lab *redistest.Lab, _ *proxy) { lab.Restart(lab.Nodes[0]) }},
}

// TestBrokenRedis breaks a real server, and the network to it, under traffic. It
// measures time, so the clock is the real one.
func TestBrokenRedis(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds for each kind of trouble")
	}
	for _, tc := range troubles {
		t.Run(tc.name, func(t *testing.T) {
			lab := redistest.Single(t, redistest.Persist())
			p := newProxy(t, lab.Nodes[0].Addr)
			h := openHost(t, filepath.Join(t.TempDir(), "state.db"), openRedis(t, "", p.addr))
			begin := time.Now()
			tr := h.sends(t, 8)
			time.Sleep(500 * time.Millisecond)
			h.settled(t)
			trips := h.Stats().Trips // a machine with other things to do may have been slow
			down := time.Since(begin)
			tc.begin(t, lab, p)
			time.Sleep(1500 * time.Millisecond)
			up := time.Since(begin)
			if s := h.Stats(); !s.Away || s.Trips != trips+1 {
				t.Errorf("%+v, want it away", s)
			}
			tc.ends(t, lab, p)
			ended := time.Now()
			for h.Stats().Away && time.Since(ended) < 10*time.Second {
				time.Sleep(5 * time.Millisecond)
			}
			back := time.Since(ended)
			time.Sleep(300 * time.Millisecond)
			tr.stop()
			h.settled(t)
			tr.checkWaits(t, down, up, back)
			h.checkCounts(t, tr, openRedis(t, "", lab.Nodes[0].Addr))
			if err := h.Close(); err != nil {
				t.Errorf("Close() = %v", err)
			}
		})
	}
}

// checkWaits has nobody wait longer than is promised.
func (tr *traffic) checkWaits(t *testing.T, down, up, back time.Duration) {
	t.Helper()
	first, _ := tr.longest(down-300*time.Millisecond, down+300*time.Millisecond)
	const settles = 350 * time.Millisecond
	then, n := tr.longest(down+settles, up)
	late := 0
	for _, w := range tr.waits {
		if w.at >= down+settles && w.at < up && w.took > 5*time.Millisecond {
			late++
		}
	}
	t.Logf("first %v, then %v of %d requests, %d of them above 5ms, back in %v", first.Round(time.Millisecond),
		then.Round(10*time.Microsecond), n, late, back.Round(10*time.Millisecond))
	if first > 300*time.Millisecond+slack {
		t.Errorf("a request waited %v, want 300ms at most", first)
	}
	if then > 5*time.Millisecond+slack || late > n/5 || n == 0 {
		t.Errorf("later, %d of %d requests waited above 5ms, one %v", late, n, then)
	}
	if back > 5*time.Second+slack {
		t.Errorf("back after %v, want 5s at most", back)
	}
}

// checkCounts has the server know of all that was granted, and the log have one
// warning for each time that it went away.
func (h *host) checkCounts(t *testing.T, tr *traffic, direct *redis.Store) {
	t.Helper()
	defer direct.Close()
	u, err := direct.Take(t.Context(), "k", 0, state.MaxCount, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	s, granted := h.Stats(), tr.granted.Load()
	t.Logf("%d granted, %d counted, %d doubtful", granted, u.Used, s.Doubtful)
	if u.Used < granted || u.Used > granted+int64(s.Doubtful) {
		t.Errorf("%d counted, want %d and at most %d more", u.Used, granted, s.Doubtful)
	}
	if w := h.log.count("level=WARN"); w != int(s.Trips) {
		t.Errorf("%d warnings, want %d:\n%s", w, s.Trips, h.log.buf.String())
	}
}
