package lists

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/dnstest"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/message"
	"github.com/gatepost/gatepost/internal/resolver"
	"github.com/gatepost/gatepost/internal/unit"
	"github.com/gatepost/gatepost/internal/verdict"
)

// good are the test entries of the lists in these tests.
const good = `
2.0.0.127.ip.list.net. A 127.0.0.2
test.uri.list.net. A 127.0.0.2
`

// ipList and uriList are lists of one's own.
func ipList() List {
	return List{Name: "IP", Zone: "ip.list.net", Of: []Of{Client}, Codes: []Code{
		{at(0, 0, 2), "", 3, "bad"}, {span(0, 0, 4, 7), "BOT", 5, ""},
	}}
}

func uriList() List {
	return List{Name: "URI", Zone: "uri.list.net", Of: []Of{URI, URIAddr, Sender}, Codes: []Code{
		{bit(2), "A", 4, "spam"}, {bit(4), "B", 4, "phish"}, {bit(8), "C", 4, "malware"},
	}}
}

type events struct {
	mu  sync.Mutex
	all []string
}

func (e *events) Event(name string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, name)
}

// env is Lists over a real server on loopback.
type env struct {
	*Lists
	zone   *dnstest.Zone
	log    *bytes.Buffer
	events *events
}

// start returns Lists for cfg over a server that has records.
func start(t testing.TB, records string, cfg Config) *env {
	t.Helper()
	e := &env{zone: dnstest.NewZone(), log: new(bytes.Buffer), events: new(events)}
	e.zone.MustAdd(records)
	srv, err := dnstest.Start("127.0.0.1:0", e.zone)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close() })
	rc := resolver.Default()
	rc.Servers, rc.CacheSize, rc.Attempts = []string{srv.Addr()}, 0, 1
	log := slog.New(slog.NewTextHandler(e.log, nil))
	res, err := resolver.New(rc, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if e.Lists, err = New(cfg, res, e.events, log); err != nil {
		t.Fatal(err)
	}
	return e
}

// with returns a configuration with lists.
func with(l ...List) Config {
	c := Default()
	c.Lists, c.Reject, c.Timeout = l, 15, unit.Duration(200*time.Millisecond)
	return c
}

// told writes lines in one string.
func told(lines []verdict.Line) string {
	var out []string
	for _, l := range lines {
		out = append(out, fmt.Sprintf("%s %s %q", l.Name, points(l.Score), l.Options))
	}
	return strings.Join(out, "; ")
}

func links(urls ...string) *message.Message {
	m := &message.Message{}
	for _, u := range urls {
		m.Links = append(m.Links, message.Link{URL: u})
	}
	return m
}

func client(s string) Query { return Query{Client: netip.MustParseAddr(s)} }

func TestAsk(t *testing.T) {
	spam := Query{Text: links("https://www.spam.net/a", "http://9.9.9.10/x"), From: []mailaddr.Address{{LocalPart: "a", Domain: "news.spam.net"}}}
	for _, tc := range []struct {
		name    string
		records string
		fault   dnstest.Fault
		lists   []List
		query   Query
		want    string
		state   Phase
	}{
		{"listed", "8.8.8.8.ip.list.net. A 127.0.0.2", 0, []List{ipList()}, client("8.8.8.8"), `IP 3 ["8.8.8.8"]`, On},
		{"not listed", "", 0, []List{ipList()}, client("8.8.8.8"), "", On},
		{"mapped address", "8.8.8.8.ip.list.net. A 127.0.0.6", 0, []List{ipList()}, client("::ffff:8.8.8.8"), `IP_BOT 5 ["8.8.8.8"]`, On},
		{"IPv6", "8.8.8.8.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.8.4.0.6.8.4.1.0.0.2.ip.list.net. A 127.0.0.2", 0, []List{ipList()},
			client("2001:4860:4860::8888"), `IP 3 ["2001:4860:4860::8888"]`, On},
		{"two codes over the cap", "8.8.8.8.ip.list.net. A 127.0.0.2\n8.8.8.8.ip.list.net. A 127.0.0.4", 0, []List{ipList()}, client("8.8.8.8"),
			`IP 2 ["would add 3, but one list counts 7 at most" "8.8.8.8"]; IP_BOT 5 ["8.8.8.8"]`, On},
		{"may reject", "8.8.8.8.ip.list.net. A 127.0.0.2\n8.8.8.8.ip.list.net. A 127.0.0.4", 0,
			[]List{func() List { l := ipList(); l.MayReject = true; return l }()}, client("8.8.8.8"), `IP 3 ["8.8.8.8"]; IP_BOT 5 ["8.8.8.8"]`, On},
		{"observed", "8.8.8.8.ip.list.net. A 127.0.0.2", 0, []List{func() List { l := ipList(); l.Mode = unit.Observe; return l }()},
			client("8.8.8.8"), `IP 0 ["observed, would add 3" "8.8.8.8"]`, On},
		{"a code that nobody knows", "8.8.8.8.ip.list.net. A 127.0.0.77", 0, []List{ipList()}, client("8.8.8.8"), `IP_OTHER 0 ["8.8.8.8 is 127.0.0.77"]`, On},
		{"bits", "spam.net.uri.list.net. A 127.0.0.6", 0, []List{uriList()}, spam,
			`URI_A 4 ["spam.net"]; URI_B 3 ["would add 4, but one list counts 7 at most" "spam.net"]`, On},
		{"address in a link", "10.9.9.9.uri.list.net. A 127.0.0.8", 0, []List{uriList()}, spam, `URI_C 4 ["9.9.9.10"]`, On},
		{"SERVFAIL", "8.8.8.8.ip.list.net. A 127.0.0.2", dnstest.ServFail, []List{ipList()}, client("8.8.8.8"),
			`IP_UNKNOWN 0 ["1 of 1 questions got no answer"]`, On},
		{"timeout", "8.8.8.8.ip.list.net. A 127.0.0.2", dnstest.Timeout, []List{ipList()}, client("8.8.8.8"),
			`IP_UNKNOWN 0 ["1 of 1 questions got no answer"]`, On},
		{"blocked", "8.8.8.8.ip.list.net. A 127.255.255.254", 0, []List{ipList()}, client("8.8.8.8"),
			`IP_UNKNOWN 0 ["it does not serve us: it answers 127.255.255.254, for a public or open resolver"]`, Off},
		{"parked", "8.8.8.8.ip.list.net. A 192.0.2.80", 0, []List{ipList()}, client("8.8.8.8"),
			`IP_UNKNOWN 0 ["it answers 192.0.2.80, which is not in 127.0.0.0/8: the list is gone, or its name someone else's"]`, Off},
		{"private client", "", 0, []List{ipList()}, client("10.1.2.3"), "", On},
		{"nothing to ask", "", 0, []List{ipList()}, Query{}, "", On},
		{"no list", "", 0, nil, client("8.8.8.8"), "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := start(t, good+tc.records, with(tc.lists...))
			e.Test(t.Context())
			e.zone.Fail("8.8.8.8.ip.list.net", tc.fault)
			e.zone.Queries()
			lines := e.Ask(t.Context(), tc.query)
			if got := told(lines); got != tc.want {
				t.Errorf("lines\n%s\nwant\n%s", got, tc.want)
			}
			for _, l := range lines {
				if l.Group != "list" || l.Text == "" {
					t.Errorf("line %+v has no group or no sentence", l)
				}
			}
			for _, st := range e.Status() {
				if st.State != tc.state {
					t.Errorf("state %s, want %s: %s", st.State, tc.state, st.Why)
				}
			}
			if q := e.zone.Queries(); strings.HasPrefix(tc.name, "private") && len(q) > 0 {
				t.Errorf("a private address was asked about: %v", q)
			}
		})
	}
}

// TestOffIsSilent: a list that refuses is asked by no message any more, says so
// in each, and warns once.
func TestOffIsSilent(t *testing.T) {
	e := start(t, good+"8.8.8.8.ip.list.net. A 127.255.255.255", with(ipList()))
	e.Test(t.Context())
	e.Ask(t.Context(), client("8.8.8.8"))
	e.zone.Queries()
	for range 3 {
		if got := told(e.Ask(t.Context(), client("9.9.9.9"))); !strings.HasPrefix(got, "IP_UNKNOWN 0 [\"off: it does not serve us") {
			t.Errorf("lines %s", got)
		}
	}
	if q := e.zone.Queries(); len(q) != 0 {
		t.Errorf("a list that is off was asked: %v", q)
	}
	if n := strings.Count(e.log.String(), "switched off"); n != 1 {
		t.Errorf("%d warnings, want 1:\n%s", n, e.log)
	}
	if len(e.events.all) != 1 || e.events.all[0] != "list_off" {
		t.Errorf("events %v", e.events.all)
	}
}

func TestSelfTest(t *testing.T) {
	for _, tc := range []struct {
		name, records string
		list          List
		fault         dnstest.Fault
		want          Phase
		why           string
	}{
		{"good", good, ipList(), 0, On, ""},
		{"good domains", good, uriList(), 0, On, ""},
		{"empty", "", ipList(), 0, Off, "does not list its test entry 127.0.0.2"},
		{"lists everything", good + "1.0.0.127.ip.list.net. A 127.0.0.2", ipList(), 0, Off, "may list everything"},
		{"blocked", "2.0.0.127.ip.list.net. A 127.255.255.254", ipList(), 0, Off, "public or open resolver"},
		{"parked", "2.0.0.127.ip.list.net. A 198.51.100.1\n1.0.0.127.ip.list.net. A 198.51.100.1", ipList(), 0, Off, "gone"},
		{"own blocked code", "test.uri.list.net. A 127.0.0.1", func() List { l := uriList(); l.Blocked = []Answer{at(0, 0, 1)}; return l }(),
			0, Off, "heavy users"},
		{"no answer", good, ipList(), dnstest.ServFail, Untested, "SERVFAIL"},
		{"without a test", "", func() List { l := ipList(); l.TestListed, l.TestNotListed = none, none; return l }(), dnstest.ServFail, On, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := start(t, tc.records, with(tc.list))
			e.zone.Fail(".", tc.fault)
			e.Test(t.Context())
			st := e.Status()[0]
			if st.State != tc.want || !strings.Contains(st.Why, tc.why) {
				t.Errorf("state %s (%s), want %s (%s)", st.State, st.Why, tc.want, tc.why)
			}
		})
	}
}

// TestUntestedIsNotAsked: a list counts for nothing before it has proved itself.
func TestUntestedIsNotAsked(t *testing.T) {
	e := start(t, good+"8.8.8.8.ip.list.net. A 127.0.0.2", with(ipList()))
	if got := told(e.Ask(t.Context(), client("8.8.8.8"))); got != `IP_UNKNOWN 0 ["untested: not tested yet"]` {
		t.Errorf("lines %s", got)
	}
}

func TestReconfigureKeepsState(t *testing.T) {
	e := start(t, good+"8.8.8.8.ip.list.net. A 127.0.0.2", with(ipList()))
	e.Test(t.Context())
	e.Ask(t.Context(), client("8.8.8.8"))
	changed := ipList()
	changed.Scores = map[string]float64{"": 1.5}
	if err := e.Reconfigure(with(changed, uriList())); err != nil {
		t.Fatal(err)
	}
	st := e.Status()
	if st[0].State != On || st[0].Listed != 1 || st[1].State != Untested {
		t.Errorf("states %+v", st)
	}
	if got := told(e.Ask(t.Context(), client("8.8.8.8"))); got != `IP 1.5 ["8.8.8.8"]` {
		t.Errorf("lines %s", got)
	}
	if err := e.Reconfigure(with(List{Name: "x"})); err == nil {
		t.Error("a bad configuration was taken")
	}
	if len(e.Status()) != 2 {
		t.Error("a bad configuration replaced the good one")
	}
	if asked, listed, silent := e.Totals(); asked != 2 || listed != 2 || silent != 0 {
		t.Errorf("totals %d %d %d", asked, listed, silent)
	}
}

// TestKeyIsNotShown searches for a planted key in all that a person sees.
func TestKeyIsNotShown(t *testing.T) {
	const key = "plantedkey4711"
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(key+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	e := start(t, "", with(List{Preset: "spamhaus-dqs-zen", KeyFile: path}, List{Preset: "spamhaus-dqs-hbl", KeyFile: path}))
	e.zone.MustAdd("2.0.0.127." + key + ".zen.dq.spamhaus.net. A 127.0.0.2")
	e.zone.Fail("1.0.0.127."+key+".zen.dq.spamhaus.net", dnstest.ServFail)
	e.Test(t.Context())
	checked, err := e.Check(t.Context(), "8.8.8.8")
	if err != nil {
		t.Fatal(err)
	}
	lines := e.Ask(t.Context(), client("8.8.8.8"))
	all := fmt.Sprintf("%+v %+v %+v %v %+v", e.Status(), checked, lines, e.log, e.set.Load().lists[0])
	if strings.Contains(all, key) {
		t.Errorf("the key is shown:\n%s", all)
	}
	if q := strings.Join(e.zone.Queries(), " "); !strings.Contains(q, "8.8.8.8."+key+".zen.dq.spamhaus.net.") {
		t.Errorf("questions %s", q)
	}
	if checked[0].Question != "8.8.8.8.{key}.zen.dq.spamhaus.net" {
		t.Errorf("question %s", checked[0].Question)
	}
	if err := os.WriteFile(path, []byte("not a key!"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := e.Reconfigure(with(List{Preset: "spamhaus-dqs-zen", KeyFile: path})); err == nil || strings.Contains(err.Error(), "not a key!") {
		t.Errorf("error %v", err)
	}
}

func TestCheck(t *testing.T) {
	e := start(t, "spam.net.uri.list.net. A 127.0.0.2\n4.3.2.1.ip.list.net. A 127.0.0.9", with(ipList(), uriList()))
	for what, want := range map[string]string{
		"1.2.3.4":     "IP 4.3.2.1.ip.list.net true [127.0.0.9]; URI 4.3.2.1.uri.list.net false []",
		"spam.net":    "URI spam.net.uri.list.net true [127.0.0.2]",
		"a@spam.net":  "URI spam.net.uri.list.net true [127.0.0.2]",
		"www.ham.net": "URI ham.net.uri.list.net false []",
	} {
		got, err := e.Check(t.Context(), what)
		var all []string
		for _, c := range got {
			all = append(all, fmt.Sprint(c.List, " ", c.Question, " ", c.Listed, " ", c.Answers))
		}
		if s := strings.Join(all, "; "); s != want || err != nil {
			t.Errorf("Check(%s) = %s, %v; want %s", what, s, err, want)
		}
	}
	for _, what := range []string{"", "no such thing", "@", "a b.net"} {
		if got, err := e.Check(t.Context(), what); err == nil {
			t.Errorf("Check(%q) = %v", what, got)
		}
	}
}

// TestDuringReconfigure runs questions and reloads at the same time.
func TestDuringReconfigure(t *testing.T) {
	e := start(t, good+"8.8.8.8.ip.list.net. A 127.0.0.2", with(ipList()))
	e.Test(t.Context())
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 20 {
				if got := told(e.Ask(t.Context(), client("8.8.8.8"))); got != `IP 3 ["8.8.8.8"]` {
					t.Errorf("lines %s", got)
				}
			}
		})
	}
	for range 20 {
		if err := e.Reconfigure(with(ipList(), uriList())); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
}
