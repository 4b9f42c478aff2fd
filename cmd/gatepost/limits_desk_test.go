package main

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/limit"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/state"
)

// newLimitDesk is a desk over stores with alice of example.org in the group
// staff.
func newLimitDesk(t *testing.T) limitDesk {
	t.Helper()
	ctx, quiet := t.Context(), slog.New(slog.DiscardHandler)
	accounts, err := account.OpenSQLite(ctx, filepath.Join(t.TempDir(), "accounts.db"), quiet)
	if err != nil {
		t.Fatal(err)
	}
	counters, err := state.OpenSQLite(ctx, filepath.Join(t.TempDir(), "state.db"), quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = accounts.Close(), counters.Close() })
	alice := mailaddr.Address{LocalPart: "alice", Domain: "example.org"}
	d := limitDesk{Limiter: limit.New(counters), stored: account.NewLimits(accounts), limits: func() []limit.Limit {
		return []limit.Limit{
			{Name: "outgoing", Rate: limit.Per(200, time.Hour)},
			{Name: "network", By: limit.ByClientNetwork, Rate: limit.Per(500, time.Hour)},
		}
	}}
	for _, err := range []error{
		accounts.AddDomain(ctx, "example.org"), accounts.AddUser(ctx, account.User{Addr: alice}),
		d.AddToGroup(ctx, account.Group{Name: "staff", Users: []mailaddr.Address{alice}}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// rates are all that is set, as text.
func (d limitDesk) rates(ctx context.Context) string {
	all, err := d.ByHand(ctx)
	if err != nil {
		return err.Error()
	}
	var out []string
	for _, h := range all {
		where := "by hand"
		if h.Stored {
			where = "stored"
		}
		out = append(out, h.Key+" "+h.Limit+" "+h.Rate.String()+" "+where)
	}
	return strings.Join(out, "; ")
}

func TestLimitDeskKeepsRatesWhereTheyBelong(t *testing.T) {
	for _, tc := range []struct {
		key, limit string
		span       time.Duration
		want       string
		err        error
	}{
		{"alice@example.org", "outgoing", 0, "alice@example.org outgoing 5/1h stored", nil},
		{"Alice@example.org", "outgoing", time.Hour, "alice@example.org outgoing 5/1h by hand", nil},
		{"@example.org", "outgoing", 0, "@example.org outgoing 5/1h stored", nil},
		{"group:Staff", "outgoing", 0, "group:staff outgoing 5/1h stored", nil},
		{"robot@example.org", "outgoing", 0, "robot@example.org outgoing 5/1h by hand", nil}, // a login without account
		{"192.0.2.0/24", "network", 0, "192.0.2.0/24 network 5/1h by hand", nil},
		{"alice@example.org", "network", 0, "alice@example.org network 5/1h by hand", nil},
		{"@example.org", "outgoing", time.Hour, "", limit.ErrInvalid},
		{"@example.org", "network", 0, "", limit.ErrInvalid},
		{"@example.com", "outgoing", 0, "", account.ErrNotFound},
		{"group:none", "outgoing", 0, "", account.ErrNotFound},
		{"alice@example.org", "none", 0, "", limit.ErrUnknown},
	} {
		d, ctx := newLimitDesk(t), t.Context()
		h := limit.ByHand{Key: tc.key, Limit: tc.limit, Rate: limit.Per(5, time.Hour)}
		if tc.span != 0 {
			h.Ends = time.Now().Add(tc.span)
		}
		if err := d.Set(ctx, h); !errors.Is(err, tc.err) {
			t.Errorf("Set(%s of %s) = %v, want %v", tc.limit, tc.key, err, tc.err)
		}
		if got := d.rates(ctx); got != tc.want {
			t.Errorf("after Set(%s of %s) there is %q, want %q", tc.limit, tc.key, got, tc.want)
		}
		err := d.Unset(ctx, tc.limit, tc.key)
		if got := d.rates(ctx); got != "" || (err == nil) != (tc.err == nil) {
			t.Errorf("Unset(%s of %s) = %v and leaves %q", tc.limit, tc.key, err, got)
		}
	}
}

// A rate for ever takes the place of one that was set by hand for ever, and not
// of one with an end.
func TestLimitDeskOneRateForEver(t *testing.T) {
	d, ctx := newLimitDesk(t), t.Context()
	h := limit.ByHand{Key: "alice@example.org", Limit: "outgoing", Rate: limit.Per(5, time.Hour)}
	if err := d.Limiter.Set(ctx, d.limits(), h); err != nil { // as an older version did
		t.Fatal(err)
	}
	h.Rate = limit.Per(6, time.Hour)
	if err := d.Set(ctx, h); err != nil {
		t.Fatal(err)
	}
	if got, want := d.rates(ctx), "alice@example.org outgoing 6/1h stored"; got != want {
		t.Errorf("there is %q, want %q", got, want)
	}
	h.Rate, h.Ends = limit.Per(7, time.Hour), time.Now().Add(time.Hour)
	if err := d.Set(ctx, h); err != nil {
		t.Fatal(err)
	}
	h.Rate, h.Ends = limit.Per(8, time.Hour), time.Time{}
	if err := d.Set(ctx, h); err != nil {
		t.Fatal(err)
	}
	if got, want := d.rates(ctx), "alice@example.org outgoing 7/1h by hand; alice@example.org outgoing 8/1h stored"; got != want {
		t.Errorf("there is %q, want %q", got, want)
	}
	if err := d.Unset(ctx, "outgoing", "alice@example.org"); err != nil || d.rates(ctx) != "" {
		t.Errorf("Unset() = %v and leaves %q", err, d.rates(ctx))
	}
	if err := d.Unset(ctx, "outgoing", "alice@example.org"); !errors.Is(err, limit.ErrUnknown) {
		t.Errorf("Unset() of nothing = %v", err)
	}
}
