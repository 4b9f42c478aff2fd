package maildir

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/reply"
	"golang.org/x/sys/unix"
)

// faulty is the kernel with a hook before each call: an error it returns is
// what the call returns, undone.
type faulty struct {
	kernel
	before func(call string) error
}

func (f faulty) open(dirfd int, name string, flags int, mode uint32) (int, error) {
	if err := f.before("open"); err != nil {
		return -1, err
	}
	return f.kernel.open(dirfd, name, flags, mode)
}

func (f faulty) mkdir(dirfd int, name string, mode uint32) error {
	if err := f.before("mkdir"); err != nil {
		return err
	}
	return f.kernel.mkdir(dirfd, name, mode)
}

func (f faulty) write(fd int, p []byte) (int, error) {
	if err := f.before("write"); err != nil {
		return 0, err
	}
	return f.kernel.write(fd, p[:(len(p)+1)/2]) // a short write is no error
}

func (f faulty) fsync(fd int) error {
	if err := f.before("fsync"); err != nil {
		return err
	}
	return f.kernel.fsync(fd)
}

// close closes in any case, as Linux does.
func (f faulty) close(fd int) error {
	err := f.before("close")
	return errors.Join(err, f.kernel.close(fd))
}

func (f faulty) identity(fd int) (identity, error) {
	if err := f.before("fstat"); err != nil {
		return identity{}, err
	}
	return f.kernel.identity(fd)
}

func (f faulty) rename(fromfd int, from string, tofd int, to string) error {
	if err := f.before("rename"); err != nil {
		return err
	}
	return f.kernel.rename(fromfd, from, tofd, to)
}

func (f faulty) link(fromfd int, from string, tofd int, to string) error {
	if err := f.before("link"); err != nil {
		return err
	}
	return f.kernel.link(fromfd, from, tofd, to)
}

func (f faulty) unlink(dirfd int, name string) error {
	if err := f.before("unlink"); err != nil {
		return err
	}
	return f.kernel.unlink(dirfd, name)
}

// oldKernel knows no renameat2.
type oldKernel struct{ faulty }

func (f oldKernel) rename(int, string, int, string) error {
	if err := f.before("rename"); err != nil {
		return err
	}
	return unix.EINVAL
}

// TestFaultAtEachCall lets the n-th system call fail, for every n: the right
// reply, no litter, and nothing stored but what is there.
func TestFaultAtEachCall(t *testing.T) {
	for _, errno := range []unix.Errno{unix.ENOSPC, unix.EDQUOT, unix.EIO, unix.EACCES, unix.EROFS, unix.EMFILE} {
		for _, folder := range []Folder{Inbox, Junk} {
			for _, old := range []bool{false, true} {
				if (folder == Inbox || old) && errno != unix.ENOSPC && errno != unix.EIO {
					continue // these differ in the reply alone
				}
				t.Run(fmt.Sprintf("%s/%s/old=%t", unix.ErrnoName(errno), folder, old), func(t *testing.T) {
					for n := 1; faultAt(t, n, errno, folder, old); n++ {
					}
				})
			}
		}
	}
}

// faultAt reports whether there was an n-th call.
func faultAt(t *testing.T, n int, errno unix.Errno, folder Folder, old bool) bool {
	root := t.TempDir()
	s := newStore(t, root)
	count, hit, moved, late := 0, "", false, false
	f := faulty{before: func(call string) error {
		moved = moved || call == "rename"
		if count++; count == n {
			hit, late = call, moved && call == "close"
			return errno
		}
		return nil
	}}
	s.sys = f
	if old {
		s.sys = oldKernel{f}
	}
	fds := openFiles(t)
	st, err := s.Deliver(t.Context(), Message{To: alice, Folder: folder, Header: []byte("A: b\n"), Body: strings.NewReader("x\r\n\r\ny\r\n")})
	left := files(t, root)
	for name := range left {
		if strings.HasSuffix(name, "/maildirfolder") {
			delete(left, name)
		}
	}
	if got := openFiles(t); got != fds {
		t.Errorf("call %d (%s): %d open files, before %d", n, hit, got, fds)
	}
	switch want := reply.Broken; {
	case err == nil:
		if len(left) != 1 || st.IsZero() {
			t.Errorf("call %d (%s): stored, but files are %v", n, hit, left)
		}
		if hit != "" && !late { // what is closed last was only read
			t.Errorf("call %d (%s): its error was lost", n, hit)
		}
	default:
		if errno == unix.ENOSPC || errno == unix.EDQUOT {
			want = reply.DiskFull
		}
		if got := reply.FromError(err); got != want || !errors.Is(err, errno) {
			t.Errorf("call %d (%s): %v gives %q, want %q", n, hit, err, got, want)
		}
		if !st.IsZero() || len(left) != 0 {
			t.Errorf("call %d (%s): refused, but files are %v", n, hit, left)
		}
	}
	return hit != ""
}

func openFiles(t *testing.T) int {
	t.Helper()
	d, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("no /proc")
	}
	return len(d)
}

// A name that is there already is never overwritten.
func TestRenameDoesNotOverwrite(t *testing.T) {
	for _, old := range []bool{false, true} {
		t.Run(fmt.Sprint("old=", old), func(t *testing.T) {
			root := t.TempDir()
			s := newStore(t, root)
			if _, err := s.Deliver(t.Context(), Message{To: alice, Body: strings.NewReader("x")}); err != nil {
				t.Fatal(err)
			}
			f := faulty{before: func(string) error { return nil }}
			s.sys = f
			if old {
				s.sys = oldKernel{f}
			}
			dir := root + "/example.org/alice/Maildir"
			for _, name := range []string{"/tmp/a", "/new/b"} {
				if err := os.WriteFile(dir+name, []byte(name), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			c, err := s.openChain("example.org", "alice", Inbox)
			if err != nil {
				t.Fatal(err)
			}
			defer c.close()
			if err := s.publish(c, "a", "b"); !errors.Is(err, unix.EEXIST) {
				t.Errorf("publish = %v, want EEXIST", err)
			}
			if b, _ := os.ReadFile(dir + "/new/b"); string(b) != "/new/b" {
				t.Errorf("new/b = %q", b)
			}
			if _, err := os.Stat(dir + "/tmp/a"); err == nil {
				t.Error("tmp/a is left")
			}
		})
	}
}
