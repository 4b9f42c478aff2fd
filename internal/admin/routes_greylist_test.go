package admin

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/gatepost/gatepost/internal/greylist"
)

// greylistCalls remembers what it was asked.
type greylistCalls struct {
	filter greylist.Filter
	dry    bool
	calls  int
}

func (g *greylistCalls) List(_ context.Context, f greylist.Filter) ([]greylist.Item, error) {
	g.filter, g.calls = f, g.calls+1
	return []greylist.Item{{State: greylist.Waiting, Client: "192.0.2.0/24"}}, nil
}

func (g *greylistCalls) Release(ctx context.Context, f greylist.Filter) ([]greylist.Item, error) {
	return g.List(ctx, f)
}

func (g *greylistCalls) Forget(ctx context.Context, f greylist.Filter, dry bool) ([]greylist.Item, error) {
	g.dry = dry
	return g.List(ctx, f)
}

func (g *greylistCalls) Allow(_ context.Context, a greylist.Allowance) (greylist.Item, error) {
	if a.Client == "" {
		return greylist.Item{}, greylist.ErrInvalid
	}
	return greylist.Item{State: greylist.Allowed, Client: a.Client}, nil
}

func TestGreylistOverTheSocket(t *testing.T) {
	g := &greylistCalls{}
	s := &Server{mux: http.NewServeMux(), log: discard}
	s.greylistRoutes(g)
	c := &Client{http: &http.Client{Transport: localTransport{s.mux}}}
	ctx := t.Context()

	f := greylist.Filter{State: greylist.Passed, Client: "192.0.2.7", MailFrom: "a b&c", RcptTo: "alice", Limit: 3}
	if all, err := c.Greylist(ctx, f); err != nil || len(all) != 1 || g.filter != f {
		t.Errorf("Greylist = %+v, %v, asked for %+v", all, err, g.filter)
	}
	refused := func(what string, err error) {
		t.Helper()
		var e *Error
		if !errors.As(err, &e) || e.Status != http.StatusBadRequest {
			t.Errorf("%s = %v, want a refusal", what, err)
		}
	}
	calls := g.calls
	_, err := c.Greylist(ctx, greylist.Filter{State: "sleeping"})
	refused("an unknown state", err)
	_, err = c.GreylistRelease(ctx, greylist.Filter{}, false)
	refused("release of nothing named", err)
	_, err = c.GreylistForget(ctx, greylist.Filter{State: greylist.Passed}, false, true)
	refused("forget of nothing named", err)
	_, err = c.GreylistForget(ctx, greylist.Filter{State: "sleeping", Client: "x"}, false, true)
	refused("forget of an unknown state", err)
	_, err = c.GreylistAllow(ctx, greylist.Allowance{})
	refused("allow of nobody", err)
	if g.calls != calls {
		t.Error("a refused request reached the greylist")
	}
	if _, err := c.GreylistForget(ctx, greylist.Filter{}, true, true); err != nil || !g.dry {
		t.Errorf("forget all, dry: %v, dry %v", err, g.dry)
	}
	if all, err := c.GreylistRelease(ctx, greylist.Filter{RcptTo: "alice"}, false); err != nil || len(all) != 1 {
		t.Errorf("GreylistRelease = %+v, %v", all, err)
	}
	if it, err := c.GreylistAllow(ctx, greylist.Allowance{Client: "192.0.2.7"}); err != nil || it.Client != "192.0.2.7" {
		t.Errorf("GreylistAllow = %+v, %v", it, err)
	}
}
