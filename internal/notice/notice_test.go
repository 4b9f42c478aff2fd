package notice

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatepost/gatepost/internal/header"
	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/outgoing"
	"github.com/gatepost/gatepost/internal/rawmsg"
	"github.com/gatepost/gatepost/internal/secret"
	"github.com/gatepost/gatepost/internal/state"
)

var quiet = slog.New(slog.DiscardHandler)

func addr(s string) mailaddr.Address {
	a, err := mailaddr.Parse(s)
	if err != nil {
		panic(err)
	}
	return a
}

// world is all that a Teller needs.
type world struct {
	mu      sync.Mutex
	rows    map[string]time.Time
	away    error
	mails   []outgoing.Mail
	off     bool
	full    error
	records []journal.Record
}

func (w *world) Get(_ context.Context, _ state.Table, key string) (state.Entry, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.away != nil {
		return state.Entry{}, w.away
	}
	if ends, ok := w.rows[key]; !ok || !time.Now().Before(ends) {
		return state.Entry{}, state.ErrNotFound
	}
	return state.Entry{Key: key}, nil
}

func (w *world) Put(_ context.Context, t state.Table, e state.Entry, _ bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if t != state.Limit || len(e.Key) > state.MaxKeyBytes {
		return state.ErrInvalid
	}
	if w.rows == nil {
		w.rows = map[string]time.Time{}
	}
	w.rows[e.Key] = e.Expires
	return w.away
}

func (w *world) On() bool { return !w.off }
func (w *world) Add(m outgoing.Mail) error {
	if w.full == nil {
		w.mails = append(w.mails, m)
	}
	return w.full
}
func (w *world) Record(r journal.Record) { w.records = append(w.records, r) }

func teller(t *testing.T, w *world, cfg Config) *Teller {
	t.Helper()
	cfg.Hostname = "mx.example.org"
	out, err := New(cfg, Deps{State: w, Mail: w, Journal: w}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func held() Event {
	return Event{Kind: Hold, Key: "alice@example.org", User: "alice@example.org", Title: "2 signals, 12 points",
		Lines: []string{"60 recipients within an hour", "evil\r\nBcc: x@y\x1b[31m"}, Facts: []Fact{{"held in the queue", "3"}}}
}

// tellAll tells what waits and ends.
func tellAll(t *testing.T, te *Teller) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := te.Run(ctx); err != nil {
		t.Error(err)
	}
}

func TestTell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, cfg := &world{}, Default()
		cfg.To = []mailaddr.Address{addr("admin@example.org")}
		te := teller(t, w, cfg)
		for range 100 { // once in the window
			te.Tell(held())
		}
		tellAll(t, te)
		if len(w.mails) != 2 || len(w.records) != 1 {
			t.Fatalf("%d mails, %d records", len(w.mails), len(w.records))
		}
		for i, want := range []struct{ to, subject, body string }{
			{"admin@example.org", "Sending is held for alice@example.org on mx.example.org", "gatepost user release alice@example.org"},
			{"alice@example.org", "You cannot send mail at present", "change your password"},
		} {
			m := w.mails[i]
			raw := rawmsg.Scan(m.Raw, rawmsg.Default())
			subject, _ := raw.First("Subject")
			auto, _ := raw.First("Auto-Submitted")
			id, _ := raw.First("Message-ID")
			body := string(raw.Bytes(raw.Root.Body))
			if m.Kind != outgoing.Notice || !m.MailFrom.IsNull() || m.RcptTo[0].String() != want.to || header.DecodeText(subject) != want.subject ||
				auto != "auto-generated" || id != m.MessageID || !strings.Contains(strings.ReplaceAll(body, "=\r\n", ""), want.body) {
				t.Errorf("mail %+v\n%s", m, m.Raw)
			}
			if strings.ContainsAny(body, "\x1b") {
				t.Errorf("controls in %q", body)
			}
			if len(raw.Values("Bcc")) > 0 {
				t.Errorf("a line became a field: %q", m.Raw)
			}
		}
		time.Sleep(25 * time.Hour)
		te.Tell(held())
		tellAll(t, te)
		if len(w.mails) != 4 {
			t.Errorf("%d mails after the window", len(w.mails))
		}
	})
}

// TestWho: the settings say who is told; a state that is away tells.
func TestWho(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Config, *world, *Event)
		mails  int
	}{
		"nobody":     {func(c *Config, _ *world, e *Event) { c.Users = false }, 0},
		"users only": {func(*Config, *world, *Event) {}, 1},
		"admins only": {func(c *Config, _ *world, e *Event) {
			c.To, e.AdminOnly = []mailaddr.Address{addr("a@x"), addr("b@x")}, true
		}, 2},
		"no account":      {func(c *Config, _ *world, e *Event) { e.User = "" }, 0},
		"mail is off":     {func(c *Config, w *world, e *Event) { w.off = true }, 0},
		"the state away":  {func(c *Config, w *world, e *Event) { w.away = errors.New("away") }, 1},
		"the spool full":  {func(c *Config, w *world, e *Event) { w.full = outgoing.ErrFull }, 0},
		"an unknown kind": {func(c *Config, w *world, e *Event) { e.Kind = "x" }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w, cfg, e := &world{}, Default(), held()
			c.change(&cfg, w, &e)
			te := teller(t, w, cfg)
			te.Tell(e)
			tellAll(t, te)
			if len(w.mails) != c.mails || len(w.records) != 1 {
				t.Errorf("%d mails, %d records", len(w.mails), len(w.records))
			}
		})
	}
}

func TestTemplates(t *testing.T) {
	for text, wrong := range map[string]string{
		"Subject {{.User}}\n\n{{range .Lines}}{{.}}\n{{end}}":                        "",
		"{{if .Facts}}x{{range $i, $f := $.Facts}}{{$f.Key}}{{end}}{{end}}":          "",
		"x\n{{range 1000000000}}{{end}}":                                             "a range goes over",
		"x\n{{range $x := len .Lines}}{{end}}":                                       "a range goes over",
		"x\n{{with 1000000000}}{{range .}}{{end}}{{end}}":                            "a range goes over",
		"x\n{{range .Lines}}{{range $.Lines}}{{range $.Lines}}{{end}}{{end}}{{end}}": "too many ranges",
		"x\n{{define \"y\"}}{{end}}{{template \"y\"}}":                               "may not",
		"x\n{{template \"x\"}}":                                                      "may not",
		"x\n{{printf \"%99999d\" 1}}":                                                "longer than",
		"x\n{{.Nothing}}":                                                            "Nothing",
		"\n\n{{if .AdminOnly}}x{{end}}":                                              "subject",
		"x\n{{":                                                                      "unclosed",
	} {
		tm, err := compile("x", text)
		if err == nil {
			_, err = render(tm, sample(Hold))
		}
		if (err == nil) != (wrong == "") || err != nil && !strings.Contains(err.Error(), wrong) {
			t.Errorf("%q: %v, want %q", text, err, wrong)
		}
	}
	dir := t.TempDir()
	write := func(n, text string) {
		if err := os.WriteFile(filepath.Join(dir, n), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("hold.user.txt", "Gesperrt: {{.User}}\n\nRuf an.\n")
	all, err := load(dir)
	if err != nil || len(all) != 2*len(Kinds) {
		t.Fatalf("%d templates, %v", len(all), err)
	}
	text, err := render(all["hold.user.txt"], held())
	if subject, body := split(text); err != nil || subject != "Gesperrt: alice@example.org" || body != "Ruf an.\n" {
		t.Errorf("%q %q %v", subject, body, err)
	}
	write("hold.admin.txt", "{{range 5}}")
	write("login.user.txt", strings.Repeat("x", maxTemplate+1))
	if _, err := load(dir); err == nil || !strings.Contains(err.Error(), "hold.admin.txt") || !strings.Contains(err.Error(), "login.user.txt") {
		t.Errorf("faults: %v", err)
	}
	for n, tm := range all {
		if text, err := render(tm, Event{}.bound()); err != nil || strings.Contains(text, "no value") {
			t.Errorf("%s with nothing to tell: %v, %q", n, err, text)
		}
	}
}

// TestBound: what is too long is cut, and the copy is the event's own.
func TestBound(t *testing.T) {
	e := held()
	e.Lines = make([]string, 1000)
	for i := range e.Lines {
		e.Lines[i] = strings.Repeat("ü", maxLine)
	}
	b := e.bound()
	if len(b.Lines) != maxLines || len(b.Lines[0]) > maxLine || !strings.HasSuffix(b.Lines[0], "ü") {
		t.Errorf("%d lines of %d bytes", len(b.Lines), len(b.Lines[0]))
	}
	w := &world{}
	te := teller(t, w, Default())
	for range 2 * queueLen {
		te.Tell(e)
	}
	if te.Missed() != queueLen {
		t.Errorf("%d missed", te.Missed())
	}
}

// TestWebhook against a server on this host.
func TestWebhook(t *testing.T) {
	var got []Event
	answer := http.StatusOK
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		var e Event
		if err = errors.Join(err, json.Unmarshal(b, &e)); err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" || r.URL.Path != "/hook/s3cret" {
			t.Errorf("%s %s %q %v", r.Method, r.URL.Path, b, err)
		}
		got = append(got, e)
		w.Header().Set("Location", "https://elsewhere.example/")
		w.WriteHeader(answer)
	}))
	defer srv.Close()
	path := filepath.Join(t.TempDir(), "url")
	if err := os.WriteFile(path, []byte(srv.URL+"/hook/s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := Default()
	cfg.WebhookFile = path
	if err := cfg.Check(); err != nil {
		t.Fatal(err)
	}
	w := &world{off: true}
	te := teller(t, w, cfg)
	te.tell(t.Context(), held())
	te.post(t.Context())
	if len(got) != 1 || got[0].Kind != Hold || got[0].Host != "mx.example.org" || len(got[0].Lines) != 2 || len(te.hook.pending) != 0 {
		t.Fatalf("%+v", got)
	}
	for _, answer = range []int{http.StatusFound, http.StatusInternalServerError} {
		err := te.hook.add(held())
		if err != nil {
			t.Fatal(err)
		}
		te.hook.rest = time.Time{}
		err = te.hook.send(t.Context(), func() (secret.Value, error) { return readURL(path) })
		if err == nil || !strings.Contains(err.Error(), fmt.Sprint(answer)) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("answer %d: %v", answer, err)
		}
	}
	srv.Close()
	te.hook.rest = time.Time{}
	if err := te.hook.send(t.Context(), func() (secret.Value, error) { return readURL(path) }); err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("no server: %v", err)
	}
}

// TestNoStorm: a webhook that is down is asked once a minute, and an event three
// times.
func TestNoStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, asked := newHook(), 0
		for range maxPending + 50 {
			if err := h.add(held()); err != nil {
				t.Fatal(err)
			}
		}
		if len(h.pending) != maxPending || h.dropped != 50 {
			t.Errorf("%d wait, %d dropped", len(h.pending), h.dropped)
		}
		for range 600 { // ten minutes
			_ = h.send(t.Context(), func() (secret.Value, error) { asked++; return secret.Value{}, errors.New("no file") })
			time.Sleep(time.Second)
		}
		if asked != 10 || h.dropped != 50+3 {
			t.Errorf("asked %d times, %d dropped", asked, h.dropped)
		}
	})
}

func TestReadURL(t *testing.T) {
	path := filepath.Join(t.TempDir(), "url")
	for text, ok := range map[string]bool{
		"https://hooks.example/x\n": true, "http://127.0.0.1:8080/x": true, "http://[::1]/x": true, "http://localhost/x\nmore": true,
		"http://hooks.example/x": false, "file:///etc/passwd": false, "": false, "https:///x": false, "https://x/" + strings.Repeat("a", 5000): false,
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readURL(path); (err == nil) != ok || err != nil && strings.Contains(err.Error(), "hooks.example") {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := readURL(path + "x"); err == nil {
		t.Error("no file: no error")
	}
}

func TestValidate(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Error(err)
	}
	bad := Config{To: []mailaddr.Address{{LocalPart: "admin"}}, From: mailaddr.Address{LocalPart: "x"}, Window: 1}
	err := bad.Validate()
	for _, key := range []string{"to[0]", "from", "window"} {
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("no fault for %s in %v", key, err)
		}
	}
}

func FuzzRender(f *testing.F) {
	f.Add("{{.User}}\n{{range .Lines}}{{.}}{{end}}", "a", "b\r\nBcc: x")
	f.Add("{{range .Facts}}{{.Key | printf \"%q\"}}{{else}}x{{end}}", "", "")
	f.Fuzz(func(t *testing.T, text, user, line string) {
		tm, err := compile("x", text)
		if err != nil {
			return
		}
		out, err := render(tm, Event{User: user, Lines: []string{line, line}, Facts: []Fact{{line, line}}}.bound())
		if err != nil {
			return
		}
		m, err := mailOf(addr("postmaster@example.org"), addr("admin@example.org"), "mx.example.org", out, time.Unix(1e9, 0))
		if err != nil {
			t.Fatal(err)
		}
		raw := rawmsg.Scan(m.Raw, rawmsg.Default())
		if n := len(raw.Fields); n != 9 {
			t.Errorf("%d fields in %q", n, m.Raw)
		}
	})
}
