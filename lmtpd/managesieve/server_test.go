package managesieve

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/script"
)

var alice = mailaddr.Address{LocalPart: "alice", Domain: "example.org"}

// The auth server learns who logs in from where, and nothing secret is logged or
// journaled.
func TestLoginIsToldAndNotLogged(t *testing.T) {
	h := newHouse(t, nil)
	c := h.login(t)
	if got := c.say("PUTSCRIPT \"a\" \"keep;\""); got != `OK "script kept"` {
		t.Fatal(got)
	}
	c.say("LOGOUT")
	h.auth.mu.Lock()
	seen := h.auth.seen
	h.auth.mu.Unlock()
	if len(seen) != 1 || !strings.HasPrefix(seen[0], "AUTH\t1\tPLAIN\tservice=sieve\tnologin\tsecured=tls\tfinal-resp-ok\tsession=") {
		t.Errorf("AUTH = %q", seen)
	}
	log := h.logged.String()
	for _, s := range []string{"right", plain("right"), "keep;"} {
		if strings.Contains(log, s) || strings.Contains(fmt.Sprint(h.rec.list), s) {
			t.Errorf("%q is in the log or the journal:\n%s\n%v", s, log, h.rec.list)
		}
	}
	if len(h.rec.list) != 1 || h.rec.list[0].Event != "put" || h.rec.list[0].User != "alice@example.org" || h.rec.list[0].Verdict != "ok" {
		t.Errorf("journal = %+v", h.rec.list)
	}
}

func TestAuthServerAway(t *testing.T) {
	h := newHouse(t, nil)
	h.auth.away = true
	c := h.dial(t)
	c.answer()
	c.say("STARTTLS")
	c.startTLS(h)
	if got := c.answer(); got != `OK "TLS is there"` {
		t.Fatal(got)
	}
	if got, want := c.say(`AUTHENTICATE "PLAIN" "`+plain("right")+`"`), `NO (TRYLATER) "`+textAuthAway+`"`; got != want {
		t.Errorf("AUTHENTICATE = %s, want %s", got, want)
	}
}

// What comes in clear text behind STARTTLS is not taken for what came in TLS
// (CVE-2021-33515).
func TestNothingFollowsSTARTTLS(t *testing.T) {
	h := newHouse(t, nil)
	c := h.dial(t)
	c.answer()
	if got := c.say("STARTTLS\r\nNOOP \"injected\""); got != `BYE "nothing may follow STARTTLS before TLS"` {
		t.Errorf("STARTTLS = %s", got)
	}
	if got := c.line(); got != "" {
		t.Errorf("behind BYE: %s", got)
	}
}

// A stranger's command ends at 16 KB, whatever its form.
func TestBeforeLogin(t *testing.T) {
	for name, text := range map[string]string{
		"quoted string":  `NOOP "` + strings.Repeat("x", maxCommand),
		"literal":        "NOOP {16385+}\r\n",
		"huge literal":   "AUTHENTICATE \"PLAIN\" {4294967295+}\r\n",
		"faulty line":    "NOOP x" + strings.Repeat("y", maxCommand),
		"many arguments": "NOOP " + strings.Repeat("1 ", maxCommand),
	} {
		h := newHouse(t, nil)
		c := h.dial(t)
		c.answer()
		go func() { _, _ = c.conn.Write([]byte(text)) }()
		if got := c.line(); !strings.HasPrefix(got, "BYE ") {
			t.Errorf("%s: %s, want BYE", name, got)
		}
		c.conn.Close()
	}
}

func TestTooManyFaults(t *testing.T) {
	h := newHouse(t, nil)
	c := h.dial(t)
	c.answer()
	for range maxBad {
		if got := c.say("HELP"); !strings.HasPrefix(got, "NO ") {
			t.Fatal(got)
		}
	}
	if got := c.say("HELP"); got != `BYE "too many faults"` {
		t.Errorf("after %d faults: %s", maxBad, got)
	}
}

// A script that is too large is read and refused; behind it goes on.
func TestLargeScript(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.MaxScriptSize = 1 << 10 })
	c := h.login(t)
	for _, size := range []int{1025, 100000} {
		c.send(fmt.Sprintf("PUTSCRIPT \"a\" {%d+}\r\n", size))
		c.send(strings.Repeat("#", size))
		if got := c.say(""); !strings.HasPrefix(got, "NO (QUOTA/MAXSIZE) ") {
			t.Errorf("%d bytes: %s", size, got)
		}
	}
	if got := c.say("NOOP"); got != `OK "done"` {
		t.Errorf("NOOP = %s", got)
	}
	c.send("PUTSCRIPT \"a\" {4294967295+}\r\n")
	if got := c.line(); !strings.HasPrefix(got, "BYE ") {
		t.Errorf("4 GB: %s", got)
	}
}

// Each fault of the store has its answer, and only ours are logged as such.
func TestDecideError(t *testing.T) {
	for _, tc := range []struct {
		err   error
		code  string
		fault bool
	}{
		{script.ErrNotFound, codeNonexistent, false},
		{fmt.Errorf("x: %w", script.ErrExists), codeAlreadyExists, false},
		{script.ErrActive, codeActive, false},
		{script.ErrName, "", false},
		{&script.QuotaError{Quota: script.QuotaStorage, Max: 10 << 20}, codeQuota, false},
		{script.ErrUnsafe, "", true},
		{os.ErrPermission, codeTryLater, true},
	} {
		r, fault := decideError(tc.err)
		if r.status != statusNo || r.code != tc.code || fault != tc.fault || strings.Contains(r.text, "permission") {
			t.Errorf("decideError(%v) = %v, %t, want code %q, %t", tc.err, r, fault, tc.code, tc.fault)
		}
	}
}

// Times: a stranger has a minute for all of the login, whatever he sends; a user
// half an hour between commands.
func TestTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, nil)
		ours, theirs := net.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			h.srv.serveConn(t.Context(), t.Context(), theirs)
		}()
		c := newClient(t, ours)
		c.answer()
		start := time.Now()
		for range 11 {
			time.Sleep(5 * time.Second)
			if got := c.say("NOOP"); got != `OK "done"` {
				t.Fatal(got)
			}
		}
		if got := c.answer(); got != `BYE "the login took too long"` || time.Since(start) != time.Minute {
			t.Errorf("%s after %v", got, time.Since(start))
		}
		ours.Close()
		<-done
	})
}

func TestIdleTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, nil)
		ours, theirs := net.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			h.srv.serveConn(t.Context(), t.Context(), theirs)
		}()
		c := newClient(t, ours)
		c.answer()
		c.say("STARTTLS")
		c.startTLS(h)
		c.answer()
		c.say(`AUTHENTICATE "PLAIN" "` + plain("right") + `"`)
		time.Sleep(29 * time.Minute)
		if got := c.say("NOOP"); got != `OK "done"` {
			t.Fatal(got)
		}
		start := time.Now()
		if got := c.answer(); got != `BYE "you were silent for too long"` || time.Since(start) != 30*time.Minute {
			t.Errorf("%s after %v", got, time.Since(start))
		}
		ours.Close()
		<-done
	})
}

// serve serves on a port of its own until the test ends.
func (h *house) serve(t *testing.T) (addr string, stop func() error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- h.srv.Serve(ctx, ln) }()
	stop = func() error {
		cancel()
		return <-ended
	}
	return ln.Addr().String(), stop
}

func dialTCP(t *testing.T, addr string) *client {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return newClient(t, conn)
}

// The end of the daemon is told, and a connection too many too.
func TestServe(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.MaxConnectionsPerClient = 2 })
	addr, stop := h.serve(t)
	first, second := dialTCP(t, addr), dialTCP(t, addr)
	first.answer()
	second.answer()
	third := dialTCP(t, addr)
	if got := third.answer(); got != `BYE (TRYLATER) "too many connections from your network"` {
		t.Errorf("third connection: %s", got)
	}
	if got := second.say("LOGOUT"); got != `OK "goodbye"` || second.line() != "" {
		t.Errorf("LOGOUT = %s", got)
	}
	if err := stop(); err != nil {
		t.Errorf("Serve = %v", err)
	}
	if got := first.answer(); got != `BYE (TRYLATER) "the service is stopping, please come back"` {
		t.Errorf("at the end: %s", got)
	}
	if h.rec.open != 0 || len(h.srv.clients) != 0 {
		t.Errorf("%d sessions, %v", h.rec.open, h.srv.clients)
	}
}

func TestPanicEndsOneSession(t *testing.T) {
	h := newHouse(t, nil)
	h.srv.deps.Check = func(mailaddr.Address, string, []byte) ([]string, error) { panic("planted") }
	c := h.login(t)
	if got := c.say("CHECKSCRIPT \"keep;\""); got != `BYE (TRYLATER) "`+textFault+`"` {
		t.Errorf("CHECKSCRIPT = %s", got)
	}
	if !strings.Contains(h.logged.String(), "planted") {
		t.Errorf("log = %s", h.logged)
	}
	if c := h.login(t); c.say("NOOP") != `OK "done"` {
		t.Error("the next session does not work")
	}
}

// A certificate that was renewed is taken within a minute; one that is broken
// changes nothing.
func TestCertificateIsReadAgain(t *testing.T) {
	h := newHouse(t, nil)
	serial := func() string {
		t.Helper()
		cert, err := h.srv.cert.get(nil)
		if err != nil {
			t.Fatal(err)
		}
		return cert.Leaf.SerialNumber.String()
	}
	age := func() {
		h.srv.cert.mu.Lock()
		h.srv.cert.looked = h.srv.cert.looked.Add(-certificateAge)
		h.srv.cert.mu.Unlock()
	}
	old := serial()
	newCertificate(t, h.cfg.SSLCert, h.cfg.SSLKey)
	if serial() != old {
		t.Error("looked within the minute")
	}
	age()
	renewed := serial()
	if renewed == old {
		t.Error("the new certificate is not used")
	}
	write(t, h.cfg.SSLCert, "broken")
	age()
	if serial() != renewed || !strings.Contains(h.logged.String(), "new certificate not usable") {
		t.Errorf("log = %s", h.logged)
	}
	if err := h.srv.Reconfigure(h.cfg); err == nil || serial() != renewed {
		t.Errorf("Reconfigure = %v", err)
	}
	if _, err := New(h.cfg, h.srv.deps, h.srv.log); err == nil {
		t.Error("New with a broken certificate: no error")
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	h := newHouse(t, nil)
	c := h.dial(t)
	c.answer()
	c.say("STARTTLS")
	err := tls.Client(c.conn, &tls.Config{RootCAs: h.pool.pool, ServerName: "mx.example.org", MaxVersion: tls.VersionTLS11}).Handshake()
	if err == nil {
		t.Error("TLS 1.1 was taken")
	}
}

func TestConfig(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Errorf("Default: %v", err)
	}
	c := Config{Listen: "4190", SSLCert: "x", SSLKey: "", AuthSocketPath: "auth", MaxConnections: 0, LoginTimeout: 1, MaxScriptSize: 1 << 21, QuotaMaxScripts: -1, QuotaMaxStorage: -1, Grace: -1}
	err := c.Validate()
	for _, key := range []string{"listen", "ssl_cert", "auth_socket_path", "max_connections", "max_connections_per_client", "login_timeout", "idle_timeout", "max_script_size", "quota_max_scripts", "quota_max_storage", "grace"} {
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("Validate says nothing of %s: %v", key, err)
		}
	}
	h := newHouse(t, nil)
	if err := h.srv.Reconfigure(c); err == nil || h.srv.cfg.Load().Listen != h.cfg.Listen {
		t.Errorf("Reconfigure = %v", err)
	}
	if _, err := New(h.cfg, Deps{}, nil); err == nil {
		t.Error("New without parts: no error")
	}
}

// A script that another program left, with a fault, does not become active.
func TestFaultyScriptIsNotActivated(t *testing.T) {
	h := newHouse(t, nil)
	if err := h.store.Put(alice, "a", []byte("frobnicate;")); err != nil {
		t.Fatal(err)
	}
	c := h.login(t)
	c.send("SETACTIVE \"a\"\r\n")
	if got := c.line(); !strings.HasPrefix(got, "NO ") {
		t.Errorf("SETACTIVE = %s", got)
	}
	if _, err := h.store.Active(alice, script.Identity{}); !errors.Is(err, script.ErrNotFound) {
		t.Errorf("Active = %v", err)
	}
	if _, err := os.Lstat(filepath.Join(h.root, "example.org/alice/.dovecot.sieve")); err == nil {
		t.Error("a link was made")
	}
}
