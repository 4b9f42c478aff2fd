package lmtpd

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/delivery"
	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/maildir"
	"github.com/gatepost/gatepost/internal/unit"
	"github.com/gatepost/gatepost/internal/verdict"
)

var update = flag.Bool("update", false, "rewrite the S: lines of testdata/*.session with what was said")

func newMaildir(t testing.TB, root string) *maildir.Store {
	t.Helper()
	m, err := maildir.New(maildir.Config{Root: root, Host: host})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// fakeAccounts has the users of example.test; "away@…" is a store that fails.
type fakeAccounts []string

func (a fakeAccounts) User(_ context.Context, addr mailaddr.Address) (account.User, error) {
	addr = addr.Folded()
	if addr.LocalPart == "away" {
		return account.User{}, errors.New("open /secret/accounts.db: disk I/O error")
	}
	if addr.Domain != "example.test" || !slices.Contains(a, addr.LocalPart) {
		return account.User{}, account.ErrNotFound
	}
	return account.User{ID: 1, Addr: addr, Held: addr.LocalPart == "held", Disabled: addr.LocalPart == "held"}, nil
}

func (fakeAccounts) Domain(context.Context, string) (account.Domain, error) {
	return account.Domain{}, account.ErrNotFound
}

func (fakeAccounts) Alias(context.Context, mailaddr.Address) (account.Alias, error) {
	return account.Alias{}, account.ErrNotFound
}

// fakeVerdicts finds what it holds; "AWAY" is a state that fails.
type fakeVerdicts map[string]delivery.Row

func (v fakeVerdicts) Find(_ context.Context, id string, received time.Time) (delivery.Row, bool, error) {
	if id == "AWAY" {
		return delivery.Row{}, false, errors.New("state: disk I/O error")
	}
	r, ok := v[id]
	return r, ok && received.Sub(r.Arrived).Abs() <= delivery.Apart, nil
}

// ledger keeps what was journaled, counted and logged.
type ledger struct {
	mu       sync.Mutex
	records  []journal.Record
	counts   map[string]int
	sessions int
	log      bytes.Buffer
}

func (l *ledger) Record(r journal.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records = append(l.records, r)
}

func (l *ledger) Request(daemon, verdict string, _ time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.counts == nil {
		l.counts = map[string]int{}
	}
	l.counts[daemon+" "+verdict]++
}

func (l *ledger) Sessions(_ string, delta int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sessions += delta
}

func (l *ledger) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log.Write(p)
}

// arrived is when the messages of the tests came.
var arrived = time.Date(2026, 11, 20, 6, 55, 35, 0, time.UTC)

func receivedBy(id string) string {
	return "Received: from x (unknown [192.0.2.1])\r\n\tby " + host + " (Postfix) with ESMTP id " + id + ";\r\n\tFri, 20 Nov 2026 06:55:35 +0000 (UTC)\r\n"
}

func testConfig(root string) Config {
	cfg := Default()
	cfg.Hostname, cfg.MailRoot, cfg.RecipientDelimiter = host, root, "+"
	cfg.MessageSizeLimit = 64 << 10
	return cfg
}

func testDeps(l *ledger) Deps {
	return Deps{
		Accounts: fakeAccounts{"alice", "bob", "carol", "held", "a b", ".."},
		Verdicts: fakeVerdicts{
			"SPAM":  {QueueID: "SPAM", Arrived: arrived, Verdict: verdict.Mark, Score: 7},
			"HAM":   {QueueID: "HAM", Arrived: arrived},
			"REUSE": {QueueID: "REUSE", Arrived: arrived.Add(-90 * time.Minute), Verdict: verdict.Mark},
		},
		Journal: l, Meter: l,
	}
}

func newServer(t testing.TB, cfg Config, l *ledger) *Server {
	t.Helper()
	s, err := New(cfg, testDeps(l), slog.New(slog.NewTextHandler(l, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// pipes is a listener whose connections are net.Pipes.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

func (p *pipes) dial(t testing.TB) net.Conn {
	t.Helper()
	client, server := net.Pipe()
	p.conns <- server
	t.Cleanup(func() { client.Close() })
	return client
}

// start serves s on pipes until the test ends.
func start(t testing.TB, s *Server) *pipes {
	t.Helper()
	p := newPipes()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, p) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve = %v", err)
		}
	})
	return p
}

// talk sends all of in at once, as a pipelining client does, hangs up if told
// to, and returns all that the server says until it ends the connection.
func talk(t testing.TB, p *pipes, in string, hangUp bool) string {
	t.Helper()
	c := p.dial(t)
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	read := make(chan error, 1)
	go func() {
		_, err := io.Copy(&out, c)
		read <- err
	}()
	_, err := io.WriteString(c, in)
	if hangUp {
		c.Close()
		<-read
		return out.String()
	}
	if err != nil {
		t.Errorf("write: %v", err)
	}
	if err := <-read; err != nil {
		t.Errorf("read: %v, after %q", err, out.String())
	}
	return out.String()
}

// envelope is a whole session for some recipients.
func envelope(content string, rcpts ...string) string {
	var b strings.Builder
	b.WriteString("LHLO mx.example.test\r\nMAIL FROM:<s@y.test>\r\n")
	for _, r := range rcpts {
		b.WriteString("RCPT TO:<" + r + "@example.test>\r\n")
	}
	return b.String() + "DATA\r\n" + content + ".\r\nQUIT\r\n"
}

// replies returns the replies after the 354, without the 221.
func replies(t testing.TB, out string) []string {
	t.Helper()
	_, after, ok := strings.Cut(out, "\r\n354 ")
	if !ok {
		t.Fatalf("no 354 in %q", out)
	}
	lines := strings.Split(strings.TrimSuffix(after, "\r\n"), "\r\n")[1:]
	if n := len(lines); n > 0 && strings.HasPrefix(lines[n-1], "221 ") {
		lines = lines[:n-1]
	}
	return lines
}

// inbox returns the messages in a folder of user.
func inbox(t testing.TB, root, user, folder string) []string {
	t.Helper()
	dir := filepath.Join(root, "example.test", user, "Maildir")
	if folder != "INBOX" {
		dir = filepath.Join(dir, "."+folder)
	}
	names, err := filepath.Glob(filepath.Join(dir, "new", "*"))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, n := range names {
		b, err := os.ReadFile(n)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(b))
	}
	return out
}

// TestSessions plays testdata/*.session: "C:" is what the client sends, with
// CRLF behind it; "Q:" the same as a quoted string without it; "S:" what the
// server says, where "*" stands for anything; "M: user folder n" the number of
// messages in a folder at the end.
func TestSessions(t *testing.T) {
	names, err := filepath.Glob("testdata/*.session")
	if err != nil || len(names) == 0 {
		t.Fatalf("no sessions: %v", err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".session"), func(t *testing.T) { playSession(t, name) })
	}
}

func playSession(t *testing.T, name string) {
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	s := newServer(t, testConfig(root), &ledger{})
	c := start(t, s).dial(t)
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	sends := make(chan string, 1000)
	defer close(sends)
	go func() {
		for s := range sends {
			if _, err := io.WriteString(c, s); err != nil {
				return
			}
		}
	}()
	in := bufio.NewReader(c)
	var said []string
	for i, line := range strings.Split(strings.TrimSuffix(string(b), "\n"), "\n") {
		kind, text, _ := strings.Cut(line, ": ")
		switch kind {
		case "C":
			sends <- text + "\r\n"
		case "Q":
			raw, err := strconv.Unquote(text)
			if err != nil {
				t.Fatalf("%s:%d: %v", name, i+1, err)
			}
			sends <- raw
		case "S":
			got, err := in.ReadString('\n')
			if got = strings.TrimSuffix(got, "\r\n"); err == io.EOF {
				got = "EOF"
			}
			if !glob(text, got) {
				t.Errorf("%s:%d: %q, want %q", name, i+1, got, text)
				line = "S: " + got
			}
		case "M":
			checkFolder(t, root, text)
		default:
			if line != "" && !strings.HasPrefix(line, "#") {
				t.Fatalf("%s:%d: %q is no line of a session", name, i+1, line)
			}
		}
		said = append(said, line)
	}
	if *update {
		if err := os.WriteFile(name, []byte(strings.Join(said, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func checkFolder(t *testing.T, root, text string) {
	t.Helper()
	var user, folder string
	var n int
	if _, err := fmt.Sscan(text, &user, &folder, &n); err != nil {
		t.Fatal(err)
	}
	if got := inbox(t, root, user, folder); len(got) != n {
		t.Errorf("%s %s has %d messages, want %d", user, folder, len(got), n)
	}
}

// glob reports whether s is pattern, in which "*" stands for anything.
func glob(pattern, s string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return s == pattern
	}
	s, ok := strings.CutPrefix(s, parts[0])
	if !ok {
		return false
	}
	for _, p := range parts[1 : len(parts)-1] {
		i := strings.Index(s, p)
		if i < 0 {
			return false
		}
		s = s[i+len(p):]
	}
	return strings.HasSuffix(s, parts[len(parts)-1])
}

func TestConfig(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Errorf("Default().Validate() = %v", err)
	}
	bad := Config{SpoolDirectory: "x", SpoolMemory: -1, Grace: unit.Duration(-1)}
	err := bad.Validate()
	for _, key := range []string{"max_connections", "recipient_limit", "parallel_deliveries", "message_size_limit", "idle_timeout",
		"data_timeout", "message_timeout", "grace", "spool_directory", "spool_memory"} {
		if err == nil || !strings.Contains(err.Error(), key+": ") {
			t.Errorf("Validate() says nothing about %s: %v", key, err)
		}
	}
	cfg := testConfig("relative")
	if _, err := New(cfg, testDeps(&ledger{}), slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a relative mail root was taken")
	}
	if _, err := New(testConfig("/x"), Deps{}, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("New without parts gave a server")
	}
}
