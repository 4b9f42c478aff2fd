package admin

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/gatepost/gatepost/internal/guard"
	"github.com/gatepost/gatepost/internal/journal"
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
	s.rightsRoutes(b.Accounts)
	s.policyRoutes(b.Policy, b.Journal)
	s.keyRoutes(b.Keys, b.DNS)
	s.banRoutes(b.Guard)
	s.guardRoutes(b.Guard, b.Journal)
	s.handle("GET /v1/limits", func(r *http.Request) (any, error) { return b.Limits.Usage(r.Context()) })
	s.limitRoutes(b.Limits)
	s.holdRoutes(b.Hold, b.Signals)
	s.greylistRoutes(b.Greylist)
	s.journalRoutes(b.Journal)
	s.stateRoutes(b.State)
	s.backupRoutes(b.Backup)
	s.learnRoutes(b.Learn)
	s.quarantineRoutes(b.Quarantine, b.Release)
	s.handle("GET /v1/rules", func(*http.Request) (any, error) { return b.Rules.Rules(), nil })
	s.listRoutes(b.Lists, b.Maps)
}

func badRequest(err error) error {
	return &Error{Status: http.StatusBadRequest, Text: err.Error()}
}

func (s *Server) journalRoutes(j journalStore) {
	s.handle("GET /v1/stories/{id}", func(r *http.Request) (any, error) {
		late, err := behind(r.Context(), j)
		if err != nil {
			return nil, err
		}
		story, err := j.Story(r.Context(), r.PathValue("id"))
		return late.with(story), err
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
		late, err := behind(r.Context(), j)
		if err != nil {
			return nil, err
		}
		records, err := j.Client(r.Context(), network, since)
		return late.with(records), err
	})
}

// warning goes to the person at the terminal, unless it is empty.
type warning string

func (w warning) with(v any) any {
	if w == "" {
		return v
	}
	return withWarning{v, string(w)}
}

// behind has the journal written, and says so when that fails: the older
// records can be read all the same.
func behind(ctx context.Context, j journalStore) (warning, error) {
	err := j.Flush(ctx)
	if err == nil || ctx.Err() != nil || errors.Is(err, journal.ErrClosed) {
		return "", err
	}
	return warning("the newest records are not written yet: " + err.Error()), nil
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
		b, err := g.Add(r.Context(), in.Network, time.Duration(in.Seconds)*time.Second, in.Reason)
		if err != nil && b.ID != "" { // it holds
			return withWarning{b, "the ban ends with a restart: " + err.Error()}, nil
		}
		return b, err
	})
	s.handle("DELETE /v1/bans", func(r *http.Request) (any, error) {
		network, err := netip.ParsePrefix(r.URL.Query().Get("network"))
		if err != nil {
			return nil, badRequest(err)
		}
		err = g.Remove(r.Context(), network)
		if err != nil && !errors.Is(err, guard.ErrNotFound) { // it is lifted
			return withWarning{nil, "the ban may come back with a restart: " + err.Error()}, nil
		}
		return nil, err
	})
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
