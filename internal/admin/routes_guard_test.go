package admin

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/guard"
	"github.com/gatepost/gatepost/internal/journal"
)

// countingGuard remembers what it was told.
type countingGuard struct{ told []guard.Event }

func (*countingGuard) Status(context.Context) (guard.Status, error) {
	return guard.Status{Mode: "enforce", Stats: guard.Stats{Networks: 7}, Rules: []guard.Crossed{{Rule: "slow", Mode: "observe", Times: 3}}}, nil
}

func (*countingGuard) Explain(_ context.Context, addr netip.Addr) (guard.Explanation, error) {
	return guard.Explanation{Addr: addr, Mode: "enforce", Proven: 2, Figures: []guard.Figure{{Name: "slow", Count: 1, Line: 15, Mode: "observe"}}}, nil
}

func (f *countingGuard) Note(_ context.Context, e guard.Event) guard.Decision {
	f.told = append(f.told, e)
	return guard.Decision{Refuse: true, Ban: guard.Ban{ID: "x7q2mk4a"}}
}

// Page has one login.
func (*countingGuard) Page(_ context.Context, daemon string, _ time.Time, before int64) (journal.Page, error) {
	return journal.Page{Records: []journal.Record{{Daemon: daemon, Verdict: "ok"}}, Before: before}, nil
}

// What fakeGuard knows of the rest.
func (*fakeGuard) Status(context.Context) (guard.Status, error) { return guard.Status{}, nil }
func (*fakeGuard) Explain(context.Context, netip.Addr) (guard.Explanation, error) {
	return guard.Explanation{}, nil
}
func (*fakeGuard) Note(context.Context, guard.Event) guard.Decision { return guard.Decision{} }

func TestGuardOverTheSocket(t *testing.T) {
	ctx, g := t.Context(), &countingGuard{}
	srv := &Server{mux: http.NewServeMux(), log: discard}
	srv.guardRoutes(g, g)
	c := &Client{path: "the test", http: &http.Client{Transport: localTransport{srv.mux}}}
	addr := netip.MustParseAddr("2001:db8::7")
	if s, err := c.GuardStatus(ctx); err != nil || s.Networks != 7 || len(s.Rules) != 1 || s.Rules[0].Times != 3 {
		t.Errorf("GuardStatus = %+v, %v", s, err)
	}
	if e, err := c.ExplainClient(ctx, addr); err != nil || e.Addr != addr || e.Proven != 2 || len(e.Figures) != 1 {
		t.Errorf("ExplainClient = %+v, %v", e, err)
	}
	if p, err := c.LoginRecords(ctx, time.Now(), 5); err != nil || len(p.Records) != 1 || p.Records[0].Daemon != "authd" || p.Before != 5 {
		t.Errorf("LoginRecords = %+v, %v", p, err)
	}
	v, err := c.ReportFailure(ctx, GuardReport{Addr: addr, User: "Alice@Example.ORG", Service: "web"})
	if err != nil || !v.Refused || v.Ban == nil || v.Ban.ID != "x7q2mk4a" {
		t.Errorf("ReportFailure = %+v, %v", v, err)
	}
	if len(g.told) != 1 || g.told[0] != (guard.Event{Kind: guard.Reported, Addr: addr, User: "alice@example.org", Service: "web"}) {
		t.Errorf("told %+v", g.told)
	}
	var refused *Error
	for _, r := range []GuardReport{{Service: "web"}, {Addr: addr}, {Addr: addr, Service: strings.Repeat("x", 256)}, {Addr: netip.IPv6Unspecified(), Service: "web"}} {
		if _, err := c.ReportFailure(ctx, r); !errors.As(err, &refused) || refused.Status != http.StatusBadRequest {
			t.Errorf("ReportFailure(%+v) = %v, want a refusal", r, err)
		}
	}
	if len(g.told) != 1 {
		t.Errorf("told %+v", g.told)
	}
}
