package authd

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatepost/gatepost/internal/unit"
)

const alice = "alice@example.org"

func TestMechanisms(t *testing.T) {
	const head = "\tservice=smtp\tnologin\trip=198.51.100.7"
	ok := func(id string) string { return "OK\t" + id + "\tuser=" + alice }
	run(t, nil, func(t *testing.T, h *harness) {
		p := h.hello(Client, "0", "27697")
		p.send(plain("1", alice, "wonderland"))
		p.want(ok("1"))
		p.send("AUTH\t2\tPLAIN" + head)
		p.want("CONT\t2\t")
		p.send("CONT\t2\t" + b64("\x00"+alice+"\x00wonderland"))
		p.want(ok("2"))
		p.send("AUTH\t3\tPLAIN" + head + "\tresp=") // minor 0: absent
		p.want("CONT\t3\t")
		p.send("CONT\t3\t" + b64(alice+"\x00"+alice+"\x00wonderland"))
		p.want(ok("3"))
		p.send("AUTH\t4\tLOGIN" + head)
		p.want("CONT\t4\t" + promptUser)
		p.send("CONT\t4\t" + b64("Alice@EXAMPLE.org"))
		p.want("CONT\t4\t" + promptPassword)
		p.send("CONT\t4\t" + b64("wonderland"))
		p.want(ok("4"))
		p.send("AUTH\t5\tlogin" + head + "\tresp=" + b64(alice))
		p.want("CONT\t5\t" + promptPassword)
		p.send("CONT\t5\t" + b64("wonderland"))
		p.want(ok("5"))
		p.send("AUTH\t6\tLOGIN"+head+"\tresp="+b64(alice), "CONT\t6\t"+b64("x\x00y"))
		p.want("CONT\t6\t"+promptPassword, "FAIL\t6")
		p.send("AUTH\t7\tPLAIN" + head + "\tresp==")
		p.want("FAIL\t7")
		p.send("AUTH\t8\tPLAIN" + head + "\tresp=" + b64("bob@example.org\x00"+alice+"\x00wonderland"))
		p.want("FAIL\t8\tuser=" + alice)
	})
}

// TestProbes sends what was sent to Dovecot 2.3.19.1 and expects the same.
func TestProbes(t *testing.T) {
	const auth = "\tPLAIN\tservice=imap\trip=198.51.100.7"
	long := func(n int) string {
		return "AUTH\t1" + auth + "\tresp=" + b64(strings.Repeat("x", n))[:n/4*4]
	}
	for _, tc := range []struct {
		name  string
		minor string
		send  []string
		want  []string // empty: closed
	}{
		{"id 0", "2", []string{"AUTH\t0" + auth}, nil},
		{"id 4294967296", "2", []string{"AUTH\t4294967296" + auth}, nil},
		{"no service", "2", []string{"AUTH\t1\tPLAIN\trip=198.51.100.7"}, nil},
		{"parameter after resp", "2", []string{"AUTH\t1" + auth + "\tresp=YQ==\tx=y"}, nil},
		{"unknown mechanism", "2", []string{"AUTH\t1\tGSSAPI\tservice=imap"}, nil},
		{"mechanism not offered", "2", []string{"AUTH\t1\tEXTERNAL\tservice=imap\tresp="}, nil},
		{"duplicate id", "2", []string{"AUTH\t1" + auth, "AUTH\t1" + auth}, []string{"CONT\t1\t", ""}},
		{"unknown command", "2", []string{"NOISE\t1"}, nil},
		{"second VERSION", "2", []string{"VERSION\t1\t2"}, nil},
		{"second CPID", "2", []string{"CPID\t7"}, nil},
		{"17 kB line", "2", []string{long(17000)}, nil},
		{"15 kB line", "2", []string{long(15000)}, []string{"FAIL\t1"}},
		{"bad base64 in resp", "2", []string{"AUTH\t1" + auth + "\tresp=!!!!"}, []string{"FAIL\t1\tcode=invalid_base64\treason=" + textBase64Initial}},
		{"bad base64 in CONT", "2", []string{"AUTH\t1" + auth, "CONT\t1\tYQ"}, []string{"CONT\t1\t", "FAIL\t1\tcode=invalid_base64\treason=" + textBase64}},
		{"CONT when none is expected", "2", []string{imap("1", alice, "x"), "CONT\t1\tYQ=="}, []string{"FAIL\t1\treason=" + textUnexpected}},
		{"CONT for an unknown id", "2", []string{"CONT\t9\tYQ=="}, []string{"FAIL\t9\treason=" + textTimedOut}},
		{"CANCEL then CONT", "2", []string{"AUTH\t1" + auth, "CANCEL\t1", "CONT\t1\tYQ=="}, []string{"CONT\t1\t", "FAIL\t1\treason=" + textTimedOut}},
		{"empty resp of minor 2", "2", []string{"AUTH\t1" + auth + "\tresp="}, []string{"FAIL\t1"}},
		{"empty resp of minor 1", "1", []string{"AUTH\t1" + auth + "\tresp="}, []string{"CONT\t1\t"}},
		{"authzid differs", "2", []string{"AUTH\t1" + auth + "\tresp=" + b64("bob\x00"+alice+"\x00wonderland")}, []string{"FAIL\t1\tuser=" + alice}},
		{"disallowed character in the name", "2", []string{imap("1", "ali\tce@example.org", "wonderland")}, []string{"FAIL\t1"}},
		{"broken escape", "2", []string{"AUTH\t1\tPLAIN\tservice=im\x01ap"}, nil},
		{"CR within a line", "2", []string{"AUTH\t1" + auth + "\rx"}, nil},
	} {
		for _, kind := range []Kind{Client, Login} {
			t.Run(tc.name+"/"+kind.String(), func(t *testing.T) {
				run(t, nil, func(t *testing.T, h *harness) {
					p := h.hello(kind, tc.minor, "19551")
					// The server may close before all is written.
					_, _ = p.conn.Write([]byte(strings.Join(tc.send, "\n") + "\n"))
					if i := slices.Index(tc.want, ""); i >= 0 || len(tc.want) == 0 {
						p.want(tc.want[:max(i, 0)]...)
						p.closed()
						return
					}
					p.want(tc.want...)
					time.Sleep(10 * time.Second)
					p.silent()
					p.send("AUTH\t77" + auth)
					p.want("CONT\t77\t") // the connection stays open
				})
			})
		}
	}
	for name, first := range map[string]string{"CPID first": "CPID\t7", "VERSION 2.0": "VERSION\t2\t0", "CPID 0": "VERSION\t1\t2\nCPID\t0", "AUTH before CPID": "VERSION\t1\t2\nAUTH\t1" + auth} {
		t.Run(name, func(t *testing.T) {
			run(t, nil, func(t *testing.T, h *harness) {
				p := h.dial(Login)
				p.want("VERSION\t1\t2")
				_, _ = p.conn.Write([]byte(first + "\n"))
				for range 6 {
					p.recv() // the rest of the handshake was sent already
				}
				p.closed()
			})
		})
	}
}

func TestHandshakeHasADeadlineAndIdlingHasNone(t *testing.T) {
	run(t, nil, func(t *testing.T, h *harness) {
		slow := h.dial(Client)
		p := h.hello(Client, "0", "1")
		time.Sleep(handshakeTime)
		for range 7 {
			slow.recv()
		}
		slow.closed()
		time.Sleep(72 * time.Hour)
		p.send(plain("1", alice, "wonderland"))
		p.want("OK\t1\tuser=" + alice)
	})
}

// TestUnknownAndWrongAreTheSame: in text, in time and in work.
func TestUnknownAndWrongAreTheSame(t *testing.T) {
	run(t, nil, func(t *testing.T, h *harness) {
		h.watch.lenient()
		for i, user := range []string{alice, "nobody@example.org", "nobody@elsewhere.example", "nopassword@example.org"} {
			p := h.hello(Client, "0", "1")
			start := time.Now()
			p.send(plain("1", user, fmt.Sprint("x", i)))
			p.want("FAIL\t1\tuser=" + user)
			if took := time.Since(start); took != 2*time.Second {
				t.Errorf("%s took %v, want 2s", user, took)
			}
			if v, d := h.hasher.counts(); v+d != i+1 {
				t.Errorf("%s: %d verifications and %d for nobody, want %d in all", user, v, d, i+1)
			}
		}
		for _, user := range []string{"alice", "\x01", "x@", "proxy@example.org"} {
			p := h.hello(Client, "0", "1")
			before, dummies := h.hasher.counts()
			authzid := ""
			if strings.HasPrefix(user, "proxy") {
				authzid, user = "bob@example.org", alice
			}
			p.send("AUTH\t1\tPLAIN\tservice=smtp\tresp=" + b64(authzid+"\x00"+user+"\x00wonderland"))
			if got := p.recv(); !strings.HasPrefix(got, "FAIL\t1") {
				t.Errorf("%q: %s", user, got)
			}
			if v, d := h.hasher.counts(); v != before || d != dummies+1 {
				t.Errorf("%q took no work", user)
			}
		}
	})
}

// TestDelayHoldsNothingUp: failures are overtaken, on the same connection.
func TestDelayHoldsNothingUp(t *testing.T) {
	run(t, nil, func(t *testing.T, h *harness) {
		p := h.hello(Login, "2", "1")
		start := time.Now()
		p.send(imap("1", alice, "x"), imap("2", alice, "x"), imap("3", alice, "wonderland"))
		p.want("OK\t3\tuser=" + alice)
		if took := time.Since(start); took != 0 {
			t.Errorf("a right password waited %v behind wrong ones", took)
		}
		got := []string{p.recv(), p.recv()}
		slices.Sort(got)
		if want := []string{"FAIL\t1\tuser=" + alice, "FAIL\t2\tuser=" + alice}; !slices.Equal(got, want) {
			t.Errorf("the server says %q, want %q", got, want)
		}
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("failures took %v, want 2s", took)
		}
	})
	run(t, func(c *Config) { c.FailureDelay = 0 }, func(t *testing.T, h *harness) {
		p := h.hello(Login, "2", "1")
		start := time.Now()
		p.send(imap("1", alice, "x"))
		p.want("FAIL\t1\tuser=" + alice)
		if took := time.Since(start); took != 0 {
			t.Errorf("without failure_delay a failure took %v", took)
		}
	})
}

func TestTrustedNetwork(t *testing.T) {
	run(t, nil, func(t *testing.T, h *harness) {
		trusted := func(id, password string) string {
			return strings.Replace(imap(id, alice, password), "secured=tls", "secured=tls\tno-penalty", 1)
		}
		p := h.hello(Login, "2", "1")
		start := time.Now()
		p.send(trusted("1", "guess1"))
		p.want("FAIL\t1\tuser=" + alice)
		if time.Since(start) != 0 {
			t.Error("no-penalty is not obeyed")
		}
		// The webmail is not closed; the account is, through it.
		for i := 2; i < 10; i++ {
			p.send(trusted(fmt.Sprint(i), fmt.Sprint("guess", i)))
			if got := p.recv(); (i >= 5) != strings.Contains(got, "refused") {
				t.Errorf("guess %d: %s", i, got)
			}
		}
		p.send(strings.Replace(imap("10", "held@example.org", "wonderland"), "secured=tls", "secured=tls\tno-penalty", 1))
		p.want("OK\t10\tuser=held@example.org")
		start = time.Now()
		q := h.hello(Client, "0", "1")
		q.send(strings.Replace(plain("1", "disabled@example.org", "x"), "secured", "no-penalty", 1))
		q.want("FAIL\t1\tuser=disabled@example.org")
		if time.Since(start) < 2*time.Second {
			t.Error("no-penalty is obeyed on Postfix's socket")
		}
	})
}

// TestExchangesAreBounded: what Postfix leaves open (it sends no CANCEL) is
// dropped after 150 s, or for a newer one.
func TestExchangesAreBounded(t *testing.T) {
	const auth = "\tPLAIN\tservice=smtp"
	run(t, nil, func(t *testing.T, h *harness) {
		p := h.hello(Client, "0", "1")
		p.send("AUTH\t1" + auth)
		p.want("CONT\t1\t")
		time.Sleep(requestTime - time.Nanosecond)
		p.send("CONT\t1\t" + b64("\x00"+alice+"\x00wonderland"))
		p.want("OK\t1\tuser=" + alice)
		p.send("AUTH\t2" + auth)
		p.want("CONT\t2\t")
		time.Sleep(requestTime)
		p.send("CONT\t2\t" + b64("\x00"+alice+"\x00wonderland"))
		p.want("FAIL\t2\treason=" + textTimedOut)
		for i := range maxOpen + 5 {
			p.send(fmt.Sprintf("AUTH\t%d%s", i+10, auth))
			p.want(fmt.Sprintf("CONT\t%d\t", i+10))
			time.Sleep(time.Millisecond)
		}
		p.send("CONT\t14\tYQ==")
		p.want("FAIL\t14\treason=" + textTimedOut)
		p.send("CONT\t15\t" + b64("\x00"+alice+"\x00wonderland"))
		p.want("OK\t15\tuser=" + alice)
	})
	run(t, nil, func(t *testing.T, h *harness) {
		h.hasher.gate = make(chan struct{})
		p := h.hello(Login, "2", "1")
		for i := range maxOpen {
			p.send(imap(fmt.Sprint(i+1), alice, "wonderland"))
		}
		p.silent()
		p.send(imap("5000", alice, "wonderland"))
		p.want("FAIL\t5000\ttemp\tcode=temp_fail")
		close(h.hasher.gate)
		for range maxOpen {
			if got := p.recv(); !strings.HasPrefix(got, "OK\t") {
				t.Fatal(got)
			}
		}
	})
}

// TestLongNamesAreNotKept: a stranger who leaves LOGIN behind its name, again
// and again, takes no more memory than names can have. A long name is refused
// as any other, after its password.
func TestLongNamesAreNotKept(t *testing.T) {
	long := strings.Repeat("a", 9000) + "@example.org"
	name, err := parseLoginName([]byte(long))
	if err != nil || len(name) > maxName+1 {
		t.Errorf("parseLoginName of %d bytes keeps %d, %v", len(long), len(name), err)
	}
	if _, ok := accountName(name); ok {
		t.Errorf("what is kept of it names an account: %q", name)
	}
	run(t, nil, func(t *testing.T, h *harness) {
		p := h.hello(Client, "0", "1")
		p.send("AUTH\t1\tLOGIN\tservice=smtp\tresp=" + b64(long))
		p.want("CONT\t1\t" + promptPassword)
		p.send("CONT\t1\t" + b64("wonderland"))
		p.want("FAIL\t1")
		// Nor is the base64 of it.
		q := h.hello(Login, "2", "7")
		q.send("AUTH\t1\tLOGIN\tservice=imap\tresp=" + b64(long))
		q.want("CONT\t1\t" + promptPassword)
		if r := h.srv.byPID[7].open[1]; !r.auth.resp.IsEmpty() || len(r.name) > maxName+1 {
			t.Errorf("an open exchange keeps %d bytes of base64 and a name of %d", len(r.auth.resp.Reveal()), len(r.name))
		}
	})
}

// TestCancelledAnswersAreDropped: also that of a request which is being hashed.
func TestCancelledAnswersAreDropped(t *testing.T) {
	run(t, nil, func(t *testing.T, h *harness) {
		h.hasher.gate = make(chan struct{})
		p := h.hello(Login, "2", "1")
		p.send(imap("1", alice, "wonderland"))
		p.silent()
		p.send("CANCEL\t1")
		close(h.hasher.gate)
		p.silent()
		p.send(imap("2", alice, "x"))
		p.silent()
		p.send("CANCEL\t2", imap("2", alice, "wonderland")) // the id is free again
		p.want("OK\t2\tuser=" + alice)
		time.Sleep(time.Minute)
		p.silent()
	})
}

func TestHalfALineHoldsNothingUp(t *testing.T) {
	run(t, nil, func(t *testing.T, h *harness) {
		p := h.hello(Client, "0", "1")
		if _, err := p.conn.Write([]byte("AUTH\t1\tPLAIN\tservice=smtp\nAUTH\t2\tPLA")); err != nil {
			t.Fatal(err)
		}
		p.want("CONT\t1\t")
		p.send("IN\tservice=smtp\r")
		p.want("CONT\t2\t")
	})
}

// TestShutdown: a login in hand is answered, idle connections are closed at once.
func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, nil)
		idle, busy, late := h.hello(Client, "0", "1"), h.hello(Login, "2", "2"), h.hello(Login, "2", "3")
		master := h.hello(Master, "1", "")
		busy.send(imap("1", alice, "x"))
		synctest.Wait()
		h.hasher.mu.Lock()
		h.hasher.gate = make(chan struct{}) // never opened
		h.hasher.mu.Unlock()
		late.send(imap("1", alice, "wonderland"))
		synctest.Wait()
		begin := time.Now()
		h.cancel()
		idle.closed()
		if took := time.Since(begin); took > 2*lastWords+handoverTick {
			t.Errorf("idle connections were closed after %v", took)
		}
		busy.want("FAIL\t1\tuser=" + alice)
		busy.closed()
		late.closed()
		master.closed()
		h.stop()
		if took := time.Since(begin); took < 5*time.Second || took > 5*time.Second+lastWords+3*handoverTick {
			t.Errorf("the end took %v, want the grace of 5s, and the last words of master", took)
		}
	})
}

// TestDeadPeer: one that reads nothing is closed, and holds nobody up.
func TestDeadPeer(t *testing.T) {
	run(t, func(c *Config) { c.MaxConnections = 2 }, func(t *testing.T, h *harness) {
		for range 2 {
			_, theirs := pipe(t)
			h.lns[Client].conns <- theirs
		}
		start := time.Now()
		p := h.hello(Client, "0", "1") // waits for a free place
		p.send(plain("1", alice, "wonderland"))
		p.want("OK\t1\tuser=" + alice)
		if took := time.Since(start); took != writeTime {
			t.Errorf("a dead peer holds its place for %v, want %v", took, writeTime)
		}
	})
}

func TestReconfigure(t *testing.T) {
	run(t, nil, func(t *testing.T, h *harness) {
		h.watch.lenient()
		p := h.hello(Client, "0", "1")
		p.send(plain("1", alice, "x"))
		p.silent()
		cfg := Default()
		cfg.FailureDelay = unit.Duration(time.Second)
		h.srv.Reconfigure(cfg)
		p.send(plain("2", alice, "y"))
		start := time.Now()
		p.want("FAIL\t2\tuser="+alice, "FAIL\t1\tuser="+alice)
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("the old delay is not that of the old settings: %v", took)
		}
	})
}
