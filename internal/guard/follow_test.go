package guard

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatepost/gatepost/internal/state"
	"github.com/gatepost/gatepost/internal/unit"
)

// sharedState is one store of several hosts.
type sharedState struct {
	fakeState
	hosts []*hostState
}

// hostState is what one host has of it. What others did is told late, in the order
// of each key.
type hostState struct {
	all *sharedState
	// late is the longest by which calls and changes are late.
	late time.Duration

	mu     sync.Mutex
	away   bool
	queue  []state.Change
	missed bool
	news   chan struct{}
}

func newSharedState(n int) *sharedState {
	s := &sharedState{fakeState: *newFakeState()}
	for range n {
		s.hosts = append(s.hosts, &hostState{all: s, news: make(chan struct{}, 1), missed: true})
	}
	return s
}

func (h *hostState) call() error {
	if h.late > 0 {
		time.Sleep(rand.N(h.late))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.away {
		return fmt.Errorf("the store is away")
	}
	return nil
}

// tell is called with the store's lock.
func (h *hostState) tell(c state.Change) {
	for _, o := range h.all.hosts {
		if o == h {
			continue
		}
		o.mu.Lock()
		if o.away {
			o.missed = true
		} else {
			o.queue = append(o.queue, c)
		}
		o.mu.Unlock()
		o.wake()
	}
}

func (h *hostState) wake() {
	select {
	case h.news <- struct{}{}:
	default:
	}
}

func (h *hostState) setAway(away bool) {
	h.mu.Lock()
	h.away = away
	h.missed = true
	h.mu.Unlock()
	h.wake()
}

func (h *hostState) Put(_ context.Context, t state.Table, e state.Entry, _ bool) error {
	if err := h.call(); err != nil {
		return err
	}
	h.all.mu.Lock()
	defer h.all.mu.Unlock()
	h.all.table(t)[e.Key] = e
	h.tell(state.Change{Table: t, Entry: e})
	return nil
}

func (h *hostState) Delete(_ context.Context, t state.Table, key string) error {
	if err := h.call(); err != nil {
		return err
	}
	h.all.mu.Lock()
	defer h.all.mu.Unlock()
	delete(h.all.table(t), key)
	h.tell(state.Change{Table: t, Entry: state.Entry{Key: key}, Deleted: true})
	return nil
}

func (h *hostState) Get(_ context.Context, t state.Table, key string) (state.Entry, error) {
	if err := h.call(); err != nil {
		return state.Entry{}, err
	}
	h.all.mu.Lock()
	e, ok := h.all.table(t)[key]
	h.all.mu.Unlock()
	if !ok {
		return e, state.ErrNotFound
	}
	return e, h.call() // the answer is on its way, too
}

func (h *hostState) List(ctx context.Context, t state.Table, prefix string) ([]state.Entry, error) {
	if err := h.call(); err != nil {
		return nil, err
	}
	return h.all.List(ctx, t, prefix)
}

func (h *hostState) Watch(ctx context.Context, _ []state.Table, changed func(state.Change), missed func()) error {
	for {
		h.mu.Lock()
		all, m := h.queue, h.missed && !h.away
		h.queue = nil
		if m {
			h.missed, all = false, nil
		}
		h.mu.Unlock()
		if m {
			missed()
		}
		for _, c := range all {
			if h.late > 0 {
				time.Sleep(rand.N(h.late))
			}
			changed(c)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-h.news:
		}
	}
}

// peer is a guard of one host over a store of many.
type peer struct {
	*Guard
	state *hostState
	rec   *records
	log   *bytes.Buffer
	told  []string
}

// cluster starts n hosts that share a store, and ends with the test.
func cluster(t *testing.T, n int, edit func(i int, c *Config, d *Deps)) (*sharedState, []*peer) {
	t.Helper()
	store := newSharedState(n)
	var peers []*peer
	for i, h := range store.hosts {
		p := &peer{state: h, rec: &records{}, log: &bytes.Buffer{}}
		cfg, deps := Default(), Deps{State: h, Journal: p.rec, Host: fmt.Sprintf("mx%d", i+1)}
		deps.Changed = func(c Change) {
			what := "ban"
			if c.Lifted {
				what = "lift"
			}
			if c.Mode != unit.Enforce {
				what += " observed"
			}
			p.told = append(p.told, what+" "+c.Ban.Network.String())
		}
		if edit != nil {
			edit(i, &cfg, &deps)
		}
		g, err := New(t.Context(), cfg, deps, slog.New(slog.NewTextHandler(p.log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		p.Guard = g
		peers = append(peers, p)
	}
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for _, p := range peers {
		wg.Go(func() {
			if err := p.Run(ctx); err != nil {
				t.Errorf("Run() = %v", err)
			}
		})
	}
	t.Cleanup(func() {
		stop()
		wg.Wait()
	})
	synctest.Wait()
	return store, peers
}

func (p *peer) add(t *testing.T, network string) Ban {
	t.Helper()
	b, err := p.Add(t.Context(), netip.MustParsePrefix(network), time.Hour, "by hand")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (p *peer) refuses(t *testing.T, addr, user string) bool {
	return p.Check(t.Context(), Attempt{Addr: netip.MustParseAddr(addr), User: user, Service: "imap"}).Refuse
}

func (p *peer) verdicts() (all []string) {
	p.rec.mu.Lock()
	defer p.rec.mu.Unlock()
	for _, r := range p.rec.all {
		all = append(all, r.Verdict)
	}
	return all
}

const planted = "203.0.113.9"

// TestBanHoldsOnTheOtherHost: a ban of one host, and its end, hold on the other,
// where the sinks hear of it and explain says why.
func TestBanHoldsOnTheOtherHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, peers := cluster(t, 2, nil)
		a, b := peers[0], peers[1]
		for i := range 5 {
			a.Report(t.Context(), attempt(planted, "alice@example.org", fmt.Sprint(i)), Wrong)
		}
		synctest.Wait()
		if !b.refuses(t, planted, "alice@example.org") {
			t.Fatal("the other host lets in whom this one banned")
		}
		e, err := b.Explain(t.Context(), netip.MustParseAddr(planted))
		if err != nil || len(e.Bans) != 1 || e.Bans[0].Host != "mx1" || e.Bans[0].Reason != "5 different wrong passwords within 10m" {
			t.Errorf("Explain() = %+v, %v", e.Bans, err)
		}
		if err := b.Remove(t.Context(), netip.MustParsePrefix(planted+"/32")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if a.refuses(t, planted, "alice@example.org") {
			t.Error("a ban that the other host lifted holds")
		}
		for _, p := range peers {
			if want := []string{"ban 203.0.113.9/32", "lift 203.0.113.9/32"}; !slices.Equal(p.told, want) {
				t.Errorf("Changed heard %q, want %q", p.told, want)
			}
			if got := p.verdicts(); !slices.Equal(got, []string{"ban", "lifted"}) {
				t.Errorf("the journal has %q", got)
			}
		}
		// It goes on there at the second offence, and what was counted is gone.
		if d := a.Report(t.Context(), attempt(planted, "alice@example.org", "other"), Wrong); d.Refuse {
			t.Error("one more guess after the lift is refused")
		}
	})
}

// TestBanOfAWrongClock: a host whose clock is years ahead bans nobody for years.
func TestBanOfAWrongClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, peers := cluster(t, 2, nil)
		b := Ban{ID: "x", Network: netip.MustParsePrefix(planted + "/32"), Services: loginServices(), Reason: "late",
			Since: time.Now().AddDate(50, 0, 0), Until: time.Now().AddDate(50, 0, 1), Host: "mx1"}
		e, err := b.entry(b.Until, time.Time{})
		if err == nil {
			err = peers[0].state.Put(t.Context(), state.Ban, e, true)
		}
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if peers[1].refuses(t, planted, "") || !strings.Contains(peers[1].log.String(), "ban ignored") {
			t.Errorf("it holds; log:\n%s", peers[1].log)
		}
	})
}

// TestProcessesOfOneHost: where the services of one host are processes, a ban holds
// in each of them and stands in their journal once.
func TestProcessesOfOneHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, peers := cluster(t, 3, func(_ int, _ *Config, d *Deps) { d.Host = "mx1" })
		peers[0].add(t, planted+"/32")
		synctest.Wait()
		for i, p := range peers {
			if !p.refuses(t, planted, "alice@example.org") {
				t.Errorf("process %d lets in who is banned", i)
			}
		}
		if err := peers[1].Remove(t.Context(), netip.MustParsePrefix(planted+"/32")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		var all []string
		for _, p := range peers {
			all = append(all, p.verdicts()...)
		}
		if !slices.Equal(all, []string{"ban", "lifted"}) {
			t.Errorf("the journal has %q", all)
		}
	})
}

// TestProofHoldsOnTheOtherHost: who proved himself on one host gets in on the
// other whatever others do there, and a client whose mail was accepted on one is
// not closed out of port 25 on the other.
func TestProofHoldsOnTheOtherHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, peers := cluster(t, 2, func(_ int, c *Config, _ *Deps) { c.Rules.MX.Mode = unit.Enforce })
		a, b := peers[0], peers[1]
		a.Report(t.Context(), attempt(planted, "bob@example.org", "right"), Right)
		a.Note(t.Context(), Event{Kind: Accepted, Addr: netip.MustParseAddr("203.0.113.25")})
		synctest.Wait()
		for i := range 20 {
			b.Report(t.Context(), attempt(planted, "alice@example.org", fmt.Sprint(i)), Wrong)
			b.Note(t.Context(), Event{Kind: RelayAttempt, Addr: netip.MustParseAddr("203.0.113.25"), User: fmt.Sprint(i)})
		}
		synctest.Wait()
		if b.refuses(t, planted, "bob@example.org") || !b.refuses(t, planted, "alice@example.org") {
			t.Error("proven or not makes no difference on the other host")
		}
		if b.CheckClient(t.Context(), netip.MustParseAddr("203.0.113.25"), MX).Refuse {
			t.Error("a client with accepted mail is closed out")
		}
		if len(a.told)+len(b.told) != 0 {
			t.Errorf("a ban where somebody proved himself was told to %q %q", a.told, b.told)
		}
	})
}

// TestOwnAddressesOfEachHost: a ban of another host is not obeyed where its network
// is that of this host, or ignored, and kept out of its firewall around such.
func TestOwnAddressesOfEachHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, peers := cluster(t, 3, func(i int, c *Config, d *Deps) {
			switch i {
			case 1:
				d.Own = func() []netip.Addr { return []netip.Addr{netip.MustParseAddr(planted)} }
			case 2:
				ignoring(planted + "/32")(c)
			}
		})
		peers[0].add(t, planted+"/32")
		peers[0].add(t, "203.0.0.0/16")
		synctest.Wait()
		for i, p := range peers {
			if got := p.refuses(t, planted, "a@example.org"); got != (i == 0) {
				t.Errorf("host %d refuses its own: %v", i, got)
			}
			if !p.refuses(t, "203.0.113.8", "a@example.org") {
				t.Errorf("host %d lets in who is banned", i)
			}
			if i > 0 && len(p.told) != 0 {
				t.Errorf("host %d told others %q", i, p.told)
			}
		}
		if !strings.Contains(peers[1].log.String(), "never banned here") {
			t.Error("the log says nothing of a ban that is not obeyed")
		}
	})
}

// TestObservingHostMakesNobodyRefuse: a host that is tried in mode observe closes
// nothing on those that enforce.
func TestObservingHostMakesNobodyRefuse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, peers := cluster(t, 2, func(i int, c *Config, _ *Deps) {
			if i == 0 {
				c.Mode = unit.Observe
			}
		})
		peers[0].add(t, planted+"/32")
		synctest.Wait()
		if peers[1].refuses(t, planted, "a@example.org") {
			t.Error("a ban that is only observed is obeyed elsewhere")
		}
		if want := []string{"ban observed 203.0.113.9/32"}; !slices.Equal(peers[1].told, want) {
			t.Errorf("Changed heard %q, want %q", peers[1].told, want)
		}
	})
}

// TestAwayAndBack: what was made and lifted on both sides of a cut holds on both
// after it, and a store that lost all is filled again.
func TestAwayAndBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, peers := cluster(t, 2, nil)
		a, b := peers[0], peers[1]
		a.add(t, "192.0.2.1/32")
		a.add(t, "192.0.2.2/32")
		synctest.Wait()
		b.state.setAway(true)
		if err := a.Remove(t.Context(), netip.MustParsePrefix("192.0.2.1/32")); err != nil {
			t.Fatal(err)
		}
		a.add(t, "192.0.2.3/32")
		if err := b.Remove(t.Context(), netip.MustParsePrefix("192.0.2.2/32")); err == nil {
			t.Error("Remove() has no error although the store is away")
		}
		if _, err := b.Add(t.Context(), netip.MustParsePrefix("192.0.2.4/32"), time.Hour, ""); err == nil {
			t.Error("Add() has no error although the store is away")
		}
		time.Sleep(time.Minute)
		b.state.setAway(false)
		time.Sleep(time.Minute)
		synctest.Wait()
		check := func(when string) {
			t.Helper()
			for i, p := range peers {
				for n, want := range []bool{false, false, false, true, true} {
					if addr := fmt.Sprintf("192.0.2.%d", n); p.refuses(t, addr, "a@example.org") != want {
						t.Errorf("%s: host %d refuses %s: %v", when, i, addr, !want)
					}
				}
			}
		}
		check("healed")
		if got := slices.Sorted(slices.Values(b.told)); !slices.Equal(got, []string{"ban 192.0.2.1/32", "ban 192.0.2.2/32",
			"ban 192.0.2.3/32", "ban 192.0.2.4/32", "lift 192.0.2.1/32", "lift 192.0.2.2/32"}) {
			t.Errorf("Changed heard %q", got)
		}
		store.mu.Lock()
		clear(store.rows)
		store.mu.Unlock()
		b.state.setAway(false)
		synctest.Wait()
		check("lost and filled again")
		if n := len(store.rows); n < 2 {
			t.Errorf("the store has %d rows again", n)
		}
	})
}

// quarrel lets all hosts ban and lift the same networks at the same time.
func quarrel(t *testing.T, seed uint64, peers []*peer) {
	var wg sync.WaitGroup
	for i, p := range peers {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		wg.Go(func() {
			for range 40 {
				network := netip.MustParsePrefix(fmt.Sprintf("192.0.2.%d/32", r.IntN(3)))
				if r.IntN(2) == 0 {
					_ = p.Remove(t.Context(), network) // there may be none
				} else if _, err := p.Add(t.Context(), network, time.Hour, ""); err != nil {
					t.Errorf("Add() = %v", err)
				}
				time.Sleep(time.Duration(r.IntN(40)) * time.Millisecond)
			}
		})
	}
	wg.Wait()
}

// TestHostsConverge: whatever hosts ban and lift at the same time, over a store
// that answers late and tells late, in the end all have what the store has.
func TestHostsConverge(t *testing.T) {
	for seed := range uint64(60) {
		synctest.Test(t, func(t *testing.T) {
			store, peers := cluster(t, 3, nil)
			for _, h := range store.hosts {
				h.late = 30 * time.Millisecond
			}
			quarrel(t, seed, peers)
			time.Sleep(time.Minute)
			synctest.Wait()
			want := map[string]string{}
			for key, e := range store.rows {
				b, lifted, err := banOf(e, time.Now())
				if err != nil {
					t.Fatal(err)
				}
				if lifted.IsZero() {
					want[key] = b.ID
				}
			}
			for i, p := range peers {
				all, _ := p.Bans(t.Context())
				got := map[string]string{}
				for _, b := range all {
					got[b.key()] = b.ID
				}
				if fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("seed %d: host %d has %v, the store %v", seed, i, got, want)
				}
				closed := map[string]bool{}
				for _, line := range p.told {
					what, network, _ := strings.Cut(line, " ")
					closed[network] = what == "ban"
				}
				for n := range 3 {
					if key := fmt.Sprintf("192.0.2.%d/32", n); closed[key] != (want[key] != "") {
						t.Errorf("seed %d: host %d last told %s closed: %v", seed, i, key, closed[key])
					}
				}
				if f := &p.follow; len(f.pending) != 0 || f.touched != nil {
					t.Errorf("left behind: %+v", f)
				}
			}
		})
	}
}

// TestAlone: without others Run ends at once, and a lifted ban has no row.
func TestAlone(t *testing.T) {
	w := newWorld(t, nil)
	if err := w.Run(t.Context()); err != nil {
		t.Error(err)
	}
	p := netip.MustParsePrefix("192.0.2.1/32")
	if _, err := w.Add(t.Context(), p, time.Hour, ""); err != nil || len(w.state.rows) != 1 {
		t.Errorf("Add() = %v with %d rows", err, len(w.state.rows))
	}
	if err := w.Remove(t.Context(), p); err != nil || len(w.state.rows) != 0 {
		t.Errorf("Remove() = %v with %d rows", err, len(w.state.rows))
	}
}
