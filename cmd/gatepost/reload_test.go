package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/secret"
	"github.com/gatepost/gatepost/internal/tail"
)

// inside is a Gatepost within the test, all daemons of it.
type inside struct {
	*machine
	r    *reloader
	log  *bytes.Buffer // of the goroutine that reloads, and of who serves
	mu   sync.Mutex    // guards log
	stop func()
}

func (g *inside) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.log.Write(p)
}

func (g *inside) logged() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.log.String()
}

// startInside serves all sockets of a machine, whose domain example.org has
// alice with the password "wonderland".
func startInside(t *testing.T, more string) *inside {
	t.Helper()
	g := &inside{machine: newMachine(t), log: new(bytes.Buffer)}
	g.configure(t, more)
	cfg := Default()
	if err := config.Load(g.config(), &cfg); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(g, nil))
	s, err := openStores(t.Context(), cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	d, err := newDaemons(cfg, s, log)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.accounts.AddDomain(t.Context(), "example.org"); err != nil {
		t.Fatal(err)
	}
	alice := account.User{Addr: mailaddr.Address{LocalPart: "alice", Domain: "example.org"}, Password: secret.String("{PLAIN}wonderland")}
	if err := s.accounts.AddUser(t.Context(), alice); err != nil {
		t.Fatal(err)
	}
	g.r = &reloader{path: g.config(), start: cfg, stores: s, daemons: d, level: new(slog.LevelVar), log: log}

	sockets := d.sockets(daemonNames)
	lns, err := openSockets(cfg, sockets, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var served sync.WaitGroup
	for i, sock := range sockets {
		served.Go(func() {
			if err := sock.serve(ctx, lns[i]); err != nil {
				t.Errorf("%s: %v", sock.name, err)
			}
		})
	}
	g.stop = sync.OnceFunc(func() {
		cancel()
		served.Wait()
		if err := s.close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(g.stop)
	return g
}

// peer speaks a protocol of lines to one of the sockets.
type peer struct {
	t    *testing.T
	name string
	conn net.Conn
	in   *bufio.Reader
}

func (g *inside) peer(t *testing.T, dir, name string) *peer {
	t.Helper()
	c, err := net.Dial("unix", filepath.Join(g.dir, dir, name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return &peer{t, name, c, bufio.NewReader(c)}
}

// ask sends text and returns what comes up to the end, which is cut off.
func (p *peer) ask(text, end string) string {
	if _, err := p.conn.Write([]byte(text)); err != nil {
		p.t.Errorf("%s: %v", p.name, err)
		return ""
	}
	var got strings.Builder
	for !strings.HasSuffix(got.String(), end) {
		b, err := p.in.ReadByte()
		if err != nil {
			p.t.Errorf("%s: %v after %q", p.name, err, got.String())
			return ""
		}
		got.WriteByte(b)
	}
	return strings.TrimSuffix(got.String(), end)
}

// halves are two configurations of two settings each, with what they answer to
// alice who sends as bob: the first of A decides before the second of A can,
// so that a mix of B's first with A's second would show.
var halves = map[string]struct{ yaml, policy, userdb string }{
	"A": {
		`policyd: {reject_sender_login_mismatch: enforce, rules: [{name: a, action: REJECT by a}]}
authd: {mail_location: "maildir:~/A"}
`, "action=553 5.7.1 user alice@example.org may not send as bob@example.org; the administrator of this server can grant it",
		"mail=maildir:~/A"},
	"B": {
		`policyd: {reject_sender_login_mismatch: observe, rules: [{name: b, action: REJECT by b}]}
authd: {mail_location: "maildir:~/B"}
`, "action=REJECT by b", "mail=maildir:~/B"},
}

// policyRequest is alice who sends as bob, each time in another mail.
func policyRequest(n int) string {
	return fmt.Sprintf("request=smtpd_access_policy\nprotocol_state=RCPT\nclient_address=198.51.100.7\n"+
		"instance=%d\nsender=bob@example.org\nrecipient=x@example.net\nsasl_username=alice@example.org\n\n", n)
}

// TestReloadUnderLoad: no session is cut, each request sees the old file or the
// new, and a file with a fault anywhere changes nothing.
func TestReloadUnderLoad(t *testing.T) {
	g := startInside(t, halves["A"].yaml)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var answered []*atomic.Int64
	load := func(one func(n int)) {
		count := new(atomic.Int64)
		answered = append(answered, count)
		wg.Go(func() {
			for n := 0; ctx.Err() == nil && !t.Failed(); n++ {
				one(n)
				count.Add(1)
			}
		})
	}
	enough := func() bool { // of every load, or there is nothing to wait for
		return t.Failed() || !slices.ContainsFunc(answered, func(c *atomic.Int64) bool { return c.Load() < 50 })
	}
	either := func(p *peer, got string, of func(half string) string) {
		if got != of("A") && got != of("B") {
			t.Errorf("%s answers %q, a mix of two files", p.name, got)
		}
	}
	for i := range 2 {
		p := g.peer(t, "queue/gatepost", "policy")
		load(func(n int) {
			either(p, p.ask(policyRequest(2*n+i), "\n\n"), func(h string) string { return halves[h].policy })
		})
	}
	u := g.peer(t, "run", "userdb")
	u.ask("VERSION\t1\t1\n", "SPID\t"+fmt.Sprint(os.Getpid())+"\n")
	load(func(n int) {
		got := u.ask(fmt.Sprintf("USER\t%d\talice@example.org\tservice=lmtp\n", n+1), "\n")
		either(u, got[strings.LastIndexByte(got, '\t')+1:], func(h string) string { return halves[h].userdb })
	})
	a := g.peer(t, "queue/gatepost", "auth")
	a.ask("VERSION\t1\t2\nCPID\t7\n", "DONE\n")
	resp := base64.StdEncoding.EncodeToString([]byte("\x00alice@example.org\x00wonderland"))
	load(func(n int) {
		want := fmt.Sprintf("OK\t%d\tuser=alice@example.org", n+1)
		if got := a.ask(fmt.Sprintf("AUTH\t%d\tPLAIN\tservice=smtp\tresp=%s\n", n+1, resp), "\n"); got != want {
			t.Errorf("auth answers %q, want %q", got, want)
		}
	})
	s := g.peer(t, "queue/gatepost", "socketmap")
	load(func(int) {
		if got := s.ask("40:virtual_mailbox_maps ALICE+x@Example.ORG,", ","); got != "20:OK alice@example.org" {
			t.Errorf("socketmap answers %q", got)
		}
	})
	l := g.peer(t, "queue/gatepost", "lmtp")
	l.ask("", "\n")
	load(func(int) {
		if got := l.ask("NOOP\r\n", "\n"); !strings.HasPrefix(got, "250 ") {
			t.Errorf("lmtp answers %q", got)
		}
	})
	p := g.peer(t, "queue/gatepost", "policy")
	for n := 0; n < 20 || !enough(); n++ {
		half := []string{"B", "A"}[n%2]
		g.configure(t, halves[half].yaml)
		if err := g.r.reload(); err != nil {
			t.Error(err)
		}
		g.refuse(t, n, halves[[]string{"A", "B"}[n%2]].yaml)
		if got := p.ask(policyRequest(1<<30+n), "\n\n"); got != halves[half].policy {
			t.Errorf("after reload %d: %q, want %q", n, got, halves[half].policy)
		}
	}
	stop()
	wg.Wait()
	g.stop()
}

// refuse offers other settings in a file that has a fault, one of several.
func (g *inside) refuse(t *testing.T, n int, other string) {
	t.Helper()
	key := filepath.Join(g.dir, "data/dkim/example.org/bad.pem")
	for _, tc := range []struct{ more, want string }{
		{"polycid: {}\n", `gatepost.yaml:8:1: polycid: unknown setting, did you mean "policyd"?`},
		{"guard: {max_failures: 0}\n", "gatepost.yaml:8:9: guard.max_failures: 0 is not between 1 and 100"},
		{"recipient_delimiter: \"-\"\n", "which only a restart can take"},
		{"hostname: [\n", "gatepost.yaml:"},
		{"", "bad.pem"},
	}[n%5 : n%5+1] {
		if tc.more == "" {
			if err := os.MkdirAll(filepath.Dir(key), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(key, []byte("no key"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		g.configure(t, tc.more+other)
		if err := g.r.reload(); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("reload of %q = %v, want %q", tc.more, err, tc.want)
		}
	}
	if err := os.RemoveAll(filepath.Dir(key)); err != nil {
		t.Fatal(err)
	}
}

// TestRestartOnlyIsSaidEachTime: as long as the file and the process differ.
func TestRestartOnlyIsSaidEachTime(t *testing.T) {
	g := startInside(t, "")
	reload := func(more string) string {
		t.Helper()
		before := len(g.logged())
		g.configure(t, more)
		if err := g.r.reload(); err != nil {
			t.Error(err)
		}
		return g.logged()[before:]
	}
	for range 2 {
		if got := reload("authd: {max_connections: 5}\nlog: {format: json}\n"); !strings.Contains(got, `settings="log.format authd.max_connections"`) {
			t.Errorf("the log says %q, want the two settings", got)
		}
	}
	if got := reload(""); got != "" {
		t.Errorf("the log says %q of the file that the process has", got)
	}
}

// TestRestartInManual compares the settings that only a restart takes with
// gatepost.yaml(5), in both directions.
func TestRestartInManual(t *testing.T) {
	page, err := os.ReadFile("../../docs/man/gatepost.yaml.5")
	if err != nil {
		t.Fatal(err)
	}
	other := Default()
	// The default of these is empty, as in Config{}.
	other.QueueHelper = "/run/gatepost/queue"
	other.AuthPolicy.Listen, other.AuthPolicy.APIKeyFile = "127.0.0.1:4001", "/etc/gatepost/key"
	other.Authd.DefaultPassScheme = "PLAIN"
	other.Managesieve.Listen = "[::]:4190"
	other.WatchLogs = make(tail.Config, 1)
	restart := append(restartOnly(Config{}, other), "hostname", "queue_directory", "runtime_directory",
		"data_directory", "mail_root", "mail_uid", "mail_gid", "recipient_delimiter")
	entry := regexp.MustCompile(`(?s)\.B ([a-z0-9_.\[\]*]+)\n(.*?)(\.TP|\.SH)`)
	marked := map[string]bool{}
	for text := string(page); ; {
		m := entry.FindStringSubmatchIndex(text)
		if m == nil {
			break
		}
		marked[text[m[2]:m[3]]] = regexp.MustCompile(`\bRestart\.`).MatchString(text[m[4]:m[5]])
		text = text[m[5]:]
	}
	for _, key := range config.Keys(Config{}) {
		section, _, _ := strings.Cut(strings.ReplaceAll(key, "[]", ""), ".")
		want := slices.Contains(restart, key) || slices.Contains(restart, section)
		if marked[key] != want {
			t.Errorf("gatepost.yaml(5) says of %s that it needs a restart: %v, want %v", key, marked[key], want)
		}
	}
}
