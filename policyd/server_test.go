package policyd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatepost/gatepost/internal/limit"
	"github.com/gatepost/gatepost/internal/shared"
	"github.com/gatepost/gatepost/internal/unit"
)

func TestTranscriptsReplay(t *testing.T) {
	for _, name := range transcripts {
		t.Run(name, func(t *testing.T) {
			sent := shared.Read(t, "protocols/transcripts/"+name+".c2s")
			want := shared.Read(t, "protocols/transcripts/"+name+".s2c")
			r := newRig(t, func(c *Config) { c.RejectSenderLoginMismatch, c.RejectNullSender = unit.Off, unit.Off })
			c := r.smtpd(t)
			c.send(string(sent))
			got := make([]byte, len(want))
			if _, err := io.ReadFull(c.r, got); err != nil || !bytes.Equal(got, want) {
				t.Errorf("replies %q, %v, want %q", got, err, want)
			}
		})
	}
	t.Run("with rights", func(t *testing.T) { // alice of the transcript has no account
		sent := shared.Read(t, "protocols/transcripts/policy-tls-sasl-rcpt-data-eom.1.c2s")
		r := newRig(t, nil)
		c := r.smtpd(t)
		c.send(string(sent))
		for range bytes.Count(sent, []byte("request=")) {
			if got := c.action(); !strings.HasPrefix(got, "553 5.7.1 user alice") {
				t.Errorf("reply %q, want a refusal", got)
			}
		}
	})
}

func TestMalformedClosesOneConnection(t *testing.T) {
	r := newRig(t, nil)
	other := r.smtpd(t)
	for name, in := range map[string]string{
		"another request":   "request=junk\n\n",
		"empty":             "\n",
		"no =":              "request\n\n",
		"CRLF":              "request=smtpd_access_policy\r\nprotocol_state=RCPT\r\n\r\n" + strings.Repeat("x=\n", 10) + "\n",
		"NUL":               lines("sender=\x00"),
		"a value of 1 MB":   "request=smtpd_access_policy\nsender=" + strings.Repeat("a", 1<<20),
		"10^5 attributes":   strings.Repeat("a=b\n", 1e5),
		"ends within":       "request=smtpd_access_policy\nsender=",
		"netstring instead": "12:virtual x@y,\n\n",
	} {
		t.Run(name, func(t *testing.T) {
			c := r.smtpd(t)
			go func() {
				_, _ = io.WriteString(c.conn, in)
				if name == "ends within" {
					_ = c.conn.Close()
				}
			}()
			if got := c.closed(); got != "" {
				t.Errorf("answer %q, want none", got)
			}
			if got := other.ask(outbound(StateRcpt, "alice@example.org")); got != "DUNNO" {
				t.Errorf("another connection got %q, want DUNNO", got)
			}
		})
	}
}

func TestPanicCostsOneRequest(t *testing.T) {
	r := newRig(t, nil)
	c := r.smtpd(t)
	r.accounts.setHook(func(context.Context) error { panic("planted") })
	b, err := (&Request{ProtocolState: StateRcpt, Instance: "1", SASL: SASL{Username: "alice@example.org"}}).Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	c.send(string(b))
	if got := c.closed(); got != "" {
		t.Errorf("answer %q, want none", got)
	}
	r.accounts.setHook(nil)
	again := outbound(StateRcpt, "alice@example.org")
	again.Instance = "1" // Postfix asks once more on a new connection
	if got := r.smtpd(t).ask(again); got != "DUNNO" {
		t.Errorf("the retry got %q, want DUNNO", got)
	}
}

func TestSlowStoreIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.accounts.setHook(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		start := time.Now()
		got := r.smtpd(t).ask(outbound(StateRcpt, "alice@example.org"))
		if took := time.Since(start); !strings.HasPrefix(got, "451 4.3.0") || took != r.cfg.RequestTimeout.Std() {
			t.Errorf("got %q after %v, want 451 after %v", got, took, r.cfg.RequestTimeout)
		}
		r.stop()
	})
}

func TestDeadlines(t *testing.T) {
	for _, tc := range []struct {
		name string
		talk func(c *smtpd)
		want time.Duration
	}{
		{"idle", func(*smtpd) {}, Default().IdleTimeout.Std()},
		{"slow request", func(c *smtpd) {
			for {
				if _, err := io.WriteString(c.conn, "x"); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}, Default().RequestTimeout.Std()},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				c := r.smtpd(t)
				start := time.Now()
				var wg sync.WaitGroup
				wg.Go(func() { tc.talk(c) })
				if got := c.closed(); got != "" {
					t.Errorf("answer %q, want none", got)
				}
				if took := time.Since(start); took != tc.want {
					t.Errorf("closed after %v, want %v", took, tc.want)
				}
				_ = c.conn.Close()
				r.stop()
				wg.Wait()
			})
		})
	}
}

func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		idle, busy := r.smtpd(t), r.smtpd(t)
		r.accounts.setHook(func(context.Context) error { time.Sleep(time.Second); return nil })
		b, err := (&Request{ProtocolState: StateRcpt, SASL: SASL{Username: "alice@example.org"}, Envelope: Envelope{MailFrom: "x@example.net"}}).Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		busy.send(string(b))
		synctest.Wait()
		answer := make(chan string)
		go func() { answer <- busy.action() }()
		start := time.Now()
		go r.stop()
		if got := idle.closed(); got != "" || time.Since(start) != 0 {
			t.Errorf("idle connection got %q and ended after %v, want nothing at once", got, time.Since(start))
		}
		if got := <-answer; !strings.HasPrefix(got, "553") {
			t.Errorf("request in hand got %q, want its answer", got)
		}
		if got := busy.closed(); got != "" {
			t.Errorf("after its answer came %q", got)
		}
		r.stop()
		if r.dial() != nil {
			t.Error("a connection was accepted after the end")
		}
	})
}

func TestShutdownAfterGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) {
			c.RequestTimeout, c.Grace = unit.Duration(90*time.Second), unit.Duration(5*time.Second)
		})
		c := r.smtpd(t)
		r.accounts.setHook(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		b, err := (&Request{ProtocolState: StateRcpt, SASL: SASL{Username: "alice@example.org"}}).Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		c.send(string(b))
		synctest.Wait()
		start := time.Now()
		go func() { _ = c.closed() }()
		r.stop()
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("Serve ended after %v, want the grace of 5s", took)
		}
	})
}

func TestConnectionLimitEvictsTheIdlest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.MaxConnections = 2 })
		first, second := r.smtpd(t), r.smtpd(t)
		time.Sleep(time.Second)
		if got := first.ask(Request{ProtocolState: StateRcpt}); got != "DUNNO" {
			t.Fatalf("got %q", got)
		}
		third := r.smtpd(t)
		if got := second.closed(); got != "" {
			t.Errorf("the idlest connection got %q, want its end", got)
		}
		for _, c := range []*smtpd{first, third} {
			if got := c.ask(Request{ProtocolState: StateRcpt}); got != "DUNNO" {
				t.Errorf("got %q, want DUNNO", got)
			}
		}
		for _, c := range []*smtpd{first, second, third} {
			_ = c.conn.Close()
		}
		r.stop()
	})
}

// TestReconfigureUnderLoad changes the name and the count of the limit at once;
// no answer may mix two versions.
func TestReconfigureUnderLoad(t *testing.T) {
	version := func(c *Config, n int64) {
		c.Limits = []limit.Limit{{Name: fmt.Sprint("v", n), Rate: limit.Per(n, time.Hour)}}
	}
	r := newRig(t, func(c *Config) { version(c, 1) })
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for i := range 4 {
		c := r.smtpd(t)
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				_, data := mail(fmt.Sprint(i, "-", n), 1000)
				var name, count int64
				got := c.ask(data)
				_, err := fmt.Sscanf(got, "550 5.7.1 limit v%d: 0 of %d", &name, &count)
				if err != nil || name != count {
					t.Errorf("got %q, a mix of two versions", got)
					return
				}
			}
		})
	}
	for n := range int64(200) {
		cfg := r.cfg
		version(&cfg, n+2)
		if err := r.server.Reconfigure(cfg); err != nil {
			t.Error(err)
		}
		cfg.MaxConnections = 0
		if err := r.server.Reconfigure(cfg); err == nil {
			t.Error("Reconfigure took a configuration with faults")
		}
	}
	cancel()
	wg.Wait()
}

func TestServeFails(t *testing.T) {
	r := newRig(t, nil)
	ln := unixListener(t)
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	if err := r.server.Serve(t.Context(), ln); err == nil || !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve on a closed listener = %v, want its error", err)
	}
	if _, err := New(Config{}, Deps{}, slog.Default()); err == nil {
		t.Error("New took an empty configuration")
	}
	if _, err := New(Default(), Deps{}, slog.Default()); err == nil {
		t.Error("New took no accounts")
	}
}

func TestTransactionsAreBounded(t *testing.T) {
	var ts transactions
	now := time.Unix(1, 0)
	const kept = 1 << 40
	first := ts.find(kept, 0, now)
	for i := range uint64(3 * maxTransactions) {
		ts.find(i+1, 0, now)
		if i%(maxTransactions/2) == 0 && ts.find(kept, 0, now) != first {
			t.Fatalf("a transaction in use was forgotten after %d others", i)
		}
	}
	size := func(s *transactionShard) int { return len(s.young) + len(s.old) }
	n := 0
	for i := range ts.shards {
		n += size(&ts.shards[i])
	}
	if n > 2*maxTransactions {
		t.Errorf("%d transactions remembered, want at most %d", n, 2*maxTransactions)
	}
	if ts.find(kept, 0, now.Add(transactionLife)) != first {
		t.Error("a transaction was forgotten before its time")
	}
	ts.find(7, 0, now.Add(3*transactionLife))
	ts.find(7, 0, now.Add(5*transactionLife))
	if n := size(ts.shard(7)); n != 1 {
		t.Errorf("%d transactions remembered after their time, want 1", n)
	}
	ts.find(7+transactionShards, 7, now.Add(5*transactionLife))
	if n := size(ts.shard(7)); n != 1 {
		t.Errorf("%d transactions remembered after one was forgotten, want 1", n)
	}
	tx := &transaction{}
	for i := range uint64(100) {
		tx.remember(question{slot: i, all: i}, Verdict{})
	}
	if len(tx.answers) != maxAnswers {
		t.Errorf("%d answers remembered, want %d", len(tx.answers), maxAnswers)
	}
}
