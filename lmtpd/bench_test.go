package lmtpd

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/listen"
)

const benchClients = 8

// benchMessage is a message of about size bytes, below its Received field.
func benchMessage(size int) []byte {
	return []byte("Subject: x\r\n\r\n" + strings.Repeat(strings.Repeat("x", 78)+"\r\n", size/80))
}

// benchUser spreads the load of each client over some mailboxes.
func benchUser(client, i int) string { return fmt.Sprint("u", client, "-", i%4) }

// benchRoot is above the mailboxes of all benchmarks and goes when all are done:
// ext4 looks long for an inode where many were freed a moment ago, which would
// be charged to whoever runs next.
var benchRoot string

func TestMain(m *testing.M) {
	code := m.Run()
	if benchRoot != "" {
		if err := os.RemoveAll(benchRoot); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	os.Exit(code)
}

// benchMail returns the mail root of all benchmarks, on the disk of TMPDIR. They
// share its mailboxes, because on ext4 the place of a directory decides how long
// it takes to make a file in it.
func benchMail(b *testing.B) string {
	b.Helper()
	if benchRoot == "" {
		root, err := os.MkdirTemp("", "gatepost-bench-")
		if err != nil {
			b.Fatal(err)
		}
		benchRoot = root
	}
	for client := range benchClients {
		for i := range 4 {
			for _, sub := range []string{"tmp", "new"} {
				if err := os.MkdirAll(filepath.Join(benchBox(client, i), sub), 0o700); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	return benchRoot
}

// benchBox returns the Maildir of a user.
func benchBox(client, i int) string {
	return filepath.Join(benchRoot, "example.test", benchUser(client, i), "Maildir")
}

// benchServer serves as many connections of a real socket as are asked for. The
// mailboxes are there.
func benchServer(b *testing.B, connections int) []*benchClient {
	b.Helper()
	deps := testDeps(&ledger{})
	var users fakeAccounts
	for client := range connections {
		for i := range 4 {
			users = append(users, benchUser(client, i))
		}
	}
	deps.Accounts, deps.Journal, deps.Meter = users, discard{}, discard{}
	cfg := testConfig(benchMail(b))
	cfg.MessageSizeLimit = 64 << 20
	s, err := New(cfg, deps, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	ln, err := listen.Unix(filepath.Join(b.TempDir(), "lmtp"), 0o600)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, ln) }()
	clients := make([]*benchClient, connections)
	for i := range clients {
		clients[i] = dialBench(b, ln.Addr().String())
	}
	b.Cleanup(func() {
		for _, c := range clients {
			c.Close()
		}
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	})
	// What came in the seconds of the start may have come before.
	time.Sleep(3 * time.Second)
	for i, c := range clients {
		for k := range 4 {
			if err := c.send([]byte("Subject: x\r\n\r\n"), benchUser(i, k)); err != nil {
				b.Fatal(err)
			}
		}
	}
	return clients
}

// discard is a journal and a meter that keep nothing.
type discard struct{}

func (discard) Record(journal.Record)                 {}
func (discard) Request(string, string, time.Duration) {}
func (discard) Sessions(string, int)                  {}

// BenchmarkLMTP1MBTo1 and BenchmarkLMTP1MBTo20 are one message at a time. Each
// sends both in turn: what a disk takes for the same changes from second to second.
func BenchmarkLMTP1MBTo1(b *testing.B)  { benchRecipients(b, 0) }
func BenchmarkLMTP1MBTo20(b *testing.B) { benchRecipients(b, 1) }

func benchRecipients(b *testing.B, name int) {
	clients := benchServer(b, 5)
	var users []string
	for i := range 20 {
		users = append(users, benchUser(i/4, i))
	}
	msg := benchMessage(1 << 20)
	var took [2]time.Duration
	n := 0
	for b.Loop() {
		for i, to := range [][]string{users[:1], users} {
			began := time.Now()
			if err := clients[0].send(msg, to...); err != nil {
				b.Fatal(err)
			}
			took[i] += time.Since(began)
		}
		n++
	}
	b.ReportMetric(float64(took[name])/float64(n), "ns/op")
	b.ReportMetric(float64(took[1])/float64(took[0]), "of-one")
}

// BenchmarkLMTP50x25MB is what fifty large messages at once add to the memory
// of the process, clients and all.
func BenchmarkLMTP50x25MB(b *testing.B) {
	clients := benchServer(b, 50)
	const size = 25 << 20
	idle, peak := resident(b), 0.0
	for b.Loop() {
		var wg sync.WaitGroup
		stop := make(chan struct{})
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(20 * time.Millisecond):
					peak = max(peak, resident(b))
				}
			}
		})
		var senders sync.WaitGroup
		for i, c := range clients {
			senders.Go(func() {
				if err := c.sendLarge(size, benchUser(i, 0)); err != nil {
					b.Error(err)
				}
			})
		}
		senders.Wait()
		close(stop)
		wg.Wait()
	}
	b.ReportMetric(peak-idle, "MB-added")
}

// resident returns the resident memory of this process in MB.
func resident(b *testing.B) float64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	var kb float64
	if _, err := fmt.Sscan(rest, &kb); err != nil {
		b.Fatal(err)
	}
	return kb / 1024
}

type benchClient struct {
	net.Conn
	in    *bufio.Reader
	count int
	// size says that the server knows SIZE.
	size bool
}

func dialBench(b *testing.B, path string) *benchClient {
	b.Helper()
	c, err := net.Dial("unix", path)
	if err != nil {
		b.Fatal(err)
	}
	k := &benchClient{Conn: c, in: bufio.NewReader(c)}
	if err := k.expect("220 "); err != nil {
		b.Fatal(err)
	}
	if _, err := io.WriteString(k, "LHLO bench\r\n"); err != nil {
		b.Fatal(err)
	}
	if err := k.expect("250 "); err != nil {
		b.Fatal(err)
	}
	return k
}

// send sends one message as Postfix does: the envelope in one write, then the
// content.
func (c *benchClient) send(msg []byte, users ...string) error {
	if err := c.envelope(len(msg)+200, users); err != nil {
		return err
	}
	c.count++
	id := strings.ReplaceAll(fmt.Sprintf("B%pX%d", c, c.count), "0x", "") // each is a new message
	out := net.Buffers{[]byte(receivedAt(id, time.Now())), msg, []byte(".\r\n")}
	if _, err := out.WriteTo(c.Conn); err != nil {
		return err
	}
	return c.saved(users)
}

// sendLarge sends a message of size bytes that is nowhere in memory.
func (c *benchClient) sendLarge(size int, users ...string) error {
	if err := c.envelope(size, users); err != nil {
		return err
	}
	for piece := benchMessage(16 << 10); size > 0; size -= len(piece) {
		if _, err := c.Write(piece); err != nil {
			return err
		}
	}
	if _, err := io.WriteString(c, ".\r\n"); err != nil {
		return err
	}
	return c.saved(users)
}

func (c *benchClient) envelope(size int, users []string) error {
	var b strings.Builder
	b.WriteString("MAIL FROM:<s@y.test>")
	if c.size {
		b.WriteString(" SIZE=" + strconv.Itoa(size))
	}
	b.WriteString("\r\n")
	for _, u := range users {
		b.WriteString("RCPT TO:<" + u + "@example.test>\r\n")
	}
	if _, err := io.WriteString(c, b.String()+"DATA\r\n"); err != nil {
		return err
	}
	for range len(users) + 1 {
		if err := c.expect("250 "); err != nil {
			return err
		}
	}
	return c.expect("354 ")
}

func (c *benchClient) saved(users []string) error {
	for range users {
		if err := c.expect("250 2.0.0 "); err != nil {
			return err
		}
	}
	return nil
}

// expect reads one reply.
func (c *benchClient) expect(want string) error {
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if bytes.HasPrefix(line[min(4, len(line)):], []byte("SIZE")) {
			c.size = true
		}
		if len(line) > 3 && line[3] == '-' {
			continue
		}
		if !bytes.HasPrefix(line, []byte(want)) {
			return fmt.Errorf("%q, want %q", line, want)
		}
		return nil
	}
}
