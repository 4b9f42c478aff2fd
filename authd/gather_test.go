package authd

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/password"
	"github.com/gatepost/gatepost/internal/secret"
)

func TestTemporaryFaults(t *testing.T) {
	const temp = "FAIL\t1\tuser=" + alice + "\ttemp\tcode=temp_fail"
	for _, tc := range []struct {
		name  string
		harm  func(h *harness)
		after time.Duration
	}{
		{"store away", func(h *harness) { h.accounts.fail(errAway) }, 0},
		{"store panics", func(h *harness) { h.accounts.panic = true }, 0},
		{"too many hashes", func(h *harness) { h.hasher.err = password.ErrBusy }, 0},
		{"unusable hash", func(h *harness) { h.hasher.err = password.ErrHash }, 0},
		{"hasher panics", func(h *harness) { h.hasher.panic = true }, 0},
		{"hashing takes for ever", func(h *harness) { h.hasher.gate = make(chan struct{}) }, 6 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			run(t, nil, func(t *testing.T, h *harness) {
				tc.harm(h)
				start := time.Now()
				p := h.hello(Login, "2", "1")
				p.send(imap("1", alice, "wonderland"))
				p.want(temp)
				q := h.hello(Client, "0", "1")
				q.send(plain("1", alice, "wonderland"))
				q.closed()
				if took := time.Since(start); took != 2*tc.after {
					t.Errorf("the two answers took %v, want %v", took, 2*tc.after)
				}
				for _, r := range h.journal.logins() {
					if r.Verdict != verdictTemp || r.Rule != "fault" {
						t.Errorf("journal = %+v", r)
					}
				}
				if n := h.meter.verdicts[verdictTemp]; n != 2 {
					t.Errorf("metrics count %d, want 2", n)
				}
				if h.guard.Stats().Networks != 0 {
					t.Error("a fault of ours counts against the client")
				}
				if !strings.Contains(h.log.String(), "login not possible") && !strings.Contains(h.log.String(), "panic") {
					t.Error("the log does not tell the cause")
				}
			})
		})
	}
	// The panic of one request costs no other one on the same connection.
	run(t, nil, func(t *testing.T, h *harness) {
		p := h.hello(Login, "2", "1")
		h.hasher.panic = true
		p.send(imap("1", alice, "wonderland"))
		p.want(temp)
		h.hasher.mu.Lock()
		h.hasher.panic = false
		h.hasher.mu.Unlock()
		p.send(imap("2", alice, "wonderland"))
		p.want("OK\t2\tuser=" + alice)
	})
}

func TestHeldAndDisabled(t *testing.T) {
	run(t, nil, func(t *testing.T, h *harness) {
		smtp, login := h.hello(Client, "0", "1"), h.hello(Login, "2", "2")
		smtp.send(plain("1", "disabled@example.org", "wonderland"))
		smtp.want("FAIL\t1\tuser=disabled@example.org\tcode=user_disabled\tuser_disabled\treason=" + textDisabled)
		login.send(imap("1", "disabled@example.org", "wonderland"))
		login.want("OK\t1\tuser=disabled@example.org\tnologin\treason=" + textDisabled)
		smtp.send(plain("2", "held@example.org", "wonderland"))
		smtp.want("FAIL\t2\tuser=held@example.org\treason=" + textHeld)
		login.send(imap("2", "held@example.org", "wonderland"))
		login.want("OK\t2\tuser=held@example.org")
		login.send(strings.Replace(imap("3", "held@example.org", "wonderland"), "service=imap", "service=submission", 1))
		login.want("FAIL\t3\tuser=held@example.org\treason=" + textHeld)
		// A wrong password learns nothing of either.
		smtp.send(plain("3", "disabled@example.org", "x"), plain("4", "held@example.org", "x"))
		got := []string{smtp.recv(), smtp.recv()}
		slices.Sort(got)
		if want := []string{"FAIL\t3\tuser=disabled@example.org", "FAIL\t4\tuser=held@example.org"}; !slices.Equal(got, want) {
			t.Errorf("the server says %q, want %q", got, want)
		}
		// A disabled login is not handed on.
		if _, ok := h.srv.takeOver(2, 1, h.srv.byPID[2].cookie); ok {
			t.Error("a disabled account's login can be taken over")
		}
	})
}

// TestCacheObeysTheAccount: a remembered password spares the hashing and
// nothing else.
func TestCacheObeysTheAccount(t *testing.T) {
	run(t, nil, func(t *testing.T, h *harness) {
		p := h.hello(Client, "0", "1")
		n := 0
		try := func(password, want string, hashes int) {
			t.Helper()
			n++
			before, dummies := h.hasher.counts()
			p.send(plain(fmt.Sprint(n), alice, password))
			p.want(fmt.Sprintf(want, n))
			if v, d := h.hasher.counts(); v+d-before-dummies != hashes {
				t.Errorf("attempt %d took %d hashes, want %d", n, v+d-before-dummies, hashes)
			}
		}
		const ok, fail = "OK\t%d\tuser=" + alice, "FAIL\t%d\tuser=" + alice
		try("wonderland", ok, 1)
		try("wonderland", ok, 0)
		try("x", fail, 1)
		try("wonderland", ok, 0)
		h.accounts.set(alice, "wonderland", func(u *account.User) { u.Held = true })
		try("wonderland", fail+"\treason="+textHeld, 0)
		h.accounts.set(alice, "wonderland", func(u *account.User) { u.Disabled = true })
		try("wonderland", fail+"\tcode=user_disabled\tuser_disabled\treason="+textDisabled, 0)
		h.accounts.set(alice, "wonderland", nil)
		try("wonderland", ok, 0)
		h.accounts.set(alice, "looking-glass", nil)
		try("wonderland", fail, 1)
		try("looking-glass", ok, 1)
		try("looking-glass", ok, 0)
		time.Sleep(5 * time.Minute)
		try("looking-glass", ok, 1)
		h.accounts.mu.Lock()
		delete(h.accounts.users, h.accounts.users[mustName(alice)].Addr)
		h.accounts.mu.Unlock()
		try("looking-glass", fail, 1)
		h.accounts.set(alice, "looking-glass", nil)
		h.srv.cache.flush()
		try("looking-glass", ok, 1)
		cfg := Default()
		cfg.CacheTime = 0
		h.srv.Reconfigure(cfg)
		try("looking-glass", ok, 1)
		try("looking-glass", ok, 1)
	})
}

// TestAccountChangesWhileHashing: what was true before the hashing is looked at
// again after it.
func TestAccountChangesWhileHashing(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(h *harness)
		want   string
	}{
		{"held", func(h *harness) { h.accounts.set(alice, "wonderland", func(u *account.User) { u.Held = true }) }, "FAIL\t1\tuser=" + alice + "\treason=" + textHeld},
		{"new password", func(h *harness) { h.accounts.set(alice, "other", nil) }, "FAIL\t1\tuser=" + alice},
		{"removed", func(h *harness) { delete(h.accounts.users, mustName(alice)) }, "FAIL\t1\tuser=" + alice},
		{"removed and added", func(h *harness) { h.accounts.set(alice, "wonderland", func(u *account.User) { u.ID = 99 }) }, "FAIL\t1\tuser=" + alice},
	} {
		t.Run(tc.name, func(t *testing.T) {
			run(t, nil, func(t *testing.T, h *harness) {
				h.hasher.gate = make(chan struct{})
				p := h.hello(Client, "0", "1")
				p.send(plain("1", alice, "wonderland"))
				p.silent()
				tc.change(h)
				close(h.hasher.gate)
				p.want(tc.want)
			})
		})
	}
}

// TestBan: five different wrong passwords over two services close both, for the
// right password too; another address is not hurt.
func TestBan(t *testing.T) {
	run(t, nil, func(t *testing.T, h *harness) {
		smtp, login := h.hello(Client, "0", "1"), h.hello(Login, "2", "2")
		for i := range 4 {
			if i%2 == 0 {
				smtp.send(plain(fmt.Sprint(i+1), alice, fmt.Sprint("guess", i)))
				smtp.want(fmt.Sprintf("FAIL\t%d\tuser=%s", i+1, alice))
			} else {
				login.send(imap(fmt.Sprint(i+1), alice, fmt.Sprint("guess", i)))
				login.want(fmt.Sprintf("FAIL\t%d\tuser=%s", i+1, alice))
			}
		}
		// The ban holds while the answer to the fifth is still delayed.
		smtp.send(plain("5", alice, "guess5"))
		smtp.silent()
		bans, err := h.guard.Bans(t.Context())
		if err != nil || len(bans) != 1 {
			t.Fatalf("Bans() = %v, %v, want one", bans, err)
		}
		refused := fmt.Sprintf("\tuser=%s\treason=logins from your network are refused until %s UTC (ban %s)", alice, bans[0].Until.UTC().Format(banTime), bans[0].ID)
		before, _ := h.hasher.counts()
		login.send(imap("5", alice, "wonderland"))
		login.want("FAIL\t5" + refused)
		smtp.want("FAIL\t5" + refused)
		smtp.send(plain("6", alice, "wonderland"))
		smtp.want("FAIL\t6" + refused)
		smtp.send(plain("7", alice, "wrong"))
		smtp.want("FAIL\t7" + refused)
		if v, _ := h.hasher.counts(); v != before {
			t.Error("the password of a refused network was looked at")
		}
		smtp.send(strings.Replace(plain("8", alice, "wonderland"), "203.0.113.9", "198.51.100.7", 1))
		smtp.want("OK\t8\tuser=" + alice)
		time.Sleep(10 * time.Minute)
		smtp.send(plain("9", alice, "wonderland"))
		smtp.want("OK\t9\tuser=" + alice)
		want := []string{"fail", "fail", "fail", "fail", "fail", "refused", "refused", "refused", "ok", "ok"}
		var got []string
		for _, r := range h.journal.logins() {
			got = append(got, r.Verdict)
		}
		if !slices.Equal(got, want) {
			t.Errorf("journal = %q, want %q", got, want)
		}
	})
}

// TestParallelGuesses: the right password behind five others that are looked at
// at the same time is not looked at: it waits, and is refused.
func TestParallelGuesses(t *testing.T) {
	run(t, nil, func(t *testing.T, h *harness) {
		p := h.hello(Login, "2", "1")
		h.hasher.gate = make(chan struct{})
		for i := range 5 {
			p.send(imap(fmt.Sprint(i+1), alice, fmt.Sprint("guess", i)))
			synctest.Wait()
		}
		p.send(imap("6", alice, "wonderland"))
		p.silent()
		close(h.hasher.gate)
		for range 6 {
			if got := p.recv(); strings.HasPrefix(got, "OK") {
				t.Errorf("the server says %q", got)
			}
		}
		if v, d := h.hasher.counts(); v != 5 || d != 0 {
			t.Errorf("%d passwords were looked at", v+d)
		}
	})
}

// TestHangUpIsNoWayOut: who closes before the answer is counted all the same.
func TestHangUpIsNoWayOut(t *testing.T) {
	run(t, nil, func(t *testing.T, h *harness) {
		for i := range 5 {
			p := h.hello(Login, "2", "1")
			p.send(imap("1", alice, fmt.Sprint("guess", i)))
			synctest.Wait()
			_ = p.conn.Close()
			synctest.Wait()
		}
		if h.guard.Stats().Bans != 1 {
			t.Error("guesses of closed connections do not count")
		}
	})
}

// TestNoPasswordLeaves: planted passwords are nowhere in the log or journal.
func TestNoPasswordLeaves(t *testing.T) {
	run(t, nil, func(t *testing.T, h *harness) {
		h.accounts.set("bob@example.org", "planted-right", nil)
		h.accounts.set("broken@example.org", "", func(u *account.User) { u.Password = secret.String("planted-hash") })
		p := h.hello(Login, "2", "1")
		send := func(lines ...string) {
			p.send(lines...)
			for range lines {
				p.recv()
			}
		}
		send(imap("1", "bob@example.org", "planted-right"))
		for i := range 8 {
			send(imap(fmt.Sprint(i+2), "bob@example.org", fmt.Sprint("planted-", i)))
		}
		local := func(s string) string { return strings.Replace(s, "203.0.113.9", "198.51.100.1", 1) }
		send(local(imap("20", "planted-as-user", "x")), local(imap("21", "broken@example.org", "planted-x")))
		send(local("AUTH\t22\tLOGIN\tservice=imap\trip=203.0.113.9\tresp="+b64("bob@example.org")), "CONT\t22\t"+b64("planted-login"))
		send("AUTH\t23\tPLAIN\tservice=imap\tresp=" + b64("planted\x00planted"))
		send("AUTH\t24\tPLAIN\tservice=imap\tresp=" + b64("planted") + "!")
		h.accounts.mu.Lock()
		h.accounts.panic = true
		h.accounts.mu.Unlock()
		send(local(imap("25", "bob@example.org", "planted-panic")))
		p.send("AUTH\t26\tPLAIN\tresp=" + b64("planted-closed"))
		p.closed()
		synctest.Wait()
		all := h.log.String() + fmt.Sprintf("%+v %#v", h.journal.all, h.journal.all)
		for _, leak := range []string{"planted", b64("planted"), b64("\x00bob@example.org\x00planted")[:30], "706c616e746564"} {
			if i := strings.Index(all, leak); i >= 0 {
				t.Errorf("%q is in the log or the journal: %s", leak, all[max(i-200, 0):min(i+100, len(all))])
			}
		}
		if n := strings.Count(h.log.String(), "level=INFO msg=\"login decided\""); n != len(h.journal.logins()) || n < 12 {
			t.Errorf("%d Info lines for %d logins", n, len(h.journal.logins()))
		}
	})
}

func TestJournalRecord(t *testing.T) {
	run(t, nil, func(t *testing.T, h *harness) {
		p := h.hello(Login, "2", "1")
		p.send(imap("1", "ALICE@example.org", "wonderland"))
		p.want("OK\t1\tuser=" + alice)
		got := h.journal.logins()
		if len(got) != 1 {
			t.Fatalf("%d records, want 1", len(got))
		}
		r := got[0]
		if r.Event != "login" || r.Service != "imap" || r.User != alice || r.Mech != "PLAIN" || r.Verdict != "ok" ||
			r.ClientAddr.String() != "203.0.113.9" || r.ClientPort != 55836 || r.Session != "K2KMd69g" || r.Time.IsZero() {
			t.Errorf("Record(%+v)", r)
		}
	})
}

// TestRepeatedLogins: of a hundred a second ten are told, and the others as a
// number, when their time is over or the daemon ends. A failure among them is
// told as any other.
func TestRepeatedLogins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, nil)
		h.watch.lenient()
		p, id := h.hello(Login, "2", "1"), 0
		login := func(n int, password, want string) {
			t.Helper()
			for range n {
				id++
				p.send(imap(fmt.Sprint(id), alice, password))
				p.want(fmt.Sprintf(want, id))
			}
		}
		const ok, fail = "OK\t%d\tuser=" + alice, "FAIL\t%d\tuser=" + alice
		login(100, "wonderland", ok)
		if n := len(h.journal.logins()); n != 1+repeatTold {
			t.Errorf("%d records, want the first, which was hashed, and %d", n, repeatTold)
		}
		if n := h.meter.verdicts[verdictOK]; n != 100 {
			t.Errorf("metrics count %d", n)
		}
		login(1, "wrong", fail)
		time.Sleep(repeatTime)
		login(1, "wonderland", ok)
		all := h.journal.logins()
		if n := len(all); n != 14 || all[11].Verdict != verdictFail || all[12].Rule != "repeated" || all[12].Facts[0].Value != "89" || all[13].Rule != "" {
			t.Errorf("%d records: %+v", n, all[11:])
		}
		login(50, "wonderland", ok)
		h.stop()
		all = h.journal.logins()
		if last := all[len(all)-1]; last.Rule != "repeated" || last.Facts[0].Value != "41" || last.User != alice {
			t.Errorf("the last record is %+v", last)
		}
		if n := strings.Count(h.log.String(), "login repeated"); n != 2 {
			t.Errorf("the log tells of repeats %d times", n)
		}
	})
	r := newRepeats()
	for i := range maxRepeats + 5 {
		if tell, over := r.add(repeatKey{user: fmt.Sprint(i)}, time.Unix(1, 0)); !tell || len(over) > 0 || len(r.order) > maxRepeats || len(r.open) != len(r.order) {
			t.Fatalf("add(%d) = %v, %v; %d are open", i, tell, over, len(r.order))
		}
	}
}
