package lmtpd

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatepost/gatepost/internal/maildir"
	"github.com/gatepost/gatepost/internal/unit"
)

// conversation returns a function that sends a line and reads one reply, which
// has to begin with want.
func conversation(t *testing.T, c net.Conn) func(line, want string) string {
	in := bufio.NewReader(c)
	return func(line, want string) string {
		t.Helper()
		if line != "" {
			if _, err := io.WriteString(c, line); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
		}
		for {
			got, err := in.ReadString('\n')
			if err != nil && want != "EOF" {
				t.Fatalf("after %q: %v", line, err)
			}
			if err != nil {
				return ""
			}
			if len(got) > 3 && got[3] == '-' {
				continue
			}
			if !strings.HasPrefix(got, want) {
				t.Fatalf("after %q: %q, want %q", line, got, want)
			}
			return got
		}
	}
}

// serveIn starts s in a bubble; the returned function stops it and waits.
func serveIn(t *testing.T, s *Server, p *pipes) (stop func(), done chan error) {
	ctx, cancel := context.WithCancel(context.Background())
	done = make(chan error, 1)
	go func() { done <- s.Serve(ctx, p) }()
	return cancel, done
}

func TestStopLetsATransactionFinish(t *testing.T) {
	root := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := &ledger{}
		p := newPipes()
		stop, done := serveIn(t, newServer(t, testConfig(root), l), p)
		idle, busy := p.dial(t), p.dial(t)
		sayIdle, say := conversation(t, idle), conversation(t, busy)
		sayIdle("", "220 ")
		sayIdle("LHLO x\r\n", "250 ")
		say("", "220 ")
		say("LHLO x\r\n", "250 ")
		say("MAIL FROM:<s@y.test>\r\n", "250 ")
		stop()
		sayIdle("", "421 4.3.2 ")
		sayIdle("", "EOF")
		select {
		case p.conns <- nil:
			t.Error("a connection was accepted after the stop")
		default:
		}
		say("RCPT TO:<alice@example.test>\r\n", "250 ")
		say("DATA\r\n", "354 ")
		say("x\r\n.\r\n", "250 2.0.0 ")
		say("", "421 4.3.2 ")
		if err := <-done; err != nil || l.sessions != 0 {
			t.Errorf("Serve = %v, %d sessions", err, l.sessions)
		}
	})
	if len(inbox(t, root, "alice", "INBOX")) != 1 {
		t.Error("not delivered")
	}
}

func TestStopEndsAfterGrace(t *testing.T) {
	root := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		stop, done := serveIn(t, newServer(t, testConfig(root), &ledger{}), p)
		say := conversation(t, p.dial(t))
		say("", "220 ")
		say("LHLO x\r\n", "250 ")
		say("MAIL FROM:<s@y.test>\r\n", "250 ")
		say("RCPT TO:<alice@example.test>\r\n", "250 ")
		say("DATA\r\n", "354 ")
		began := time.Now()
		stop()
		if err := <-done; err != nil {
			t.Errorf("Serve = %v", err)
		}
		if took := time.Since(began); took != Default().Grace.Std() {
			t.Errorf("the end took %v", took)
		}
	})
}

func TestTimeouts(t *testing.T) {
	for _, tc := range []struct {
		name  string
		lines []string
		drip  string // sent once a minute, without an end
		after time.Duration
		reply string
	}{
		{"no command", nil, "", 5 * time.Minute, "421 4.4.2 "},
		{"a command that drips", nil, "N", 5 * time.Minute, "421 4.4.2 "},
		{"idle in a transaction", []string{"MAIL FROM:<s@y.test>\r\n"}, "", 5 * time.Minute, "421 4.4.2 "},
		{"no data", []string{"MAIL FROM:<s@y.test>\r\n", "RCPT TO:<alice@example.test>\r\n", "DATA\r\n"}, "", 3 * time.Minute, "451 4.3.0 "},
		{"data that drips", []string{"MAIL FROM:<s@y.test>\r\n", "RCPT TO:<alice@example.test>\r\n", "DATA\r\n"}, "x", time.Hour, "451 4.3.0 "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			root := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				p := newPipes()
				stop, done := serveIn(t, newServer(t, testConfig(root), &ledger{}), p)
				c := p.dial(t)
				say := conversation(t, c)
				say("", "220 ")
				say("LHLO x\r\n", "250 ")
				for _, line := range tc.lines {
					say(line, "")
				}
				began := time.Now()
				quit := make(chan struct{})
				go func() {
					for tick := time.NewTicker(time.Minute); tc.drip != ""; {
						select {
						case <-tick.C:
							io.WriteString(c, tc.drip)
						case <-quit:
							return
						}
					}
				}()
				say("", tc.reply)
				say("", "EOF")
				if took := time.Since(began); took != tc.after {
					t.Errorf("waited %v, want %v", took, tc.after)
				}
				close(quit)
				stop()
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
			if len(inbox(t, root, "alice", "INBOX")) != 0 {
				t.Error("half a message was delivered")
			}
		})
	}
}

func TestTooLongCommand(t *testing.T) {
	p := start(t, newServer(t, testConfig(t.TempDir()), &ledger{}))
	c := p.dial(t)
	c.SetDeadline(time.Now().Add(20 * time.Second))
	go io.WriteString(c, "LHLO x\r\nMAIL FROM:<"+strings.Repeat("x", 9000)+"@y.test>\r\n")
	say := conversation(t, c)
	say("", "220 ")
	say("", "250 ")
	say("", "500 5.4.0 ")
	say("", "EOF")
}

func TestRecipientLimit(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.RecipientLimit = 50
	out := talk(t, start(t, newServer(t, cfg, &ledger{})), envelope("x\r\n", strings.Fields(strings.Repeat("alice ", 51))...), false)
	if n := strings.Count(out, "\r\n452 4.5.3 "); n != 1 {
		t.Errorf("%d recipients refused", n)
	}
	if got := replies(t, out); len(got) != 50 {
		t.Errorf("%d replies", len(got))
	}
}

// Connections above the cap wait until one ends.
func TestMaxConnections(t *testing.T) {
	root := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig(root)
		cfg.MaxConnections = 1
		p := newPipes()
		stop, done := serveIn(t, newServer(t, cfg, &ledger{}), p)
		say := conversation(t, p.dial(t))
		say("", "220 ")
		waiting := make(chan net.Conn)
		go func() { waiting <- p.dial(t) }()
		synctest.Wait()
		select {
		case <-waiting:
			t.Error("a second connection came in")
		default:
		}
		say("QUIT\r\n", "221 ")
		conversation(t, <-waiting)("", "220 ")
		stop()
		<-done
	})
}

// A recipient is answered as soon as its copy is safe, not when all are.
func TestEachReplyIsSentAtOnce(t *testing.T) {
	root := t.TempDir()
	s := newServer(t, testConfig(root), &ledger{})
	release := make(chan struct{})
	breakWriter(s, func() (maildir.Stored, error) {
		<-release
		return maildir.Stored{}, errors.New("late")
	})
	c := start(t, s).dial(t)
	c.SetDeadline(time.Now().Add(20 * time.Second))
	say := conversation(t, c)
	say("", "220 ")
	say("LHLO x\r\n", "250 ")
	say("MAIL FROM:<s@y.test>\r\n", "250 ")
	say("RCPT TO:<alice@example.test>\r\n", "250 ")
	say("RCPT TO:<bob@example.test>\r\n", "250 ")
	say("DATA\r\n", "354 ")
	say("x\r\n.\r\n", "250 2.0.0 <alice@")
	close(release)
	say("", "451 4.3.0 <bob@")
}

type brokenListener struct{ net.Listener }

func (brokenListener) Accept() (net.Conn, error) { return nil, errors.New("listener broke") }

func TestServeOnRealSockets(t *testing.T) {
	root, l := t.TempDir(), &ledger{}
	cfg := testConfig(root)
	cfg.Grace = unit.Duration(time.Second)
	s := newServer(t, cfg, l)
	path := filepath.Join(t.TempDir(), "lmtp")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, ln) }()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	say := conversation(t, c)
	say("", "220 ")
	say("LHLO x\r\n", "250 ")
	cancel()
	say("", "421 4.3.2 ")
	if err := <-done; err != nil {
		t.Errorf("Serve = %v", err)
	}
	// The one above that has sent its answer may still be on its way out.
	for range 100_000 {
		if runtime.NumGoroutine() <= before {
			break
		}
		runtime.Gosched()
	}
	if n := runtime.NumGoroutine(); n > before {
		t.Errorf("%d goroutines, before %d", n, before)
	}
	if err := newServer(t, cfg, l).Serve(t.Context(), brokenListener{newPipes()}); err == nil || !strings.Contains(err.Error(), "listener broke") {
		t.Errorf("Serve on a broken listener = %v", err)
	}
}
