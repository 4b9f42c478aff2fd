package maildir

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// recorder is the kernel that tells what is changed and what is synced.
type recorder struct {
	kernel
	names map[int]string
	calls []string
	sizes []int // of writes
}

func (r *recorder) say(call, name string) { r.calls = append(r.calls, call+" "+name) }

func (r *recorder) open(dirfd int, name string, flags int, mode uint32) (int, error) {
	fd, err := r.kernel.open(dirfd, name, flags, mode)
	if r.names[fd] = filepath.Base(name); strings.Contains(name, ".M") {
		r.names[fd] = "FILE"
	}
	return fd, err
}

func (r *recorder) mkdir(dirfd int, name string, mode uint32) error {
	r.say("mkdir", name)
	return r.kernel.mkdir(dirfd, name, mode)
}

func (r *recorder) write(fd int, p []byte) (int, error) {
	r.say("write", r.names[fd])
	r.sizes = append(r.sizes, len(p))
	return r.kernel.write(fd, p)
}

func (r *recorder) fsync(fd int) error {
	r.say("fsync", r.names[fd])
	return r.kernel.fsync(fd)
}

func (r *recorder) close(fd int) error {
	if r.names[fd] == "FILE" {
		r.say("close", "FILE")
	}
	return r.kernel.close(fd)
}

func (r *recorder) rename(fromfd int, from string, tofd int, to string) error {
	r.say("rename", r.names[fromfd]+" to "+r.names[tofd])
	return r.kernel.rename(fromfd, from, tofd, to)
}

// TestOrderOfSteps: what a power cut would undo is on the disk before the next
// step relies on it.
func TestOrderOfSteps(t *testing.T) {
	root := filepath.Join(t.TempDir(), "ROOT")
	file := []string{"write FILE", "fsync FILE", "close FILE", "rename tmp to new", "fsync new"}
	dirs := func(names ...string) (out []string) {
		for _, n := range names {
			out = append(out, "mkdir "+n)
		}
		return out
	}
	syncs := []string{"fsync Maildir", "fsync alice", "fsync example.org", "fsync ROOT"}
	r := &recorder{names: map[int]string{}}
	if err := os.Mkdir(root, 0o700); err != nil {
		t.Fatal(err)
	}
	fresh := func() *Store {
		s := newStore(t, root)
		s.sys = r
		return s
	}
	s := fresh()
	for _, step := range []struct {
		name   string
		store  *Store
		folder Folder
		want   []string
	}{
		{"first", s, Inbox, slices.Concat(dirs("example.org", "alice", "Maildir", "tmp", "new", "cur"), syncs, file)},
		{"second", s, Inbox, file},
		{"first of Junk", s, Junk, slices.Concat(dirs(".Junk", "tmp", "new", "cur"), []string{"fsync .Junk"}, syncs, file)},
		{"second of Junk", s, Junk, file},
		{"a new process trusts nobody's directories", fresh(), Junk, slices.Concat(dirs("cur"), []string{"fsync .Junk"}, syncs, file)},
	} {
		t.Run(step.name, func(t *testing.T) {
			r.calls = nil
			if _, err := step.store.Deliver(t.Context(), Message{To: alice, Folder: step.folder, Body: text("x")}); err != nil {
				t.Fatal(err)
			}
			if fmt.Sprint(r.calls) != fmt.Sprint(step.want) {
				t.Errorf("steps %q, want %q", r.calls, step.want)
			}
		})
	}
}

// TestLargeFile: all but the last write is of whole pages, whatever the line ends
// leave behind.
func TestLargeFile(t *testing.T) {
	r := &recorder{names: map[int]string{}}
	s := newStore(t, t.TempDir())
	if _, err := s.Deliver(t.Context(), Message{To: alice, Body: text("x")}); err != nil {
		t.Fatal(err)
	}
	s.sys = r
	line := strings.Repeat("x", 77) + "\r\r\n" // CRs at every place of a buffer
	body := strings.Repeat(line, 5*outBytes/len(line))
	st, err := s.Deliver(t.Context(), Message{To: alice, Body: text(body)})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.sizes) != 5 {
		t.Fatalf("writes of %d bytes", r.sizes)
	}
	for _, n := range r.sizes[:4] {
		if n != outBytes {
			t.Errorf("writes of %d bytes", r.sizes)
		}
	}
	got := files(t, filepath.Join(s.cfg.Root, "example.org/alice/Maildir/new"))[st.Name()]
	if got != strings.ReplaceAll(body, "\r\n", "\n") {
		t.Errorf("%d bytes on the disk, of %d", len(got), len(body))
	}
}
