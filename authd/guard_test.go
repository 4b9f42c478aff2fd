package authd

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/guard"
	"github.com/gatepost/gatepost/internal/secret"
	"github.com/gatepost/gatepost/internal/unit"
)

// TestGuardIsToldOnce: whoever was admitted is reported, once, however it ends.
func TestGuardIsToldOnce(t *testing.T) {
	for _, tc := range []struct {
		name     string
		harm     func(h *harness)
		line     string
		admitted int
		want     []guard.Outcome
	}{
		{"right", nil, imap("1", alice, "wonderland"), 1, []guard.Outcome{guard.Right}},
		{"wrong", nil, imap("1", alice, "x"), 1, []guard.Outcome{guard.Wrong}},
		{"unknown", nil, imap("1", "nobody@example.org", "x"), 1, []guard.Outcome{guard.NoAccount}},
		{"no address", nil, imap("1", "nobody", "x"), 1, []guard.Outcome{guard.NoAccount}},
		{"right, disabled", nil, imap("1", "disabled@example.org", "wonderland"), 1, []guard.Outcome{guard.Right}},
		{"somebody else's", nil, strings.Replace(imap("1", alice, "x"), b64("\x00"+alice+"\x00x"), b64("bob@example.org\x00"+alice+"\x00wonderland"), 1), 1, []guard.Outcome{guard.NoAccount}},
		{"store away", func(h *harness) { h.accounts.fail(errAway) }, imap("1", alice, "x"), 0, nil},
		{"hasher away", func(h *harness) { h.hasher.err = errAway }, imap("1", alice, "x"), 1, []guard.Outcome{guard.Abandoned}},
		{"panic", func(h *harness) { h.hasher.panic = true }, imap("1", alice, "x"), 1, []guard.Outcome{guard.Abandoned}},
		{"malformed", nil, "AUTH\t1\tPLAIN\tservice=imap\tresp=" + b64("x"), 0, nil},
		{"refused before", func(h *harness) { h.watch.check = no }, imap("1", alice, "wonderland"), 0, nil},
		{"refused at the door", func(h *harness) { h.watch.admit = no }, imap("1", alice, "wonderland"), 1, nil},
		{"closed meanwhile", func(h *harness) { h.watch.report = no }, imap("1", alice, "wonderland"), 1, []guard.Outcome{guard.Right}},
		{"trusted", nil, strings.Replace(imap("1", alice, "x"), "secured=tls", "no-penalty", 1), 1, []guard.Outcome{guard.Wrong}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			run(t, nil, func(t *testing.T, h *harness) {
				if tc.harm != nil {
					tc.harm(h)
				}
				p := h.hello(Login, "2", "1")
				p.send(tc.line)
				p.recv()
				admitted, reported := h.watch.told()
				if admitted != tc.admitted || !slices.Equal(reported, tc.want) {
					t.Errorf("admitted %d, reported %v, want %d, %v", admitted, reported, tc.admitted, tc.want)
				}
			})
		})
	}
	// A right password that is remembered needs no admission.
	run(t, nil, func(t *testing.T, h *harness) {
		p := h.hello(Login, "2", "1")
		for i := range 3 {
			p.send(imap(fmt.Sprint(i+1), alice, "wonderland"))
			p.want(fmt.Sprintf("OK\t%d\tuser=%s", i+1, alice))
		}
		if admitted, reported := h.watch.told(); admitted != 1 || len(reported) != 3 || reported[2] != guard.Right {
			t.Errorf("admitted %d, reported %v", admitted, reported)
		}
		// But only from the network that proved to know it.
		p.send(strings.Replace(imap("4", alice, "wonderland"), "203.0.113.9", "203.0.113.10", 1))
		p.want("OK\t4\tuser=" + alice)
		if admitted, _ := h.watch.told(); admitted != 2 {
			t.Error("another network gets past the guard's count")
		}
	})
	// Who hangs up while others are hashed was not answered: nobody knows.
	run(t, nil, func(t *testing.T, h *harness) {
		h.hasher.gate = make(chan struct{})
		p := h.hello(Login, "2", "1")
		p.send(imap("1", alice, "wonderland"))
		p.silent()
		_ = p.conn.Close()
		synctest.Wait()
		if _, reported := h.watch.told(); !slices.Equal(reported, []guard.Outcome{guard.Abandoned}) {
			t.Errorf("reported %v", reported)
		}
	})
}

// no is a guard that refuses everybody.
func no(guard.Attempt) guard.Decision {
	return guard.Decision{Refuse: true, Ban: guard.Ban{ID: "abc", Until: time.Now().Add(time.Minute)}}
}

// TestForgottenPhoneIsOneGuess: a device goes on with a password that is none, or
// none any more. It is one wrong password, however often it comes.
func TestForgottenPhoneIsOneGuess(t *testing.T) {
	for name, password := range map[string]string{"revoked": "", "empty": "none"} {
		t.Run(name, func(t *testing.T) {
			run(t, nil, func(t *testing.T, h *harness) {
				p, typed, id := h.hello(Login, "2", "1"), "", 0
				if password == "" {
					typed = h.appPassword(7, nil)
					id++
					p.send(imap("1", alice, typed))
					p.want("OK\t1\tuser=" + alice)
					h.accounts.mu.Lock()
					h.accounts.apps = nil
					h.accounts.mu.Unlock()
				}
				for range 20 {
					id++
					p.send(imap(fmt.Sprint(id), alice, typed))
					p.want(fmt.Sprintf("FAIL\t%d\tuser=%s", id, alice))
				}
				if bans := h.guard.Stats().Bans; bans != 0 {
					t.Errorf("%d bans", bans)
				}
			})
		})
	}
}

// TestTarpit: the guard's delay is on top of ours, for a right password too, and
// with it no answer takes more than 8 s.
func TestTarpit(t *testing.T) {
	slow := func(d time.Duration) func(guard.Attempt) guard.Decision {
		return func(guard.Attempt) guard.Decision { return guard.Decision{Delay: d} }
	}
	for _, tc := range []struct {
		name, password       string
		check, admit, report time.Duration
		hashing              time.Duration
		want                 time.Duration
	}{
		{"right", "wonderland", 0, 3 * time.Second, 0, 0, 3 * time.Second},
		{"wrong", "x", 0, 3 * time.Second, 0, 0, 5 * time.Second},
		{"the longest of three", "x", time.Second, 3 * time.Second, 4 * time.Second, 0, 6 * time.Second},
		{"a minute", "x", 0, time.Minute, 0, 0, 8 * time.Second},
		{"a minute, right", "wonderland", 0, time.Minute, 0, 0, 8 * time.Second},
		{"hashing is part of it", "x", 0, time.Minute, 0, 5 * time.Second, 8 * time.Second},
		{"our delay hides the hashing", "x", 0, 0, 0, time.Second, 2 * time.Second},
		{"and the guard's", "x", 0, 3 * time.Second, 0, time.Second, 5 * time.Second},
		{"hashing is longer than both", "x", 0, time.Second, 0, 5 * time.Second, 5 * time.Second},
	} {
		for _, kind := range []Kind{Client, Login} {
			t.Run(tc.name+"/"+kind.String(), func(t *testing.T) {
				run(t, nil, func(t *testing.T, h *harness) {
					h.watch.check, h.watch.admit, h.watch.report = slow(tc.check), slow(tc.admit), slow(tc.report)
					if tc.hashing > 0 {
						h.hasher.gate = make(chan struct{})
						time.AfterFunc(tc.hashing, func() { close(h.hasher.gate) })
					}
					p := h.hello(kind, "0", "1")
					start := time.Now()
					if kind == Client {
						p.send(plain("1", alice, tc.password))
					} else {
						p.send(imap("1", alice, tc.password))
					}
					p.recv()
					if took := time.Since(start); took != tc.want {
						t.Errorf("the answer took %v, want %v", took, tc.want)
					}
				})
			})
		}
	}
	// SCRAM's right proof is no earlier than a wrong one.
	run(t, withScram, func(t *testing.T, h *harness) {
		h.watch.admit = slow(3 * time.Second)
		p := h.hello(Client, "0", "1")
		c, first := p.scram("1", mechScram256, "smtp", "", alice, "wonderland")
		start := time.Now()
		c.prove(first)
		c.step(c.cont())
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("the server's last word took %v", took)
		}
	})
}

// TestWaitForTheGuard: who waits for others' guesses until the time is over is
// told to come again, and within 8 s.
func TestWaitForTheGuard(t *testing.T) {
	run(t, func(c *Config) { c.FailureDelay = unit.Duration(5 * time.Second) }, func(t *testing.T, h *harness) {
		h.watch.admit = func(guard.Attempt) guard.Decision {
			time.Sleep(4 * time.Second)
			return guard.Decision{}
		}
		p, q := h.hello(Login, "2", "1"), h.hello(Client, "0", "2")
		start := time.Now()
		p.send(imap("1", alice, "wonderland"))
		q.send(plain("1", alice, "wonderland"))
		p.want("FAIL\t1\tuser=" + alice + "\ttemp\tcode=temp_fail")
		q.closed()
		if took := time.Since(start); took > answerTime {
			t.Errorf("it took %v", took)
		}
		if v, d := h.hasher.counts(); v+d != 0 {
			t.Error("a password was looked at too late")
		}
		if _, reported := h.watch.told(); !slices.Equal(reported, []guard.Outcome{guard.Abandoned, guard.Abandoned}) {
			t.Errorf("reported %v", reported)
		}
		// Others were answered meanwhile.
		h.watch.admit = pass
		p.send(imap("2", alice, "wonderland"))
		p.want("OK\t2\tuser=" + alice)
	})
}

// TestBanReachesTheQueue: guesses wait to be hashed when those from elsewhere in
// their network close all of it. They are refused, and none of them is looked at.
func TestBanReachesTheQueue(t *testing.T) {
	run(t, nil, func(t *testing.T, h *harness) {
		cfg := guard.Default()
		cfg.Rules.NetworkBan.Mode, cfg.Rules.NetworkBan.Max = unit.Enforce, 4
		h.guard.Reconfigure(cfg)
		h.hasher.gate = make(chan struct{})
		p := h.hello(Login, "2", "1")
		for i, user := range []string{alice, "held@example.org", "nobody@example.org"} {
			p.send(strings.Replace(imap(fmt.Sprint(i+1), user, "x"), "203.0.113.9", fmt.Sprintf("203.0.113.%d", i+1), 1))
		}
		p.silent()
		for i := range 4 {
			h.guard.Report(t.Context(), guard.Attempt{
				Addr: netip.AddrFrom4([4]byte{203, 0, 113, byte(100 + i)}), User: fmt.Sprintf("u%d@example.org", i),
				Service: "imap", Password: secret.String("y"),
			}, guard.Wrong)
		}
		close(h.hasher.gate)
		for range 3 {
			if got := p.recv(); !strings.Contains(got, "refused until") {
				t.Errorf("the server says %q", got)
			}
		}
		if v, d := h.hasher.counts(); v+d != 0 {
			t.Errorf("%d passwords were looked at", v+d)
		}
		abandoned := []guard.Outcome{guard.Abandoned, guard.Abandoned, guard.Abandoned}
		if admitted, reported := h.watch.told(); admitted != 3 || !slices.Equal(reported, abandoned) {
			t.Errorf("admitted %d, reported %v", admitted, reported)
		}
	})
}

// TestOneWaitingLoginHoldsNobodyUp: on the same connection.
func TestOneWaitingLoginHoldsNobodyUp(t *testing.T) {
	run(t, nil, func(t *testing.T, h *harness) {
		h.accounts.set("bob@example.org", "wonderland", func(*account.User) {})
		free := make(chan struct{})
		h.watch.admit = func(a guard.Attempt) guard.Decision {
			if a.User == alice {
				<-free
			}
			return guard.Decision{}
		}
		p := h.hello(Client, "0", "1")
		p.send(plain("1", alice, "wonderland"), plain("2", "bob@example.org", "wonderland"))
		p.want("OK\t2\tuser=bob@example.org")
		close(free)
		p.want("OK\t1\tuser=" + alice)
	})
}
