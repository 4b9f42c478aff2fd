package maildir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/reply"
	"golang.org/x/sys/unix"
)

var alice = mailaddr.Address{LocalPart: "alice", Domain: "example.org"}

func newStore(t testing.TB, root string) *Store {
	t.Helper()
	s, err := New(Config{Root: root, Host: "mx.example.org"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// memoryDir is a directory that a test with thousands of syncs has for itself, in
// memory where the machine has one.
func memoryDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "gatepost-maildir-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// text is a body of a Message.
func text(s string) func() io.Reader { return func() io.Reader { return strings.NewReader(s) } }

// TestLargeMessages: whatever the buffers cut in two is in the file as it came,
// from memory, which writes itself, and from a reader.
func TestLargeMessages(t *testing.T) {
	for _, size := range []int{inBytes, outBytes - 2, outBytes - 1, outBytes, outBytes + 1, 2*outBytes + 1} {
		for _, tail := range []string{"\r\n", "\r\r\n", "\r", "\n", "\rx\r\n"} {
			for _, header := range []string{"", "A: b\n", "A: " + strings.Repeat("b", outBytes) + "\n"} {
				body := strings.Repeat("x", size-1) + tail + "\r\nend\r"
				want := header + strings.ReplaceAll(body, "\r\n", "\n")
				for name, read := range map[string]func() io.Reader{
					"memory": text(body),
					"reader": func() io.Reader { return io.MultiReader(strings.NewReader(body)) },
				} {
					root := memoryDir(t)
					st := deliver(t, newStore(t, root), Message{To: alice, Header: []byte(header), Body: read})
					got := files(t, root)["example.org/alice/Maildir/new/"+st.Name()]
					wire := len(want) + strings.Count(want, "\n") - strings.Count(want, "\r\n")
					if got != want || st.Size() != int64(len(want)) || !strings.HasSuffix(st.Name(), fmt.Sprintf(",S=%d,W=%d", len(want), wire)) {
						t.Errorf("%s of %d bytes, %q, header of %d: %d bytes in %s, want %d", name, size, tail, len(header), len(got), st.Name(), len(want))
					}
				}
			}
		}
	}
}

// files returns the regular files below dir, by path relative to it.
func files(t testing.TB, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		out[rel] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestDeliver(t *testing.T) {
	long := strings.Repeat("x", 200_000)
	for _, tc := range []struct {
		name, header, body string
		folder             Folder
		want               string
		wire               int
	}{
		{"plain", "Return-Path: <a@b>\n", "Subject: x\r\n\r\nhello\r\n", Inbox, "Return-Path: <a@b>\nSubject: x\n\nhello\n", 41},
		{"junk", "", "Subject: x\r\n\r\nhello\r\n", Junk, "Subject: x\n\nhello\n", 21},
		{"empty", "", "", Inbox, "", 0},
		{"NUL, lone CR, 8-bit", "", "\x00a\rb\xff\r\n", Inbox, "\x00a\rb\xff\n", 7},
		{"no final line end", "", "a\r\nb", Inbox, "a\nb", 4},
		{"long line", "", long + "\r\n", Inbox, long + "\n", 200_002},
		{"From line", "", "From x\r\n\r\n", Inbox, "From x\n\n", 10},
	} {
		t.Run(tc.name, func(t *testing.T) {
			root := t.TempDir()
			s := newStore(t, root)
			st, err := s.Deliver(t.Context(), Message{To: alice, Folder: tc.folder, Header: []byte(tc.header),
				Body: func() io.Reader { return iotest.HalfReader(strings.NewReader(tc.body)) }})
			if err != nil || st.IsZero() || st.Folder() != tc.folder || st.Size() != int64(len(tc.want)) {
				t.Fatalf("Deliver = %+v, %v", st, err)
			}
			dir := "example.org/alice/Maildir"
			want := map[string]string{}
			if tc.folder != Inbox {
				dir += "/." + string(tc.folder)
				want[dir+"/maildirfolder"] = ""
			}
			want[dir+"/new/"+st.Name()] = tc.want
			if got := files(t, root); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("files = %.300q, want %.300q", got, want)
			}
			if suffix := fmt.Sprintf(".mx.example.org,S=%d,W=%d", len(tc.want), tc.wire); !strings.HasSuffix(st.Name(), suffix) {
				t.Errorf("name %q, want the end %q", st.Name(), suffix)
			}
			checkModes(t, root, filepath.Join(root, dir))
		})
	}
}

// checkModes checks the modes of all below root, and that dir is a Maildir.
func checkModes(t *testing.T, root, dir string) {
	t.Helper()
	for _, sub := range []string{"tmp", "new", "cur"} {
		if st, err := os.Stat(filepath.Join(dir, sub)); err != nil || !st.IsDir() {
			t.Errorf("%s: %v", sub, err)
		}
	}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		st, err := os.Lstat(path)
		if err != nil {
			return err
		}
		if want := map[bool]fs.FileMode{true: 0o700, false: 0o600}[d.IsDir()]; st.Mode().Perm() != want {
			t.Errorf("%s: mode %v, want %v", path, st.Mode().Perm(), want)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestDeliverConcurrently(t *testing.T) {
	root := t.TempDir()
	s := newStore(t, root)
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			to := mailaddr.Address{LocalPart: fmt.Sprint("u", i%3), Domain: "example.org"}
			if _, err := s.Deliver(context.Background(), Message{To: to, Folder: []Folder{Inbox, Junk}[i%2], Body: text("x\r\n")}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	n := 0
	for name := range files(t, root) {
		if strings.Contains(name, "/new/") {
			n++
		}
	}
	if n != 40 {
		t.Errorf("%d files, want 40", n)
	}
}

func TestNoSymbolicLinkIsFollowed(t *testing.T) {
	for _, link := range []string{"example.org", "example.org/alice", "example.org/alice/Maildir",
		"example.org/alice/Maildir/new", "example.org/alice/Maildir/tmp", "example.org/alice/Maildir/.Junk"} {
		t.Run(link, func(t *testing.T) {
			root, elsewhere := t.TempDir(), t.TempDir()
			path := filepath.Join(root, link)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(elsewhere, path); err != nil {
				t.Fatal(err)
			}
			_, err := newStore(t, root).Deliver(t.Context(), Message{To: alice, Folder: Junk, Body: text("x")})
			if link == "example.org/alice/Maildir/new" || link == "example.org/alice/Maildir/tmp" {
				if err != nil {
					t.Fatalf("Junk does not pass there: %v", err)
				}
				_, err = newStore(t, root).Deliver(t.Context(), Message{To: alice, Body: text("x")})
			}
			if err == nil || reply.FromError(err) != reply.Broken {
				t.Errorf("Deliver = %v, want a transient error", err)
			}
			if got := files(t, elsewhere); len(got) != 0 {
				t.Errorf("written behind the link: %v", got)
			}
		})
	}
	t.Run("the root itself may be one", func(t *testing.T) {
		root, link := t.TempDir(), filepath.Join(t.TempDir(), "vmail")
		if err := os.Symlink(root, link); err != nil {
			t.Fatal(err)
		}
		if _, err := newStore(t, link).Deliver(t.Context(), Message{To: alice, Body: text("x")}); err != nil {
			t.Error(err)
		}
	})
}

func TestDeliverRefuses(t *testing.T) {
	root := t.TempDir()
	s := newStore(t, root)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tc := range []struct {
		name string
		ctx  context.Context
		m    Message
	}{
		{"dot dot", t.Context(), Message{To: mailaddr.Address{LocalPart: "..", Domain: "example.org"}, Body: text("x")}},
		{"folder with a slash", t.Context(), Message{To: alice, Folder: "../x", Body: text("x")}},
		{"cancelled", gone, Message{To: alice, Body: text("x")}},
		{"message that cannot be read", t.Context(), Message{To: alice, Body: func() io.Reader {
			return io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(io.ErrUnexpectedEOF))
		}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			st, err := s.Deliver(tc.ctx, tc.m)
			if err == nil || !st.IsZero() || reply.FromError(err) != reply.Broken {
				t.Errorf("Deliver = %+v, %v", st, err)
			}
			if got := files(t, root); len(got) != 0 {
				t.Errorf("left %v", got)
			}
		})
	}
	if _, err := New(Config{Root: "relative", Host: "h"}); err == nil {
		t.Error("a relative mail root was taken")
	}
}

// A directory that comes back after it was removed is durable again.
func TestMailboxRemovedWhileWeRun(t *testing.T) {
	root := t.TempDir()
	s := newStore(t, root)
	for range 2 {
		if _, err := s.Deliver(t.Context(), Message{To: alice, Body: text("x")}); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(root, "example.org/alice/Maildir/cur")); err != nil {
			t.Error(err)
		}
		if err := os.RemoveAll(filepath.Join(root, "example.org")); err != nil {
			t.Fatal(err)
		}
	}
}

// What stands where maildirfolder belongs is not opened: a FIFO would hold the
// delivery for ever.
func TestOddMaildirfolderIsNotOpened(t *testing.T) {
	for name, plant := range map[string]func(path string) error{
		"FIFO": func(path string) error { return unix.Mkfifo(path, 0o600) },
		"link": func(path string) error { return os.Symlink("/nowhere", path) },
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			dir := filepath.Join(root, "example.org/alice/Maildir/.Junk")
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := plant(filepath.Join(dir, "maildirfolder")); err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() {
				_, err := newStore(t, root).Deliver(t.Context(), Message{To: alice, Folder: Junk, Body: text("x")})
				done <- err
			}()
			select {
			case err := <-done:
				if err != nil {
					t.Errorf("Deliver = %v", err)
				}
			case <-time.After(10 * time.Second):
				t.Fatal("Deliver still waits")
			}
		})
	}
}
