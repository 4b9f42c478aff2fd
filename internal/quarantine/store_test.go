package quarantine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatepost/gatepost/internal/reply"
	"github.com/gatepost/gatepost/internal/verdict"
)

var quiet = slog.New(slog.DiscardHandler)

// arrived is the time of most entries of these tests.
var arrived = time.Date(2026, 11, 20, 6, 55, 35, 0, time.UTC)

const message = "From: a@example.net\r\nSubject: x\r\n\r\nhello\r\n"

func entry(at time.Time) Entry {
	return Entry{QueueID: "4XyZ1b2c3dzABC", Arrived: at, MailFrom: "a@example.net", RcptTo: []string{"alice@example.org"}, Size: int64(len(message))}
}

func testConfig() Config {
	c := Default()
	c.MinFree = 0
	return c
}

func openStore(t testing.TB, dir string, cfg Config) *Store {
	t.Helper()
	s, err := Open(dir, cfg, quiet)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t testing.TB, s *Store, e Entry) string {
	t.Helper()
	id, err := s.Put(t.Context(), e, strings.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func list(t testing.TB, s *Store, f Filter) []Item {
	t.Helper()
	all, err := s.List(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func ids(all []Item) string {
	var out []string
	for _, it := range all {
		out = append(out, it.ID)
	}
	return strings.Join(out, " ")
}

// TestPut: what was kept is there, byte for byte, also for the next process.
func TestPut(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "q")
	s := openStore(t, dir, testConfig())
	e := Entry{
		QueueID: "4XyZ1b2c3dzABC", Arrived: arrived,
		Client:   Client{Addr: netip.MustParseAddr("192.0.2.7"), Name: "mail.example.net", Helo: "mail\x00\r\nX: y"},
		MailFrom: "a\r\nb\x1b[31m@" + strings.Repeat("x", 70_000), RcptTo: []string{"alice@example.org", "<bob\x7f>"},
		Header: Header{Subject: "=?\u202e", From: `"A" <a@example.net>`, MessageID: "<1@x>"},
		Score:  17.5, Discard: true,
		Lines: []verdict.Line{{Name: "X", Score: 17.5, Options: []string{"\x00\n"}}},
		Edits: Edits{AuthResults: "mx;\n\tspf=pass", Cut: []Span{{0, 21}, {21, 30}}},
		Size:  int64(len(message)),
	}
	id := put(t, s, e)
	e.ID = id
	for _, name := range []string{id, e.QueueID} {
		for i, s := range []*Store{s, openStore(t, dir, testConfig())} {
			it, err := s.Show(name)
			if err != nil || !reflect.DeepEqual(it.Entry, e) || it.State != Held || it.Verdict != "discard" {
				t.Errorf("process %d: Show(%s) = %+v, %v, want %+v", i, name, it, err, e)
			}
			if want := arrived.Add(7 * 24 * time.Hour); !it.Expires.Equal(want) {
				t.Errorf("expires %v, want %v", it.Expires, want)
			}
		}
	}
	got, msg, err := s.Message(id)
	if err != nil {
		t.Fatal(err)
	}
	defer msg.Close()
	b, err := io.ReadAll(msg)
	if err != nil || string(b) != message {
		t.Errorf("message is %q, %v", b, err)
	}
	b, err = io.ReadAll(got.Leaving(msg))
	if err != nil || string(b) != message[30:] {
		t.Errorf("leaving is %q, %v", b, err)
	}
	info, err := os.Stat(s.path(name{id, e.QueueID, true}))
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("file is %v, %v", info, err)
	}
	if st := s.Stats(); st.Entries != 1 || st.Bytes != onDisk(info.Size()) {
		t.Errorf("Stats = %+v", st)
	}
}

func TestPutRefuses(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "q"), testConfig())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	short, long, odd, big := entry(arrived), entry(arrived), entry(arrived), entry(arrived)
	short.Size--
	long.Size++
	odd.Edits.Cut = []Span{{5, 3}}
	big.Size = 3 << 30
	for _, tc := range []struct {
		name string
		ctx  context.Context
		e    Entry
		want reply.Reply
		text string
	}{
		{"shorter than told", t.Context(), long, reply.Broken, "bytes and not"},
		{"longer than told", t.Context(), short, reply.Broken, "bytes and not"},
		{"edits out of order", t.Context(), odd, reply.Broken, "not in order"},
		{"larger than the quarantine", t.Context(), big, replyFull, "raise quarantine.max_bytes"},
		{"cancelled", ctx, entry(arrived), reply.Broken, "canceled"},
	} {
		id, err := s.Put(tc.ctx, tc.e, strings.NewReader(message))
		if err == nil || id != "" || reply.FromError(err) != tc.want || !strings.Contains(err.Error(), tc.text) {
			t.Errorf("%s: Put = %q, %v (%v), want %v", tc.name, id, err, reply.FromError(err), tc.want)
		}
	}
	if all := list(t, s, Filter{}); len(all) != 0 {
		t.Errorf("kept: %v", all)
	}
	if st := s.Stats(); st.Refused != 5 || s.coming != 0 {
		t.Errorf("Stats = %+v, coming %d", st, s.coming)
	}
}

// TestDiskFloor: a disk that is nearly full takes no message, and says so.
func TestDiskFloor(t *testing.T) {
	cfg := testConfig()
	cfg.MinFree = 1 << 49
	s := openStore(t, filepath.Join(t.TempDir(), "q"), cfg)
	_, err := s.Put(t.Context(), entry(arrived), strings.NewReader(message))
	if !errors.Is(err, ErrFull) || reply.FromError(err).String() != "451 4.3.1 not enough disk space here, please try again later" ||
		!strings.Contains(err.Error(), "make room on the disk of "+s.dir) {
		t.Errorf("Put = %v (%v)", err, reply.FromError(err))
	}
}

// TestWhoGoesFirst fills a quarantine: released entries go first, then the
// oldest discarded, then the oldest quarantined; one warning tells of it.
func TestWhoGoesFirst(t *testing.T) {
	var log strings.Builder
	s := openStore(t, filepath.Join(t.TempDir(), "q"), testConfig())
	s.log = slog.New(slog.NewTextHandler(&log, nil))
	s.most = 4
	at := func(h int, discard bool) string {
		e := entry(arrived.Add(time.Duration(h) * time.Hour))
		e.Discard = discard
		return put(t, s, e)
	}
	a, b, c, d := at(0, false), at(1, true), at(2, true), at(3, false)
	if err := s.SetMark(d, Mark{Done: true}); err != nil {
		t.Fatal(err)
	}
	want := [][]string{{a, b, c}, {a, c}, {a}, {}, {}}
	var new []string
	for i, w := range want {
		new = append(new, at(10+i, false))
		w = append(w, new[max(0, len(new)-4+len(w)):]...)
		var got []string
		for _, it := range list(t, s, Filter{}) {
			got = append([]string{it.ID}, got...)
		}
		if !reflect.DeepEqual(got, w) {
			t.Fatalf("after %d more: %v, want %v", i+1, got, w)
		}
	}
	if st := s.Stats(); st.Evicted != 4 || st.Refused != 0 {
		t.Errorf("Stats = %+v", st)
	}
	if n := strings.Count(log.String(), "level=WARN"); n != 1 || !strings.Contains(log.String(), "raise quarantine.max_bytes") {
		t.Errorf("log: %s", log.String())
	}
	if again := openStore(t, s.dir, testConfig()); ids(list(t, again, Filter{})) != ids(list(t, s, Filter{})) {
		t.Error("the files are not those of the index")
	}
}

func TestByteCap(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "q"), testConfig())
	for i := range 40 {
		put(t, s, entry(arrived.Add(time.Duration(i)*time.Minute)))
	}
	cfg := testConfig()
	cfg.MaxBytes = 20 * 4096
	s.Reconfigure(cfg)
	s.clean(t.Context(), arrived)
	if st := s.Stats(); st.Bytes > 20*4096 || st.Entries < 15 {
		t.Errorf("after max_bytes was lowered: %+v", st)
	}
	newest := put(t, s, entry(arrived.Add(time.Hour)))
	if all := list(t, s, Filter{}); all[0].ID != newest || s.Stats().Bytes > 20*4096 {
		t.Errorf("%v, %+v", ids(all), s.Stats())
	}
}

func TestExpiry(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "q")
	synctest.Test(t, func(t *testing.T) {
		s := openStore(t, dir, testConfig())
		e := entry(time.Now())
		kept := put(t, s, e)
		e.Discard = true
		put(t, s, e)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); s.Run(ctx) }()
		at := func(d time.Duration, want int) {
			t.Helper()
			time.Sleep(time.Until(e.Arrived.Add(d)))
			synctest.Wait()
			if got := list(t, s, Filter{}); len(got) != want {
				t.Errorf("after %v: %v, want %d entries", d, ids(got), want)
			}
		}
		at(7*24*time.Hour-2*time.Minute, 2)
		at(7*24*time.Hour+2*time.Minute, 1)
		if err := s.SetMark(kept, Mark{Done: true}); err != nil {
			t.Error(err)
		}
		at(30*24*time.Hour-2*time.Minute, 1)
		at(30*24*time.Hour+2*time.Minute, 0)
		cancel()
		<-done
	})
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 || left[0].Name() != "tmp" {
		t.Errorf("left in the directory: %v, %v", left, err)
	}
}

func TestList(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "q"), testConfig())
	add := func(h int, from, header string, to ...string) string {
		e := entry(arrived.Add(time.Duration(h) * time.Hour))
		e.MailFrom, e.RcptTo, e.Header.From = from, to, header
		e.Lines = []verdict.Line{{Name: "X"}}
		return put(t, s, e)
	}
	a := add(0, "bounce@esp.example", "Shop <news@shop.example>", "alice@example.org")
	b := add(1, "", "", "bob@example.org", "Carol@Example.org")
	c := add(2, "x@y.example", "", "alice@example.org", "2@example.org", "3@x", "4@x", "5@x", "6@x")
	for _, tc := range []struct {
		f    Filter
		want string
	}{
		{Filter{}, c + " " + b + " " + a},
		{Filter{Limit: 2}, c + " " + b},
		{Filter{From: "SHOP.example"}, a},
		{Filter{From: "bounce"}, a},
		{Filter{To: "carol"}, b},
		{Filter{To: "example.org", Since: arrived.Add(time.Hour)}, c + " " + b},
		{Filter{To: "6@X"}, c},
		{Filter{To: "nobody"}, ""},
	} {
		got := list(t, s, tc.f)
		if ids(got) != tc.want {
			t.Errorf("List(%+v) = %s, want %s", tc.f, ids(got), tc.want)
		}
		for _, it := range got {
			if it.Lines != nil || len(it.RcptTo) != min(it.Recipients, maxListed) {
				t.Errorf("a list has %+v", it)
			}
		}
	}
	if _, err := s.Show("4XyZ1b2c3dzABC"); !errors.Is(err, ErrAmbiguous) {
		t.Errorf("three with one queue id: %v", err)
	}
	for _, id := range []string{"", "nobody", "20261120-065535-aaaaaa", "../../etc/passwd"} {
		if _, err := s.Show(id); !errors.Is(err, ErrNotFound) {
			t.Errorf("Show(%q) = %v", id, err)
		}
	}
	if err := s.Remove(b); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(b); !errors.Is(err, ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
	if got := ids(list(t, openStore(t, s.dir, testConfig()), Filter{})); got != c+" "+a {
		t.Errorf("after Remove: %s", got)
	}
}

// TestDamaged: a file that somebody cut is shown as damaged, hinders no list,
// and can be removed; what is not ours is left alone.
func TestDamaged(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "q")
	s := openStore(t, dir, testConfig())
	bad, good := put(t, s, entry(arrived)), put(t, s, entry(arrived.Add(time.Second)))
	path := s.path(name{bad, "4XyZ1b2c3dzABC", false})
	if err := os.Truncate(path, 300); err != nil {
		t.Fatal(err)
	}
	strange := filepath.Join(filepath.Dir(path), "notes.txt")
	orphan := filepath.Join(filepath.Dir(path), "20261120-000000-aaaaaa.released")
	for _, p := range []string{strange, orphan, filepath.Join(dir, "tmp", "half")} {
		if err := os.WriteFile(p, []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s = openStore(t, dir, testConfig())
	all := list(t, s, Filter{})
	if len(all) != 2 || all[0].ID != good || all[0].State != Held || all[1].ID != bad || all[1].State != Damaged {
		t.Errorf("List = %+v", all)
	}
	if _, err := s.Show(bad); !errors.Is(err, ErrDamaged) {
		t.Errorf("Show = %v", err)
	}
	if _, _, err := s.Message(bad); !errors.Is(err, ErrDamaged) {
		t.Errorf("Message = %v", err)
	}
	if err := s.Remove(bad); err != nil {
		t.Error(err)
	}
	for p, want := range map[string]bool{strange: true, orphan: false, filepath.Join(dir, "tmp", "half"): false} {
		if _, err := os.Stat(p); (err == nil) != want {
			t.Errorf("%s: %v", p, err)
		}
	}
}

// TestMark: the mark outlives the process.
func TestMark(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "q"), testConfig())
	id := put(t, s, entry(arrived))
	m := Mark{Delivered: []Delivered{{To: "alice@example.org", At: arrived, ID: "X"}}, Learn: true}
	if err := s.SetMark(id, m); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, s.dir, testConfig())
	it, err := s.Show(id)
	if err != nil || it.State != Partly || !it.Has("alice@example.org") || ids([]Item{it}) != strings.Join(s.Unlearned(), " ") {
		t.Errorf("Show = %+v, %v, unlearned %v", it, err, s.Unlearned())
	}
	m.Done, m.Learned = true, true
	if err := s.SetMark(id, m); err != nil {
		t.Fatal(err)
	}
	if it, err := s.Show(id); err != nil || it.State != Released || len(s.Unlearned()) != 0 {
		t.Errorf("Show = %+v, %v, unlearned %v", it, err, s.Unlearned())
	}
	if err := s.SetMark("20261120-000000-aaaaaa", m); !errors.Is(err, ErrNotFound) {
		t.Errorf("SetMark of nothing: %v", err)
	}
}

// TestConcurrently puts, lists, removes and cleans at once.
func TestConcurrently(t *testing.T) {
	cfg := testConfig()
	s := openStore(t, filepath.Join(t.TempDir(), "q"), cfg)
	s.most = 100
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 20 {
				e := entry(arrived.Add(time.Duration(n) * 24 * time.Hour))
				e.QueueID = fmt.Sprintf("Q%dx%d", i, n)
				id, err := s.Put(t.Context(), e, strings.NewReader(message))
				if err != nil {
					t.Error(err)
					return
				}
				switch n % 4 {
				case 0:
					if err := s.Remove(id); err != nil && !errors.Is(err, ErrNotFound) {
						t.Error(err)
					}
				case 1:
					if err := s.SetMark(id, Mark{Done: true}); err != nil && !errors.Is(err, ErrNotFound) {
						t.Error(err)
					}
				case 2:
					if _, err := s.List(t.Context(), Filter{Limit: 5}); err != nil {
						t.Error(err)
					}
				case 3:
					s.clean(t.Context(), arrived.Add(35*24*time.Hour))
				}
			}
		})
	}
	wg.Wait()
	again := openStore(t, s.dir, cfg)
	if a, b := ids(list(t, s, Filter{})), ids(list(t, again, Filter{})); a != b || s.Stats().Bytes != again.Stats().Bytes {
		t.Errorf("the index has\n%s\nand the files are\n%s", a, b)
	}
}

func TestConfig(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Error(err)
	}
	bad := Config{MaxBytes: 1, MinFree: -1, Keep: 1, KeepDiscarded: 1}
	err := bad.Validate()
	for _, key := range []string{"max_bytes", "min_free", "keep", "keep_discarded"} {
		if err == nil || !strings.Contains(err.Error(), key+":") {
			t.Errorf("Validate says nothing of %s: %v", key, err)
		}
	}
}
