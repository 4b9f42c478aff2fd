package authd

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatepost/gatepost/internal/listen"
)

const aliceFields = "\tuid=5000\tgid=5000\thome=/var/vmail/example.org/alice\tmail=maildir:~/Maildir"

func TestUserdb(t *testing.T) {
	run(t, nil, func(t *testing.T, h *harness) {
		for _, kind := range []Kind{Userdb, Master} {
			p := h.hello(kind, "0", "")
			h.accounts.fail(nil)
			p.send("USER\t1\tAlice@Example.org\tservice=lmtp\tlip=127.0.0.1\trip=127.0.0.1", "USER\t2\tnobody@example.org\tservice=lmtp", "USER\t3\talice\tprotocol=lmtp")
			p.want("USER\t1\talice@example.org"+aliceFields, "NOTFOUND\t2", "NOTFOUND\t3")
			// Who may not log in or send still gets mail.
			p.send("USER\t4\tdisabled@example.org\tservice=lmtp", "USER\t5\theld@example.org\tservice=lmtp")
			for _, id := range []string{"4", "5"} {
				if got := p.recv(); !strings.HasPrefix(got, "USER\t"+id+"\t") {
					t.Errorf("the server says %q", got)
				}
			}
			h.accounts.set("a/b@example.org", "x", nil)
			h.accounts.fail(errAway)
			p.send("USER\t6\talice@example.org\tservice=lmtp")
			p.want("FAIL\t6\treason=temporary fault")
			h.accounts.fail(nil)
			p.send("USER\t7\ta/b@example.org\tservice=lmtp")
			p.want("FAIL\t7\treason=temporary fault")
			h.accounts.panic = true
			p.send("USER\t8\talice@example.org\tservice=lmtp")
			p.want("FAIL\t8\treason=temporary fault")
			h.accounts.panic = false
			p.send("PASS\t9\talice@example.org\tservice=doveadm", "PASS\t10\tdisabled@example.org\tservice=doveadm", "PASS\t11\tnobody@example.org\tservice=doveadm")
			p.want("PASS\t9\tuser=alice@example.org", "PASS\t10\tuser=disabled@example.org\tnologin\treason="+textDisabled, "NOTFOUND\t11")
			delete(h.accounts.users, mustName("a/b@example.org"))
		}
	})
}

func TestList(t *testing.T) {
	run(t, nil, func(t *testing.T, h *harness) {
		p := h.hello(Userdb, "0", "")
		p.send("LIST\t1\tuser=*\tservice=doveadm\tdebug", "LIST\t2\tuser=*")
		for _, id := range []string{"1", "2"} {
			var got []string
			for range 4 {
				got = append(got, p.recv())
			}
			slices.Sort(got)
			var want []string
			for _, u := range []string{"alice", "disabled", "held", "nopassword"} {
				want = append(want, fmt.Sprintf("LIST\t%s\t%s@example.org", id, u))
			}
			if !slices.Equal(got, want) {
				t.Errorf("LIST = %q, want %q", got, want)
			}
			p.want("DONE\t" + id + "\t")
		}
		h.accounts.fail(errAway)
		p.send("LIST\t3\tuser=*")
		p.want("DONE\t3\tfail")
	})
}

// TestPeerCredentials: passwords' fields, lists and the cache are for root and
// named uids.
func TestPeerCredentials(t *testing.T) {
	for _, tc := range []struct {
		name    string
		cred    listen.Cred
		err     error
		trusted bool
	}{
		{"root", listen.Cred{UID: 0}, nil, true},
		{"named", listen.Cred{UID: 33}, nil, true},
		{"somebody", listen.Cred{UID: 5000}, nil, false},
		{"unknown", listen.Cred{}, errors.New("no socket"), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			run(t, func(c *Config) { c.MasterUIDs = []int{33} }, func(t *testing.T, h *harness) {
				h.cred, h.credErr = tc.cred, tc.err
				p := h.hello(Master, "1", "")
				want := []string{"FAIL\t1", "DONE\t2\tfail", "FAIL\t3", "NOTFOUND\t4"}
				if tc.trusted {
					want = []string{"PASS\t1\tuser=alice@example.org", "DONE\t2\t", "OK\t3\t0", "NOTFOUND\t4"}
				}
				p.send("PASS\t1\talice@example.org\tservice=x", "LIST\t2", "CACHE-FLUSH\t3", "USER\t4\tnobody@example.org\tservice=x")
				for _, w := range want {
					got := p.recv()
					for strings.HasPrefix(got, "LIST\t2\t") && tc.trusted {
						got = p.recv()
					}
					if got != w {
						t.Errorf("the server says %q, want %q", got, w)
					}
				}
			})
		})
	}
}

// TestTakeOver: one IMAP login from AUTH to REQUEST.
func TestTakeOver(t *testing.T) {
	run(t, nil, func(t *testing.T, h *harness) {
		login := h.hello(Login, "2", "19551")
		login.send(imap("1", alice, "wonderland"), imap("2", alice, "wrong"))
		login.want("OK\t1\tuser=" + alice)
		request := func(id, pid, cid, cookie string) string {
			return "REQUEST\t" + id + "\t" + pid + "\t" + cid + "\t" + cookie + "\tsession_pid=19557\trequest_auth_token"
		}
		p := h.hello(Master, "1", "")
		p.send(
			request("1", "19552", "1", login.cookie),
			request("2", "19551", "2", login.cookie), // has not logged in
			request("3", "19551", "1", strings.Repeat("0", 32)),
			strings.Replace(request("4", "19551", "1", login.cookie), "19557", "19558", 1),
			request("5", "19551", "1", login.cookie),
			request("6", "19551", "1", login.cookie), // consumed
		)
		p.want("FAIL\t1", "FAIL\t2", "FAIL\t3", "FAIL\t4", "USER\t5\t"+alice+aliceFields+"\tauth_mech=PLAIN", "FAIL\t6")

		login.send(imap("3", alice, "wonderland"), imap("4", alice, "wonderland"), imap("5", alice, "wonderland"))
		for range 3 {
			login.recv()
		}
		login.want("FAIL\t2\tuser=" + alice)
		time.Sleep(requestTime - 2*time.Second - time.Nanosecond)
		h.accounts.fail(errAway)
		p.send(request("7", "19551", "3", login.cookie))
		p.want("FAIL\t7\treason=temporary fault")
		h.accounts.fail(nil)
		delete(h.accounts.users, mustName(alice))
		p.send(request("8", "19551", "4", login.cookie))
		p.want("NOTFOUND\t8")
		time.Sleep(3 * time.Second)
		p.send(request("9", "19551", "5", login.cookie))
		p.want("FAIL\t9") // too late

		h.accounts.set(alice, "wonderland", nil)
		login.send(imap("10", alice, "wonderland"))
		login.want("OK\t10\tuser=" + alice)
		_ = login.conn.Close()
		time.Sleep(time.Second)
		p.send(request("10", "19551", "10", login.cookie))
		p.want("FAIL\t10") // died with its connection
	})
}

// TestLoginsOfPostfixCannotBeTakenOver: its socket has cookies nobody uses.
func TestLoginsOfPostfixCannotBeTakenOver(t *testing.T) {
	run(t, nil, func(t *testing.T, h *harness) {
		c := h.hello(Client, "0", "7")
		c.send(plain("1", alice, "wonderland"))
		c.want("OK\t1\tuser=" + alice)
		p := h.hello(Master, "1", "")
		p.send("REQUEST\t1\t7\t1\t" + c.cookie)
		p.want("FAIL\t1")
		again := h.hello(Client, "0", "7") // and the CPID need not be unique
		again.send(plain("1", alice, "wonderland"))
		again.want("OK\t1\tuser=" + alice)
	})
}

func TestLoginProcessIDIsUnique(t *testing.T) {
	run(t, nil, func(t *testing.T, h *harness) {
		first := h.hello(Login, "2", "7")
		synctest.Wait() // the handshake is sent before the CPID is read
		second := h.dial(Login)
		for range 7 {
			second.recv()
		}
		second.send("VERSION\t1\t2", "CPID\t7")
		second.closed()
		first.send(imap("1", alice, "wonderland"))
		first.want("OK\t1\tuser=" + alice)
		_ = first.conn.Close()
		time.Sleep(time.Second)
		third := h.hello(Login, "2", "7")
		third.send(imap("1", alice, "wonderland"))
		third.want("OK\t1\tuser=" + alice)
	})
}

func TestGrantsAreBounded(t *testing.T) {
	run(t, nil, func(t *testing.T, h *harness) {
		p := h.hello(Login, "2", "7")
		for i := range maxOpen + 1 {
			p.send(imap(fmt.Sprint(i+1), alice, "wonderland"))
			p.want(fmt.Sprintf("OK\t%d\tuser=%s", i+1, alice))
			time.Sleep(time.Microsecond)
		}
		m := h.hello(Master, "1", "")
		for id, want := range map[string]string{"1": "FAIL\t1", "2": "USER\t2", fmt.Sprint(maxOpen + 1): "USER\t1025"} {
			m.send("REQUEST\t" + id + "\t7\t" + id + "\t" + p.cookie)
			if got := m.recv(); !strings.HasPrefix(got, want) {
				t.Errorf("REQUEST of login %s = %q, want %q", id, got, want)
			}
		}
	})
}

// TestMasterProbes: what Dovecot's server closes the connection for.
func TestMasterProbes(t *testing.T) {
	for _, tc := range []struct {
		name string
		kind Kind
		line string
	}{
		{"no service", Userdb, "USER\t1\talice@example.org"},
		{"REQUEST on userdb", Userdb, "REQUEST\t1\t2\t3\t19d148274eebabd7cd59bb2f8266f26d"},
		{"CACHE-FLUSH on userdb", Userdb, "CACHE-FLUSH\t1"},
		{"line over 1024", Userdb, "USER\t1\t" + strings.Repeat("x", 1100) + "\tservice=lmtp"},
		{"CPID", Master, "CPID\t1"},
		{"second VERSION", Master, "VERSION\t1\t1"},
		{"unknown command", Master, "NOISE\t1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			run(t, nil, func(t *testing.T, h *harness) {
				p := h.hello(tc.kind, "1", "")
				_, _ = p.conn.Write([]byte("USER\t7\talice@example.org\tservice=x\n" + tc.line + "\n"))
				p.want("USER\t7\talice@example.org" + aliceFields)
				p.closed()
			})
		})
	}
	run(t, nil, func(t *testing.T, h *harness) {
		for _, first := range []string{"USER\t1\talice@example.org\tservice=x", "VERSION\t2\t0"} {
			p := h.dial(Master)
			p.want("VERSION\t1\t1", fmt.Sprintf("SPID\t%d", h.srv.spid))
			p.send(first)
			p.closed()
		}
	})
}

// TestTakeOverWhileEnding: who was told OK just before the end gets the mail
// process that was promised, and also who had just asked. One that nobody comes
// for holds the end up for 2 s.
func TestTakeOverWhileEnding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, nil)
		p, q := h.hello(Login, "2", "7"), h.hello(Login, "2", "8")
		for _, id := range []string{"1", "2"} {
			p.send(imap(id, alice, "wonderland"))
			p.want("OK\t" + id + "\tuser=" + alice)
		}
		begin := time.Now()
		h.cancel()
		q.send(imap("1", alice, "wonderland"))
		q.want("OK\t1\tuser=" + alice)
		time.Sleep(time.Second)
		m := h.hello(Master, "1", "")
		for _, r := range []struct{ pid, cookie string }{{"7", p.cookie}, {"8", q.cookie}} {
			m.send("REQUEST\t1\t" + r.pid + "\t1\t" + r.cookie + "\tsession_pid=19557")
			m.want("USER\t1\t" + alice + aliceFields + "\tauth_mech=PLAIN")
		}
		h.stop()
		if took := time.Since(begin); took < handoverTime || took > handoverTime+lastWords+10*handoverTick {
			t.Errorf("the end took %v", took)
		}
	})
}
