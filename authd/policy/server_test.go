package policy

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/guard"
	"github.com/gatepost/gatepost/internal/journal"
)

const key = "correct-horse-battery-staple"

// watchman is a guard that refuses a network after so many wrong reports.
type watchman struct {
	mu       sync.Mutex
	after    int
	wrong    map[netip.Addr]int
	delay    time.Duration
	reports  []guard.Attempt
	outcomes []guard.Outcome
	held     chan struct{} // Report waits for it
	panic    bool
}

func (g *watchman) Allow(_ context.Context, a guard.Attempt) guard.Decision {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.panic {
		panic("the guard fell over")
	}
	if g.after > 0 && g.wrong[a.Addr] >= g.after {
		return guard.Decision{Refuse: true, Ban: guard.Ban{ID: "b17", Reason: "internal words", Until: time.Unix(0, 0)}}
	}
	return guard.Decision{Delay: g.delay}
}

func (g *watchman) Report(_ context.Context, a guard.Attempt, o guard.Outcome) guard.Decision {
	g.mu.Lock()
	g.reports, g.outcomes = append(g.reports, a), append(g.outcomes, o)
	if o == guard.Wrong {
		if g.wrong == nil {
			g.wrong = map[netip.Addr]int{}
		}
		g.wrong[a.Addr]++
	}
	held := g.held
	g.mu.Unlock()
	if held != nil {
		<-held
	}
	return guard.Decision{}
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

// buffer is safe for the goroutines of a server.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *buffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *buffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func keyFile(t testing.TB, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// harness is a running server.
type harness struct {
	srv     *Server
	guard   *watchman
	journal *records
	log     *buffer
	addr    string
}

func start(t testing.TB, edit func(*Config)) *harness {
	t.Helper()
	h := &harness{guard: &watchman{}, journal: &records{}, log: &buffer{}}
	cfg := Default()
	cfg.APIKeyFile = keyFile(t, key+"\n")
	if edit != nil {
		edit(&cfg)
	}
	var err error
	if h.srv, err = New(cfg, Deps{Guard: h.guard, Journal: h.journal, Meter: noMeter{}}, slog.New(slog.NewTextHandler(h.log, nil))); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.addr = ln.Addr().String()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- h.srv.Serve(ctx, ln) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return h
}

const alice = `{"device_id":"","login":"alice@example.org","protocol":"imap","pwhash":"0fd0","remote":"192.0.2.5","session_id":"s1","tls":false}`

// post asks, with the fields of edit.
func (h *harness) post(t *testing.T, command, body string, edit func(*http.Request)) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+h.addr+"/?command="+command, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-API-Key", " "+key)
	if edit != nil {
		edit(r)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSuffix(string(b), "\n")
}

func TestServe(t *testing.T) {
	h := start(t, nil)
	h.guard.after = 3
	if status, body := h.post(t, "ping", "", nil); status != 200 || body != `{"status":"ok"}` {
		t.Errorf("ping: %d %s", status, body)
	}
	report := strings.TrimSuffix(alice, "}") + `,"success":false,"policy_reject":false}`
	for i := range 3 {
		if status, body := h.post(t, "allow", alice, nil); status != 200 || body != `{"status":0,"msg":""}` {
			t.Errorf("allow %d: %d %s", i, status, body)
		}
		if status, body := h.post(t, "report", report, nil); status != 200 || body != `{"status":"ok"}` {
			t.Errorf("report %d: %d %s", i, status, body)
		}
	}
	status, body := h.post(t, "allow", alice, nil)
	if want := `{"status":-1,"msg":"logins from your network are refused until 1970-01-01 00:00 UTC (ban b17)"}`; status != 200 || body != want {
		t.Errorf("allow after the line: %d %s, want %s", status, body, want)
	}
	if strings.Contains(body, "internal words") {
		t.Error("the user hears of internals")
	}
	if a := h.guard.reports[0]; a.User != "alice@example.org" || a.PasswordHash != "0fd0" || a.Service != "imap" || a.Addr != netip.MustParseAddr("192.0.2.5") {
		t.Errorf("the guard heard of %+v", a)
	}
	// The refusal comes back as a report, and counts no more.
	refused := strings.TrimSuffix(alice, "}") + `,"success":false,"policy_reject":true}`
	h.post(t, "report", refused, nil)
	if n := len(h.guard.reports); n != 3 {
		t.Errorf("%d reports counted, want 3", n)
	}
	h.post(t, "report", strings.TrimSuffix(alice, "}")+`,"success":true}`, nil)
	if o := h.guard.outcomes[len(h.guard.outcomes)-1]; o != guard.Right {
		t.Errorf("a success was reported as %d", o)
	}
	h.guard.mu.Lock()
	h.guard.after, h.guard.delay = 0, time.Second
	h.guard.mu.Unlock()
	if _, body := h.post(t, "allow", alice, nil); body != `{"status":1,"msg":""}` {
		t.Errorf("tarpit: %s", body)
	}
	var verdicts []string
	for _, r := range h.journal.all {
		verdicts = append(verdicts, r.Verdict)
	}
	if got := strings.Join(verdicts, " "); got != "fail fail fail refused ok" {
		t.Errorf("the journal has %q", got)
	}
}

func TestWhoMayAsk(t *testing.T) {
	h := start(t, func(c *Config) { c.Hosts = []string{"policy.example.org"} })
	set := func(k string, v ...string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Del("X-API-Key")
			r.Header[k] = v
		}
	}
	for _, tc := range []struct {
		name   string
		edit   func(*http.Request)
		status int
	}{
		{"two blanks", set("X-Api-Key", "  "+key), 200},
		{"bearer", set("Authorization", "Bearer "+key), 200},
		{"basic", func(r *http.Request) { r.Header.Del("X-API-Key"); r.SetBasicAuth("wforce", key) }, 200},
		{"no key", set("X-Nothing", ""), 401},
		{"an empty key", set("X-Api-Key", ""), 401},
		{"a wrong key", set("X-Api-Key", key+"x"), 401},
		{"half a key", set("X-Api-Key", key[:10]), 401},
		{"two keys", set("X-Api-Key", key, key), 401},
		{"a page in a browser", func(r *http.Request) { r.Header.Set("Origin", "http://evil.example") }, 403},
		{"another name", func(r *http.Request) { r.Host = "evil.example" }, 403},
		{"a name of ours", func(r *http.Request) { r.Host = "policy.example.org:4001" }, 200},
		{"GET", func(r *http.Request) { r.Method = http.MethodGet }, 405},
		{"PUT", func(r *http.Request) { r.Method = http.MethodPut }, 405},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if status, body := h.post(t, "allow", alice, tc.edit); status != tc.status {
				t.Errorf("%d %s, want %d", status, body, tc.status)
			}
		})
	}
	if strings.Contains(h.log.String(), key) || strings.Contains(h.log.String(), key[:10]) {
		t.Error("a key is in the log")
	}
}

func TestBounds(t *testing.T) {
	h := start(t, nil)
	for _, tc := range []struct {
		name, command, body string
		status              int
	}{
		{"64 KB", "allow", `{"login":"` + strings.Repeat("a", maxBodyBytes-12) + `"}`, 200},
		{"more", "allow", `{"login":"` + strings.Repeat("a", maxBodyBytes) + `"}`, 413},
		{"no JSON", "allow", "hunter2", 400},
		{"deep", "allow", strings.Repeat(`{"a":`, 13000), 400},
		{"another command", "reset", alice, 404},
		{"no command", "", alice, 404},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if status, body := h.post(t, tc.command, tc.body, nil); status != tc.status || strings.Contains(body, "hunter2") {
				t.Errorf("%d %s, want %d", status, body, tc.status)
			}
		})
	}
	long, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+h.addr+"/?command=allow", strings.NewReader(alice))
	if err != nil {
		t.Fatal(err)
	}
	long.Header.Set("X-API-Key", key)
	long.Header.Set("X-Long", strings.Repeat("a", 2*maxHeaderBytes))
	// The server closes before it has read all, so that the answer may be lost.
	if resp, err := http.DefaultClient.Do(long); err == nil {
		resp.Body.Close()
		if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("a long header: %d", resp.StatusCode)
		}
	}
	h.guard.panic = true
	if status, body := h.post(t, "allow", alice, nil); status != 500 || strings.Contains(body, "fell") {
		t.Errorf("a panic: %d %s", status, body)
	}
	// What is no address may be a password in the wrong field.
	h.post(t, "report", `{"login":"hunter2","remote":"192.0.2.5","success":false}`, nil)
	if strings.Contains(h.log.String(), "hunter2") || strings.Contains(fmt.Sprint(h.journal.all), "hunter2") {
		t.Error("what was typed is in the log or the journal")
	}
}

// TestTranscript: what Dovecot 2.3.19 sent on one connection gets the answers
// that it understands.
func TestTranscript(t *testing.T) {
	h := start(t, func(c *Config) { c.DefaultRealm = "example.org" })
	sent, err := os.ReadFile("testdata/auth-policy-http.1.c2s")
	if err != nil {
		t.Fatal(err)
	}
	in := strings.ReplaceAll(string(sent), "X-API-Key:  secretkey", "X-API-Key:  "+key)
	c, err := net.Dial("tcp", h.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.WriteString(c, in) }()
	r := bufio.NewReader(c)
	for i := range strings.Count(in, "POST /") {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		b, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != 200 || !strings.HasPrefix(string(b), `{"status":`) || resp.ContentLength < 0 {
			t.Errorf("answer %d: %d %q, %v", i, resp.StatusCode, b, err)
		}
	}
	h.guard.mu.Lock()
	defer h.guard.mu.Unlock()
	if a := h.guard.reports[0]; a.User != "alice@example.org" || a.PasswordHash != "0fd0" {
		t.Errorf("the guard heard of %+v", a)
	}
}

// TestSlowGuard: the answer to a report does not wait for a disk, and Serve
// waits for the report.
func TestSlowGuard(t *testing.T) {
	h := start(t, nil)
	h.guard.held = make(chan struct{})
	if status, body := h.post(t, "report", alice, nil); status != 200 {
		t.Errorf("%d %s", status, body)
	}
	if status, _ := h.post(t, "allow", alice, nil); status != 200 {
		t.Errorf("allow while a report is under way: %d", status)
	}
	close(h.guard.held)
}

func TestNoKey(t *testing.T) {
	for name, content := range map[string]string{"empty": "", "short": "abc", "two lines": key + "\n" + key, "blanks": "a b c d e f g h i j k"} {
		cfg := Default()
		cfg.APIKeyFile = keyFile(t, content)
		if _, err := New(cfg, Deps{}, nil); err == nil || strings.Contains(err.Error(), "abc") {
			t.Errorf("%s: New = %v, want an error without the key", name, err)
		}
	}
	if _, err := New(Default(), Deps{}, nil); err == nil {
		t.Error("New without a file: no error")
	}
}
