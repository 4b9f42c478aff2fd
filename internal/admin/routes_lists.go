package admin

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/gatepost/gatepost/internal/lists"
	"github.com/gatepost/gatepost/internal/lists/maps"
)

// listStore is the DNS lists.
type listStore interface {
	Status() []lists.Status
	Check(ctx context.Context, what string) ([]lists.Checked, error)
}

// mapStore is the maps of one's own.
type mapStore interface {
	Status() []maps.Status
}

// Lists is what is known of the lists and maps of a process.
type Lists struct {
	Lists []lists.Status `json:"lists"`
	Maps  []maps.Status  `json:"maps"`
}

func (s *Server) listRoutes(l listStore, m mapStore) {
	s.handle("GET /v1/lists", func(*http.Request) (any, error) {
		return Lists{Lists: l.Status(), Maps: m.Status()}, nil
	})
	s.handle("GET /v1/lists/check", func(r *http.Request) (any, error) {
		out, err := l.Check(r.Context(), r.URL.Query().Get("what"))
		if err != nil {
			return nil, badRequest(err)
		}
		return out, nil
	})
}

// Lists returns what is known of all lists and maps.
func (c *Client) Lists(ctx context.Context) (Lists, error) {
	var out Lists
	err := c.do(ctx, http.MethodGet, "/v1/lists", nil, &out)
	return out, err
}

// CheckLists asks all lists about an address, a domain or an e-mail address.
func (c *Client) CheckLists(ctx context.Context, what string) ([]lists.Checked, error) {
	var out []lists.Checked
	err := c.do(ctx, http.MethodGet, "/v1/lists/check?what="+url.QueryEscape(what), nil, &out)
	var refused *Error
	if errors.As(err, &refused) && refused.Text == lists.ErrNotAsked.Error() {
		err = lists.ErrNotAsked
	}
	return out, err
}
