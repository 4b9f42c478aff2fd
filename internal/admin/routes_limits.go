package admin

import (
	"context"
	"errors"
	"net/http"
	"net/url"

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

func limitQuery(name, key string) string {
	return "limit=" + url.QueryEscape(name) + "&key=" + url.QueryEscape(key)
}
