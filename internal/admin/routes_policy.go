package admin

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/gatepost/gatepost/internal/journal"
)

// policyTester is the policy server of a process; its answers are values of its
// own, which the command line knows.
type policyTester interface {
	// TryPolicy answers a policy request without counting it.
	TryPolicy(ctx context.Context, request []byte) (any, error)
	// PolicyHits returns how often each rule decided.
	PolicyHits() any
}

// journalPager reads the journal of one daemon in pages.
type journalPager interface {
	Page(ctx context.Context, daemon string, since time.Time, before int64) (journal.Page, error)
}

// policyRoutes serve p, which is nil where no daemon runs, and what the journal
// has of it.
func (s *Server) policyRoutes(p policyTester, j journalPager) {
	s.handle("GET /v1/policy/records", func(r *http.Request) (any, error) {
		q := r.URL.Query()
		since, err := time.Parse(time.RFC3339, q.Get("since"))
		if err != nil {
			return nil, badRequest(err)
		}
		before, err := strconv.ParseInt(q.Get("before"), 10, 64)
		if err != nil || before < 0 {
			return nil, &Error{Status: http.StatusBadRequest, Text: "before is not a number"}
		}
		return j.Page(r.Context(), "policyd", since, before)
	})
	s.handle("POST /v1/policy/test", func(r *http.Request) (any, error) {
		if p == nil {
			return nil, noPolicy()
		}
		var in string
		if err := input(r, &in); err != nil {
			return nil, err
		}
		out, err := p.TryPolicy(r.Context(), []byte(in))
		if err != nil {
			return nil, badRequest(err)
		}
		return out, nil
	})
	s.handle("GET /v1/policy/hits", func(*http.Request) (any, error) {
		if p == nil {
			return nil, noPolicy()
		}
		return p.PolicyHits(), nil
	})
}

func noPolicy() error {
	return &Error{Status: http.StatusNotFound, Text: "no policy server runs in this process"}
}

// PolicyRecords returns a page of the records of the policy server.
func (c *Client) PolicyRecords(ctx context.Context, since time.Time, before int64) (journal.Page, error) {
	var out journal.Page
	err := c.do(ctx, http.MethodGet, "/v1/policy/records?since="+url.QueryEscape(since.Format(time.RFC3339))+
		"&before="+strconv.FormatInt(before, 10), nil, &out)
	return out, err
}

// TryPolicy decodes into out how the policy server would answer a request.
func (c *Client) TryPolicy(ctx context.Context, request string, out any) error {
	return c.do(ctx, http.MethodPost, "/v1/policy/test", request, out)
}

// PolicyHits decodes into out how often each rule decided.
func (c *Client) PolicyHits(ctx context.Context, out any) error {
	return c.do(ctx, http.MethodGet, "/v1/policy/hits", nil, out)
}
