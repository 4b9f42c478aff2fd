package maildir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/maildirsize"
	"github.com/gatepost/gatepost/internal/reply"
	"golang.org/x/sys/unix"
)

func deliver(t *testing.T, s *Store, m Message) Stored {
	t.Helper()
	st, err := s.Deliver(t.Context(), m)
	if err != nil || st.Problem() != nil {
		t.Fatalf("Deliver = %+v, %v, %v", st, err, st.Problem())
	}
	return st
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return string(b)
}

// A folder that we make is subscribed once, in the version that the file has.
func TestSubscribe(t *testing.T) {
	for _, tc := range []struct {
		name, before string
		folder       Folder
		want         string
	}{
		{"no file", "", Junk, "V\t2\n\nJunk\n"},
		{"version 2", "V\t2\n\nSent\n", "Archive.2026", "V\t2\n\nSent\nArchive\t2026\n"},
		{"version 1", "Sent\n", "Archive.2026", "Sent\nArchive.2026\n"},
		{"there already", "Junk\nSent\n", Junk, "Junk\nSent\n"},
		{"no line end", "Sent", Junk, "Sent\nJunk\n"},
		{"letters", "", "Entwürfe", "V\t2\n\nEntw&APw-rfe\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			root := t.TempDir()
			s := newStore(t, root)
			deliver(t, s, Message{To: alice, Body: text("x")})
			path := filepath.Join(root, "example.org/alice/Maildir/subscriptions")
			if tc.before != "" {
				if err := os.WriteFile(path, []byte(tc.before), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			deliver(t, s, Message{To: alice, Folder: tc.folder, Subscribe: true, Body: text("x")})
			if got := readFile(t, path); got != tc.want {
				t.Errorf("subscriptions = %q, want %q", got, tc.want)
			}
			if tc.before == "" {
				if err := os.WriteFile(path, nil, 0o600); err != nil { // the user wants none
					t.Fatal(err)
				}
				deliver(t, s, Message{To: alice, Folder: tc.folder, Subscribe: true, Body: text("x")})
				if got := readFile(t, path); got != "" {
					t.Errorf("subscribed again: %q", got)
				}
			}
		})
	}
	t.Run("somebody has the lock", func(t *testing.T) {
		root := t.TempDir()
		s := newStore(t, root)
		deliver(t, s, Message{To: alice, Body: text("x")})
		lock := filepath.Join(root, "example.org/alice/Maildir/subscriptions.lock")
		if err := os.WriteFile(lock, []byte("theirs"), 0o600); err != nil {
			t.Fatal(err)
		}
		st, err := s.Deliver(t.Context(), Message{To: alice, Folder: Junk, Subscribe: true, Body: text("x")})
		if err != nil || !errors.Is(st.Problem(), unix.EEXIST) || readFile(t, lock) != "theirs" {
			t.Errorf("Deliver = %+v, %v", st, err)
		}
	})
}

// What is older than 36 hours in tmp goes, at the first delivery and once a day.
func TestAbandonedFilesGo(t *testing.T) {
	root := t.TempDir()
	tmp := filepath.Join(root, "example.org/alice/Maildir/tmp")
	if err := os.MkdirAll(filepath.Join(tmp, "dir"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(tmp, "young"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := newStore(t, root)
	age := map[string]time.Duration{"old": 37 * time.Hour, "young": 35 * time.Hour}
	s.sys = aged{age: age}
	if err := os.WriteFile(filepath.Join(tmp, "old"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	deliver(t, s, Message{To: alice, Body: text("x")})
	if got := strings.Join(namesIn(t, tmp), " "); got != "dir young" {
		t.Errorf("tmp has %s", got)
	}
	age["young"] = 37 * time.Hour
	deliver(t, s, Message{To: alice, Body: text("x")})
	if got := strings.Join(namesIn(t, tmp), " "); got != "dir young" {
		t.Errorf("looked again within the day: tmp has %s", got)
	}
	for path, known := range s.durable {
		known.cleaned = known.cleaned.Add(-cleanEvery)
		s.durable[path] = known
	}
	deliver(t, s, Message{To: alice, Body: text("x")})
	if got := strings.Join(namesIn(t, tmp), " "); got != "dir" {
		t.Errorf("a day later tmp has %s", got)
	}
}

// aged is a system in which files are older than they are.
type aged struct {
	kernel
	age map[string]time.Duration
}

func (a aged) stat(fd int, name string) (status, error) {
	st, err := a.kernel.stat(fd, name)
	st.changed = st.changed.Add(-a.age[name])
	return st, err
}

// A folder of another layout, one that is missing, and a mailbox of somebody
// else: nothing is written.
func TestRefusedMailboxes(t *testing.T) {
	for _, tc := range []struct {
		name    string
		prepare func(box string) error
		m       Message
		want    error
	}{
		{"LAYOUT=fs", func(box string) error { return os.MkdirAll(filepath.Join(box, "Junk/cur"), 0o700) }, Message{Folder: Junk}, ErrLayout},
		{"LAYOUT=fs, a level below", func(box string) error { return os.MkdirAll(filepath.Join(box, "Archive/2026/cur"), 0o700) }, Message{Folder: "Archive.2026"}, ErrLayout},
		{"no such folder", func(box string) error { return os.MkdirAll(box, 0o700) }, Message{Folder: "Lists", NoCreate: true}, ErrNoFolder},
		{"another owner", func(box string) error {
			if err := os.MkdirAll(filepath.Join(box, "new"), 0o700); err != nil {
				return err
			}
			return os.Chown(filepath.Join(box, "new"), 12345, 12345)
		}, Message{}, ErrOwner},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.want == ErrOwner && os.Geteuid() != 0 {
				if os.Getenv("CI") == "true" {
					t.Fatal("chown needs root")
				}
				t.Skip("chown needs root")
			}
			root := t.TempDir()
			if err := tc.prepare(filepath.Join(root, "example.org/alice/Maildir")); err != nil {
				t.Fatal(err)
			}
			tc.m.To, tc.m.Body = alice, text("x")
			_, err := newStore(t, root).Deliver(t.Context(), tc.m)
			if !errors.Is(err, tc.want) || reply.FromError(err) != reply.Broken {
				t.Errorf("Deliver = %v, want %v", err, tc.want)
			}
			if got := files(t, root); len(got) != 0 {
				t.Errorf("written: %v", got)
			}
		})
	}
}

// What we make in a mailbox has its mode, the world's bits aside.
func TestModesOfTheParent(t *testing.T) {
	old := unix.Umask(0o077)
	defer unix.Umask(old)
	root := t.TempDir()
	box := filepath.Join(root, "example.org/alice/Maildir")
	if err := os.MkdirAll(box, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(box, 0o777|fs.ModeSetgid); err != nil {
		t.Fatal(err)
	}
	st := deliver(t, newStore(t, root), Message{To: alice, Folder: Junk, Subscribe: true, Body: text("x")})
	for path, want := range map[string]fs.FileMode{
		".Junk": 0o770 | fs.ModeSetgid, ".Junk/tmp": 0o770 | fs.ModeSetgid, ".Junk/new": 0o770 | fs.ModeSetgid,
		".Junk/cur": 0o770 | fs.ModeSetgid, ".Junk/new/" + st.Name(): 0o660,
	} {
		fi, err := os.Stat(filepath.Join(box, path))
		if err != nil {
			t.Fatal(err)
		}
		if got := fi.Mode() &^ fs.ModeDir; got != want {
			t.Errorf("%s: mode %v, want %v", path, got, want)
		}
	}
}

func TestQuota(t *testing.T) {
	const full = "100S\n100 1\n"
	for _, tc := range []struct {
		name, file string
		age        time.Duration
		q          Quota
		err        error
		want       string
	}{
		{"off", full, 0, Quota{}, nil, full},
		{"fits", "100S\n0 0\n", 0, Quota{Keep: true}, nil, "100S\n0 0\n20 1\n"},
		{"over", full, 0, Quota{Keep: true}, ErrQuota, full},
		{"over and old: counted, with what is there", full, time.Hour, Quota{Keep: true}, nil, "100S\n50 2\n20 1\n"},
		{"does not fit", "55S\n40 1\n", 0, Quota{Keep: true}, ErrQuota, "55S\n40 1\n"},
		{"too many", "2C\n0 2\n", 0, Quota{Keep: true}, ErrQuota, "2C\n0 2\n"},
		{"limits of another are left", "100S,5C\n0 0\n", 0, Quota{Keep: true, Bytes: 10}, nil, "100S,5C\n0 0\n20 1\n"},
		{"broken", "100S\n0 0\nxx\n", 0, Quota{Keep: true}, nil, "100S\n50 2\n20 1\n"},
		{"too long", "100S\n" + strings.Repeat("0 0\n", 2000), 0, Quota{Keep: true}, nil, "100S\n50 2\n20 1\n"},
		{"no file and no limit", "", 0, Quota{Keep: true}, nil, ""},
		{"no file", "", 0, Quota{Keep: true, Bytes: 1000}, nil, "1000S\n50 2\n20 1\n"},
		{"no file, over", "", 0, Quota{Keep: true, Bytes: 40}, ErrQuota, "40S\n50 2\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			root := t.TempDir()
			prepareFull(t, root)
			box := filepath.Join(root, "example.org/alice/Maildir")
			for name, content := range map[string]string{"cur/1.a,S=30:2,S": "not thirty", ".Junk/new/2.b": strings.Repeat("x", 20), ".Junk/new/.hidden": "x"} {
				if err := os.WriteFile(filepath.Join(box, name), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			path := filepath.Join(box, maildirsize.Name)
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if tc.file != "" {
				if err := os.WriteFile(path, []byte(tc.file), 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.Chtimes(path, time.Now(), time.Now().Add(-tc.age)); err != nil {
					t.Fatal(err)
				}
			}
			st, err := newStore(t, root).Deliver(t.Context(), Message{To: alice, Quota: tc.q, Body: text(strings.Repeat("y", 20))})
			if !errors.Is(err, tc.err) || st.Problem() != nil {
				t.Errorf("Deliver = %+v, %v, want %v", st, err, tc.err)
			}
			if got := readFile(t, path); got != tc.want {
				t.Errorf("maildirsize = %q, want %q", got, tc.want)
			}
			if n := len(namesIn(t, filepath.Join(box, "new"))); (n == 1) != (tc.err == nil) || len(namesIn(t, filepath.Join(box, "tmp"))) != 0 {
				t.Errorf("%d messages, tmp has %q", n, namesIn(t, filepath.Join(box, "tmp")))
			}
		})
	}
}

// Copies are one file; where a mailbox cannot have it, it gets its own.
func TestShare(t *testing.T) {
	root := t.TempDir()
	s := newStore(t, root)
	for _, noLinks := range []bool{false, true} {
		var inodes []uint64
		s.sys = kernel{}
		if noLinks {
			s.sys = linkless{}
		}
		h := s.Share()
		for i, to := range []Message{{To: alice}, {To: bob, Folder: Junk}, {To: alice, Folder: "Lists"}} {
			to.Body, to.Share, to.Source = text("x\r\n"), h, Source{Key: Key{byte(i + 1)}, Arrived: time.Now().Add(time.Hour)}
			st := deliver(t, s, to)
			dir, err := Home(root, to.To)
			if err != nil {
				t.Fatal(err)
			}
			dir = filepath.Join(dir, "Maildir")
			if to.Folder != Inbox {
				dir = filepath.Join(dir, "."+string(to.Folder))
			}
			var info unix.Stat_t
			if err := unix.Stat(filepath.Join(dir, "new", st.Name()), &info); err != nil || info.Size != 2 {
				t.Fatal(info.Size, err)
			}
			inodes = append(inodes, info.Ino)
		}
		if one := inodes[0] == inodes[1] && inodes[1] == inodes[2]; one == noLinks {
			t.Errorf("noLinks %t: inodes %v", noLinks, inodes)
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		for name := range files(t, root) {
			if strings.Contains(name, "/tmp/") {
				t.Errorf("left %s", name)
			}
		}
		if err := os.RemoveAll(filepath.Join(root, "example.org")); err != nil {
			t.Fatal(err)
		}
	}
}

// linkless is a file system without hard links.
type linkless struct{ kernel }

func (linkless) link(int, string, int, string) error { return unix.EXDEV }

// Copies that are made at once wait for each other, but for none that fails, and
// for none that waits for somebody else's delivery of the same message.
func TestShareAtOnce(t *testing.T) {
	root := memoryDir(t)
	s := newStore(t, root)
	if err := os.MkdirAll(filepath.Join(root, "example.org"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "example.org/u3"), nil, 0o600); err != nil { // no directory
		t.Fatal(err)
	}
	const copies = 20
	deliver := func(h *Share, i int) {
		m := Message{To: mailaddr.Address{LocalPart: fmt.Sprint("u", i), Domain: "example.org"}, Body: text("x\r\n"), Share: h,
			Source: Source{Key: NewKey("4F1", fmt.Sprint(i)), Arrived: time.Now()}, Quota: Quota{Keep: i%5 == 0, Bytes: 1}} // one byte: full
		want := i != 3 && i%5 != 0
		if st, err := s.Deliver(t.Context(), m); (err == nil) != want || want && st.Problem() != nil {
			t.Errorf("u%d: %+v, %v", i, st, err)
		}
	}
	var wg sync.WaitGroup
	shares := []*Share{s.Share(), s.Share()} // two connections bring the same
	for i := range copies {
		wg.Go(func() { deliver(shares[0], i) })
		wg.Go(func() { deliver(shares[1], copies-1-i) })
	}
	wg.Wait()
	for _, h := range shares {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	}
	n := 0
	for name := range messagesIn(t, root) {
		if strings.Contains(name, "/new/") {
			n++
		}
	}
	if want := copies - 5; n != want {
		t.Errorf("%d copies, want %d", n, want)
	}
}
