package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gatepost/gatepost/internal/abuse"
	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/hold"
	"github.com/gatepost/gatepost/internal/limit"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/notice"
	"github.com/gatepost/gatepost/internal/outgoing"
	"github.com/gatepost/gatepost/internal/unit"
)

// TestSenders builds the parts over real stores: an account is held and
// released, and both are told by mail that waits in the spool.
func TestSenders(t *testing.T) {
	ctx, cfg := t.Context(), Default()
	cfg.DataDirectory = t.TempDir()
	s, err := openStores(ctx, cfg, quietLog())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.close() })
	admin, alice := mailaddr.Address{LocalPart: "admin", Domain: "example.org"}, mailaddr.Address{LocalPart: "alice", Domain: "example.org"}
	if err := s.accounts.AddDomain(ctx, "example.org"); err != nil {
		t.Fatal(err)
	}
	if err := s.accounts.AddUser(ctx, account.User{Addr: alice}); err != nil {
		t.Fatal(err)
	}
	own := sendersConfig{Outgoing: outgoing.Default(), Notices: notice.Default(), Abuse: abuse.Default(), Delimiter: "+",
		QueueHelper: filepath.Join(cfg.DataDirectory, "nobody")}
	own.Outgoing.Address, own.Outgoing.User, own.Outgoing.PasswordFile = "127.0.0.1:1", "x", "/nonexistent"
	own.Notices.To, own.Notices.Hostname = []mailaddr.Address{admin}, "mx.example.org"
	d, err := newSenders(ctx, own, s, cfg.DataDirectory, quietLog())
	if err != nil {
		t.Fatal(err)
	}
	if out, err := d.keeper.Hold(ctx, alice); err != nil || !strings.Contains(out.Queue, "does not answer") {
		t.Errorf("Hold = %+v, %v", out, err)
	}
	if u, err := s.accounts.User(ctx, alice); err != nil || !u.Held {
		t.Errorf("held: %+v, %v", u, err)
	}
	if _, err := d.keeper.Release(ctx, alice, hold.Keep); err != nil {
		t.Error(err)
	}
	d.limitReached(ctx, limit.Event{Limit: "outgoing", By: limit.ByUser, Counts: limit.Recipients, Key: "alice@example.org", User: "alice@example.org",
		Used: 200, Of: 200, Ends: time.Now(), Window: unit.Duration(time.Hour)})
	if err := d.reconfigure(own); err != nil {
		t.Error(err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	g, ended := errgroup.WithContext(ended)
	d.run(ended, g)
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
	waiting, err := os.ReadDir(filepath.Join(cfg.DataDirectory, "outgoing", "new"))
	if err != nil || len(waiting) != 6 {
		t.Errorf("%d mails wait, want three for each, %v", len(waiting), err)
	}
	if u, err := s.accounts.User(ctx, alice); err != nil || u.Held {
		t.Errorf("released: %+v, %v", u, err)
	}
}

func TestPrintSignals(t *testing.T) {
	r := abuse.Report{Mode: "observe", Warn: 5, Hold: 10, Verdict: abuse.Verdict{Action: abuse.Warn, Points: 6, Signals: []abuse.Signal{
		{Name: abuse.SignalRecipients, Now: 400, Usual: 12, Allowed: 50, Points: 6, Watched: true},
		{Name: abuse.SignalCountries, Allowed: 2},
	}}}
	var b bytes.Buffer
	if err := printSignals(&b, r); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"recipients  400          12     50       6", "not watched", "6 points, warn (warn from 5, hold from 10, mode observe; habits are still learned"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

func TestUserID(t *testing.T) {
	if n, err := userID("5000"); err != nil || n != 5000 {
		t.Errorf("%d, %v", n, err)
	}
	if n, err := userID("root"); err != nil || n != 0 {
		t.Errorf("%d, %v", n, err)
	}
	for _, bad := range []string{"-1", "no such user", ""} {
		if _, err := userID(bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}
