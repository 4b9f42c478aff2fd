package dict

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/listen"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/secret"
)

func sprint(all ...any) string { return fmt.Sprintf("%v %+v %#v %q", all, all, all, all) }

// store is an account store in memory, which can be away or break.
type store struct {
	mu    sync.Mutex
	users []account.User
	err   error
	panic bool
}

func (s *store) User(_ context.Context, addr mailaddr.Address) (account.User, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.panic {
		panic("the account store fell over")
	}
	if s.err != nil {
		return account.User{}, s.err
	}
	for _, u := range s.users {
		if u.Addr == addr {
			return u, nil
		}
	}
	return account.User{}, account.ErrNotFound
}

func (s *store) Users(context.Context, string) ([]account.User, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.users, s.err
}

func (s *store) add(name string) {
	a, err := mailaddr.Parse(name)
	if err != nil {
		panic(err)
	}
	s.users = append(s.users, account.User{ID: int64(len(s.users) + 1), Addr: a, Password: secret.String("{PLAIN}" + a.LocalPart + "pw")})
}

type records struct {
	mu  sync.Mutex
	all []journal.Record
}

func (r *records) Record(rec journal.Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, rec)
}

type noMeter struct{}

func (noMeter) Request(string, string, time.Duration) {}
func (noMeter) Sessions(string, int)                  {}

// harness is a running server.
type harness struct {
	srv     *Server
	store   *store
	journal *records
	log     *bytes.Buffer
	path    string
	stop    context.CancelFunc
	done    chan error
}

func start(t *testing.T, uid int, edit func(*Config)) *harness {
	t.Helper()
	h := &harness{store: &store{}, journal: &records{}, log: &bytes.Buffer{}, path: filepath.Join(t.TempDir(), "dict"), done: make(chan error, 1)}
	for _, u := range []string{"dave@example.org", "erin@example.org"} {
		h.store.add(u)
	}
	cfg := Default()
	if edit != nil {
		edit(&cfg)
	}
	var err error
	h.srv, err = New(cfg, Deps{Accounts: h.store, Journal: h.journal, Meter: noMeter{},
		PeerCred: func(net.Conn) (listen.Cred, error) { return listen.Cred{UID: uid}, nil },
	}, slog.New(slog.NewTextHandler(&locked{w: h.log}, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ln, err := listen.Unix(h.path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	h.stop = stop
	go func() { h.done <- h.srv.Serve(ctx, ln) }()
	t.Cleanup(func() {
		stop()
		if err := <-h.done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return h
}

// locked makes a buffer safe for the goroutines of a server.
type locked struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// ask sends lines and returns all that comes until the server closes, or n
// lines.
func (h *harness) ask(t *testing.T, sent string, n int) string {
	t.Helper()
	c, err := net.Dial("unix", h.path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(c, sent) // the server may have closed already
	r := bufio.NewReader(c)
	var out strings.Builder
	for range n {
		line, err := r.ReadString('\n')
		out.WriteString(line)
		if err != nil {
			break
		}
	}
	return out.String()
}

const hello3 = "H3\t2\t0\t\tauthd\n"

func TestServe(t *testing.T) {
	h := start(t, 0, nil)
	for _, tc := range []struct{ name, sent, want string }{
		{"version 3", hello3 + "Lshared/passdb/dave@example.org\tdave@example.org\n", `O{"password":"{PLAIN}davepw"}` + "\n"},
		{"version 2", "H2\t2\t0\t\tauthd\nLshared/passdb/dave@example.org\n", `O{"password":"{PLAIN}davepw"}` + "\n"},
		{"version 4", "H4\t0\t0\t\tauthd\nLshared/passdb/imap/dave@example.org\tdave@example.org\n", `O{"password":"{PLAIN}davepw"}` + "\n"},
		{"unknown", hello3 + "Lshared/passdb/nobody@example.org\tx\n", "N\n"},
		{"no address", hello3 + "Lshared/passdb/hunter2\thunter2\n", "N\n"},
		{"another space", hello3 + "Lshared/quota/dave@example.org\tx\n", "N\n"},
		{"several", hello3 + strings.Repeat("Lshared/passdb/nobody@example.org\tx\n", 3), "N\nN\nN\n"},
		{"iteration", hello3 + "I0\t0\tshared/userdb/\t*\n", "Oshared/userdb/dave@example.org\tdave@example.org\nOshared/userdb/erin@example.org\terin@example.org\n\n"},
		{"bounded iteration", hello3 + "I0\t1\tshared/userdb/\t*\n", "Oshared/userdb/dave@example.org\tdave@example.org\n\n"},
		{"iteration without values", hello3 + "I8\t1\tshared/userdb/\t*\n", "Oshared/userdb/dave@example.org\t\n\n"},
		{"iteration elsewhere", hello3 + "I0\t0\tshared/passdb/\t*\n", "\n"},
		{"no greeting", "Lshared/passdb/dave@example.org\tx\n", ""},
		{"two greetings", hello3 + hello3, ""},
		{"another version", "H9\t0\t0\t\tauthd\n", ""},
		{"a transaction", hello3 + "B1\tdave\n", ""},
		{"a long line", hello3 + strings.Repeat("L", 2*maxLine), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := strings.Count(tc.want, "\n")
			if tc.want == "" {
				n = 1 // until the server closes
			}
			if got := h.ask(t, tc.sent, n); got != tc.want {
				t.Errorf("%q was answered %q, want %q", tc.sent, got, tc.want)
			}
		})
	}
	for _, r := range h.journal.all {
		if r.User != "" && !strings.Contains(r.User, "@") {
			t.Errorf("the journal shows %q, which is no address", r.User)
		}
	}
	h.stop()
	if err := <-h.done; err != nil {
		t.Fatal(err)
	}
	h.done <- nil
	for _, planted := range []string{"davepw", "hunter2"} {
		if strings.Contains(h.log.String(), planted) || strings.Contains(sprint(h.journal.all), planted) {
			t.Errorf("%q is in the log or the journal", planted)
		}
	}
}

// TestTranscripts: what Dovecot 2.3.19 sent gets answers of the same kind.
func TestTranscripts(t *testing.T) {
	h := start(t, 0, nil)
	for _, pattern := range []string{"testdata/dict-v3-passdb-userdb.*.c2s", "testdata/dict-v3-password-in-key.*.c2s"} {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			t.Fatal(err)
		}
		for _, name := range names {
			sent, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			// Its users have no domain; ours have one.
			in := strings.ReplaceAll(string(sent), "\tdave\n", "\tdave@example.org\n")
			in = strings.ReplaceAll(in, "passdb/dave\t", "passdb/dave@example.org\t")
			in = strings.ReplaceAll(in, "userdb/dave\t", "userdb/dave@example.org\t")
			got := h.ask(t, in, 1)
			// A password in the key is not what we are asked with: nobody has
			// that name.
			want := "N"
			if strings.Contains(in, "b/dave@example.org\t") || strings.Contains(in, "\nI0") {
				want = "O"
			}
			if !strings.HasPrefix(got, want) {
				t.Errorf("%s: %q was answered %q, want %s", name, in, got, want)
			}
		}
	}
}

func TestPeer(t *testing.T) {
	const ask = hello3 + "Lshared/passdb/dave@example.org\tx\n"
	h := start(t, 33, nil)
	if got := h.ask(t, ask, 1); got != "" {
		t.Errorf("user id 33 was answered %q", got)
	}
	cfg := Default()
	cfg.UIDs = []int{33}
	h.srv.Reconfigure(cfg)
	if got := h.ask(t, ask, 1); !strings.HasPrefix(got, "O{") {
		t.Errorf("user id 33, which may ask now, was answered %q", got)
	}
}

func TestStoreAway(t *testing.T) {
	h := start(t, 0, nil)
	h.store.mu.Lock()
	h.store.err = errors.New("disk on fire")
	h.store.mu.Unlock()
	for _, line := range []string{"Lshared/passdb/dave@example.org\tx\n", "Lshared/userdb/dave@example.org\tx\n", "I0\t0\tshared/userdb/\t*\n"} {
		if got := h.ask(t, hello3+line, 1); got != "Faccounts can not be read\n" {
			t.Errorf("%q was answered %q, want F", line, got)
		}
	}
	h.store.mu.Lock()
	h.store.panic = true
	h.store.mu.Unlock()
	if got := h.ask(t, hello3+"Lshared/passdb/dave@example.org\tx\n", 1); got != "" {
		t.Errorf("a panic was answered %q", got)
	}
	h.store.mu.Lock()
	h.store.err, h.store.panic = nil, false
	h.store.mu.Unlock()
	if got := h.ask(t, hello3+"Lshared/passdb/nobody@example.org\tx\n", 1); got != "N\n" {
		t.Errorf("after it the answer is %q", got)
	}
}

// TestManyConnections: more than may be open wait, and silent ones hold nobody
// up.
func TestManyConnections(t *testing.T) {
	h := start(t, 0, func(c *Config) { c.MaxConnections = 20 })
	for range 10 {
		c, err := net.Dial("unix", h.path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, "H3\t2"); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			if got := h.ask(t, hello3+"Lshared/passdb/dave@example.org\tx\n", 1); !strings.HasPrefix(got, "O{") {
				t.Errorf("answered %q", got)
			}
		})
	}
	wg.Wait()
}

// TestLargeIteration: rows go out in parts.
func TestLargeIteration(t *testing.T) {
	h := start(t, 0, nil)
	h.store.users = nil
	const n = 100_000
	for i := range n {
		h.store.add(fmt.Sprintf("user%d@example.org", i))
	}
	got := h.ask(t, hello3+"I0\t0\tshared/userdb/\t*\n", n+1)
	if rows := strings.Count(got, "\n"); rows != n+1 || !strings.HasSuffix(got, "\n\n") {
		t.Errorf("%d lines, want %d and an empty one", rows, n)
	}
}

// TestSilence: a peer that says nothing is sent away.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, tc := range []struct {
			sent string
			wait time.Duration
		}{{"", handshakeTime}, {hello3, idleTime}} {
			server, client := net.Pipe()
			s, err := New(Default(), Deps{Accounts: &store{}, Journal: &records{}, Meter: noMeter{},
				PeerCred: func(net.Conn) (listen.Cred, error) { return listen.Cred{}, nil }}, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			done := make(chan struct{})
			go func() {
				s.serveConn(t.Context(), t.Context(), server)
				close(done)
			}()
			if _, err := io.WriteString(client, tc.sent); err != nil {
				t.Fatal(err)
			}
			<-done
			if took := time.Since(began); took != tc.wait {
				t.Errorf("after %q closed in %v, want %v", tc.sent, took, tc.wait)
			}
			client.Close()
		}
	})
}

// TestEnd: an idle connection ends with the daemon.
func TestEnd(t *testing.T) {
	h := start(t, 0, nil)
	c, err := net.Dial("unix", h.path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, hello3+"Lshared/passdb/nobody@example.org\tx\n"); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(c)
	if got, err := r.ReadString('\n'); got != "N\n" || err != nil {
		t.Fatalf("%q, %v", got, err)
	}
	h.stop()
	if err := <-h.done; err != nil {
		t.Fatal(err)
	}
	h.done <- nil
	if _, err := r.ReadByte(); err == nil {
		t.Error("the connection outlived the daemon")
	}
}

func TestValidate(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string]func(*Config){
		"uids[0]":         func(c *Config) { c.UIDs = []int{-1} },
		"max_connections": func(c *Config) { c.MaxConnections = 0 },
		"grace":           func(c *Config) { c.Grace = -1 },
		"mail_root":       func(c *Config) { c.MailRoot = "mail" },

		"default_pass_scheme": func(c *Config) { c.DefaultPassScheme = "rot13" },
	} {
		c := Default()
		edit(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := New(c, Deps{}, nil); err == nil {
			t.Errorf("%s: New took it", name)
		}
	}
}
