package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/limit"
	"github.com/gatepost/gatepost/internal/mailaddr"
)

// fakeLimits remembers what it was asked to do.
type fakeLimits struct{ did string }

func (f *fakeLimits) Reset(_ context.Context, name, key string) (int, error) {
	f.did = "reset " + name + " " + key
	if key == "nobody" {
		return 0, fmt.Errorf("%w: nothing is counted for nobody", limit.ErrUnknown)
	}
	return 2, nil
}

func (*fakeLimits) ByHand(context.Context) ([]limit.ByHand, error) {
	return []limit.ByHand{{Limit: "a", Key: "k", Rate: limit.Per(7, time.Hour)}}, nil
}

func (f *fakeLimits) Set(_ context.Context, h limit.ByHand) error {
	f.did = "set " + h.Limit + " " + h.Key + " " + h.Rate.String()
	if h.Limit == "bytes" {
		return fmt.Errorf("%w: 7/1h", limit.ErrInvalid)
	}
	return nil
}

func (f *fakeLimits) Unset(_ context.Context, name, key string) error {
	f.did = "unset " + name + " " + key
	return nil
}

func (*fakeLimits) Uncounted() []limit.Uncounted {
	return []limit.Uncounted{{QueueID: "4ABC", Count: 3, Remedy: "add a line"}}
}

func (*fakeLimits) Groups(context.Context) ([]account.Group, error) {
	return []account.Group{{Name: "staff", Users: []mailaddr.Address{{LocalPart: "alice", Domain: "example.org"}}}}, nil
}

func (f *fakeLimits) AddToGroup(_ context.Context, g account.Group) error {
	f.did = fmt.Sprintf("add to %s %v", g.Name, g.Users)
	if g.Name == "none" {
		return fmt.Errorf("user nobody: %w", account.ErrNotFound)
	}
	return nil
}

func (f *fakeLimits) RemoveFromGroup(_ context.Context, g account.Group) error {
	f.did = fmt.Sprintf("remove from %s %v", g.Name, g.Users)
	return nil
}

func TestGroupRoutes(t *testing.T) {
	s := &Server{mux: http.NewServeMux(), log: discard}
	f := &fakeLimits{}
	s.limitRoutes(f)
	c, ctx := &Client{path: "test", http: &http.Client{Transport: localTransport{s.mux}}}, t.Context()
	all, err := c.Groups(ctx)
	if err != nil || len(all) != 1 || len(all[0].Users) != 1 || all[0].Users[0].String() != "alice@example.org" {
		t.Errorf("Groups() = %+v, %v", all, err)
	}
	for _, tc := range []struct {
		err  error
		want string
	}{
		{c.AddToGroup(ctx, all[0]), "add to staff [alice@example.org]"},
		{c.RemoveFromGroup(ctx, account.Group{Name: "staff"}), "remove from staff []"},
	} {
		if tc.err != nil {
			t.Errorf("%s: %v", tc.want, tc.err)
		}
	}
	if f.did != "remove from staff []" {
		t.Errorf("did %q", f.did)
	}
	if err := c.AddToGroup(ctx, account.Group{Name: "none"}); !errors.Is(err, account.ErrNotFound) {
		t.Errorf("AddToGroup() of nobody = %v, want ErrNotFound", err)
	}
}

func TestLimitRoutes(t *testing.T) {
	s := &Server{mux: http.NewServeMux(), log: discard}
	f := &fakeLimits{}
	s.limitRoutes(f)
	c, ctx := &Client{path: "test", http: &http.Client{Transport: localTransport{s.mux}}}, t.Context()
	did := func(want string, err error) {
		t.Helper()
		if err != nil || f.did != want {
			t.Errorf("did %q, %v, want %q", f.did, err, want)
		}
	}
	n, err := c.ResetLimit(ctx, "a", "a+b&c@example.org,x/y")
	if did("reset a a+b&c@example.org,x/y", err); n != 2 {
		t.Errorf("ResetLimit() = %d, want 2", n)
	}
	did("set a k 5/1h, 9/1d", c.SetRate(ctx, limit.ByHand{Limit: "a", Key: "k", Rate: limit.Rates{{Count: 5, Window: time.Hour}, {Count: 9, Window: 24 * time.Hour}}}))
	did("unset a k", c.UnsetRate(ctx, "a", "k"))
	if got, err := c.Rates(ctx); err != nil || len(got) != 1 || got[0].Rate.String() != "7/1h" {
		t.Errorf("Rates() = %+v, %v", got, err)
	}
	if got, err := c.Uncounted(ctx); err != nil || len(got) != 1 || got[0].QueueID != "4ABC" {
		t.Errorf("Uncounted() = %+v, %v", got, err)
	}
	if _, err := c.ResetLimit(ctx, "", "nobody"); err == nil || !strings.Contains(err.Error(), "nothing is counted for nobody") {
		t.Errorf("ResetLimit() of nobody = %v", err)
	}
	if _, err := c.ResetLimit(ctx, "a", ""); err == nil {
		t.Error("ResetLimit() took no key")
	}
	if err := c.SetRate(ctx, limit.ByHand{Limit: "bytes", Key: "k", Rate: limit.Per(7, time.Hour)}); err == nil || !strings.Contains(err.Error(), "not a rate") {
		t.Errorf("SetRate() of a wrong rate = %v", err)
	}
}
