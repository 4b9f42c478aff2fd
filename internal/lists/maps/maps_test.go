package maps

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/message"
	"github.com/gatepost/gatepost/internal/unit"
	"github.com/gatepost/gatepost/internal/verdict"
)

func write(t testing.TB, path, text string) {
	t.Helper()
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(tmp, path); err != nil {
		t.Fatal(err)
	}
}

// open returns the maps of cfg whose files have the contents of files.
func open(t testing.TB, cfg Config, files ...string) (*Maps, *bytes.Buffer) {
	t.Helper()
	dir := t.TempDir()
	for i := range cfg {
		cfg[i].File = filepath.Join(dir, cfg[i].Name)
		write(t, cfg[i].File, files[i])
	}
	log := new(bytes.Buffer)
	m, err := New(cfg, nil, slog.New(slog.NewTextHandler(&locked{b: log}, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return m, log
}

type locked struct {
	mu sync.Mutex
	b  *bytes.Buffer
}

func (l *locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func told(lines []verdict.Line) string {
	var out []string
	for _, l := range lines {
		out = append(out, fmt.Sprintf("%s %v %q", l.Name, l.Score, l.Options))
	}
	return strings.Join(out, "; ")
}

func addr(t testing.TB, s string) mailaddr.Address {
	t.Helper()
	a, err := mailaddr.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestLines(t *testing.T) {
	bob := Query{From: []mailaddr.Address{addr(t, "bob@mail.example.net")}, MailFrom: addr(t, "b@x.example"), Client: netip.MustParseAddr("192.0.2.9"),
		Helo: "mx.x.example", Header: func(name string) []string {
			if name == "List-Id" {
				return []string{"<news.x.example>"}
			}
			return nil
		},
		Text: &message.Message{Subject: "Cheap watches", Links: []message.Link{{URL: "https://www.x.example/a"}}, Attachments: []message.Attachment{{Name: "a.exe"}}}}
	proved := bob
	proved.Proved = []string{"example.net"}
	for _, tc := range []struct {
		name string
		m    Map
		file string
		q    Query
		want string
	}{
		{"address", Map{Kind: Address, Of: []string{"from"}, Score: 3}, "bob@mail.example.net", bob, `MAP_M 3 ["from bob@mail.example.net"]`},
		{"domain", Map{Kind: Domain, Of: []string{"from", "mail_from", "helo"}, Score: 3}, "example.net\nx.example 4 # bad one", bob,
			`MAP_M 4 ["from bob@mail.example.net (example.net)" "mail_from b@x.example (x.example: bad one)" "helo mx.x.example (x.example: bad one)"]`},
		{"link", Map{Kind: Domain, Of: []string{"uri"}, Score: 3}, "x.example", bob, `MAP_M 3 ["uri www.x.example (x.example)"]`},
		{"network", Map{Kind: Network, Of: []string{"client"}, Score: 3}, "192.0.2.0/24", bob, `MAP_M 3 ["client 192.0.2.9 (192.0.2.0/24)"]`},
		{"subject", Map{Kind: Regexp, Of: []string{"subject"}, Score: 3}, "/watches$/", bob, `MAP_M 3 ["subject Cheap watches (/watches$/)"]`},
		{"header", Map{Kind: Regexp, Of: []string{"header:List-Id"}, Score: 1}, `/news\./`, bob, `MAP_M 1 ["header:List-Id <news.x.example> (/news\\./)"]`},
		{"attachment", Map{Kind: Regexp, Of: []string{"attachment"}, Score: 1}, `/\.exe$/i`, bob, `MAP_M 1 ["attachment a.exe (/\\.exe$/i)"]`},
		{"nothing", Map{Kind: Regexp, Of: []string{"subject"}, Score: 1}, `/x{3}/`, bob, ""},
		{"observed", Map{Kind: Network, Of: []string{"client"}, Score: 3, Mode: unit.Observe}, "192.0.2.9", bob, `MAP_M 0 ["observed, would add 3" "client 192.0.2.9 (192.0.2.9/32)"]`},
		{"forged friend", Map{Kind: Domain, Of: []string{"from"}, Score: -5}, "example.net", bob,
			`MAP_M 0 ["from bob@mail.example.net (example.net: not counted: nothing proves the sender)"]`},
		{"proved friend", Map{Kind: Domain, Of: []string{"from"}, Score: -5}, "example.net", proved, `MAP_M -5 ["from bob@mail.example.net (example.net)"]`},
		{"a friend who need not prove it", Map{Kind: Domain, Of: []string{"from"}, Score: -5, Unauthenticated: true}, "example.net", bob,
			`MAP_M -5 ["from bob@mail.example.net (example.net)"]`},
		{"for admin rules only", Map{Kind: Domain}, "example.net", bob, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.m.Name = "m"
			m, _ := open(t, Config{tc.m}, tc.file+"\n")
			if got := told(m.Lines(tc.q)); got != tc.want {
				t.Errorf("lines\n%s\nwant\n%s", got, tc.want)
			}
		})
	}
}

func TestHas(t *testing.T) {
	m, _ := open(t, Config{{Name: "d", Kind: Domain}, {Name: "n", Kind: Network}}, "example.net\n", "192.0.2.0/24\n")
	for _, tc := range []struct {
		name, value string
		want        bool
	}{
		{"d", "bob@a.example.net", true}, {"d", "example.org", false}, {"n", "192.0.2.7", true}, {"n", "", false}, {"x", "example.net", false},
	} {
		if got := m.Has(tc.name, tc.value); got != tc.want {
			t.Errorf("Has(%s, %s) = %v", tc.name, tc.value, got)
		}
	}
	if got := strings.Join(m.Names(), " "); got != "d n" {
		t.Errorf("names %s", got)
	}
}

// TestBadFileKeepsTheOld: nothing that can happen to a file takes away what it
// held when it was good.
func TestBadFileKeepsTheOld(t *testing.T) {
	m, log := open(t, Config{{Name: "d", Kind: Domain}}, "a.example\n")
	path := m.Status()[0].File
	for _, tc := range []struct {
		name, content, want string
	}{
		{"empty", "", "the file is empty"},
		{"half", "b.exam", "no line end"},
		{"bad", "b.example\n!\n", path + `:2: "!" is not a domain`},
	} {
		write(t, path, tc.content)
		if err := m.Reload(); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want %q", tc.name, err, tc.want)
		}
		if !m.Has("d", "a.example") || m.Has("d", "b.example") {
			t.Errorf("%s: the old content is gone", tc.name)
		}
		if !strings.Contains(m.Status()[0].Fault, tc.want) || !strings.Contains(log.String(), "map not taken") {
			t.Errorf("%s: status %+v, log %s", tc.name, m.Status()[0], log)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := m.Reload(); err == nil || !m.Has("d", "a.example") {
		t.Errorf("after the file went: %v", err)
	}
	write(t, path, "b.example\n")
	if err := m.Reload(); err != nil || m.Has("d", "a.example") || !m.Has("d", "b.example") || m.Status()[0].Fault != "" {
		t.Errorf("after the file came back: %v, %+v", err, m.Status())
	}
}

func TestReconfigure(t *testing.T) {
	m, _ := open(t, Config{{Name: "d", Kind: Domain}}, "a.example\n")
	path := m.Status()[0].File
	bad := filepath.Join(t.TempDir(), "bad")
	old := Map{Name: "d", Kind: Domain, File: path}
	if err := m.Reconfigure(Config{old, {Name: "x", Kind: Domain, File: bad}}); err == nil || len(m.Names()) != 1 {
		t.Errorf("a map without a file was taken: %v", err)
	}
	write(t, path, "broken!\n")
	write(t, bad, "b.example\n")
	if err := m.Reconfigure(Config{old, {Name: "x", Kind: Domain, File: bad}}); err != nil {
		t.Errorf("a file that broke under way stops a new configuration: %v", err)
	}
	if !m.Has("d", "a.example") || !m.Has("x", "b.example") {
		t.Errorf("maps %+v", m.Status())
	}
	if err := Check(Config{old}); err == nil {
		t.Error("Check finds nothing wrong")
	}
}

// TestMissingAtStart: mail flows without the map.
func TestMissingAtStart(t *testing.T) {
	var log bytes.Buffer
	m, err := New(Config{{Name: "d", Kind: Domain, File: filepath.Join(t.TempDir(), "none")}}, nil, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil || m.Has("d", "a.example") || !strings.Contains(log.String(), "level=ERROR") {
		t.Errorf("New: %v, log %s", err, &log)
	}
}

// waiter is a log that wakes who waits for the next message.
type waiter struct {
	slog.Handler
	next chan string
}

func (w waiter) Handle(ctx context.Context, r slog.Record) error {
	select {
	case w.next <- r.Message:
	case <-ctx.Done():
	}
	return nil
}

// TestWatch: a file that changes is taken without a signal, whichever way it is
// replaced.
func TestWatch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d")
	write(t, path, "a.example\n")
	log := waiter{slog.NewTextHandler(io.Discard, nil), make(chan string, 100)}
	m, err := New(Config{{Name: "d", Kind: Domain, File: path}}, nil, slog.New(log))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { m.Run(ctx) })
	defer wg.Wait()
	defer cancel()
	await := func(domain, text string) {
		t.Helper()
		deadline, stop := context.WithTimeout(ctx, 20*time.Second)
		defer stop()
		for {
			select {
			case got := <-log.next:
				if got == text && m.Has("d", domain) {
					return
				}
			case <-deadline.Done():
				t.Fatalf("no %q for %s: %+v", text, domain, m.Status())
			}
		}
	}
	write(t, path, "b.example\n")
	await("b.example", "map read")
	overwrite := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	overwrite("b.example\nbroken!\n")
	await("b.example", "map not taken, the old one goes on")
	overwrite("c.example\n")
	await("c.example", "map read")
}

func TestValidate(t *testing.T) {
	good := Map{Name: "m", File: "/m", Kind: Domain, Of: []string{"from"}}
	for _, tc := range []struct {
		name   string
		change func(m *Map)
		want   string
	}{
		{"good", func(*Map) {}, ""},
		{"name", func(m *Map) { m.Name = "M" }, "[0].name"},
		{"file", func(m *Map) { m.File = "m" }, "[0].file"},
		{"kind", func(m *Map) { m.Kind = "x" }, "[0].kind"},
		{"mode", func(m *Map) { m.Mode = "x" }, "[0].mode"},
		{"score", func(m *Map) { m.Score = 1e9 }, "[0].score"},
		{"of", func(m *Map) { m.Of = []string{"client"} }, `[0].of[0]: a map of kind domain cannot be asked about "client"`},
		{"header", func(m *Map) { m.Of = []string{"header:X"} }, "[0].of[0]"},
		{"good header", func(m *Map) { m.Kind, m.Of = Regexp, []string{"header:X"} }, ""},
	} {
		m := good
		tc.change(&m)
		err := Config{m}.Validate()
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want %q", tc.name, err, tc.want)
		}
	}
	if err := (Config{good, good}).Validate(); err == nil || !strings.Contains(err.Error(), "[1].name") {
		t.Errorf("error %v", err)
	}
}

// BenchmarkLines is what three maps of 10^5 entries cost a message.
func BenchmarkLines(b *testing.B) {
	m, _ := open(b, Config{{Name: "a", Kind: Address, Of: []string{"from", "mail_from"}}, {Name: "d", Kind: Domain, Of: []string{"from", "helo", "uri"}},
		{Name: "n", Kind: Network, Of: []string{"client"}}}, string(lines(Address, 100_000)), string(lines(Domain, 100_000)), string(lines(Network, 100_000)))
	q := Query{Client: netip.MustParseAddr("192.0.2.1"), Helo: "mx.example.org", From: []mailaddr.Address{addr(b, "bob@example.org")}, MailFrom: addr(b, "bob@example.org"),
		Text: &message.Message{}}
	for i := range 10 {
		q.Text.Links = append(q.Text.Links, message.Link{URL: fmt.Sprintf("https://www.site%d.example/x", i)})
	}
	b.ReportAllocs()
	for b.Loop() {
		m.Lines(q)
	}
}

// TestHostileLinks: many expressions and many long links cost a bounded time;
// the work is counted, not the clock.
func TestHostileLinks(t *testing.T) {
	var file strings.Builder
	for i := range maxPatterns {
		fmt.Fprintf(&file, "/never%d$/\n", i)
	}
	m, _ := open(t, Config{{Name: "r", Kind: Regexp, Of: []string{"uri"}}}, file.String()+"")
	q := Query{Text: &message.Message{}}
	for range 500 {
		q.Text.Links = append(q.Text.Links, message.Link{URL: strings.Repeat("never", 2000)})
	}
	q.Text.Links[499].URL = "never7"
	if got := m.Lines(q); len(got) != 0 {
		t.Errorf("the last of too many links was looked at: %s", told(got))
	}
	q.Text.Links = q.Text.Links[499:]
	if got := m.Lines(q); len(got) != 1 {
		t.Errorf("a link was not looked at: %s", told(got))
	}
}

// TestCost: a look-up in a map of regular expressions tries each of them.
func TestCost(t *testing.T) {
	re, all := filepath.Join(t.TempDir(), "re"), filepath.Join(t.TempDir(), "all")
	for file, text := range map[string]string{re: strings.Repeat("/a+b/\n", 1000), all: strings.Repeat("a.example\n", 1000)} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ms, err := New(Config{
		{Name: "re", File: re, Kind: Regexp, Of: []string{"subject"}, Score: 1},
		{Name: "all", File: all, Kind: Domain, Of: []string{"from"}, Score: 1},
	}, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name         string
		length, want int
	}{{"re", 100, 3125}, {"re", 1 << 20, 128_000}, {"all", 100, 0}, {"none", 100, 0}} {
		if got := ms.Cost(tc.name, tc.length); got != tc.want {
			t.Errorf("Cost(%s, %d) = %d, want %d", tc.name, tc.length, got, tc.want)
		}
	}
}

// TestWorkIsBounded: a thousand patterns read some twenty links of a hundred
// bytes and no more, whatever a stranger sends.
func TestWorkIsBounded(t *testing.T) {
	file := filepath.Join(t.TempDir(), "re")
	text := strings.Repeat("/never[0-9]+/i\n", 999) + "/here/i\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ms, err := New(Config{{Name: "re", File: file, Kind: Regexp, Of: []string{"uri"}, Score: 1}}, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[int]int{10: 1, 40: 0} {
		m := &message.Message{}
		for i := range 50 {
			word := "none"
			if i == at {
				word = "here"
			}
			m.Links = append(m.Links, message.Link{URL: "http://a.example/" + word + strings.Repeat("x", 79)})
		}
		if got := len(ms.Lines(Query{Text: m})); got != want {
			t.Errorf("link %d: %d lines, want %d", at, got, want)
		}
	}
}
