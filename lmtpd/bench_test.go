package lmtpd

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/gatepost/gatepost/internal/listen"
)

const benchClients = 8

// benchMessage is a message of 4 KB.
func benchMessage() string {
	return receivedBy("HAM") + "Subject: x\r\n\r\n" + strings.Repeat(strings.Repeat("x", 78)+"\r\n", 49)
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

// benchDir returns a new directory on the disk of TMPDIR.
func benchDir(b *testing.B) string {
	b.Helper()
	if benchRoot == "" {
		root, err := os.MkdirTemp("", "gatepost-bench-")
		if err != nil {
			b.Fatal(err)
		}
		benchRoot = root
	}
	dir, err := os.MkdirTemp(benchRoot, "")
	if err != nil {
		b.Fatal(err)
	}
	return dir
}

// share calls do on benchClients goroutines.
func share(b *testing.B, do func(client, i int) error) {
	b.Helper()
	work := make(chan int)
	var wg sync.WaitGroup
	for client := range benchClients {
		wg.Go(func() {
			for i := range work {
				if err := do(client, i); err != nil {
					b.Error(err)
				}
			}
		})
	}
	n := 0
	for b.Loop() {
		n++
		work <- n
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "msg/s")
	close(work)
	wg.Wait()
}

// BenchmarkLMTP4KB delivers over eight connections of a real socket, durable
// before each 250.
func BenchmarkLMTP4KB(b *testing.B) {
	root := benchDir(b)
	l := &ledger{}
	deps := testDeps(l)
	var users fakeAccounts
	for client := range benchClients {
		for i := range 4 {
			users = append(users, benchUser(client, i))
		}
	}
	deps.Accounts = users
	s, err := New(testConfig(root), deps, slog.New(slog.DiscardHandler))
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
	var clients [benchClients]*benchClient
	for i := range clients {
		clients[i] = dialBench(b, ln.Addr().String())
	}
	msg := benchMessage()
	for i, c := range clients { // makes the mailboxes
		for k := range 4 {
			if err := c.send(benchUser(i, k), msg); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportAllocs()
	share(b, func(client, i int) error { return clients[client].send(benchUser(client, i), msg) })
	for _, c := range clients {
		c.Close()
	}
	cancel()
	if err := <-done; err != nil {
		b.Error(err)
	}
}

type benchClient struct {
	net.Conn
	in *bufio.Reader
}

func dialBench(b *testing.B, path string) *benchClient {
	b.Helper()
	c, err := net.Dial("unix", path)
	if err != nil {
		b.Fatal(err)
	}
	k := &benchClient{c, bufio.NewReader(c)}
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
func (c *benchClient) send(user, msg string) error {
	if _, err := io.WriteString(c, "MAIL FROM:<s@y.test>\r\nRCPT TO:<"+user+"@example.test>\r\nDATA\r\n"); err != nil {
		return err
	}
	for _, want := range []string{"250 ", "250 ", "354 "} {
		if err := c.expect(want); err != nil {
			return err
		}
	}
	if _, err := io.WriteString(c, msg+".\r\n"); err != nil {
		return err
	}
	return c.expect("250 2.0.0 ")
}

// expect reads one reply.
func (c *benchClient) expect(want string) error {
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			return err
		}
		if line[3] == '-' {
			continue
		}
		if !strings.HasPrefix(line, want) {
			return fmt.Errorf("%q, want %q", line, want)
		}
		return nil
	}
}

// BenchmarkBareWriter4KB is what BenchmarkLMTP4KB is measured against: the same
// bytes by eight goroutines, with both fsyncs and nothing else.
func BenchmarkBareWriter4KB(b *testing.B) {
	root := benchDir(b)
	for client := range benchClients {
		for i := range 4 {
			for _, sub := range []string{"tmp", "new"} {
				if err := os.MkdirAll(filepath.Join(root, benchUser(client, i), sub), 0o700); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	msg := []byte(strings.ReplaceAll(benchMessage(), "\r\n", "\n"))
	share(b, func(client, i int) error {
		return bareWrite(filepath.Join(root, benchUser(client, i)), fmt.Sprint(i), msg)
	})
}

// bareWrite is the least that is durable.
func bareWrite(dir, name string, msg []byte) error {
	f, err := os.OpenFile(filepath.Join(dir, "tmp", name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.Write(msg); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(dir, "tmp", name), filepath.Join(dir, "new", name)); err != nil {
		return err
	}
	d, err := os.Open(filepath.Join(dir, "new"))
	if err != nil {
		return err
	}
	if err := d.Sync(); err != nil {
		return err
	}
	return d.Close()
}
