package managesieve

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

type tlsPool struct{ pool *x509.CertPool }

// newCertificate writes a certificate for mx.example.org.
func newCertificate(t *testing.T, certFile, keyFile string) tlsPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: serial, DNSNames: []string{"mx.example.org"}, NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	priv, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, certFile, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	write(t, keyFile, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: priv})))
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	p := tlsPool{x509.NewCertPool()}
	p.pool.AddCert(cert)
	return p
}

// client is the other end of a session.
type client struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

// dial begins a session over a pipe.
func (h *house) dial(t *testing.T) *client {
	t.Helper()
	ours, theirs := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.srv.serveConn(context.WithoutCancel(t.Context()), context.WithoutCancel(t.Context()), theirs)
	}()
	t.Cleanup(func() {
		ours.Close()
		<-done
	})
	return newClient(t, ours)
}

func newClient(t *testing.T, conn net.Conn) *client {
	t.Helper()
	if err := conn.SetDeadline(time.Now().Add(2 * time.Hour)); err != nil {
		t.Fatal(err)
	}
	return &client{t: t, conn: conn, in: bufio.NewReader(conn)}
}

func (c *client) send(text string) {
	c.t.Helper()
	if _, err := c.conn.Write([]byte(text)); err != nil {
		c.t.Fatalf("send %.40q: %v", text, err)
	}
}

// line returns the next line without its CRLF, "" at the end.
func (c *client) line() string {
	c.t.Helper()
	s, err := c.in.ReadString('\n')
	if err != nil {
		return ""
	}
	text, ok := strings.CutSuffix(s, "\r\n")
	if !ok {
		c.t.Errorf("line %q has no CRLF", s)
	}
	return text
}

// answer returns the last line of the answer to a command.
func (c *client) answer() string {
	c.t.Helper()
	for {
		l := c.line()
		for _, s := range []string{"OK", "NO", "BYE"} {
			if l == s || strings.HasPrefix(l, s+" ") {
				return l
			}
		}
		if l == "" {
			return l
		}
	}
}

// say sends a command and returns its answer.
func (c *client) say(text string) string {
	c.t.Helper()
	c.send(text + "\r\n")
	return c.answer()
}

func (c *client) startTLS(h *house) {
	c.t.Helper()
	t := tls.Client(c.conn, &tls.Config{RootCAs: h.pool.pool, ServerName: "mx.example.org"})
	if err := t.Handshake(); err != nil {
		c.t.Fatal(err)
	}
	c.conn, c.in = t, bufio.NewReader(t)
}

// login begins a session, with TLS and as alice.
func (h *house) login(t *testing.T) *client {
	t.Helper()
	c := h.dial(t)
	c.answer()
	c.say("STARTTLS")
	c.startTLS(h)
	c.answer()
	if got := c.say(`AUTHENTICATE "PLAIN" "` + plain("right") + `"`); !strings.HasPrefix(got, "OK") {
		t.Fatalf("AUTHENTICATE: %s", got)
	}
	return c
}

// TestTranscripts plays testdata/*.session: C: is sent, S: is expected, both
// with CRLF but for what ends in \; "TLS" shakes hands and "LOGIN" does all up to
// the login; PASSWORD(x) is a PLAIN message with that password; "..." skips
// lines up to the next expected one, "S: " at the end is the end.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.session")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			play(t, newHouse(t, nil), string(text))
		})
	}
}

func play(t *testing.T, h *house, text string) {
	t.Helper()
	var c *client
	skipping := false
	for n, l := range strings.Split(strings.TrimSpace(text), "\n") {
		switch what, rest, _ := strings.Cut(l, " "); what {
		case "", "#":
		case "LOGIN":
			c = h.login(t)
		case "TLS":
			c.startTLS(h)
		case "...":
			skipping = true
		case "C:":
			rest = strings.NewReplacer("PASSWORD(", "\x01", ")", "\x02").Replace(rest)
			for strings.Contains(rest, "\x01") {
				before, more, _ := strings.Cut(rest, "\x01")
				word, after, _ := strings.Cut(more, "\x02")
				rest = before + plain(word) + after
			}
			rest = strings.ReplaceAll(rest, "\x02", ")")
			if held, ok := strings.CutSuffix(rest, `\`); ok {
				c.send(held)
			} else {
				c.send(rest + "\r\n")
			}
		case "S:":
			if c == nil {
				c = h.dial(t)
			}
			got := c.line()
			for skipping && got != rest && got != "" {
				got = c.line()
			}
			skipping = false
			if got != rest {
				t.Fatalf("line %d: S: %s\nwant S: %s", n+1, got, rest)
			}
		default:
			t.Fatalf("line %d: %q", n+1, l)
		}
	}
}
