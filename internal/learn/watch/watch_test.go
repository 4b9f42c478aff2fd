package watch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/gatepost/gatepost/internal/learn"
	"github.com/gatepost/gatepost/internal/mailaddr"
)

// fakeLearner notes what it is asked to learn.
type fakeLearner struct {
	wishes []learn.Wish
	seen   map[string][]byte
	err    error
	status learn.WatchStatus
}

func (f *fakeLearner) Learn(_ context.Context, w learn.Wish) (learn.Result, error) {
	if f.err != nil {
		return learn.Result{}, f.err
	}
	for _, it := range w.Items {
		if it.File == 0 { // by it two hosts know that they saw one move
			return learn.Result{}, errors.New("a message without the number of its file")
		}
	}
	f.wishes = append(f.wishes, w)
	return learn.Result{Outcomes: make([]learn.Outcome, len(w.Items))}, nil
}

func (f *fakeLearner) Seen(_ context.Context, m string) ([]byte, error) { return f.seen[m], nil }
func (f *fakeLearner) SetSeen(_ context.Context, m string, b []byte) error {
	f.seen[m] = b
	return nil
}
func (f *fakeLearner) ReportWatch(s learn.WatchStatus) { f.status = s }

// filed is what our own delivery did: base names, and whether into Junk.
type filed map[string]bool

func (f filed) Filed(_ context.Context, base string) (bool, bool) {
	junk, ok := f[base]
	return junk, ok
}

type friends map[string]bool

func (f friends) Correspondent(_ context.Context, _ string, a mailaddr.Address) bool {
	return f[a.String()]
}

// home is a mailbox on the disk.
type home struct {
	t     *testing.T
	root  string
	box   string // Maildir
	fake  *fakeLearner
	w     *Watcher
	clock time.Time
}

const received = "Received: from a.example.net (a.example.net [192.0.2.1])\n\tby mx.example.org (Postfix) with ESMTP id 4XyZ1b2c3dzABC\n\tfor <alice@example.org>; Fri, 20 Nov 2026 11:30:00 +0000 (UTC)\nAuthentication-Results: mx.example.org; dmarc=pass header.from=example.net\n"

func newHome(t *testing.T) *home {
	t.Helper()
	root := t.TempDir()
	h := &home{t: t, root: root, box: filepath.Join(root, "example.org", "alice", "Maildir"), clock: time.Now()}
	h.fake = &fakeLearner{seen: map[string][]byte{}}
	for _, d := range []string{"", ".Junk", ".Trash", ".Archive"} {
		h.mkdir(d)
	}
	h.w = New(Config{MailRoot: root, Junk: []string{"Junk"}, Trash: []string{"Trash"},
		Trace: learn.TraceConfig{Hostname: "mx.example.org", AuthservID: "mx.example.org", ScanBytes: 4 << 20}},
		Deps{Learner: h.fake}, slog.New(slog.DiscardHandler))
	return h
}

func (h *home) check(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *home) mkdir(folder string) {
	h.t.Helper()
	for _, d := range []string{"tmp", "new", "cur"} {
		h.check(os.MkdirAll(filepath.Join(h.box, folder, d), 0o700))
	}
}

// base names a message that came days ago.
func (h *home) base(n, days int) string {
	return fmt.Sprintf("%d.M%dP1.host,S=10", h.clock.AddDate(0, 0, -days).Unix()-int64(n), n)
}

func (h *home) put(place, name string) {
	h.t.Helper()
	h.check(os.WriteFile(filepath.Join(h.box, place, name), []byte(received+"From: bob@example.net\nSubject: "+name+"\n\n"+name+"\n"), 0o600))
}

func (h *home) move(from, to string) {
	h.t.Helper()
	h.check(os.Rename(filepath.Join(h.box, from), filepath.Join(h.box, to)))
}

func (h *home) remove(name string) {
	h.t.Helper()
	h.check(os.Remove(filepath.Join(h.box, name)))
}

func (h *home) link(from, to string) {
	h.t.Helper()
	h.check(os.Link(filepath.Join(h.box, from), filepath.Join(h.box, to)))
}

// look looks after a while, and returns what was learned.
func (h *home) look(later time.Duration) string {
	h.t.Helper()
	h.clock = h.clock.Add(later)
	h.w.find(h.t.Context(), nil)
	b := h.w.boxes["alice@example.org"]
	if b == nil {
		h.t.Fatal("mailbox not found")
	}
	h.fake.wishes = nil
	h.check(h.w.look(h.t.Context(), b, h.clock))
	var out []string
	for _, w := range h.fake.wishes {
		out = append(out, fmt.Sprintf("%s %s %d", w.Source, learn.Class(w.Spam), len(w.Items)))
	}
	return strings.Join(out, ", ")
}

func (h *home) want(later time.Duration, want string) {
	h.t.Helper()
	if got := h.look(later); got != want {
		h.t.Errorf("learned %q, want %q", got, want)
	}
}

// TestMoves tells what users and others do, and what is learned from it.
func TestMoves(t *testing.T) {
	const soon = 3 * time.Second
	for _, tc := range []struct {
		name string
		do   func(h *home, m string) // m is in the inbox, s in Junk, both were seen
		want string
	}{
		{"nothing", func(*home, string) {}, ""},
		{"into Junk", func(h *home, m string) { h.move("cur/"+m+":2,S", ".Junk/cur/"+m+":2,S") }, "move spam 1"},
		{"into Junk, as new", func(h *home, m string) { h.move("cur/"+m+":2,S", ".Junk/new/"+m) }, "move spam 1"},
		{"into Junk with another name", func(h *home, m string) { h.move("cur/"+m+":2,S", ".Junk/cur/123.other:2,S") }, "move spam 1"},
		{"out of Junk", func(h *home, m string) { h.move(".Junk/cur/s"+m+":2,", "cur/s"+m+":2,") }, "move ham 1"},
		{"out of Junk into a folder", func(h *home, m string) { h.move(".Junk/cur/s"+m+":2,", ".Archive/cur/s"+m+":2,") }, "move ham 1"},
		{"out of Junk into Trash", func(h *home, m string) { h.move(".Junk/cur/s"+m+":2,", ".Trash/cur/s"+m+":2,") }, ""},
		{"expunged from Junk", func(h *home, m string) { h.remove(".Junk/cur/s" + m + ":2,") }, ""},
		{"expunged from the inbox", func(h *home, m string) { h.remove("cur/" + m + ":2,S") }, ""},
		{"flags", func(h *home, m string) {
			h.move(".Junk/cur/s"+m+":2,", ".Junk/cur/s"+m+":2,FS")
			h.move("cur/"+m+":2,S", "cur/"+m+":2,FS")
		}, ""},
		{"a copy into Junk", func(h *home, m string) { h.link("cur/"+m+":2,S", ".Junk/cur/"+m+":2,S") }, ""},
		{"a copy out of Junk", func(h *home, m string) { h.link(".Junk/cur/s"+m+":2,", "cur/s"+m+":2,") }, ""},
		{"filed into Junk by a delivery", func(h *home, m string) { h.put(".Junk/new", h.base(9, 0)) }, ""},
		{"appended to Junk", func(h *home, m string) { h.put(".Junk/cur", h.base(9, 0)+":2,S") }, ""},
		{"filed into a folder", func(h *home, m string) { h.put(".Archive/cur", h.base(9, 0)+":2,") }, ""},
		{"into Archive", func(h *home, m string) { h.move("cur/"+m+":2,S", ".Archive/cur/"+m+":2,S") }, ""},
		{"into Trash", func(h *home, m string) { h.move("cur/"+m+":2,S", ".Trash/cur/"+m+":2,S") }, ""},
		{"from Archive into Junk", func(h *home, m string) { h.move(".Archive/cur/a"+m+":2,S", ".Junk/cur/a"+m+":2,S") }, "move spam 1"},
		{"from Trash into Junk", func(h *home, m string) { h.move(".Trash/cur/t"+m+":2,S", ".Junk/cur/t"+m+":2,S") }, ""},
		{"Junk renamed", func(h *home, m string) { h.move(".Junk", ".OldJunk") }, ""},
		{"Junk removed", func(h *home, m string) { h.check(os.RemoveAll(filepath.Join(h.box, ".Junk"))) }, ""},
		{"a folder renamed to Junk", func(h *home, m string) {
			h.check(os.RemoveAll(filepath.Join(h.box, ".Junk")))
			h.move(".Archive", ".Junk")
		}, ""},
		{"a folder renamed", func(h *home, m string) { h.move(".Archive", ".Papers") }, ""},
		{"Trash renamed", func(h *home, m string) { h.move(".Trash", ".OldTrash") }, ""},
		{"both ways", func(h *home, m string) {
			h.move("cur/"+m+":2,S", ".Junk/cur/"+m+":2,S")
			h.move(".Junk/cur/s"+m+":2,", "cur/s"+m+":2,")
		}, "move spam 1, move ham 1"},
		{"a link is no message of theirs", func(h *home, m string) {
			h.remove("cur/" + m + ":2,S")
			h.check(os.Symlink("/etc/passwd", filepath.Join(h.box, ".Junk/cur/"+m+":2,S")))
		}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := newHome(t)
			m := h.base(1, 1)
			h.put("cur", m+":2,S")
			// Their names begin with a letter, so that they have no time.
			h.put(".Junk/cur", "s"+m+":2,")
			h.put(".Archive/cur", "a"+m+":2,S")
			h.put(".Trash/cur", "t"+m+":2,S")
			h.want(0, "") // new to us
			h.want(soon, "")
			tc.do(h, m)
			got := strings.Split(h.look(soon), ", ")
			want := strings.Split(tc.want, ", ")
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("learned %q, want %q", got, want)
			}
			h.want(soon, "") // and not once more
		})
	}
}

// TestTwoSteps: Dovecot links a message into Junk and takes it out of the inbox
// afterwards; a look may fall in between.
func TestTwoSteps(t *testing.T) {
	h := newHome(t)
	m, n := h.base(1, 1)+":2,S", h.base(2, 1)+":2,"
	h.put("cur", m)
	h.put(".Junk/cur", n)
	h.want(0, "")
	h.link("cur/"+m, ".Junk/cur/"+m)
	h.link(".Junk/cur/"+n, "cur/"+n)
	h.want(time.Second, "")
	h.remove("cur/" + m)
	h.want(time.Second, "move spam 1")
	h.remove(".Junk/cur/" + n)
	h.want(time.Second, "move ham 1")
}

// TestAway: what moved while we were away is learned; what was restored from a
// backup is not.
func TestAway(t *testing.T) {
	h := newHome(t)
	m, n := h.base(1, 1)+":2,S", h.base(2, 1)+":2,"
	h.put("cur", m)
	h.put(".Junk/cur", n)
	h.want(0, "")
	h.w = New(h.w.cfg, h.w.deps, h.w.log)
	h.move("cur/"+m, ".Junk/cur/"+m)
	h.want(48*time.Hour, "move spam 1")
	h.remove(".Junk/cur/" + n)
	h.want(time.Hour, "")
	h.put("cur", n)
	h.want(time.Hour, "")
	h.put(".Junk/cur", n)
	h.remove("cur/" + n)
	h.want(2*time.Minute, "move spam 1") // but this is a move again
}

// TestArrived: a message that goes into Junk before anybody saw it elsewhere is
// learned only where our delivery, or the kernel, says that it was.
func TestArrived(t *testing.T) {
	h := newHome(t)
	h.want(0, "")
	a, b, c := h.base(1, 0), h.base(2, 0), h.base(3, 0)
	h.w.deps.Filings = filed{a: false, b: true}
	for _, m := range []string{a, b, c} {
		h.put(".Junk/cur", m+":2,S")
	}
	h.w.dirs[filepath.Join(h.box, "cur")] = h.w.boxes["alice@example.org"]
	h.want(time.Second, "move spam 1") // a
	d := h.base(4, 0)
	h.w.event(fsnotify.Event{Name: filepath.Join(h.box, "cur", d+":2,S"), Op: fsnotify.Create}, h.clock)
	h.put(".Junk/cur", d+":2,S")
	h.want(time.Second, "move spam 1")
}

// TestBulk: a wish tells how many there were within the minute.
func TestBulk(t *testing.T) {
	h := newHome(t)
	for n := range 250 {
		h.put("cur", h.base(n, 1)+":2,S")
	}
	h.want(0, "")
	for n := range 250 {
		h.move("cur/"+h.base(n, 1)+":2,S", ".Junk/cur/"+h.base(n, 1)+":2,S")
	}
	h.want(0, "move spam 100, move spam 100, move spam 50")
	for _, w := range h.fake.wishes {
		if w.Minute != 250 || w.User != "alice@example.org" {
			t.Errorf("wish of %s says %d a minute", w.User, w.Minute)
		}
	}
}

// TestRefusedLater: while the account store is away nothing is forgotten.
func TestRefusedLater(t *testing.T) {
	h := newHome(t)
	m := h.base(1, 1) + ":2,S"
	h.put("cur", m)
	h.want(0, "")
	h.move("cur/"+m, ".Junk/cur/"+m)
	h.fake.err = errors.New("away")
	if err := h.w.look(t.Context(), h.w.boxes["alice@example.org"], h.clock); err == nil {
		t.Error("no error")
	}
	h.fake.err = nil
	h.want(time.Second, "move spam 1")
}

func TestWeakHam(t *testing.T) {
	h := newHome(t)
	h.w.deps.Correspondents = friends{"bob@example.net": true}
	h.want(0, "")
	h.put("cur", h.base(1, 10)+":2,S") // read and kept
	h.put("cur", h.base(2, 10)+":2,")  // not read
	h.put("cur", h.base(3, 10)+":2,ST")
	h.put("cur", h.base(4, 1)+":2,RS") // answered
	h.put(".Junk/cur", h.base(5, 10)+":2,S")
	h.put(".Trash/cur", h.base(6, 10)+":2,S")
	h.check(os.WriteFile(filepath.Join(h.box, "cur", h.base(7, 10)+":2,S"), []byte("From: alice@example.org\n\nnever came through Postfix\n"), 0o600))
	h.put("cur", h.base(8, 1)+":2,S") // of a correspondent
	h.check(os.WriteFile(filepath.Join(h.box, "cur", h.base(9, 1)+":2,S"), []byte(strings.Replace(received, "dmarc=pass", "dmarc=fail", 1)+"From: bob@example.net\n\nforged\n"), 0o600))
	h.want(25*time.Hour, "weak ham 3")
	h.want(25*time.Hour, "")
	for n := range 30 {
		h.put("cur", h.base(100+n, 10)+":2,S")
	}
	h.want(25*time.Hour, fmt.Sprintf("weak ham %d", maxWeak)) // a day
	h.want(25*time.Hour, fmt.Sprintf("weak ham %d", maxWeak))
}

func TestFolders(t *testing.T) {
	f := newFolders([]string{"Junk", "Courrier indésirable"}, []string{"Trash", "Deleted Items", "Mail/Bin"})
	for dir, want := range map[string]class{
		"": inbox, "Junk": junk, "junk": junk, "Junk.2026": junk, "Junkyard": other, "INBOX.Junk": junk, "Archive.Junk": other,
		"Courrier ind&AOk-sirable": junk, "Courrier indésirable": junk, "Deleted Items": trash, "Mail.Bin": trash, "Mail": other, "Sent": other,
	} {
		if got := f.classOf(dir); got != want {
			t.Errorf("classOf(%q) = %d, want %d", dir, got, want)
		}
	}
	for in, want := range map[string]string{"a&b": "a&-b", "台北": "&U,BTFw-", "~peter/mail": "~peter/mail", "é": "&AOk-", "😀x": "&2D3eAA-x"} {
		if got := modifiedUTF7(in); got != want {
			t.Errorf("modifiedUTF7(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestBound(t *testing.T) {
	s := &seen{entries: map[uint64]entry{}}
	for n := range uint64(maxEntries + 500) {
		s.entries[n] = entry{name: n, class: inbox, since: uint32(n)}
	}
	s.bound()
	if _, ok := s.entries[499]; ok || len(s.entries) != maxEntries {
		t.Errorf("%d entries are left", len(s.entries))
	}
}

func FuzzDecodeSeen(f *testing.F) {
	s := seen{dirs: map[uint64]class{7: junk}, entries: map[uint64]entry{1: {name: 1, inode: 2, class: inbox, weak: true, since: 3, gone: 4}}}
	f.Add(s.appendBinary(nil))
	f.Add([]byte{version, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decodeSeen(b)
		if err != nil {
			return
		}
		again, err := decodeSeen(s.appendBinary(nil))
		if err != nil || !maps.Equal(again.entries, s.entries) || !maps.Equal(again.dirs, s.dirs) {
			t.Errorf("%+v came back as %+v, %v", s, again, err)
		}
	})
}

// TestRun: the kernel tells of a move, through a real inotify.
func TestRun(t *testing.T) {
	h := newHome(t)
	events, err := fsnotify.NewBufferedWatcher(16)
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skipf("no inotify: %v", err)
	}
	defer events.Close()
	m := h.base(1, 1) + ":2,S"
	h.put("cur", m)
	h.want(0, "")
	b := h.w.boxes["alice@example.org"]
	h.w.watch(t.Context(), b, events)
	if !b.watched || len(events.WatchList()) != 4 {
		t.Fatalf("watched %v: %q", b.watched, events.WatchList())
	}
	b.due = time.Time{}
	h.move("cur/"+m, ".Junk/cur/"+m)
	for b.due.IsZero() {
		h.w.event(<-events.Events, h.clock)
	}
	h.w.find(t.Context(), events)
	if h.fake.status.Mailboxes != 1 || h.fake.status.Watched != 1 {
		t.Errorf("status = %+v", h.fake.status)
	}
	h.check(os.RemoveAll(filepath.Join(h.root, "example.org")))
	h.w.find(t.Context(), events)
	if len(h.w.boxes) != 0 || len(h.w.dirs) != 0 {
		t.Errorf("%d mailboxes, %d directories are left", len(h.w.boxes), len(h.w.dirs))
	}
}

// TestStops: Run ends with its context, and leaves no goroutine to wait for.
func TestStops(t *testing.T) {
	h := newHome(t)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := h.w.Run(ctx); err != nil {
		t.Errorf("Run() = %v", err)
	}
}
