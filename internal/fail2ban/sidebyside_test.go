package fail2ban

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/guard"
	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/secret"
	"github.com/gatepost/gatepost/internal/state"
)

var update = flag.Bool("update", false, "rewrite testdata/sidebyside.want, and the recording too where FAIL2BAN names the directory of its Python package")

// event is one login of the recording.
type event struct {
	at                        int
	addr, user, word, outcome string
	who                       string
}

// scene is a recording: eight people and what each of them does. It has no
// chance in it, so that it stays what it is.
func scene() []event {
	var all []event
	add := func(who string, start, every, n int, f func(i int) event) {
		for i := range n {
			e := f(i)
			e.at, e.who = start+i*every, who
			all = append(all, e)
		}
	}
	wrong := func(addr, user, word string) event {
		return event{addr: addr, user: user, word: word, outcome: "wrong"}
	}
	right := func(addr, user string) event { return event{addr: addr, user: user, word: "right", outcome: "right"} }
	add("one address, many passwords", 10, 4, 45, func(i int) event { return wrong("203.0.113.7", "ann@example.org", fmt.Sprint("p", i)) })
	add("one address, one password, many accounts", 15, 6, 30, func(i int) event { return wrong("203.0.113.8", fmt.Sprintf("user%d@example.org", i), "Winter2026") })
	add("a new address of one IPv6 /64 each time", 20, 5, 35, func(i int) event {
		return wrong(fmt.Sprintf("2001:db8:5::%x", 0x1000+i*257), "bob@example.org", fmt.Sprint("q", i))
	})
	add("one guess in eleven minutes", 30, 660, 20, func(i int) event { return wrong("203.0.113.9", "carol@example.org", fmt.Sprint("r", i)) })
	add("names that nobody has", 40, 20, 20, func(i int) event {
		e := wrong("203.0.113.10", fmt.Sprintf("nobody%d@example.org", i), "x")
		e.outcome = "unknown"
		return e
	})
	add("a phone with an old password", 50, 60, 30, func(int) event { return wrong("198.51.100.20", "dave@example.org", "old") })
	add("the office of that phone", 5, 150, 14, func(i int) event { return right("198.51.100.20", fmt.Sprintf("office%d@example.org", i%7)) })
	add("somebody who tries what he remembers", 600, 15, 4, func(i int) event { return wrong("198.51.100.30", "erin@example.org", fmt.Sprint("guess", i)) })
	add("somebody who tries what he remembers", 660, 1, 1, func(int) event { return right("198.51.100.30", "erin@example.org") })
	add("40 behind one address, some mistype", 0, 75, 40, func(i int) event { return right("198.51.100.40", fmt.Sprintf("guest%d@example.org", i)) })
	add("40 behind one address, some mistype", 35, 90, 16, func(i int) event {
		return wrong("198.51.100.40", fmt.Sprintf("guest%d@example.org", i), fmt.Sprint("typo", i))
	})
	slices.SortStableFunc(all, func(a, b event) int { return a.at - b.at })
	return all
}

func (e event) line() string {
	return fmt.Sprintf("%d %s %s %s %s\n", e.at, e.addr, e.user, e.word, e.outcome)
}

// nothing is a state and a journal that keep nothing.
type nothing struct{}

func (nothing) Put(context.Context, state.Table, state.Entry, bool) error { return nil }
func (nothing) Delete(context.Context, state.Table, string) error         { return nil }
func (nothing) List(context.Context, state.Table, string) ([]state.Entry, error) {
	return nil, nil
}
func (nothing) Record(journal.Record) {}

// ours plays the recording to the guard with its defaults, and says for each
// event whether the password was looked at and answered.
func ours(t *testing.T, all []event) []string {
	t.Helper()
	now := time.Unix(1_800_000_000, 0)
	start := now
	g, err := guard.New(t.Context(), guard.Default(), guard.Deps{State: nothing{}, Journal: nothing{}, Now: func() time.Time { return now }},
		slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	outcomes := map[string]guard.Outcome{"right": guard.Right, "wrong": guard.Wrong, "unknown": guard.NoAccount}
	var out []string
	for _, e := range all {
		now = start.Add(time.Duration(e.at) * time.Second)
		a := guard.Attempt{Addr: netip.MustParseAddr(e.addr), User: e.user, Service: "imap", Mech: "PLAIN", Password: secret.String(e.word)}
		if g.Admit(t.Context(), a).Refuse {
			out = append(out, "drop")
			continue
		}
		a.Admitted = true
		if g.Report(t.Context(), a, outcomes[e.outcome]).Refuse {
			out = append(out, "drop") // the one that crosses the line
			continue
		}
		out = append(out, "pass")
	}
	return out
}

// theirs plays the recording to fail2ban's own classes.
func theirs(t *testing.T, events string) []string {
	t.Helper()
	cmd := exec.Command("python3", "testdata/rule.py")
	cmd.Env = append(os.Environ(), "PYTHONPATH="+os.Getenv("FAIL2BAN"))
	cmd.Stdin, cmd.Stderr = strings.NewReader(events), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(out))
}

// TestSideBySide holds our defaults against fail2ban's on one recording of 200
// failures. What fail2ban answers was recorded from its own classes.
func TestSideBySide(t *testing.T) {
	all := scene()
	var events strings.Builder
	failures := 0
	for _, e := range all {
		events.WriteString(e.line())
		if e.outcome != "right" {
			failures++
		}
	}
	if failures != 200 {
		t.Fatalf("%d failures, want 200", failures)
	}
	const file, recorded, want = "testdata/sidebyside.events", "testdata/sidebyside.fail2ban", "testdata/sidebyside.want"
	if *update && os.Getenv("FAIL2BAN") != "" {
		write(t, file, events.String())
		write(t, recorded, strings.Join(theirs(t, events.String()), "\n")+"\n")
	}
	if got := read(t, file); got != events.String() {
		t.Fatal("the recording changed: run with -update, and FAIL2BAN set")
	}
	table := compare(all, strings.Fields(read(t, recorded)), ours(t, all))
	if *update {
		write(t, want, table)
	}
	if got := read(t, want); got != table {
		t.Errorf("the guard answers\n%s\nwant (-update takes it over)\n%s", table, got)
	}
	rows, sum, _ := strings.Cut(table, "\n\n")
	page := read(t, "../../docs/howto/from-fail2ban.md")
	if !strings.Contains(page, rows) || !strings.Contains(page, strings.TrimSuffix(sum, ".\n")) {
		t.Error("docs/howto/from-fail2ban.md shows another table")
	}
}

// compare writes a table with a line for each who.
func compare(all []event, theirs, ours []string) string {
	type row struct{ guesses, t, o, right, tRight, oRight int }
	rows := map[string]*row{}
	var order []string
	differ := 0
	for i, e := range all {
		r := rows[e.who]
		if r == nil {
			r = &row{}
			rows[e.who] = r
			order = append(order, e.who)
		}
		tp, op := theirs[i] == "pass", ours[i] == "pass"
		if tp != op {
			differ++
		}
		switch {
		case e.outcome == "right":
			r.right++
			r.tRight += one(!tp)
			r.oRight += one(!op)
		default:
			r.guesses++
			r.t += one(tp)
			r.o += one(op)
		}
	}
	slices.Sort(order)
	var b bytes.Buffer
	b.WriteString("| who | wrong passwords | answered with fail2ban | with the guard | right passwords | shut out by fail2ban | by the guard |\n|---|--:|--:|--:|--:|--:|--:|\n")
	var sum row
	for _, who := range order {
		r := rows[who]
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %d | %d |\n", who, r.guesses, r.t, r.o, r.right, r.tRight, r.oRight)
		sum = row{sum.guesses + r.guesses, sum.t + r.t, sum.o + r.o, sum.right + r.right, sum.tRight + r.tRight, sum.oRight + r.oRight}
	}
	fmt.Fprintf(&b, "| all | %d | %d | %d | %d | %d | %d |\n", sum.guesses, sum.t, sum.o, sum.right, sum.tRight, sum.oRight)
	return b.String() + "\n" + strconv.Itoa(differ) + " events of " + strconv.Itoa(len(all)) + " are answered differently.\n"
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func write(t *testing.T, path, s string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(s), 0o644); err != nil {
		t.Fatal(err)
	}
}
