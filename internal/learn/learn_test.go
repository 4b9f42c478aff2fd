package learn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/classify"
)

// fakeAccounts holds some accounts.
type fakeAccounts struct {
	held map[string]bool
	n    int
	err  error
}

func (a *fakeAccounts) Held(_ context.Context, user string) (bool, error) { return a.held[user], a.err }
func (a *fakeAccounts) Mailboxes(context.Context) (int, error)            { return a.n, a.err }

func open(t *testing.T, dir string, a accounts) *Learner {
	t.Helper()
	l, err := Open(t.Context(), dir, Default(), a, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
	})
	return l
}

// die closes the files as a killed process does: without saving.
func (l *Learner) die() error {
	l.mu.Lock()
	l.dead = ErrClosed
	l.mu.Unlock()
	close(l.stop)
	l.done.Wait()
	return l.closeFiles()
}

// letter is a message; with a queue id it came through the Postfix here.
func letter(n int, queueID string) []byte {
	received := ""
	if queueID != "" {
		received = "Received: from a.example.net (a.example.net [192.0.2.1])\n\tby mx.example.org (Postfix) with ESMTP id " + queueID +
			"\n\tfor <alice@example.org>; Fri, 20 Nov 2026 11:30:00 +0000 (UTC)\n"
	}
	return fmt.Appendf(nil, "%sMessage-ID: <%d@example.net>\nFrom: shop@example.net\nSubject: Offer %d of the best week\n\nThis is letter %d, with words of its own: %s\n",
		received, n, n, n, strings.Repeat(fmt.Sprintf("word%d ", n*7919), 5))
}

var ours = TraceConfig{Hostname: "mx.example.org", AuthservID: "mx.example.org"}

func item(t testing.TB, file []byte) Item {
	t.Helper()
	it, err := Extract(file, ours, new(classify.Features))
	if err != nil {
		t.Fatal(err)
	}
	return it
}

func (l *Learner) must(t *testing.T, w Wish) Outcome {
	t.Helper()
	r, err := l.Learn(t.Context(), w)
	if err != nil {
		t.Fatalf("Learn(%v %s %s) = %v", w.Spam, w.Source, w.User, err)
	}
	return r.Outcomes[0]
}

func logit(t *testing.T, l *Learner, it Item) float64 {
	t.Helper()
	var f classify.Features
	if err := f.UnmarshalBinary(it.Features); err != nil {
		t.Fatal(err)
	}
	return l.Score(&f).Logit
}

func TestLearn(t *testing.T) {
	l := open(t, t.TempDir(), nil)
	a, b := item(t, letter(1, "")), item(t, []byte("\nshort\n"))
	if o := l.must(t, Wish{Source: CLI, Items: []Item{b}}); o.What != New {
		t.Errorf("a short one = %+v", o)
	}
	start := logit(t, l, a)
	if o := l.must(t, Wish{Spam: true, Source: CLI, Items: []Item{a}}); o.What != New || o.ID == 0 {
		t.Errorf("first = %+v", o)
	}
	after := logit(t, l, a)
	if after <= start {
		t.Errorf("spam moved the score from %g to %g", start, after)
	}
	if o := l.must(t, Wish{Spam: true, Source: CLI, Items: []Item{a}}); o.What != Already || logit(t, l, a) != after {
		t.Errorf("second = %+v, score %g, want %g", o, logit(t, l, a), after)
	}
	if o := l.must(t, Wish{Source: CLI, Items: []Item{a}}); o.What != Corrected || logit(t, l, a) >= start {
		t.Errorf("correction = %+v, score %g, was %g", o, logit(t, l, a), start)
	}
	if ham, spam := l.model.Counts(); ham != 2 || spam != 0 {
		t.Errorf("counts %d, %d", ham, spam)
	}
	u, err := l.Undo(t.Context(), Choice{Message: "<1@example.net>"})
	if err != nil || u.Undone != 1 || math.Abs(logit(t, l, a)-start) > 1e-3 {
		t.Errorf("Undo = %+v, %v, score %g, was %g", u, err, logit(t, l, a), start)
	}
	if _, err := l.Undo(t.Context(), Choice{Message: "<1@example.net>"}); !errors.Is(err, ErrNone) {
		t.Errorf("Undo again = %v", err)
	}
	if o := l.must(t, Wish{Spam: true, Source: CLI, Items: []Item{a}}); o.What != New {
		t.Errorf("after undo = %+v", o)
	}
	list, err := l.List(t.Context(), Choice{})
	if err != nil || len(list) != 4 || list[0].Class != "spam" || list[1].State != "undone" || !list[0].Undoable {
		t.Errorf("List = %+v, %v", list, err)
	}
}

func TestRefusesWhatIsNoRequest(t *testing.T) {
	l := open(t, t.TempDir(), nil)
	a := item(t, letter(1, ""))
	for _, tc := range []struct {
		name string
		w    Wish
		want error
	}{
		{"no source", Wish{Items: []Item{a}}, ErrSource},
		{"a move of nobody", Wish{Source: Move, Items: []Item{a}}, ErrSource},
		{"no features", Wish{Source: CLI, Items: []Item{{}}}, ErrFeatures},
		{"broken features", Wish{Source: CLI, Items: []Item{{Features: []byte{0xff, 0xff, 0xff}}}}, ErrFeatures},
		{"more than features", Wish{Source: CLI, Items: []Item{{Features: append([]byte(nil), append(a.Features, 0)...)}}}, ErrFeatures},
		{"too many", Wish{Source: CLI, Items: make([]Item, MaxItems+1)}, ErrTooMany},
	} {
		if r, err := l.Learn(t.Context(), tc.w); !errors.Is(err, tc.want) {
			t.Errorf("%s: %+v, %v, want %v", tc.name, r, err, tc.want)
		}
	}
	if _, err := l.Undo(t.Context(), Choice{}); !errors.Is(err, ErrChoice) {
		t.Errorf("Undo of nothing = %v", err)
	}
}

// TestKept: what is learned is what was scored, and the message is one whether
// it is known by its trace or by its content.
func TestKept(t *testing.T) {
	l := open(t, t.TempDir(), nil)
	scored := item(t, letter(1, "")) // the milter sees no Received of ours
	var f classify.Features
	if err := f.UnmarshalBinary(scored.Features); err != nil {
		t.Fatal(err)
	}
	l.Keep(Trace{QueueID: "4XyZ1b2c3dzABC", Arrived: time.Date(2026, 11, 20, 11, 29, 59, 5e8, time.UTC), MessageID: "1@example.net"}, &f)
	file := item(t, append(letter(1, "4XyZ1b2c3dzABC"), "a footer that the milter never saw\n"...))
	if string(file.Features) == string(scored.Features) {
		t.Fatal("the footer makes no features")
	}
	l.must(t, Wish{Spam: true, Source: CLI, Items: []Item{file}})
	var kept []byte
	if err := l.db.Reader.QueryRow("SELECT features FROM learns").Scan(&kept); err != nil || string(kept) != string(scored.Features) {
		t.Errorf("learned %d bytes of features, %v, want what was scored", len(kept), err)
	}
	if o := l.must(t, Wish{Spam: true, Source: CLI, Items: []Item{scored}}); o.What != Already {
		t.Errorf("the message without a trace = %+v", o)
	}
	other := item(t, letter(2, "4XyZ1b2c3dzABC")) // somebody who writes himself a trace
	l.must(t, Wish{Spam: true, Source: CLI, Items: []Item{other}})
	if err := l.db.Reader.QueryRow("SELECT features FROM learns ORDER BY id DESC").Scan(&kept); err != nil || string(kept) == string(scored.Features) {
		t.Errorf("a forged trace found what was kept of another message, %v", err)
	}
}

// TestKeptOfAnotherVersion: features that an older program kept are of no use;
// those of the file are.
func TestKeptOfAnotherVersion(t *testing.T) {
	l := open(t, t.TempDir(), nil)
	it := item(t, letter(1, "AAAA"))
	old := append([]byte(nil), it.Features...)
	old[0]--
	l.kept.Keep(it.Trace, old)
	start := logit(t, l, it)
	if o := l.must(t, Wish{Spam: true, Source: CLI, Items: []Item{it}}); o.What != New || logit(t, l, it) <= start {
		t.Errorf("Learn = %+v, score %g, was %g", o, logit(t, l, it), start)
	}
}

func TestMailboxes(t *testing.T) {
	a := &fakeAccounts{n: 50, held: map[string]bool{carol: true}}
	l := open(t, t.TempDir(), a)
	one := item(t, letter(1, "AAAA"))
	if o := l.must(t, Wish{Spam: true, Source: Move, User: carol, Items: []Item{one}}); o.What != Refused {
		t.Errorf("a held account = %+v", o)
	}
	l.must(t, Wish{Spam: true, Source: Move, User: carol, Items: []Item{one}})
	if list, err := l.List(t.Context(), Choice{User: carol}); err != nil || len(list) != 1 || list[0].State != "refused" {
		t.Errorf("two refusals are listed as %+v, %v", list, err)
	}
	l.must(t, Wish{Spam: true, Source: Move, User: alice, Items: []Item{one}})
	l.must(t, Wish{Spam: true, Source: Move, User: bob, Items: []Item{item(t, letter(2, "BBBB"))}})
	list, err := l.List(t.Context(), Choice{Limit: 1})
	if err != nil || list[0].Share != 1 {
		t.Errorf("the campaign of which two say the same = %+v, %v", list, err)
	}
	before := l.tally.total
	u, err := l.Undo(t.Context(), Choice{User: alice, Since: time.Now().Add(-time.Hour)})
	if err != nil || u.Undone != 1 || l.tally.own[alice] != 0 || l.tally.total != before-0.5 {
		t.Errorf("Undo of a mailbox = %+v, %v, tally %+v", u, err, l.tally)
	}
	a.err = errors.New("away")
	if r, err := l.Learn(t.Context(), Wish{Spam: true, Source: Move, User: alice, Items: []Item{one}}); err == nil {
		t.Errorf("with the account store away = %+v", r)
	}
}

// TestMajority: the first word on a message does not hold against two others.
func TestMajority(t *testing.T) {
	a := &fakeAccounts{n: 50, held: map[string]bool{"dave@example.org": true}}
	l := open(t, t.TempDir(), a)
	one := item(t, letter(1, "AAAA"))
	for _, tc := range []struct {
		user string
		want What
	}{{bob, New}, {"dave@example.org", Refused}, {alice, Refused}, {alice, Refused}, {carol, Corrected}, {alice, New}} {
		spam := tc.user != bob
		if o := l.must(t, Wish{Spam: spam, Source: Move, User: tc.user, Items: []Item{one}}); o.What != tc.want {
			t.Errorf("%s, spam %t = %+v, want %s", tc.user, spam, o, tc.want)
		}
	}
	if ham, spam := l.model.Counts(); ham != 0 || spam != 2 {
		t.Errorf("learned %d ham, %d spam", ham, spam)
	}
}

func TestBulk(t *testing.T) {
	l := open(t, t.TempDir(), nil)
	w := Wish{Spam: true, Source: Move, User: alice, Minute: 201}
	for n := range 30 {
		w.Items = append(w.Items, item(t, letter(n, "")))
	}
	r, err := l.Learn(t.Context(), w)
	if err != nil || r.Count(Waiting) != 30 {
		t.Fatalf("Learn = %+v, %v", r, err)
	}
	s, err := l.Status(t.Context())
	if err != nil || s.Spam != 0 || len(s.Waiting) != 1 || s.Waiting[0].Count != 30 || s.Waiting[0].User != alice || s.Waiting[0].Class != "spam" {
		t.Errorf("Status = %+v, %v", s, err)
	}
	if r, err = l.Approve(t.Context(), alice); err != nil || r.Count(New) != 30 {
		t.Errorf("Approve = %+v, %v", r, err)
	}
	if s, err = l.Status(t.Context()); err != nil || s.Spam != 30 || len(s.Waiting) != 0 || s.BySource[Move] != 30 {
		t.Errorf("Status = %+v, %v", s, err)
	}
	if _, err := l.Approve(t.Context(), alice); !errors.Is(err, ErrNone) {
		t.Errorf("Approve again = %v", err)
	}
	w.Spam = false
	if _, err := l.Learn(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	if n, err := l.Drop(t.Context(), alice); err != nil || n != 30 {
		t.Errorf("Drop = %d, %v", n, err)
	}
	if ham, spam := l.model.Counts(); ham != 0 || spam != 30 {
		t.Errorf("counts %d, %d", ham, spam)
	}
}

func TestDaily(t *testing.T) {
	l := open(t, t.TempDir(), &fakeAccounts{n: 1})
	most := Default().MailboxDaily
	got := 0
	for n := range most + 5 {
		if o := l.must(t, Wish{Spam: true, Source: Move, User: alice, Items: []Item{item(t, letter(n, ""))}}); o.What == New {
			got++
		}
	}
	if got != most {
		t.Errorf("%d learned, want %d", got, most)
	}
}

// TestNoted: what a mailbox is refused, or waits for, is written down so often a
// day: it may fill neither the disk nor push the others out of the journal.
func TestNoted(t *testing.T) {
	a := &fakeAccounts{n: 50, held: map[string]bool{carol: true}}
	l := open(t, t.TempDir(), a)
	const most = 60
	l.noted = most
	for _, tc := range []struct {
		user string
		w    Wish
		what What
	}{
		{carol, Wish{Spam: true, Source: Move, User: carol}, Refused},
		{alice, Wish{Spam: true, Source: Move, User: alice, Minute: 201}, Waiting},
	} {
		rows := 0
		for n := 0; n < most+100; {
			w := tc.w
			for ; len(w.Items) < 50 && n < most+100; n++ {
				w.Items = append(w.Items, item(t, letter(n, "")))
			}
			r, err := l.Learn(t.Context(), w)
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range r.Outcomes {
				if o.ID != 0 {
					rows++
				} else if o.What != Refused || o.Reason == "" {
					t.Fatalf("without a row: %+v", o)
				}
			}
		}
		if rows != most {
			t.Errorf("%s: %d rows, want %d", tc.what, rows, most)
		}
	}
	if o := l.must(t, Wish{Spam: true, Source: CLI, Items: []Item{item(t, letter(most+1, ""))}}); o.What != New || o.ID == 0 {
		t.Errorf("an administrator afterwards = %+v", o)
	}
}

var errKilled = errors.New("killed")

// TestKilled kills the process between each two steps of learning, undoing and
// saving. After a restart each learn that was durable is in the model once.
func TestKilled(t *testing.T) {
	for _, tc := range []struct {
		point string
		after int
	}{{"inserted", 0}, {"inserted", 5}, {"committed", 1}, {"committed", 5}, {"applied", 3}, {"written", 1}, {"noted", 1}, {"renamed", 2}} {
		t.Run(fmt.Sprintf("%s %d", tc.point, tc.after), func(t *testing.T) { killAt(t, tc.point, tc.after) })
	}
}

func killAt(t *testing.T, point string, after int) {
	dir := t.TempDir()
	l := open(t, dir, nil)
	l.fault = func(at string) error {
		if at != point {
			return nil
		}
		if after--; after < 0 {
			return errKilled
		}
		return nil
	}
	if err := script(l, t); !errors.Is(err, errKilled) {
		t.Fatalf("script ended with %v", err)
	}
	if err := l.die(); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir, nil)
	if err := script(l, t); err != nil { // all of it is idempotent
		t.Fatal(err)
	}
	if err := l.Save(t.Context()); err != nil {
		t.Fatal(err)
	}
	// A model that was taught what the journal says, in its order.
	want := classify.New()
	rebuilt := Learner{model: want, steps: map[int64][]byte{}, db: l.db, log: l.log}
	if err := rebuilt.again(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	wantHam, wantSpam := want.Counts()
	if ham, spam := l.model.Counts(); ham != wantHam || spam != wantSpam || spam != 3 || ham != 1 {
		t.Errorf("learned %d ham, %d spam, the journal says %d, %d", ham, spam, wantHam, wantSpam)
	}
	for n := range 5 {
		it := item(t, letter(n, ""))
		var f classify.Features
		if err := f.UnmarshalBinary(it.Features); err != nil {
			t.Fatal(err)
		}
		if got := logit(t, l, it); math.Abs(got-want.Score(&f).Logit) > 1e-3 {
			t.Errorf("letter %d scores %g, want %g", n, got, want.Score(&f).Logit)
		}
	}
}

// script learns and saves; done twice it leaves what it leaves when done once.
func script(l *Learner, t *testing.T) error {
	learn := func(n int, spam bool) error {
		_, err := l.Learn(t.Context(), Wish{Spam: spam, Source: CLI, Items: []Item{item(t, letter(n, ""))}})
		return err
	}
	for _, step := range []func() error{
		func() error { return learn(0, true) },
		func() error { return learn(1, true) },
		func() error { return l.Save(t.Context()) },
		func() error { return learn(2, true) },
		func() error { return learn(3, true) },
		func() error { return learn(3, false) },
		func() error { return l.Save(t.Context()) },
		func() error { return learn(4, true) },
		func() error {
			_, err := l.Undo(t.Context(), Choice{Message: "4@example.net"})
			return err
		},
		func() error { return l.Save(t.Context()) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// TestRestored: weights from a backup, none, and damaged ones are brought up to
// date from the journal.
func TestRestored(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, weightsFile)
	l := open(t, dir, nil)
	one, two := item(t, letter(1, "")), item(t, letter(2, ""))
	l.must(t, Wish{Spam: true, Source: CLI, Items: []Item{one}})
	if err := l.Save(t.Context()); err != nil {
		t.Fatal(err)
	}
	backup, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	l.must(t, Wish{Spam: true, Source: CLI, Items: []Item{two}})
	want := logit(t, l, two)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		put    func() error
		replay int
	}{
		{"as it was", func() error { return nil }, 0},
		{"backup", func() error { return os.WriteFile(path, backup, 0o600) }, 1},
		{"none", func() error { return os.Remove(path) }, 2},
		{"half a file", func() error { return os.WriteFile(path, backup[:len(backup)/2], 0o600) }, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := tc.put(); err != nil {
				t.Fatal(err)
			}
			l := open(t, dir, nil)
			if l.replay != tc.replay {
				t.Errorf("%d changes made again, want %d", l.replay, tc.replay)
			}
			if got := logit(t, l, two); math.Abs(got-want) > 1e-6 {
				t.Errorf("score %g, want %g", got, want)
			}
		})
	}
}

// TestTrim: features go with time, rows stay; what was learned then can still be
// corrected with the message.
func TestTrim(t *testing.T) {
	l := open(t, t.TempDir(), nil)
	a := item(t, letter(1, ""))
	start := logit(t, l, a)
	o := l.must(t, Wish{Spam: true, Source: CLI, Items: []Item{a}})
	later := time.Now().AddDate(0, 0, 40)
	if err := l.trim(t.Context(), later); err != nil {
		t.Fatal(err)
	}
	if list, err := l.List(t.Context(), Choice{}); err != nil || !list[0].Undoable {
		t.Errorf("before it is saved = %+v, %v", list, err)
	}
	if err := errors.Join(l.Save(t.Context()), l.trim(t.Context(), later)); err != nil {
		t.Fatal(err)
	}
	if u, err := l.Undo(t.Context(), Choice{ID: o.ID}); err != nil || u.TooOld != 1 || u.Undone != 0 {
		t.Errorf("Undo = %+v, %v", u, err)
	}
	if o := l.must(t, Wish{Spam: true, Source: CLI, Items: []Item{a}}); o.What != Already {
		t.Errorf("again = %+v", o)
	}
	if o := l.must(t, Wish{Source: CLI, Items: []Item{a}}); o.What != Corrected || logit(t, l, a) >= start {
		t.Errorf("correction = %+v", o)
	}
	if ham, spam := l.model.Counts(); ham != 1 || spam != 0 {
		t.Errorf("counts %d, %d", ham, spam)
	}
}

func TestDamagedJournal(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, journalFile), []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	l := open(t, dir, nil)
	l.must(t, Wish{Spam: true, Source: CLI, Items: []Item{item(t, letter(1, ""))}})
}

func BenchmarkKeep(b *testing.B) {
	l, err := Open(b.Context(), b.TempDir(), Default(), nil, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	text := letter(1, "") // as many features as mail of some 30 KB has
	for n := range 4000 {
		text = fmt.Appendf(text, "word%d ", n*7919%4001)
	}
	it := item(b, text)
	var f classify.Features
	if err := f.UnmarshalBinary(it.Features); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		l.Keep(Trace{QueueID: fmt.Sprint("A", n), Arrived: time.Now()}, &f)
		if n%512 == 0 { // the writer's work counts
			if err := l.kept.Flush(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(len(it.Features)), "B/row")
}
