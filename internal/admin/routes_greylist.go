package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/gatepost/gatepost/internal/greylist"
)

// greylistStore is the greylist.
type greylistStore interface {
	List(ctx context.Context, f greylist.Filter) ([]greylist.Item, error)
	Release(ctx context.Context, f greylist.Filter) ([]greylist.Item, error)
	Allow(ctx context.Context, a greylist.Allowance) (greylist.Item, error)
	Forget(ctx context.Context, f greylist.Filter, dry bool) ([]greylist.Item, error)
}

// maxGreylisted bounds one answer.
const maxGreylisted = 100_000

func (s *Server) greylistRoutes(g greylistStore) {
	s.handle("GET /v1/greylist", func(r *http.Request) (any, error) {
		f, err := greylistFilter(r.URL.Query())
		if err != nil {
			return nil, badRequest(err)
		}
		return g.List(r.Context(), f)
	})
	s.handle("POST /v1/greylist/release", func(r *http.Request) (any, error) {
		f, err := chosen(r)
		if err != nil {
			return nil, err
		}
		return g.Release(r.Context(), f)
	})
	s.handle("POST /v1/greylist/allow", func(r *http.Request) (any, error) {
		var a greylist.Allowance
		if err := input(r, &a); err != nil {
			return nil, err
		}
		it, err := g.Allow(r.Context(), a)
		if errors.Is(err, greylist.ErrInvalid) {
			return nil, badRequest(err)
		}
		return it, err
	})
	s.handle("POST /v1/greylist/forget", func(r *http.Request) (any, error) {
		f, err := chosen(r)
		if err != nil {
			return nil, err
		}
		return g.Forget(r.Context(), f, r.URL.Query().Get("dry") == "1")
	})
}

// chosen reads a filter that chooses something: what changes the greylist never
// changes all of it by an empty request.
func chosen(r *http.Request) (greylist.Filter, error) {
	var f greylist.Filter
	if err := input(r, &f); err != nil {
		return f, err
	}
	if f.State != "" && !slices.Contains(greylist.States, f.State) {
		return f, badRequest(fmt.Errorf("%q is no state of the greylist", f.State))
	}
	if f.IsZero() && r.URL.Query().Get("all") != "1" {
		return f, badRequest(errors.New("a client, a sender or a recipient has to be named"))
	}
	return f, nil
}

func greylistFilter(v url.Values) (greylist.Filter, error) {
	f := greylist.Filter{State: greylist.State(v.Get("state")), Client: v.Get("client"), MailFrom: v.Get("mail_from"),
		RcptTo: v.Get("rcpt_to"), Limit: maxGreylisted}
	if f.State != "" && !slices.Contains(greylist.States, f.State) {
		return f, fmt.Errorf("%q is no state of the greylist", f.State)
	}
	if n := v.Get("limit"); n != "" {
		limit, err := strconv.Atoi(n)
		if err != nil || limit < 1 {
			return f, fmt.Errorf("limit %q is not a number from 1 on", n)
		}
		f.Limit = min(limit, maxGreylisted)
	}
	return f, nil
}

// Greylist lists what the greylist remembers.
func (c *Client) Greylist(ctx context.Context, f greylist.Filter) ([]greylist.Item, error) {
	v := url.Values{"state": {string(f.State)}, "client": {f.Client}, "mail_from": {f.MailFrom}, "rcpt_to": {f.RcptTo}}
	if f.Limit > 0 {
		v.Set("limit", strconv.Itoa(f.Limit))
	}
	var out []greylist.Item
	err := c.do(ctx, http.MethodGet, "/v1/greylist?"+v.Encode(), nil, &out)
	return out, err
}

// GreylistRelease lets what waits pass with its next try. With all an empty
// filter means all.
func (c *Client) GreylistRelease(ctx context.Context, f greylist.Filter, all bool) ([]greylist.Item, error) {
	var out []greylist.Item
	err := c.do(ctx, http.MethodPost, "/v1/greylist/release"+flags(all, false), f, &out)
	return out, err
}

// GreylistAllow lets a client in, or a recipient have no delay.
func (c *Client) GreylistAllow(ctx context.Context, a greylist.Allowance) (greylist.Item, error) {
	var out greylist.Item
	err := c.do(ctx, http.MethodPost, "/v1/greylist/allow", a, &out)
	return out, err
}

// GreylistForget forgets, or with dry only says what it would forget. With all
// an empty filter means all.
func (c *Client) GreylistForget(ctx context.Context, f greylist.Filter, all, dry bool) ([]greylist.Item, error) {
	var out []greylist.Item
	err := c.do(ctx, http.MethodPost, "/v1/greylist/forget"+flags(all, dry), f, &out)
	return out, err
}

// flags returns the query of a request that changes the greylist.
func flags(all, dry bool) string {
	v := url.Values{}
	if all {
		v.Set("all", "1")
	}
	if dry {
		v.Set("dry", "1")
	}
	return "?" + v.Encode()
}
