package admin

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"github.com/gatepost/gatepost/internal/guard"
	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/mailaddr"
)

// guardAdmin is what the command line asks of the guard beside its bans.
type guardAdmin interface {
	Status(ctx context.Context) (guard.Status, error)
	Explain(ctx context.Context, addr netip.Addr) (guard.Explanation, error)
	Note(ctx context.Context, e guard.Event) guard.Decision
}

// GuardReport is a failed login that another program saw.
type GuardReport struct {
	Addr netip.Addr `json:"addr"`
	// User is an address, or a name of that program's own.
	User    string `json:"user,omitempty"`
	Service string `json:"service"`
}

// GuardVerdict is what follows from a report.
type GuardVerdict struct {
	Refused bool       `json:"refused"`
	Ban     *guard.Ban `json:"ban,omitempty"`
}

// maxReported bounds a text of a report.
const maxReported = 255

// event checks r.
func (r GuardReport) event() (guard.Event, error) {
	e := guard.Event{Kind: guard.Reported, Addr: r.Addr.Unmap().WithZone(""), User: r.User, Service: r.Service}
	switch {
	case !e.Addr.IsValid() || e.Addr.IsUnspecified():
		return e, fmt.Errorf("a report names the address of the client")
	case r.Service == "" || len(r.Service) > maxReported || len(r.User) > maxReported:
		return e, fmt.Errorf("a report names a service, and each text has at most %d bytes", maxReported)
	}
	if a, err := mailaddr.Parse(r.User); err == nil && a.Domain != "" {
		e.User = a.Folded().String()
	}
	return e, nil
}

// guardRoutes serve g, and what the journal has of logins.
func (s *Server) guardRoutes(g guardAdmin, j journalPager) {
	s.handle("GET /v1/guard", func(r *http.Request) (any, error) { return g.Status(r.Context()) })
	s.handle("GET /v1/guard/explain", func(r *http.Request) (any, error) {
		addr, err := netip.ParseAddr(r.URL.Query().Get("addr"))
		if err != nil {
			return nil, badRequest(err)
		}
		return g.Explain(r.Context(), addr)
	})
	s.handle("POST /v1/guard/reports", func(r *http.Request) (any, error) {
		var in GuardReport
		if err := input(r, &in); err != nil {
			return nil, err
		}
		e, err := in.event()
		if err != nil {
			return nil, badRequest(err)
		}
		d := g.Note(r.Context(), e)
		out := GuardVerdict{Refused: d.Refuse}
		if d.Ban.ID != "" {
			out.Ban = &d.Ban
		}
		return out, nil
	})
	s.handle("GET /v1/guard/records", func(r *http.Request) (any, error) {
		q := r.URL.Query()
		since, err := time.Parse(time.RFC3339, q.Get("since"))
		if err != nil {
			return nil, badRequest(err)
		}
		before, err := strconv.ParseInt(q.Get("before"), 10, 64)
		if err != nil || before < 0 {
			return nil, &Error{Status: http.StatusBadRequest, Text: "before is not a number"}
		}
		return j.Page(r.Context(), "authd", since, before)
	})
}

// GuardStatus says how the guard stands.
func (c *Client) GuardStatus(ctx context.Context) (out guard.Status, err error) {
	err = c.do(ctx, http.MethodGet, "/v1/guard", nil, &out)
	return out, err
}

// ExplainClient says what the guard knows of an address.
func (c *Client) ExplainClient(ctx context.Context, addr netip.Addr) (out guard.Explanation, err error) {
	err = c.do(ctx, http.MethodGet, "/v1/guard/explain?addr="+url.QueryEscape(addr.String()), nil, &out)
	return out, err
}

// ReportFailure tells of a failed login that another program saw.
func (c *Client) ReportFailure(ctx context.Context, r GuardReport) (out GuardVerdict, err error) {
	err = c.do(ctx, http.MethodPost, "/v1/guard/reports", r, &out)
	return out, err
}

// LoginRecords returns a page of the journal's logins.
func (c *Client) LoginRecords(ctx context.Context, since time.Time, before int64) (out journal.Page, err error) {
	err = c.do(ctx, http.MethodGet, "/v1/guard/records?since="+url.QueryEscape(since.Format(time.RFC3339))+
		"&before="+strconv.FormatInt(before, 10), nil, &out)
	return out, err
}
