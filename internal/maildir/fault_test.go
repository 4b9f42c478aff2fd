package maildir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/mailaddr"
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

func (f faulty) stat(fd int, name string) (status, error) {
	if err := f.before("stat"); err != nil {
		return status{}, err
	}
	return f.kernel.stat(fd, name)
}

func (f faulty) list(fd int) ([]string, error) {
	if err := f.before("list"); err != nil {
		return nil, err
	}
	return f.kernel.list(fd)
}

func (f faulty) read(fd int, p []byte) (int, error) {
	if err := f.before("read"); err != nil {
		return 0, err
	}
	return f.kernel.read(fd, p)
}

func (f faulty) chmod(fd int, mode uint32) error {
	if err := f.before("chmod"); err != nil {
		return err
	}
	return f.kernel.chmod(fd, mode)
}

func (f faulty) replace(fromfd int, from string, tofd int, to string) error {
	if err := f.before("replace"); err != nil {
		return err
	}
	return f.kernel.replace(fromfd, from, tofd, to)
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

// scenario is a delivery, or several, whose every system call fails in turn.
type scenario struct {
	name string
	old  bool
	// prepare makes what is there before.
	prepare  func(t *testing.T, root string)
	messages []Message
	share    bool
	// fill is how much stands at the end of each message.
	fill int
}

var scenarios = []scenario{
	{name: "inbox", messages: []Message{{To: alice}}},
	{name: "inbox, old kernel", old: true, messages: []Message{{To: alice}}},
	{name: "new folder, subscribed, with a source", messages: []Message{{To: alice, Folder: Junk, Subscribe: true, Source: Source{Key: Key{1}}}}},
	{name: "folder that has to be there", prepare: prepareFull, messages: []Message{{To: alice, Folder: Junk, NoCreate: true, Source: Source{Key: Key{1}}}}},
	{name: "quota", prepare: prepareFull, messages: []Message{{To: alice, Quota: Quota{Keep: true}}}},
	{name: "quota that is counted first", messages: []Message{{To: alice, Quota: Quota{Keep: true, Bytes: 1 << 20}}}},
	{name: "large", messages: []Message{{To: alice}}, fill: outBytes},
	{name: "shared by two", share: true, messages: []Message{{To: alice}, {To: bob, Folder: Junk}}},
}

var bob = mailaddr.Address{LocalPart: "bob", Domain: "example.org"}

// prepareFull makes a mailbox with all that Dovecot keeps in it.
func prepareFull(t *testing.T, root string) {
	t.Helper()
	box := filepath.Join(root, "example.org/alice/Maildir")
	for _, d := range []string{"tmp", "new", "cur", ".Junk/tmp", ".Junk/new", ".Junk/cur"} {
		if err := os.MkdirAll(filepath.Join(box, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range map[string]string{"maildirsize": "1000S\n0 0\n", "subscriptions": version2} {
		if err := os.WriteFile(filepath.Join(box, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFaultAtEachCall lets the n-th system call fail, for every n: the right
// reply, no litter, and nothing stored but what is there.
func TestFaultAtEachCall(t *testing.T) {
	for i, errno := range []unix.Errno{unix.ENOSPC, unix.EIO, unix.EDQUOT, unix.EACCES, unix.EROFS, unix.EMFILE} {
		for k, sc := range scenarios {
			if i > 1 && k > 0 && k != 2 {
				continue // these differ in the reply alone
			}
			t.Run(unix.ErrnoName(errno)+"/"+sc.name, func(t *testing.T) {
				for n := 1; faultAt(t, n, errno, sc); n++ {
				}
			})
		}
	}
}

// faultAt reports whether there was an n-th call.
func faultAt(t *testing.T, n int, errno unix.Errno, sc scenario) bool {
	root := memoryDir(t)
	if sc.prepare != nil {
		sc.prepare(t, root)
	}
	s := newStore(t, root)
	count, hit, visible, late := 0, "", false, false
	f := faulty{before: func(call string) error {
		visible = visible || call == "rename" || call == "link"
		if count++; count == n {
			hit, late = call, visible && call == "close"
			return errno
		}
		return nil
	}}
	s.sys = f
	if sc.old {
		s.sys = oldKernel{f}
	}
	fds := openFiles(t)
	var share *Share
	if sc.share {
		share = s.Share()
	}
	stored, told := 0, false
	for _, m := range sc.messages {
		m.Header, m.Body, m.Share = []byte("A: b\n"), text("x\r\n\r\ny\r\n"+strings.Repeat("z", sc.fill)), share
		st, err := s.Deliver(t.Context(), m)
		if err == nil {
			stored++
		}
		told = told || err != nil || st.Problem() != nil
		checkFault(t, n, hit, errno, st, err)
	}
	closed := share.Close()
	if got := openFiles(t); got != fds {
		t.Errorf("call %d (%s): %d open files, before %d", n, hit, got, fds)
	}
	if hit != "" && !told && closed == nil && !late { // what is closed last was only read
		t.Errorf("call %d (%s): its error was lost", n, hit)
	}
	left := messagesIn(t, root)
	if closed != nil {
		stored++ // the name in tmp, which nobody sees
	}
	if len(left) != stored {
		t.Errorf("call %d (%s): stored %d, but files are %v", n, hit, stored, left)
	}
	for name, content := range left {
		if content != "A: b\nx\n\ny\n"+strings.Repeat("z", sc.fill) {
			t.Errorf("call %d (%s): %s = %.99q", n, hit, name, content)
		}
	}
	return hit != ""
}

// checkFault checks what one delivery said.
func checkFault(t *testing.T, n int, hit string, errno unix.Errno, st Stored, err error) {
	t.Helper()
	if err == nil {
		if st.IsZero() || st.Problem() != nil && !errors.Is(st.Problem(), errno) {
			t.Errorf("call %d (%s): %+v", n, hit, st)
		}
		return
	}
	want := reply.Broken
	if errno == unix.ENOSPC || errno == unix.EDQUOT {
		want = reply.DiskFull
	}
	if got := reply.FromError(err); !st.IsZero() || got != want || !errors.Is(err, errno) {
		t.Errorf("call %d (%s): %v gives %q, want %q", n, hit, err, got, want)
	}
}

// messagesIn returns the files below root that are messages, or litter.
func messagesIn(t *testing.T, root string) map[string]string {
	t.Helper()
	left := files(t, root)
	for name := range left {
		switch filepath.Base(name) {
		case "maildirfolder", "maildirsize", "subscriptions":
			delete(left, name)
		}
	}
	return left
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
			if _, err := s.Deliver(t.Context(), Message{To: alice, Body: text("x")}); err != nil {
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
			c, _, err := s.openChain(&Message{To: alice})
			if err != nil {
				t.Fatal(err)
			}
			defer c.close()
			if err := s.publish(t.Context(), c, written{tmp: c.tmp, name: "a"}, "b", nil, nil); !errors.Is(err, unix.EEXIST) {
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
