package sink

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatepost/gatepost/internal/unit"
)

var quiet = slog.New(slog.DiscardHandler)

func ban(network string, services ...string) Ban {
	return Ban{ID: "x7q2mk4a", Network: netip.MustParsePrefix(network), Services: services, Reason: "test",
		Since: time.Now(), Until: time.Now().Add(time.Hour)}
}

// fake is a sink that remembers, and fails when told to.
type fake struct {
	mu    sync.Mutex
	holds map[netip.Prefix]bool
	calls []string
	fail  error
	gate  chan struct{} // each apply takes one, unless nil
}

func (f *fake) apply(_ context.Context, c Change) error {
	if f.gate != nil {
		<-f.gate
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, map[bool]string{true: "lift ", false: "ban "}[c.Lifted]+c.Ban.Network.String())
	if f.fail != nil {
		return f.fail
	}
	f.holds[c.Ban.Network] = !c.Lifted
	return nil
}

func (f *fake) sync(_ context.Context, all []Ban) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, "sync")
	if f.fail != nil {
		return f.fail
	}
	f.holds = map[netip.Prefix]bool{}
	for _, b := range all {
		f.holds[b.Network] = true
	}
	return nil
}

func (f *fake) close() error { return nil }

func (f *fake) held() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, yes := range f.holds {
		if yes {
			n++
		}
	}
	return n
}

// list is what the guard has.
type list struct {
	mu  sync.Mutex
	all []Ban
}

func (l *list) bans(context.Context) ([]Ban, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.all), nil
}

func (l *list) set(all ...Ban) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = all
}

// run starts sinks with one fake, within a synctest bubble.
func run(t *testing.T, l *list, f *fake, mode unit.Mode, log *slog.Logger) *Sinks {
	s := &Sinks{bans: l.bans, log: log}
	s.add("fake", mode, f)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { s.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return s
}

func TestCarries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := ban("203.0.113.7/32", "imap"), ban("203.0.113.8/32", "imap")
		l, f := &list{}, &fake{holds: map[netip.Prefix]bool{}}
		l.set(a)
		s := run(t, l, f, unit.Enforce, quiet)
		synctest.Wait()
		if f.held() != 1 {
			t.Fatalf("at start it has %v", f.holds)
		}
		s.Changed(Change{Ban: b})
		s.Changed(Change{Ban: a, Lifted: true})
		s.Changed(Change{Ban: ban("203.0.113.9/32", "imap"), Observed: true})
		synctest.Wait()
		want := []string{"sync", "ban 203.0.113.8/32", "lift 203.0.113.7/32"}
		if !slices.Equal(f.calls, want) || f.held() != 1 {
			t.Errorf("calls %q, want %q", f.calls, want)
		}
		l.set(b)
		time.Sleep(syncEvery + time.Second)
		synctest.Wait()
		if f.calls[len(f.calls)-1] != "sync" {
			t.Error("the list is not carried again")
		}
		if st := s.Stats()[0]; st.Carried != 2 || st.Failed != 0 || st.Synced != 2 || st.Behind {
			t.Errorf("%+v", st)
		}
	})
}

// TestFailsAndHeals: after a failure the whole list follows, with growing rests,
// and what was lifted meanwhile is lifted there too.
func TestFailsAndHeals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := ban("203.0.113.7/32", "imap"), ban("203.0.113.8/32", "imap")
		l, f := &list{}, &fake{holds: map[netip.Prefix]bool{}}
		l.set(a)
		s := run(t, l, f, unit.Enforce, quiet)
		synctest.Wait()
		f.mu.Lock()
		f.fail = errors.New("away")
		f.mu.Unlock()
		l.set(a, b)
		s.Changed(Change{Ban: b})
		time.Sleep(5 * time.Minute)
		f.mu.Lock()
		n := len(f.calls)
		f.fail = nil
		f.mu.Unlock()
		if n < 8 || n > 15 || !s.Stats()[0].Behind {
			t.Errorf("%d calls in 5 minutes: %q", n, f.calls)
		}
		l.set(b)
		s.Changed(Change{Ban: a, Lifted: true})
		time.Sleep(lastRest + time.Second)
		synctest.Wait()
		if f.held() != 1 || !f.holds[b.Network] || s.Stats()[0].Behind {
			t.Errorf("healed: %v, %+v", f.holds, s.Stats())
		}
	})
}

// TestNeverBlocks: a sink that hangs costs the guard nothing, and takes the
// whole list when it lives again.
func TestNeverBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, f := &list{}, &fake{holds: map[netip.Prefix]bool{}, gate: make(chan struct{})}
		s := run(t, l, f, unit.Enforce, quiet)
		synctest.Wait()
		var all []Ban
		for i := range 3 * maxQueue {
			b := ban(netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)}).String()+"/32", "imap")
			all = append(all, b)
			l.set(all...)
			s.Changed(Change{Ban: b})
			if i == 0 {
				synctest.Wait() // until it hangs
			}
		}
		if st := s.Stats()[0]; st.Overrun == 0 || !st.Behind {
			t.Errorf("%+v", st)
		}
		close(f.gate)
		synctest.Wait()
		if f.held() != len(all) || s.Stats()[0].Waiting != 0 {
			t.Errorf("it has %d, want %d; %+v", f.held(), len(all), s.Stats())
		}
	})
}

func TestObserveOnlyTells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text bytes.Buffer
		l, f := &list{}, &fake{holds: map[netip.Prefix]bool{}}
		s := run(t, l, f, unit.Observe, slog.New(slog.NewTextHandler(&text, nil)))
		synctest.Wait()
		s.Changed(Change{Ban: ban("203.0.113.7/32", "imap")})
		s.Changed(Change{Ban: ban("203.0.113.7/32", "imap"), Lifted: true})
		synctest.Wait()
		s.Resync()
		synctest.Wait()
		if len(f.calls) != 0 || strings.Count(text.String(), "ban would be carried to a sink") != 2 {
			t.Errorf("calls %q, log\n%s", f.calls, text.String())
		}
	})
}

// TestUnfitIsNoFailure: a ban that a sink can never carry does not make it try
// for ever.
func TestUnfitIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, f := &list{}, &fake{holds: map[netip.Prefix]bool{}, fail: errKnown}
		s := &Sinks{bans: l.bans, log: quiet}
		s.add("fake", unit.Enforce, f)
		if err := s.apply(t.Context(), s.workers[0], Change{Ban: ban("203.0.113.7/32", "mx")}); err != nil {
			t.Error(err)
		}
	})
}

func TestConfig(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Error(err)
	}
	for _, tc := range []struct {
		name string
		set  func(*Config)
		want string
	}{
		{"port 25", func(c *Config) { c.Nftables.Services = []string{"mx"} }, "nftables.services[0]"},
		{"twice", func(c *Config) { c.Nftables.Services = []string{"imap", "imap"} }, "nftables.services[1]"},
		{"nothing closed", func(c *Config) { c.Nftables.Mode, c.Nftables.Services = unit.Enforce, nil }, "nftables.services"},
		{"mode", func(c *Config) { c.Nftables.Mode = "on" }, "nftables.mode"},
		{"no program", func(c *Config) { c.Command.Mode = unit.Enforce }, "command.argv"},
		{"path", func(c *Config) { c.Command.Argv = []string{"firewall-cmd"} }, "command.argv[0]"},
		{"program from the ban", func(c *Config) { c.Command.Argv = []string{"/bin/{action}"} }, "command.argv[0]"},
		{"placeholder", func(c *Config) { c.Command.Argv = []string{"/bin/true", "{user}"} }, "command.argv[1]"},
		{"timeout", func(c *Config) { c.Command.Timeout = 0 }, "command.timeout"},
		{"plain http", func(c *Config) { c.Webhook.URL = "http://example.org/" }, "webhook.url"},
		{"password in the URL", func(c *Config) { c.Webhook.URL = "https://u:p@example.org/" }, "webhook.url"},
		{"no secret", func(c *Config) { c.Webhook.Mode, c.Webhook.URL = unit.Enforce, "https://example.org/" }, "webhook.secret_file"},
		{"auth", func(c *Config) { c.Webhook.Auth = "basic" }, "webhook.auth"},
	} {
		c := Default()
		tc.set(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want a fault of %s", tc.name, err, tc.want)
		}
	}
}

func TestCommand(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	script := filepath.Join(dir, "ban me")
	if err := os.WriteFile(script, []byte("#!/bin/sh\nprintf '%s|' \"$@\" >> '"+out+"'; echo >> '"+out+"'; env >> '"+out+".env'\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	c := newCommand(CommandConfig{Argv: []string{script, "{action}", "--source={network}", "{services}", "{ports}", "{family}", "a; touch " + dir + "/no"}, Timeout: unit.Duration(10 * time.Second)})
	four, six := ban("203.0.113.7/32", "imap", "mx", "submission"), ban("2001:db8::/64", "sieve")
	if err := c.sync(t.Context(), []Ban{four, six, ban("203.0.113.9/32", "mx")}); err != nil {
		t.Fatal(err)
	}
	if err := c.sync(t.Context(), []Ban{four, six}); err != nil { // nothing is new
		t.Fatal(err)
	}
	if err := c.apply(t.Context(), Change{Ban: four, Lifted: true}); err != nil {
		t.Fatal(err)
	}
	// The other one is lifted; that its port 25 is closed says nothing of it.
	if err := c.sync(t.Context(), []Ban{ban("2001:db8::/64", "mx")}); err != nil {
		t.Fatal(err)
	}
	tail := "a; touch " + dir + "/no|\n"
	want := "ban|--source=203.0.113.7|imap,submission|143,993,465,587|ipv4|" + tail +
		"ban|--source=2001:db8::/64|sieve|4190|ipv6|" + tail +
		"lift|--source=203.0.113.7|imap,submission|143,993,465,587|ipv4|" + tail +
		"lift|--source=2001:db8::/64|sieve|4190|ipv6|" + tail
	if got, err := os.ReadFile(out); err != nil || string(got) != want {
		t.Errorf("called with\n%s, %v, want\n%s", got, err, want)
	}
	if env, _ := os.ReadFile(out + ".env"); bytes.Contains(env, []byte("HOME=")) {
		t.Errorf("environment %s", env)
	}
	if err := c.apply(t.Context(), Change{Ban: ban("203.0.113.9/32", "mx")}); !errors.Is(err, errKnown) {
		t.Errorf("port 25: %v", err)
	}
}

// TestCommandIsBounded: one that hangs is ended, with its children.
func TestCommandIsBounded(t *testing.T) {
	c := newCommand(CommandConfig{Argv: []string{"/bin/sh", "-c", "sleep 60 & wait"}, Timeout: unit.Duration(100 * time.Millisecond)})
	start := time.Now()
	err := c.apply(t.Context(), Change{Ban: ban("203.0.113.7/32", "imap")})
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 5*time.Second {
		t.Errorf("%v after %v", err, time.Since(start))
	}
	c = newCommand(CommandConfig{Argv: []string{"/bin/sh", "-c", "echo 'not\tallowed'; exit 3"}, Timeout: unit.Duration(10 * time.Second)})
	if err := c.sync(t.Context(), []Ban{ban("203.0.113.7/32", "imap")}); err == nil || !strings.Contains(err.Error(), `"not\tallowed"`) {
		t.Errorf("a program that fails: %v", err)
	}
}

func TestWebhook(t *testing.T) {
	const key = "planted-webhook-secret"
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(key+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var posts []*http.Request
	var bodies [][]byte
	status := []int{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		posts, bodies = append(posts, r), append(bodies, b)
		if len(status) > 0 {
			w.WriteHeader(status[0])
			status = status[1:]
		}
	}))
	defer server.Close()
	w, err := newWebhook(WebhookConfig{URL: server.URL, Auth: "hmac", SecretFile: path, Timeout: unit.Duration(10 * time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	status = []int{503, 200}
	if err := w.apply(t.Context(), Change{Ban: ban("203.0.113.7/32", "imap", "mx")}); err != nil || len(posts) != 2 {
		t.Fatalf("%d POSTs, %v", len(posts), err)
	}
	var m message
	if err := json.Unmarshal(bodies[1], &m); err != nil || m.Action != "ban" || m.Ban.Network.String() != "203.0.113.7/32" || len(m.Ban.Services) != 2 {
		t.Errorf("%s, %v", bodies[1], err)
	}
	stamp, sum, _ := strings.Cut(posts[1].Header.Get("X-Gatepost-Signature"), ",v1=")
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(strings.TrimPrefix(stamp, "t=") + "." + string(bodies[1])))
	if sum != hex.EncodeToString(mac.Sum(nil)) {
		t.Errorf("signature %q", posts[1].Header.Get("X-Gatepost-Signature"))
	}
	status = []int{403}
	err = w.sync(t.Context(), []Ban{ban("203.0.113.7/32", "imap")})
	if err == nil || len(posts) != 3 || strings.Contains(err.Error(), key) {
		t.Errorf("refused: %d POSTs, %v", len(posts), err)
	}
	w.auth = "bearer"
	if err := w.sync(t.Context(), nil); err != nil || posts[3].Header.Get("Authorization") != "Bearer "+key {
		t.Errorf("bearer: %v", err)
	}
	status = []int{307}
	if err := w.sync(t.Context(), nil); err == nil || len(posts) != 5 {
		t.Errorf("a redirect was followed: %d POSTs, %v", len(posts), err)
	}
	for _, bad := range []string{"", "short", "a secret with \x01 in it, that is long"} {
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readSecret(path); err == nil {
			t.Errorf("%q is taken as a secret", bad)
		}
	}
}

// TestNftables speaks with a helper that writes down what it is asked.
func TestNftables(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 100)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			for in := bufio.NewScanner(conn); in.Scan(); {
				lines <- in.Text()
				if !strings.HasPrefix(in.Text(), "sync 1") {
					_, _ = io.WriteString(conn, "ok\n")
				}
			}
			conn.Close()
		}
	}()
	defer func() { ln.Close(); <-done }()
	n := newNftables(NftablesConfig{Socket: path, Services: []string{"imap", "submission"}})
	b := ban("203.0.113.7/32", "imap", "mx", "pop3")
	for _, f := range []func() error{
		func() error { return n.sync(t.Context(), []Ban{b, ban("127.0.0.1/32", "imap")}) },
		func() error { return n.apply(t.Context(), Change{Ban: b}) },
		func() error { return n.apply(t.Context(), Change{Ban: b, Lifted: true}) },
	} {
		if err := f(); err != nil {
			t.Error(err)
		}
	}
	if err := n.apply(t.Context(), Change{Ban: ban("127.0.0.1/32", "imap")}); !errors.Is(err, errKnown) {
		t.Errorf("loopback: %v", err)
	}
	// A ban of port 25, and its end, say nothing of the logins' ban.
	for _, lifted := range []bool{false, true} {
		if err := n.apply(t.Context(), Change{Ban: ban("203.0.113.7/32", "mx"), Lifted: lifted}); !errors.Is(err, errKnown) {
			t.Errorf("port 25: %v", err)
		}
	}
	n.close()
	s, err := New(Config{Nftables: NftablesConfig{Mode: unit.Off, Socket: path}, Command: Default().Command, Webhook: Default().Webhook}, (&list{}).bans, quiet)
	if err != nil {
		t.Fatal(err)
	}
	s.Run(t.Context())
	want := []string{"sync 1", "203.0.113.7/32 imap 3600", "ban 203.0.113.7/32 imap 3600", "lift 203.0.113.7/32", "off"}
	for _, w := range want {
		if got := <-lines; got != w {
			t.Errorf("asked %q, want %q", got, w)
		}
	}
}
