package stated

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/state"
	"github.com/gatepost/gatepost/internal/state/shared"
	"github.com/gatepost/gatepost/internal/state/statetest"
)

var _ shared.Remote = (*Remote)(nil)

// aloneOver returns a state over c that goes on while the other process is away.
func aloneOver(t *testing.T, c *Client) *shared.Store {
	t.Helper()
	s, err := shared.New(t.Context(), c.State().Remote(), state.OpenMemory(quiet()), nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestMerge: what a daemon counted alone counts once, as much as one merge may have.
func TestMerge(t *testing.T) {
	p := newParts(t)
	r := dial(t, serve(t, filepath.Join(p.dir, "s"), p.Parts, GrantOf(Policyd)).path).State().Remote()
	counts := []state.Merged{{Key: "k\xfe", Max: 9, Window: time.Hour, Grants: []state.Grant{{Ago: time.Minute, N: 2}, {Ago: time.Second, N: 3}}}}
	for range 2 {
		if err := r.Merge(t.Context(), "id", counts); err != nil {
			t.Fatal(err)
		}
	}
	if got := statetest.Used(t, r, "k\xfe"); got != 5 {
		t.Errorf("two merges with one id count %d, want 5", got)
	}
	var most []state.Merged
	for range state.MaxMerged {
		m := state.Merged{Key: string(make([]byte, state.MaxKeyBytes)), Max: state.MaxCount, Window: state.MaxWindow}
		for range state.MaxGrants {
			m.Grants = append(m.Grants, state.Grant{Ago: state.MaxWindow - 1, N: state.MaxCount})
		}
		most = append(most, m)
	}
	if err := r.Merge(t.Context(), "largest", most); err != nil {
		t.Errorf("Merge of as much as there may be = %v", err)
	}
	if err := r.Merge(t.Context(), "more", append(most, most[0])); !errors.Is(err, state.ErrInvalid) && !errors.Is(err, errRequest) {
		t.Errorf("Merge of more = %v", err)
	}
}

// TestLateClaims: what nobody waits for any more is not counted.
func TestLateClaims(t *testing.T) {
	p := newParts(t)
	c := dial(t, serve(t, filepath.Join(p.dir, "s"), p.Parts, GrantOf(Policyd)).path)
	claims := []state.Claim{{Key: "k", N: 1, Max: 10, Window: time.Hour}}
	if _, err := c.State().takeAll(t.Context(), claims, false, time.Now().Add(-time.Millisecond)); err == nil || answered(err) {
		t.Errorf("a late claim is answered %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := c.State().Remote().TakeAll(ctx, claims, false); err != nil {
		t.Error(err)
	}
	if got := statetest.Used(t, c.State(), "k"); got != 1 {
		t.Errorf("%d are counted, want 1", got)
	}
}

// farStore is a state process whose Redis is away.
type farStore struct{ state.Store }

func (farStore) Get(context.Context, state.Table, string) (state.Entry, error) {
	return state.Entry{}, state.ErrAway
}

// TestRedisAwayThere: a state process that says that its Redis is away is not away.
func TestRedisAwayThere(t *testing.T) {
	p := newParts(t)
	p.Parts.State = NewHub(farStore{p.hub.inner})
	s := aloneOver(t, dial(t, serve(t, filepath.Join(p.dir, "s"), p.Parts, GrantOf(Policyd)).path))
	defer s.Close()
	for range 5 {
		if _, err := s.Get(t.Context(), state.Seen, "k"); !errors.Is(err, state.ErrAway) {
			t.Errorf("Get() = %v, want ErrAway", err)
		}
	}
	if st := s.Stats(); st.Why == "errors" || st.Failed > 0 {
		t.Errorf("Stats() = %+v", st)
	}
}

// TestInterrupt: a call that a hung process does not answer is ended, and nobody
// knows then whether it was done.
func TestInterrupt(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	ln, err := net.Listen("unix", path) // which nobody accepts from
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for name, end := range map[string]func(*Remote){"Interrupt": (*Remote).Interrupt, "Close": func(r *Remote) { _ = r.Close() }} {
		r := dial(t, path).State().Remote()
		done := make(chan error, 1)
		go func() {
			_, err := r.List(context.Background(), state.Ban, "")
			done <- err
		}()
		eventually(t, "it is asked", func() bool {
			r.mu.Lock()
			defer r.mu.Unlock()
			return len(r.inHand) == 1
		})
		end(r)
		if err := <-done; !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: List() = %v", name, err)
		}
	}
}

// TestSilent: while probes find nobody, nothing else is asked; names that are known
// are answered, and the first probe that is answered ends it.
func TestSilent(t *testing.T) {
	p := newParts(t)
	path := filepath.Join(p.dir, "s")
	srv := serve(t, path, p.Parts, GrantOf(Policyd))
	c := dial(t, path)
	r, a := c.State().Remote(), c.Accounts()
	if _, err := a.User(t.Context(), alice); err != nil {
		t.Fatal(err)
	}
	srv.stop()
	for range silentProbes {
		if err := r.Probe(t.Context()); !errors.Is(err, ErrAway) {
			t.Errorf("Probe() = %v", err)
		}
	}
	serve(t, path, p.Parts, GrantOf(Policyd))
	if u, err := a.User(t.Context(), alice); err != nil || u.Addr != alice {
		t.Errorf("User(alice) = %+v, %v", u, err)
	}
	other := mailaddr.Address{LocalPart: "bob", Domain: "example.org"}
	if _, err := a.User(t.Context(), other); !errors.Is(err, ErrAway) {
		t.Errorf("User(bob) = %v, want ErrAway", err)
	}
	if err := r.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := a.User(t.Context(), other); !errors.Is(err, account.ErrNotFound) {
		t.Errorf("User(bob) = %v, want ErrNotFound", err)
	}
}
