package milter

import (
	"context"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatepost/gatepost/internal/mailauth"
	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/scan"
	"github.com/gatepost/gatepost/internal/unit"
	"github.com/gatepost/gatepost/internal/verdict"
)

// slowAuth asks for longer than anybody waits.
type slowAuth struct{ asked time.Duration }

func (a *slowAuth) Check(ctx context.Context, _ mailauth.Input) mailauth.Results {
	start := time.Now()
	<-ctx.Done()
	a.asked = time.Since(start)
	return mailauth.Results{IPRev: mailauth.IPRev{Result: authres.TempError, Addr: netip.MustParseAddr("192.0.2.7")}}
}

func rowProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &slowAuth{}
		// The verdict has to be kept even so.
		marks := seen{give: scan.Result{Verdict: verdict.Mark}}
		ln := serve(t, testConfig(), Deps{Auth: a, Scan: marks.scan, Verdicts: &verdictRows{}}, quiet(), scan.Inbound)
		m := ln.dial(t).hello()
		if _, final := m.transfer(plain()); final.Code != 'a' {
			t.Errorf("final answer %v", final)
		}
		if a.asked == 0 || a.asked >= 300*time.Second {
			t.Errorf("a message took %v, Postfix's milter_content_timeout is 300s", a.asked)
		}
		m.quit()
	})
}

func rowTimeLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig()
		ln := serve(t, cfg, Deps{}, quiet(), scan.Inbound)
		for _, tc := range []struct {
			name string
			do   func(m *mta)
			want time.Duration
		}{
			{"says nothing at all", func(*mta) {}, cfg.FrameTimeout.Std()},
			{"half a packet", func(m *mta) { m.hello(); m.raw("\x00\x00\x00\x09H") }, cfg.FrameTimeout.Std()},
			{"says nothing more", func(m *mta) { m.hello() }, cfg.IdleTimeout.Std()},
			{"does not read", func(m *mta) {
				m.hello()
				m.send('U', z("FOO"))
				time.Sleep(cfg.FrameTimeout.Std() + time.Second)
			}, cfg.FrameTimeout.Std() + time.Second},
		} {
			m := ln.dial(t)
			start := time.Now()
			tc.do(m)
			m.wantClosed()
			if got := time.Since(start); got != tc.want {
				t.Errorf("%s: closed after %v, want %v", tc.name, got, tc.want)
			}
		}
		// A client that takes hours to send its message is no silent peer.
		m := ln.dial(t).hello()
		m.envelope(plain())
		time.Sleep(cfg.IdleTimeout.Std() - time.Second)
		m.content(plain())
		if _, final := m.eom(); final.Code != 'a' {
			t.Errorf("after a long silence: %v", final)
		}
		m.quit()
	})
}

func rowShutdown(t *testing.T) {
	for _, tc := range []struct {
		name  string
		quits bool
		want  time.Duration
	}{
		{"sessions finish up to QUIT", true, 5 * time.Second},
		{"the rest is closed after the grace time", false, 30 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := testConfig()
				cfg.Grace = unit.Duration(30 * time.Second)
				s, err := New(cfg, Deps{}, quiet())
				if err != nil {
					t.Fatal(err)
				}
				ln := newPipes()
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error)
				go func() { done <- s.Serve(ctx, ln, scan.Inbound) }()
				m := ln.dial(t).hello()
				m.envelope(plain())
				start := time.Now()
				cancel()
				synctest.Wait()
				if _, err := ln.Accept(); err == nil {
					t.Error("the listener is open after the end of ctx")
				}
				time.Sleep(5 * time.Second)
				m.content(plain())
				if _, final := m.eom(); final.Code != 'a' {
					t.Errorf("message in hand: %v", final)
				}
				if tc.quits {
					m.quit()
				} else {
					m.wantClosed()
				}
				if err := <-done; err != nil {
					t.Errorf("Serve = %v", err)
				}
				if got := time.Since(start); got != tc.want {
					t.Errorf("Serve ended after %v, want %v", got, tc.want)
				}
			})
		})
	}
}
