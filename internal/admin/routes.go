package admin

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/guard"
	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/keys"
	"github.com/gatepost/gatepost/internal/limit"
)

func (s *Server) routes(b Backend) {
	s.handle("GET /healthz", func(r *http.Request) (any, error) {
		if b.Health == nil {
			return nil, nil
		}
		if err := b.Health(r.Context()); err != nil {
			return nil, &Error{Status: http.StatusServiceUnavailable, Text: err.Error()}
		}
		return nil, nil
	})
	if b.Metrics != nil {
		s.mux.Handle("GET /metrics", b.Metrics)
	}
	s.accountRoutes(b.Accounts)
	s.keyRoutes(b.Keys, b.DNS)
	s.banRoutes(b.Guard)
	s.handle("GET /v1/limits", func(r *http.Request) (any, error) { return b.Limits.Usage(r.Context()) })
	s.journalRoutes(b.Journal)
}

func badRequest(err error) error {
	return &Error{Status: http.StatusBadRequest, Text: err.Error()}
}

func (s *Server) journalRoutes(j journalStore) {
	s.handle("GET /v1/stories/{id}", func(r *http.Request) (any, error) {
		if err := j.Flush(r.Context()); err != nil {
			return nil, err
		}
		return j.Story(r.Context(), r.PathValue("id"))
	})
	s.handle("GET /v1/records", func(r *http.Request) (any, error) {
		network, err := netip.ParsePrefix(r.URL.Query().Get("client"))
		if err != nil {
			return nil, badRequest(err)
		}
		since, err := time.Parse(time.RFC3339, r.URL.Query().Get("since"))
		if err != nil {
			return nil, badRequest(err)
		}
		if err := j.Flush(r.Context()); err != nil {
			return nil, err
		}
		return j.Client(r.Context(), network, since)
	})
}

// newBan is a ban that an admin sets.
type newBan struct {
	Network netip.Prefix `json:"network"`
	Seconds int64        `json:"seconds"`
	Reason  string       `json:"reason"`
}

func (s *Server) banRoutes(g guardStore) {
	s.handle("GET /v1/bans", func(r *http.Request) (any, error) { return g.Bans(r.Context()) })
	s.handle("POST /v1/bans", func(r *http.Request) (any, error) {
		var in newBan
		if err := input(r, &in); err != nil {
			return nil, err
		}
		return g.Add(r.Context(), in.Network, time.Duration(in.Seconds)*time.Second, in.Reason)
	})
	s.handle("DELETE /v1/bans", func(r *http.Request) (any, error) {
		network, err := netip.ParsePrefix(r.URL.Query().Get("network"))
		if err != nil {
			return nil, badRequest(err)
		}
		return nil, g.Remove(r.Context(), network)
	})
}

// Key is what the command line needs to know of a signing key: nothing secret.
type Key struct {
	Domain    string `json:"domain"`
	Selector  string `json:"selector"`
	Algorithm string `json:"algorithm"`
	Name      string `json:"name"`
	Record    string `json:"record"`
	Zone      string `json:"zone"`
}

func describe(k keys.Key) Key {
	return Key{Domain: k.Domain, Selector: k.Selector, Algorithm: string(k.Algorithm),
		Name: k.Name(), Record: k.Record(), Zone: k.Zone()}
}

// NewKey asks for a key: an empty Selector gets a name from date and algorithm.
type NewKey struct {
	Domain    string `json:"domain"`
	Selector  string `json:"selector"`
	Algorithm string `json:"algorithm"`
}

func (s *Server) keyRoutes(k keyStore, dns txtResolver) {
	s.handle("GET /v1/keys/test", func(r *http.Request) (any, error) {
		out := []keys.Report{}
		for _, key := range k.List() {
			if d := r.URL.Query().Get("domain"); d != "" && !strings.EqualFold(d, key.Domain) {
				continue
			}
			report, err := keys.Test(r.Context(), dns, key)
			if err != nil {
				report.Problem = "the DNS gave no answer: " + err.Error()
			}
			out = append(out, report)
		}
		return out, nil
	})
	s.handle("GET /v1/keys", func(r *http.Request) (any, error) {
		out := []Key{}
		for _, key := range k.List() {
			if d := r.URL.Query().Get("domain"); d == "" || strings.EqualFold(d, key.Domain) {
				out = append(out, describe(key))
			}
		}
		return out, nil
	})
	s.handle("POST /v1/keys", func(r *http.Request) (any, error) {
		var in NewKey
		if err := input(r, &in); err != nil {
			return nil, err
		}
		key, err := k.Create(in.Domain, in.Selector, keys.Algorithm(in.Algorithm))
		if err != nil {
			return nil, err
		}
		return describe(key), nil
	})
}

// Keys lists the signing keys of domain, or all for "".
func (c *Client) Keys(ctx context.Context, domain string) ([]Key, error) {
	var out []Key
	err := c.do(ctx, http.MethodGet, "/v1/keys?domain="+url.QueryEscape(domain), nil, &out)
	return out, err
}

// TestKeys compares the DNS with the private keys of domain, or all for "".
func (c *Client) TestKeys(ctx context.Context, domain string) ([]keys.Report, error) {
	var out []keys.Report
	err := c.do(ctx, http.MethodGet, "/v1/keys/test?domain="+url.QueryEscape(domain), nil, &out)
	return out, err
}

// CreateKey makes a signing key, which is in use from then on.
func (c *Client) CreateKey(ctx context.Context, k NewKey) (Key, error) {
	var out Key
	err := c.do(ctx, http.MethodPost, "/v1/keys", k, &out)
	return out, err
}

// Bans lists what is refused now.
func (c *Client) Bans(ctx context.Context) ([]guard.Ban, error) {
	var out []guard.Ban
	err := c.do(ctx, http.MethodGet, "/v1/bans", nil, &out)
	return out, err
}

// AddBan refuses logins from network for d.
func (c *Client) AddBan(ctx context.Context, network netip.Prefix, d time.Duration, reason string) (guard.Ban, error) {
	var out guard.Ban
	err := c.do(ctx, http.MethodPost, "/v1/bans", newBan{network, int64(d / time.Second), reason}, &out)
	return out, err
}

// RemoveBan lifts the ban on network.
func (c *Client) RemoveBan(ctx context.Context, network netip.Prefix) error {
	return c.do(ctx, http.MethodDelete, "/v1/bans?network="+url.QueryEscape(network.String()), nil, nil)
}

// Limits lists what has been used of which limit.
func (c *Client) Limits(ctx context.Context) ([]limit.Usage, error) {
	var out []limit.Usage
	err := c.do(ctx, http.MethodGet, "/v1/limits", nil, &out)
	return out, err
}

// Story returns what is known of a message, by queue id or Message-ID.
func (c *Client) Story(ctx context.Context, id string) (journal.Story, error) {
	var out journal.Story
	err := c.do(ctx, http.MethodGet, "/v1/stories/"+escape(id), nil, &out)
	return out, err
}

// Records returns what clients of network did since a time.
func (c *Client) Records(ctx context.Context, network netip.Prefix, since time.Time) ([]journal.Record, error) {
	var out []journal.Record
	err := c.do(ctx, http.MethodGet, "/v1/records?client="+url.QueryEscape(network.String())+
		"&since="+url.QueryEscape(since.Format(time.RFC3339)), nil, &out)
	return out, err
}
