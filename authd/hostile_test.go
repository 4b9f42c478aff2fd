package authd

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatepost/gatepost/internal/account"
)

// TestTenThousandConnections: each has said half of a line, or a whole one that
// is never gone on with, and one more is answered at once. They take little
// memory, and leave nothing.
func TestTenThousandConnections(t *testing.T) {
	const n = 10_000
	run(t, func(c *Config) { c.MaxConnections = n + 2 }, func(t *testing.T, h *harness) {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		first := h.hello(Login, "2", "1")
		for i := range n {
			ours, theirs := pipe(t)
			h.lns[Login].conns <- theirs
			go drain(ours)
			say := fmt.Sprintf("VERSION\t1\t2\nCPID\t%d\n", i+10)
			switch i % 4 {
			case 0:
				say += "AUTH\t1\tPLAIN\tservice=imap\trip=203.0.113.9\tresp=AAAA"
			case 1:
				say += "AUTH\t1\tLOGIN\tservice=imap\nAUTH\t2\tPLAIN\tservice=imap\n"
			case 2:
				say = say[:12]
			case 3:
				say += "\n"
			}
			if _, err := ours.Write([]byte(say)); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		runtime.GC()
		runtime.ReadMemStats(&after)
		if each := (int64(after.HeapInuse+after.StackInuse) - int64(before.HeapInuse+before.StackInuse)) / n; each > 40<<10 {
			t.Errorf("a connection takes %d bytes, both ends", each)
		}
		start := time.Now()
		last := h.hello(Login, "2", "2")
		for i, p := range []*peer{first, last} {
			p.send(imap("1", alice, "wonderland"))
			p.want("OK\t1\tuser=" + alice)
			if took := time.Since(start); took != 0 {
				t.Errorf("connection %d waited %v", i, took)
			}
		}
		// The handshakes that were left have an end.
		time.Sleep(handshakeTime)
		synctest.Wait()
		h.srv.mu.Lock()
		left := len(h.srv.byPID)
		h.srv.mu.Unlock()
		if want := n/2 + 2; left != want {
			t.Errorf("%d connections are left, want %d", left, want)
		}
	})
}

func drain(c interface{ Read([]byte) (int, error) }) {
	var b [512]byte
	for {
		if _, err := c.Read(b[:]); err != nil {
			return
		}
	}
}

// TestHostileLogins: names and passwords of any bytes are refused, or right, like
// any others, and nothing of them reaches the log or the journal unescaped.
func TestHostileLogins(t *testing.T) {
	const bad = "\xff\xfe planted\r\nlevel=ERROR msg=forged \x1b[31m \x01t \u202e"
	for i, tc := range []struct{ name, password string }{
		{"\xff@example.org", "planted"},
		{alice + "\r\nplanted", "planted"},
		{"planted\ttab@example.org", "planted"},
		{"planted\x01t@example.org", "planted"},
		{strings.Repeat("planted", 1300), "planted"},
		{alice, strings.Repeat("planted", 1400)},
		{alice, bad},
		{bad, "planted"},
		{"\"planted\x1b[31m\"@example.org", "planted"},
		{"планted@пример.рф", "planted"},
		{"%s%n${planted}@example.org", "planted"},
		{"planted\u202e@example.org", "planted"},
	} {
		for _, kind := range []Kind{Client, Login} {
			run(t, withScram, func(t *testing.T, h *harness) {
				p := h.hello(kind, "2", "1")
				service := "smtp"
				if kind == Login {
					service = "imap"
				}
				p.send("AUTH\t1\tPLAIN\tservice=" + service + "\trip=203.0.113.9\tresp=" + b64("\x00"+tc.name+"\x00"+tc.password))
				p.send("AUTH\t2\tLOGIN\tservice=" + service + "\trip=203.0.113.10\tresp=" + b64(tc.name))
				p.send("AUTH\t3\tSCRAM-SHA-256\tservice=" + service + "\trip=203.0.113.11\tresp=" + b64("n,,n="+tc.name+",r=planted"))
				p.send("CONT\t2\t" + b64(tc.password))
				for p.answers(3) > 0 {
				}
				p.send(imap("9", alice, "wonderland"))
				p.want("OK\t9\tuser=" + alice)
				log := h.log.String()
				if strings.ContainsAny(strings.ReplaceAll(log, "\n", ""), "\x00\x01\x1b\r") || strings.Contains(log, "\xff") || strings.Contains(log, "\u202e") || strings.Contains(log, "level=ERROR") {
					t.Errorf("%d: the log has what was typed: %q", i, log)
				}
				for _, r := range h.journal.logins() {
					if strings.ContainsAny(r.User, "\x00\x01\r\n\t") || strings.Contains(r.User, "\xff") {
						t.Errorf("%d: the journal has %q", i, r.User)
					}
				}
			})
		}
	}
}

// answers reads n final answers or questions of SCRAM, of any kind; it returns 0.
func (p *peer) answers(n int) int {
	p.t.Helper()
	for n > 0 {
		line := p.recv()
		if !strings.HasPrefix(line, "CONT\t2\t") {
			n--
		}
		if !strings.HasPrefix(line, "FAIL\t") && !strings.HasPrefix(line, "CONT\t") {
			p.t.Errorf("the server says %q", line)
		}
	}
	return 0
}

// TestLongLines: 64 KB in one line closes the connection after what one line may
// have, and what came before it is answered.
func TestLongLines(t *testing.T) {
	for _, kind := range []Kind{Client, Login, Master, Userdb} {
		run(t, nil, func(t *testing.T, h *harness) {
			p := h.hello(kind, "2", "1")
			first, want := plain("1", alice, "wonderland")+"\n", "OK\t1\tuser="+alice
			if kind == Master || kind == Userdb {
				first, want = "USER\t1\tnobody@example.org\tservice=lmtp\n", "NOTFOUND\t1"
			}
			if _, err := p.conn.Write([]byte(first)); err != nil {
				t.Fatal(err)
			}
			p.want(want)
			_, _ = p.conn.Write([]byte("AUTH\t2\tPLAIN\tservice=smtp\tresp=" + strings.Repeat("A", 64<<10)))
			p.closed()
		})
	}
}

// TestLinesInPieces: a line is the same however it arrives, also behind longer
// and shorter ones.
func TestLinesInPieces(t *testing.T) {
	run(t, nil, func(t *testing.T, h *harness) {
		long := imap("2", alice, strings.Repeat("x", 9000))
		for _, size := range []int{1, 7, 1023, 1024, 1025, 4096, 1 << 20} {
			p := h.hello(Login, "2", fmt.Sprint(size))
			all := imap("1", alice, "wonderland") + "\n" + long + "\r\n" + imap("3", alice, "wonderland") + "\n" + imap("4", alice, "wonderland") + "\n"
			for all != "" {
				n := min(size, len(all))
				if _, err := p.conn.Write([]byte(all[:n])); err != nil {
					t.Fatal(err)
				}
				all = all[n:]
			}
			got := map[string]bool{}
			for range 4 {
				got[p.recv()] = true
			}
			if len(got) != 4 || !got["OK\t3\tuser="+alice] || !got["FAIL\t2\tuser="+alice] {
				t.Errorf("in pieces of %d: %v", size, got)
			}
		}
	})
}

// TestNoPasswordLeavesByAnyRule: as TestNoPasswordLeaves, by SCRAM, app passwords,
// rehashing and the account's rules.
func TestNoPasswordLeavesByAnyRule(t *testing.T) {
	run(t, func(c *Config) { withScram(c); c.Rehash = "SCRAM-SHA-256" }, func(t *testing.T, h *harness) {
		const secretWord = "planted-secret"
		app := h.appPassword(1, nil)
		h.accounts.set("bob@example.org", secretWord, func(u *account.User) { u.NoLogin = "gone" })
		h.accounts.set("carol@example.org", secretWord, nil)
		p := h.hello(Client, "0", "1")
		c, first := p.scram("1", mechScram256, "smtp", "", "carol@example.org", secretWord)
		c.prove(first)
		c.step(c.cont())
		p.send("CONT\t1\t")
		p.want("OK\t1\tuser=carol@example.org")
		for i, line := range []string{
			plain("2", alice, app), plain("3", alice, strings.ToUpper(app)+"x"), plain("4", "bob@example.org", secretWord), plain("5", "carol@example.org", secretWord),
			"AUTH\t6\tSCRAM-SHA-256\tservice=smtp\tresp=" + b64(secretWord), "AUTH\t7\tSCRAM-SHA-256\tservice=smtp\tresp=" + b64("n,,n="+secretWord+",r="+secretWord),
		} {
			p.send(line)
			if got := p.recv(); got == "" {
				t.Errorf("line %d is not answered", i)
			}
		}
		h.accounts.fail(errAway)
		q := h.hello(Login, "2", "9")
		q.send(imap("1", alice, secretWord))
		q.recv()
		synctest.Wait()
		all := h.log.String() + fmt.Sprintf("%+v %#v", h.journal.all, h.journal.all)
		for _, leak := range []string{secretWord, b64(secretWord)[:12], app, strings.ReplaceAll(app, "-", ""), app[:9]} {
			if i := strings.Index(strings.ToLower(all), strings.ToLower(leak)); i >= 0 {
				t.Errorf("%q is in the log or the journal: %s", leak, all[max(i-200, 0):min(i+100, len(all))])
			}
		}
	})
}
