package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gatepost/gatepost/internal/verdict"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var (
	noon     = time.Date(2026, 10, 9, 12, 0, 0, 0, time.UTC)
	stranger = netip.MustParseAddr("203.0.113.9")
	laptop   = netip.MustParseAddr("198.51.100.7")
)

// at returns r with a time of so much after noon.
func at(after time.Duration, r Record) Record {
	r.Time = noon.Add(after)
	return r
}

func rcpt(addr netip.Addr, port uint16, instance, from, to, word string) Record {
	return Record{
		Daemon: "policyd", Event: "rcpt", Session: instance, ClientAddr: addr, ClientPort: port,
		MailFrom: from, RcptTo: []string{to}, Verdict: word,
	}
}

func message(addr netip.Addr, port uint16, id, from string, to ...string) Record {
	return Record{
		Daemon: "milter", Event: "message", QueueID: id, MessageID: "<" + id + "@example.net>", ClientAddr: addr,
		ClientPort: port, MailFrom: from, RcptTo: to, Verdict: "accept", Reply: "250 2.0.0 ok",
	}
}

func deliver(id, to string) Record {
	return Record{Daemon: "lmtpd", Event: "deliver", QueueID: id, RcptTo: []string{to}, Verdict: "accept", Reply: "250 2.0.0 delivered"}
}

func login(addr netip.Addr, user, word string) Record {
	return Record{Daemon: "authd", Event: "login", ClientAddr: addr, User: user, Mech: "PLAIN", Verdict: word}
}

// openJournal opens a journal that keeps records of noon, whatever the clock
// says.
func openJournal(t testing.TB, path string) *Journal {
	t.Helper()
	j, err := Open(t.Context(), path, Config{Days: 3660, Bytes: 1 << 30}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
	})
	return j
}

// steps tells a story in short: "daemon event queue-id rcpt", "?" for probably.
func steps(s Story) string {
	var all []string
	for _, st := range s.Steps {
		text := strings.Join(append([]string{st.Daemon, st.Event}, st.RcptTo...), " ")
		if !st.Certain {
			text += "?"
		}
		all = append(all, text)
	}
	return strings.Join(all, "; ")
}

func TestStory(t *testing.T) {
	for _, tc := range []struct {
		name    string
		records []Record
		id      string
		want    string // "" for not found
		left    string
		others  int
	}{
		{
			name: "inbound", id: "Q1",
			records: []Record{
				at(0, rcpt(stranger, 40001, "i1", "s@example.net", "a@example.org", "dunno")),
				at(time.Second, message(stranger, 40001, "Q1", "s@example.net", "a@example.org")),
				at(2*time.Second, deliver("Q1", "a@example.org")),
			},
			want: "policyd rcpt a@example.org; milter message a@example.org; lmtpd deliver a@example.org",
		},
		{
			name: "brackets and case do not matter", id: "Q1",
			records: []Record{
				at(0, rcpt(stranger, 40001, "", "S@Example.net", "a@example.org", "dunno")),
				at(time.Second, message(stranger, 40001, "Q1", "<s@example.net>", "<A@example.org>")),
				at(2*time.Second, deliver("Q1", "a@example.org")),
			},
			want: "policyd rcpt a@example.org; milter message <A@example.org>; lmtpd deliver a@example.org",
		},
		{
			name: "two recipients, one delivered", id: "Q1",
			records: []Record{
				at(0, rcpt(stranger, 40001, "i1", "s@example.net", "a@example.org", "dunno")),
				at(1, rcpt(stranger, 40001, "i1", "s@example.net", "b@example.org", "dunno")),
				at(time.Second, message(stranger, 40001, "Q1", "s@example.net", "a@example.org", "b@example.org")),
				at(2*time.Second, deliver("Q1", "a@example.org")),
			},
			want: "policyd rcpt a@example.org; policyd rcpt b@example.org; milter message a@example.org b@example.org; lmtpd deliver a@example.org",
			left: "b@example.org",
		},
		{
			name: "second message of a session", id: "Q2",
			records: []Record{
				at(0, rcpt(stranger, 40001, "i1", "s@example.net", "a@example.org", "dunno")),
				at(time.Second, message(stranger, 40001, "Q1", "s@example.net", "a@example.org")),
				at(2*time.Second, rcpt(stranger, 40001, "i2", "s@example.net", "b@example.org", "dunno")),
				at(3*time.Second, message(stranger, 40001, "Q2", "s@example.net", "b@example.org")),
			},
			want: "policyd rcpt b@example.org; milter message b@example.org", left: "b@example.org",
		},
		{
			name: "transaction that was given up before", id: "Q1",
			records: []Record{
				at(0, rcpt(stranger, 40001, "i0", "other@example.net", "x@example.org", "reject")),
				at(1, rcpt(stranger, 40001, "i0", "s@example.net", "x@example.org", "reject")),
				at(2, rcpt(stranger, 40001, "i1", "s@example.net", "a@example.org", "dunno")),
				at(3, Record{Daemon: "policyd", Event: "data", QueueID: "Q1", Session: "i1", ClientAddr: stranger, ClientPort: 40001, MailFrom: "s@example.net"}),
				at(4, message(stranger, 40001, "Q1", "s@example.net", "a@example.org")),
				at(5, deliver("Q1", "a@example.org")),
			},
			want: "policyd rcpt a@example.org; policyd data; milter message a@example.org; lmtpd deliver a@example.org",
		},
		{
			name: "other port, other address, an hour ago", id: "Q1",
			records: []Record{
				at(-50*time.Minute, rcpt(stranger, 40001, "i0", "s@example.net", "old@example.org", "dunno")),
				at(0, rcpt(stranger, 40002, "i2", "s@example.net", "x@example.org", "dunno")),
				at(1, rcpt(laptop, 40001, "i3", "s@example.net", "y@example.org", "dunno")),
				at(2, rcpt(stranger, 40001, "i1", "s@example.net", "a@example.org", "dunno")),
				at(time.Second, message(stranger, 40001, "Q1", "s@example.net", "a@example.org")),
				at(2*time.Second, deliver("Q1", "a@example.org")),
			},
			want: "policyd rcpt a@example.org; milter message a@example.org; lmtpd deliver a@example.org",
		},
		{
			name: "submission", id: "Q3",
			records: []Record{
				at(-2*time.Minute, login(laptop, "alice@example.org", "ok")),
				at(-3*time.Second, login(laptop, "bob@example.org", "ok")),
				at(-2*time.Second, login(laptop, "alice@example.org", "ok")),
				at(-time.Second, login(laptop, "alice@example.org", "fail")),
				at(0, rcpt(laptop, 50001, "i1", "alice@example.org", "far@example.com", "dunno")),
				func() Record {
					r := at(time.Second, message(laptop, 50001, "Q3", "alice@example.org", "far@example.com"))
					r.User = "Alice@example.org"
					return r
				}(),
			},
			want: "authd login?; policyd rcpt far@example.com; milter message far@example.com", left: "far@example.com",
		},
		{
			name: "second submission of a session, minutes later", id: "Q2",
			records: []Record{
				at(-time.Second, login(laptop, "alice@example.org", "ok")),
				func() Record {
					r := at(0, message(laptop, 50001, "Q1", "alice@example.org", "a@example.com"))
					r.User = "alice@example.org"
					return r
				}(),
				func() Record {
					r := at(5*time.Minute, message(laptop, 50001, "Q2", "alice@example.org", "b@example.com"))
					r.User = "alice@example.org"
					return r
				}(),
			},
			want: "authd login?; milter message b@example.com", left: "b@example.com",
		},
		{
			name: "refused at end of message", id: "Q1",
			records: []Record{
				at(0, rcpt(stranger, 40001, "i1", "s@example.net", "a@example.org", "dunno")),
				func() Record {
					r := at(1, message(stranger, 40001, "Q1", "s@example.net", "a@example.org"))
					r.Verdict, r.Reply = "reject", "554 5.7.1 spam"
					return r
				}(),
			},
			want: "policyd rcpt a@example.org; milter message a@example.org",
		},
		{
			name: "queue id that came back", id: "Q1",
			records: []Record{
				at(0, message(stranger, 40001, "Q1", "s@example.net", "old@example.org")),
				at(time.Second, deliver("Q1", "old@example.org")),
				at(61*time.Minute, message(stranger, 40009, "Q1", "t@example.net", "new@example.org")),
				at(62*time.Minute, deliver("Q1", "new@example.org")),
			},
			want: "milter message new@example.org; lmtpd deliver new@example.org", others: 1,
		},
		{
			name: "delivered after two hours in the queue", id: "Q1",
			records: []Record{
				at(0, message(stranger, 40001, "Q1", "s@example.net", "a@example.org")),
				at(2*time.Hour, deliver("Q1", "a@example.org")),
			},
			want: "milter message a@example.org; lmtpd deliver a@example.org",
		},
		{
			name: "delivery only", id: "Q1",
			records: []Record{at(0, deliver("Q1", "a@example.org"))},
			want:    "lmtpd deliver a@example.org",
		},
		{
			name: "by Message-ID", id: " <Q1@example.net> ",
			records: []Record{
				at(0, message(stranger, 40001, "Q1", "s@example.net", "a@example.org")),
				at(time.Second, deliver("Q1", "a@example.org")),
			},
			want: "milter message a@example.org; lmtpd deliver a@example.org",
		},
		{
			name: "one Message-ID twice", id: "same@example.net",
			records: []Record{
				func() Record {
					r := at(0, message(stranger, 40001, "Q1", "s@example.net", "a@example.org"))
					r.MessageID = "<same@example.net>"
					return r
				}(),
				func() Record {
					r := at(time.Minute, message(stranger, 40002, "Q2", "s@example.net", "b@example.org"))
					r.MessageID = "same@example.net"
					return r
				}(),
			},
			want: "milter message b@example.org", left: "b@example.org", others: 1,
		},
		{name: "unknown", id: "Q9", records: []Record{at(0, deliver("Q1", "a@example.org"))}},
		{name: "empty id", id: "", records: []Record{at(0, rcpt(stranger, 1, "", "", "", ""))}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			j := openJournal(t, filepath.Join(t.TempDir(), "journal.db"))
			for _, r := range tc.records {
				j.Record(r)
			}
			s, err := j.Story(t.Context(), tc.id)
			if tc.want == "" {
				if !errors.Is(err, ErrNotFound) {
					t.Errorf("Story(%q) = %+v, %v, want ErrNotFound", tc.id, s, err)
				}
				return
			}
			if got := steps(s); err != nil || got != tc.want {
				t.Errorf("Story(%q) = %s, %v\nwant %s", tc.id, got, err, tc.want)
			}
			if got := strings.Join(s.Left, " "); got != tc.left || len(s.Others) != tc.others {
				t.Errorf("Story(%q) left %q, others %v, want %q, %d", tc.id, got, s.Others, tc.left, tc.others)
			}
			b, err := json.Marshal(s)
			if err != nil {
				t.Fatal(err)
			}
			var again Story
			if err := json.Unmarshal(b, &again); err != nil {
				t.Fatal(err)
			}
			if twice, err := json.Marshal(again); err != nil || !bytes.Equal(twice, b) {
				t.Errorf("JSON gives %s, %v, want %s", twice, err, b)
			}
		})
	}
}

func TestClient(t *testing.T) {
	j := openJournal(t, filepath.Join(t.TempDir(), "journal.db"))
	six := netip.MustParseAddr("2001:db8:1:2::9")
	j.Record(at(0, rcpt(stranger, 1, "", "s@example.net", "old@example.org", "reject")))
	j.Record(at(time.Hour, rcpt(stranger, 2, "", "s@example.net", "a@example.org", "reject")))
	j.Record(at(time.Hour+1, rcpt(netip.MustParseAddr("::ffff:203.0.113.10"), 3, "", "s@example.net", "b@example.org", "reject")))
	j.Record(at(time.Hour+2, rcpt(six, 4, "", "s@example.net", "c@example.org", "reject")))
	j.Record(at(time.Hour+3, Record{Daemon: "guard", Event: "ban", ClientAddr: netip.MustParseAddr("2001:db8:1:2::"), Verdict: "ban"}))
	j.Record(at(time.Hour+4, rcpt(netip.Addr{}, 0, "", "", "local@example.org", "dunno")))
	for _, tc := range []struct{ network, want string }{
		{"203.0.113.9/32", "a@example.org"},
		{"203.0.113.0/24", "a@example.org b@example.org"},
		{"::ffff:203.0.113.0/120", "a@example.org b@example.org"},
		{"0.0.0.0/0", "a@example.org b@example.org"},
		{"2001:db8::/32", "c@example.org ban"},
		{"2001:db8:1:2::9/128", "c@example.org ban"}, // guard bans the /64
		{"2001:db8:1:2::8/128", "ban"},
		{"192.0.2.0/24", ""},
	} {
		records, err := j.Client(t.Context(), netip.MustParsePrefix(tc.network), noon.Add(30*time.Minute))
		var got []string
		for _, r := range records {
			got = append(got, append(r.RcptTo, "ban")[0])
		}
		if err != nil || strings.Join(got, " ") != tc.want {
			t.Errorf("Client(%s) = %q, %v, want %q", tc.network, got, err, tc.want)
		}
	}
	if _, err := j.Client(t.Context(), netip.Prefix{}, noon); err == nil {
		t.Error("Client() of no network = nil")
	}
}

// inbound is a whole story with everything in it.
func inbound() Story {
	score := func(name string, points float64, text string, options ...string) verdict.Line {
		return verdict.Line{Name: name, Group: "header", Score: points, Text: text, Options: options}
	}
	m := at(1391*time.Millisecond, message(stranger, 40022, "4cBq0Z1jX9z", "stranger@example.net", "alice@example.org", "info@example.org"))
	m.Verdict, m.Reply, m.Took = "mark", "250 2.0.0 ok", 12340*time.Microsecond
	m.ClientName, m.Helo, m.Service = "mail.example.net", "mail.example.net", "milter"
	m.Lines = []verdict.Line{
		score("MISSING_DATE", 1.5, "The message has no Date field."),
		score("URI_LISTED", 5, "A link leads to a host that a list names, and this sentence is long enough for two lines.", "bad.example", "worse.example"),
		score("SPF_PASS", -0.1, "SPF says that the client may send for the domain."),
	}
	m.Score = verdict.Sum(m.Lines)
	m.Facts = []Fact{{"spf", "pass example.net"}, {"signature", "example.net s=2026 rsa-sha256 pass"}}
	p := at(120*time.Millisecond, rcpt(stranger, 40022, "1f.2.3.0", "stranger@example.net", "alice@example.org", "dunno"))
	p.ClientName, p.Helo, p.Rule, p.Reply = "mail.example.net", "mail.example.net", "greylist", "DUNNO"
	step := func(after time.Duration, event string) Step {
		r := at(after*time.Millisecond, rcpt(stranger, 40022, "1f.2.3.0", "stranger@example.net", "info@example.org", "dunno"))
		r.Event, r.Service, r.Reply, r.Took = event, "policy", "DUNNO", time.Millisecond
		r.Facts = []Fact{{"policy_context", "smtp"}}
		return Step{r, true}
	}
	m.Facts = append(m.Facts, Fact{"authentication", "mx.example.org; iprev=pass policy.iprev=203.0.113.9; spf=pass smtp.mailfrom=stranger@example.net; dkim=none"},
		Fact{"a_label_of_another_daemon", "which is too wide for its column"})
	d := at(1800*time.Millisecond, deliver("4cBq0Z1jX9z", "alice@example.org"))
	d.Rule, d.Facts = "verdict mark", []Fact{{"folder", "Junk"}}
	return Story{
		QueueID: "4cBq0Z1jX9z", MessageID: "4cBq0Z1jX9z@example.net",
		Steps:  []Step{{p, true}, step(180, "rcpt"), step(185, "rcpt"), step(190, "data"), step(200, "end-of-message"), {m, true}, {d, true}},
		Left:   []string{"info@example.org"},
		Others: []Other{{"4cBq0Z1jX9z", noon.AddDate(0, -1, 0)}},
	}
}

func outbound() Story {
	m := at(time.Second, message(laptop, 50001, "4cBq0Z1jXAA", "alice@example.org", "far@example.com"))
	m.User, m.Mech, m.Service, m.Helo = "alice@example.org", "PLAIN", "submission", "[198.51.100.7]"
	m.Facts = []Fact{{"signature", "example.org s=rsa2026 rsa-sha256"}, {"signature", "example.org s=ed2026 ed25519-sha256"}}
	p := at(500*time.Millisecond, rcpt(laptop, 50001, "", "alice@example.org", "far@example.com", "dunno"))
	p.User, p.Mech, p.Facts = "alice@example.org", "PLAIN", []Fact{{"policy_context", "submission"}, {"limit", "recipients_per_hour: 3 of 200 until 13:00"}}
	l := at(0, login(laptop, "alice@example.org", "ok"))
	l.Service = "smtp"
	return Story{
		QueueID: "4cBq0Z1jXAA", MessageID: "4cBq0Z1jXAA@example.net",
		Steps: []Step{{l, false}, {p, true}, {m, true}}, Left: []string{"far@example.com"},
	}
}

// hostile has what a stranger may type in every field.
func hostile() Story {
	evil := "\x1b[31mred\r\n250 ok\x00\x7f\xff \u202egnp.exe \u200b " + strings.Repeat("long", 60)
	wide := strings.Repeat("漢字", 60)
	r := Record{
		Time: noon, Daemon: "milter", Event: "message", QueueID: "Q" + evil, MessageID: evil, Session: evil, Service: evil,
		ClientAddr: stranger, ClientPort: 1, ClientName: evil, Helo: evil, User: evil, Mech: evil, MailFrom: evil,
		RcptTo: []string{evil, wide}, Verdict: "reject", Rule: evil, Reply: evil,
		Lines: []verdict.Line{{Name: evil, Score: 1, Text: evil, Options: []string{evil}}},
		Facts: []Fact{{evil, evil}},
	}
	return Story{QueueID: r.QueueID, MessageID: evil, Steps: []Step{{r, false}}, Left: []string{evil}, Others: []Other{{evil, noon}}}
}

func TestFormat(t *testing.T) {
	for name, s := range map[string]Story{"inbound": inbound(), "outbound": outbound(), "hostile": hostile(), "empty": {}} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := s.Format(&out, Look{}); err != nil {
				t.Fatal(err)
			}
			compare(t, name, out.String())
			checkPage(t, out.String(), pageWidth)
			out.Reset()
			if err := s.Format(&out, Look{Width: 80}); err != nil {
				t.Fatal(err)
			}
			checkPage(t, out.String(), 80)
		})
	}
}

// compare wants what the golden file of that name has.
func compare(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".want")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("it is\n%s\nwant\n%s", got, want)
	}
}

// TestFormatVerbose: nothing is left out, and the sessions of two clients stay
// apart.
func TestFormatVerbose(t *testing.T) {
	var whole bytes.Buffer
	if err := inbound().Format(&whole, Look{Verbose: true}); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(whole.String(), "policyd "); n != 5 || strings.Contains(whole.String(), "no objection") {
		t.Errorf("%d records of policyd, want 5 and each in full:\n%s", n, whole.String())
	}
	var records []Record
	for _, s := range inbound().Steps {
		records = append(records, s.Record)
	}
	records = append(records,
		at(2*time.Second, rcpt(stranger, 40023, "", "s@example.net", "alice@example.org", "dunno")),
		at(3*time.Second, rcpt(stranger, 40023, "", "s@example.net", "bob@example.org", "dunno")),
		at(4*time.Second, rcpt(stranger, 40024, "", "", "bob@example.org", "dunno")),
		at(24*time.Hour, rcpt(stranger, 40024, "", "s@example.net", "bob@example.org", "reject")))
	var out bytes.Buffer
	if err := FormatRecords(&out, records, Look{}); err != nil {
		t.Fatal(err)
	}
	compare(t, "records", out.String())
}

// TestFormatOfLines: the reasons stand as "gatepost scan" shows them, the
// largest on top, and a verdict that has no rank keeps its word.
func TestFormatOfLines(t *testing.T) {
	s := inbound()
	s.Steps[5].Verdict = "discard"
	var out, coloured bytes.Buffer
	if err := errors.Join(s.Format(&out, Look{}), s.Format(&coloured, Look{Colour: true})); err != nil {
		t.Fatal(err)
	}
	first, second := strings.Index(out.String(), " 5.00  URI_LISTED "), strings.Index(out.String(), " 1.50  MISSING_DATE ")
	if first < 0 || second < first || !strings.Contains(out.String(), " 6.40  = discard\n") {
		t.Errorf("it is\n%s", out.String())
	}
	if !strings.Contains(coloured.String(), "\x1b[31m5.00") || strings.Contains(out.String(), "\x1b") {
		t.Errorf("in colour it is\n%q", coloured.String())
	}
}

// checkPage wants lines of at most so many columns that hold nothing but print.
func checkPage(t *testing.T, out string, width int) {
	t.Helper()
	for line := range strings.SplitSeq(out, "\n") {
		if columns(line) > width || !utf8.ValidString(line) {
			t.Errorf("a line is %d columns wide: %q", columns(line), line)
		}
		for _, r := range line {
			if !unicode.IsPrint(r) {
				t.Errorf("a line holds %U: %q", r, line)
			}
		}
	}
}

func FuzzFormat(f *testing.F) {
	f.Add("Q1", "a@example.org", "\x1b[2J", 1.5)
	f.Add("", "\xff\u202e", strings.Repeat("漢", 200), 1e300)
	f.Fuzz(func(t *testing.T, id, address, text string, score float64) {
		r := Record{
			Time: noon, Daemon: "milter", Event: text, QueueID: id, MessageID: address, ClientAddr: stranger, Helo: text,
			MailFrom: address, RcptTo: []string{address, text}, Reply: text, Score: score,
			Lines: []verdict.Line{{Name: id, Text: text, Score: score, Options: []string{address}}}, Facts: []Fact{{id, text}},
		}
		r.bound()
		s := Story{QueueID: id, MessageID: address, Steps: []Step{{r, true}}, Left: r.RcptTo}
		var out bytes.Buffer
		if err := s.Format(&out, Look{}); err != nil {
			t.Fatal(err)
		}
		checkPage(t, out.String(), pageWidth)
		c := r.clean()
		b := appendRecord(nil, &r, r.keys())
		var again Record
		if err := json.Unmarshal(b, &again); err != nil || again.QueueID != c.QueueID {
			t.Fatalf("record comes back as %+v, %v", again, err)
		}
	})
}
