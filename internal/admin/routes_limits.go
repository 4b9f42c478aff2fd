package admin

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/limit"
)

// limitAdmin is what can be done about limits.
type limitAdmin interface {
	Reset(ctx context.Context, name, key string) (int, error)
	ByHand(ctx context.Context) ([]limit.ByHand, error)
	Set(ctx context.Context, h limit.ByHand) error
	Unset(ctx context.Context, name, key string) error
	// Uncounted returns what passed lately without being counted.
	Uncounted() []limit.Uncounted
	groupAdmin
}

// groupAdmin is what can be done about the groups of the account store.
type groupAdmin interface {
	Groups(ctx context.Context) ([]account.Group, error)
	AddToGroup(ctx context.Context, g account.Group) error
	RemoveFromGroup(ctx context.Context, g account.Group) error
}

// forgotten is how many counters a reset forgot.
type forgotten struct {
	Forgotten int `json:"forgotten"`
}

func (s *Server) limitRoutes(l limitAdmin) {
	s.handle("DELETE /v1/limits", func(r *http.Request) (any, error) {
		q := r.URL.Query()
		if q.Get("key") == "" {
			return nil, badRequest(errors.New("key is missing"))
		}
		n, err := l.Reset(r.Context(), q.Get("limit"), q.Get("key"))
		return forgotten{n}, limitError(err)
	})
	s.handle("GET /v1/limits/uncounted", func(*http.Request) (any, error) { return l.Uncounted(), nil })
	s.handle("GET /v1/limits/rates", func(r *http.Request) (any, error) { return l.ByHand(r.Context()) })
	s.handle("POST /v1/limits/rates", func(r *http.Request) (any, error) {
		var h limit.ByHand
		if err := input(r, &h); err != nil {
			return nil, err
		}
		return nil, limitError(l.Set(r.Context(), h))
	})
	s.handle("DELETE /v1/limits/rates", func(r *http.Request) (any, error) {
		q := r.URL.Query()
		return nil, limitError(l.Unset(r.Context(), q.Get("limit"), q.Get("key")))
	})
	s.groupRoutes(l)
}

func (s *Server) groupRoutes(g groupAdmin) {
	s.handle("GET /v1/groups", func(r *http.Request) (any, error) { return g.Groups(r.Context()) })
	change := func(pattern string, do func(context.Context, account.Group) error) {
		s.handle(pattern, func(r *http.Request) (any, error) {
			var in account.Group
			if err := input(r, &in); err != nil {
				return nil, err
			}
			return nil, limitError(do(r.Context(), in))
		})
	}
	change("POST /v1/groups", func(ctx context.Context, in account.Group) error { return g.AddToGroup(ctx, in) })
	change("DELETE /v1/groups", func(ctx context.Context, in account.Group) error { return g.RemoveFromGroup(ctx, in) })
}

// limitError gives an error of who asked its status.
func limitError(err error) error {
	switch {
	case errors.Is(err, limit.ErrUnknown):
		return &Error{Status: http.StatusNotFound, Text: err.Error()}
	case errors.Is(err, limit.ErrInvalid):
		return badRequest(err)
	}
	return err
}

// ResetLimit forgets what was counted for key on a limit, or on all with an
// empty name, and returns how many counters that were.
func (c *Client) ResetLimit(ctx context.Context, name, key string) (int, error) {
	var out forgotten
	err := c.do(ctx, http.MethodDelete, "/v1/limits?"+limitQuery(name, key), nil, &out)
	return out.Forgotten, err
}

// Rates lists the rates that were set by hand.
func (c *Client) Rates(ctx context.Context) ([]limit.ByHand, error) {
	var out []limit.ByHand
	err := c.do(ctx, http.MethodGet, "/v1/limits/rates", nil, &out)
	return out, err
}

// SetRate sets a rate by hand.
func (c *Client) SetRate(ctx context.Context, h limit.ByHand) error {
	return c.do(ctx, http.MethodPost, "/v1/limits/rates", h, nil)
}

// UnsetRate forgets a rate that was set by hand.
func (c *Client) UnsetRate(ctx context.Context, name, key string) error {
	return c.do(ctx, http.MethodDelete, "/v1/limits/rates?"+limitQuery(name, key), nil, nil)
}

// Uncounted returns what passed lately without being counted by limits.
func (c *Client) Uncounted(ctx context.Context) ([]limit.Uncounted, error) {
	var out []limit.Uncounted
	err := c.do(ctx, http.MethodGet, "/v1/limits/uncounted", nil, &out)
	return out, err
}

// Groups lists the groups of the account store.
func (c *Client) Groups(ctx context.Context) ([]account.Group, error) {
	var out []account.Group
	err := c.do(ctx, http.MethodGet, "/v1/groups", nil, &out)
	return out, err
}

// AddToGroup adds users to a group, which need not be there.
func (c *Client) AddToGroup(ctx context.Context, g account.Group) error {
	return c.do(ctx, http.MethodPost, "/v1/groups", g, nil)
}

// RemoveFromGroup removes users from a group, or without any the group.
func (c *Client) RemoveFromGroup(ctx context.Context, g account.Group) error {
	return c.do(ctx, http.MethodDelete, "/v1/groups", g, nil)
}

func limitQuery(name, key string) string {
	return "limit=" + url.QueryEscape(name) + "&key=" + url.QueryEscape(key)
}
