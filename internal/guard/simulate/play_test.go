package simulate_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatepost/gatepost/internal/eval/cmd/page"
	"github.com/gatepost/gatepost/internal/guard"
	"github.com/gatepost/gatepost/internal/guard/simulate"
	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/netaddr"
	"github.com/gatepost/gatepost/internal/secret"
	"github.com/gatepost/gatepost/internal/state"
)

// nowhere is a state and a journal that keep nothing.
type nowhere struct{}

func (nowhere) Put(context.Context, state.Table, state.Entry, bool) error { return nil }
func (nowhere) Delete(context.Context, state.Table, string) error         { return nil }
func (nowhere) List(context.Context, state.Table, string) ([]state.Entry, error) {
	return nil, nil
}
func (nowhere) Record(journal.Record) {}

const (
	// hashing is how long a password check takes, answer how long a client
	// waits for the answer.
	hashing = 80 * time.Millisecond
	answer  = 8 * time.Second
)

// play runs a scenario against the guard, in virtual time: every attempt has a
// goroutine of its own, as every login has a connection.
func play(t *testing.T, s simulate.Scenario, seed uint64) (r simulate.Result) {
	synctest.Test(t, func(t *testing.T) {
		cfg := guard.Default()
		for _, a := range s.Shared {
			cfg.IgnoreNetworks = append(cfg.IgnoreNetworks, netaddr.Prefix{Prefix: netip.PrefixFrom(a, a.BitLen())})
		}
		cfg.Rules.MX.Mode = "enforce"
		g, err := guard.New(t.Context(), cfg, guard.Deps{State: nowhere{}, Journal: nowhere{}}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		var mu sync.Mutex
		var wg sync.WaitGroup
		for _, e := range s.Events(seed) {
			time.Sleep(time.Until(start.Add(e.At)))
			wg.Go(func() {
				ok := one(t.Context(), g, e)
				mu.Lock()
				defer mu.Unlock()
				r.Count(e, ok)
			})
		}
		wg.Wait()
	})
	return r
}

// one is a login, or a message. It reports whether the password was looked at,
// and an innocent one's answer came in time.
func one(ctx context.Context, g *guard.Guard, e simulate.Event) bool {
	if e.Mail {
		refused := g.CheckClient(ctx, e.Addr, guard.MX).Refuse
		g.Note(ctx, guard.Event{Kind: guard.Accepted, Addr: e.Addr})
		return !refused
	}
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, answer)
	defer cancel()
	a := guard.Attempt{Addr: e.Addr, User: e.User, Service: e.Service, Password: secret.String(e.Password)}
	before := g.Admit(ctx, a)
	if before.Refuse {
		return false
	}
	a.Admitted = true
	if ctx.Err() != nil {
		g.Report(ctx, a, guard.Abandoned)
		return false
	}
	time.Sleep(hashing)
	how := guard.Wrong
	switch {
	case e.Right:
		how = guard.Right
	case e.NoAccount:
		how = guard.NoAccount
	}
	after := g.Report(ctx, a, how)
	if !e.Innocent {
		return !e.Right || !after.Refuse
	}
	return !after.Refuse && time.Since(start)+before.Delay+after.Delay <= answer
}

// The seeds: thresholds were chosen with the first, the table is of the second.
func tuning() []uint64    { return []uint64{1, 2, 3} }
func published() []uint64 { return []uint64{301, 302, 303, 304, 305} }

// most is how many guesses of a scenario may reach a password check at most, in
// one run.
func most(name string) int {
	return map[string]int{"one-address": 5, "spray": 15, "rotating": 50, "hourly": 100, "webmail": 1500, "carrier-infected": 30}[name]
}

// TestScenarios: no innocent is hurt, whatever the seed.
func TestScenarios(t *testing.T) {
	for _, s := range simulate.Scenarios() {
		t.Run(s.Name, func(t *testing.T) {
			for _, seed := range tuning() {
				r := play(t, s, seed)
				if r.Hurt != 0 || r.Looked > most(s.Name) || r.Innocent == 0 {
					t.Errorf("seed %d: %+v, want nobody hurt and at most %d guesses looked at", seed, r, most(s.Name))
				}
			}
		})
	}
}

// TestSameSeed: a seed gives the same events, and another one others.
func TestSameSeed(t *testing.T) {
	for _, s := range simulate.Scenarios() {
		a, b, c := fmt.Sprint(s.Events(1)), fmt.Sprint(s.Events(1)), fmt.Sprint(s.Events(2))
		if a != b || a == c {
			t.Errorf("%s: same seed, same events: %v; other seed, other events: %v", s.Name, a == b, a != c)
		}
	}
}

var publish = flag.String("publish", "", "write the table to this page, docs/guard.md")

// TestTable prints the table of docs/guard.md; -publish=../../../docs/guard.md
// writes it there.
func TestTable(t *testing.T) {
	seeds := published()
	if *publish == "" { // the others take some seconds
		seeds = seeds[:1]
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "\n| scenario | guesses | looked at | got in | innocent | hurt | fail2ban: looked at | got in | hurt |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, s := range simulate.Scenarios() {
		var ours, theirs simulate.Result
		for _, seed := range seeds {
			r := play(t, s, seed)
			if r.Hurt != 0 || r.Looked > most(s.Name) {
				t.Errorf("%s, seed %d: %+v", s.Name, seed, r)
			}
			ours.Add(r)
			theirs.Add(simulate.Fail2ban(s, seed))
		}
		n := len(seeds)
		fmt.Fprintf(&out, "| %s | %d | %d | %d | %d | **%d** | %d | %d | %d |\n", s.Title, ours.Guesses/n, ours.Looked/n, ours.Opened,
			ours.Innocent/n, ours.Hurt, theirs.Looked/n, theirs.Opened, theirs.Hurt/n)
	}
	out.WriteString("\n")
	if *publish == "" {
		t.Logf("%s", out.String())
		return
	}
	if err := page.Publish(*publish, "guard", out.Bytes()); err != nil {
		t.Fatal(err)
	}
}
