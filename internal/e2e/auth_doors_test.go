//go:build linux && e2e

package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net"
	"net/netip"
	"net/textproto"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/e2e/lab"
)

// door is one way to log in: it returns what the server said, and whether it let
// the user in.
type door struct {
	name string
	try  func(t *testing.T, from, user, password string) (said string, in bool)
}

// dovecotDoors are those of Dovecot.
var dovecotDoors = []door{{"imap", tryIMAP}, {"pop3", tryPOP3}, {"sieve", trySieve}}

func tryIMAP(t *testing.T, from, user, password string) (string, bool) {
	t.Helper()
	c, err := the.IMAP(from)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	a, err := c.Login(user, password)
	if err != nil {
		t.Fatal(err)
	}
	if !a.OK() {
		return a.Status, false
	}
	// The mail process has taken the login over.
	if a, err := c.Command("SELECT INBOX"); err != nil || !a.OK() {
		t.Errorf("SELECT after a login: %v %v", a, err)
	}
	return a.Status, true
}

// text opens a line protocol from an address of the lab.
func text(t *testing.T, from, port string, secure bool) (net.Conn, *textproto.Conn) {
	t.Helper()
	addr := netip.MustParseAddr(from)
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(addr, 0)), Timeout: 20 * time.Second}
	conn, err := d.DialContext(t.Context(), "tcp", net.JoinHostPort(lab.ServerIP, port))
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(40 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if secure {
		conn = overTLS(t, conn)
	}
	return conn, textproto.NewConn(conn)
}

// overTLS trusts the server's own certificate.
func overTLS(t *testing.T, conn net.Conn) net.Conn {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(read0(t, "/etc/ssl/certs/mx.example.org.pem"))
	c := tls.Client(conn, &tls.Config{RootCAs: pool, ServerName: lab.Hostname, MinVersion: tls.VersionTLS12})
	if err := c.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c
}

// say sends a line, or nothing, and returns the answer.
func say(t *testing.T, c *textproto.Conn, line string) string {
	t.Helper()
	if line != "" {
		if err := c.PrintfLine("%s", line); err != nil {
			t.Fatal(err)
		}
	}
	got, err := c.ReadLine()
	if err != nil {
		t.Fatalf("answer to %.6s: %v", line, err)
	}
	return got
}

func tryPOP3(t *testing.T, from, user, password string) (string, bool) {
	t.Helper()
	conn, c := text(t, from, "995", true)
	defer conn.Close()
	say(t, c, "")
	say(t, c, "USER "+user)
	said := say(t, c, "PASS "+password)
	if !strings.HasPrefix(said, "+OK") {
		return said, false
	}
	if stat := say(t, c, "STAT"); !strings.HasPrefix(stat, "+OK") {
		t.Errorf("STAT after a login: %s", stat)
	}
	return said, true
}

func trySieve(t *testing.T, from, user, password string) (string, bool) {
	t.Helper()
	conn, c := text(t, from, "4190", false)
	defer conn.Close()
	// Capabilities, and their OK.
	done := func() string {
		for {
			if line := say(t, c, ""); !strings.HasPrefix(line, `"`) {
				return line
			}
		}
	}
	done()
	if said := say(t, c, "STARTTLS"); !strings.HasPrefix(said, "OK") {
		t.Fatalf("STARTTLS: %s", said)
	}
	secured := overTLS(t, conn)
	c = textproto.NewConn(secured)
	done()
	said := say(t, c, `AUTHENTICATE "PLAIN" "`+base64.StdEncoding.EncodeToString([]byte("\x00"+user+"\x00"+password))+`"`)
	if !strings.HasPrefix(said, "OK") {
		return said, false
	}
	if list := say(t, c, "LISTSCRIPTS"); !strings.HasPrefix(list, "OK") {
		t.Errorf("LISTSCRIPTS after a login: %s", list)
	}
	return said, true
}

// trySubmission logs in at port 587.
func trySubmission(t *testing.T, from, user, password string) (string, bool) {
	t.Helper()
	c := submissionSession(t, from)
	defer c.Close()
	r, err := c.Auth(user, password)
	if err != nil {
		t.Fatal(err)
	}
	return r.String(), r.Code == 235
}

// doveadm runs a command of Dovecot's administrator.
func doveadm(args ...string) (string, error) {
	out, err := exec.Command("doveadm", args...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("doveadm %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return string(out), err
}

// lmtpKnows asks Dovecot's LMTP server for a recipient.
func lmtpKnows(t *testing.T, addr string) bool {
	t.Helper()
	conn, err := net.Dial("unix", "/run/dovecot/lmtp")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(40 * time.Second)); err != nil {
		t.Fatal(err)
	}
	c := textproto.NewConn(conn)
	for _, line := range []string{"", "LHLO mx.example.org", "MAIL FROM:<>", "RCPT TO:<" + addr + ">"} {
		if line != "" {
			if err := c.PrintfLine("%s", line); err != nil {
				t.Fatal(err)
			}
		}
		code, said, err := c.ReadResponse(0)
		if line[:min(4, len(line))] == "RCPT" {
			if code != 250 && code != 550 {
				t.Errorf("RCPT of %s: %d %s, want 250 or 550", addr, code, said)
			}
			return code == 250
		}
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
	}
	return false
}
