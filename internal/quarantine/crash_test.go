package quarantine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/gatepost/gatepost/internal/disktest"
	"github.com/gatepost/gatepost/internal/reply"
	"golang.org/x/sys/unix"
)

// faulty is the kernel with a hook before each call: an error that it returns is
// what the call returns, undone.
type faulty struct {
	kernel
	before func(call string) error
}

func (f faulty) mkdir(path string) error {
	if err := f.before("mkdir"); err != nil {
		return err
	}
	return f.kernel.mkdir(path)
}

func (f faulty) create(path string) (file, error) {
	if err := f.before("create"); err != nil {
		return nil, err
	}
	w, err := f.kernel.create(path)
	return faultyFile{w, f}, err
}

func (f faulty) rename(from, to string, over bool) error {
	if err := f.before("rename"); err != nil {
		return err
	}
	return f.kernel.rename(from, to, over)
}

func (f faulty) remove(path string) error {
	if err := f.before("remove"); err != nil {
		return err
	}
	return f.kernel.remove(path)
}

func (f faulty) syncDir(path string) error {
	if err := f.before("syncdir"); err != nil {
		return err
	}
	return f.kernel.syncDir(path)
}

func (f faulty) free(dir string) (int64, error) {
	if err := f.before("statfs"); err != nil {
		return 0, err
	}
	return f.kernel.free(dir)
}

// faultyFile writes in pieces of 64 bytes, with the hook before each.
type faultyFile struct {
	file
	f faulty
}

func (w faultyFile) Write(p []byte) (n int, err error) {
	for n < len(p) {
		if err := w.f.before("write"); err != nil {
			return n, err
		}
		m, err := w.file.Write(p[n:min(len(p), n+64)])
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

func (w faultyFile) Sync() error {
	if err := w.f.before("fsync"); err != nil {
		return err
	}
	return w.file.Sync()
}

// Close closes in any case, as Linux does.
func (w faultyFile) Close() error { return errors.Join(w.f.before("close"), w.file.Close()) }

// TestMain lets the test binary play a process that is killed, or one on a disk
// that is full.
func TestMain(m *testing.M) {
	switch os.Getenv("QUARANTINE_TEST_CHILD") {
	case "put", "mark":
		killed(os.Getenv("QUARANTINE_TEST_CHILD"))
	case "full":
		fullDisk()
	default:
		os.Exit(m.Run())
	}
}

// killed opens the quarantine, does one thing, and kills this process before the
// call whose number it was given.
func killed(what string) {
	at, err := strconv.Atoi(os.Getenv("QUARANTINE_TEST_KILL"))
	if err != nil {
		fmt.Println(err)
		os.Exit(2)
	}
	count := 0
	sys := faulty{before: func(string) error {
		if count++; count == at {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		return nil
	}}
	s, err := open(os.Getenv("QUARANTINE_TEST_DIR"), testConfig(), sys, quiet)
	id := os.Getenv("QUARANTINE_TEST_ID")
	if err == nil && what == "put" {
		id, err = s.Put(context.Background(), entry(arrived), strings.NewReader(message))
	} else if err == nil {
		err = s.SetMark(id, Mark{Done: true, Delivered: []Delivered{{To: "alice@example.org"}}})
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(2)
	}
	fmt.Println("kept", id) // the answer to Postfix
}

// child runs the test binary as such a process, and returns what it said.
func child(t *testing.T, what, dir, id string, n int) (said string, killed bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "QUARANTINE_TEST_CHILD="+what, "QUARANTINE_TEST_DIR="+dir,
		"QUARANTINE_TEST_ID="+id, "QUARANTINE_TEST_KILL="+strconv.Itoa(n))
	out, err := cmd.Output()
	killed = cmd.ProcessState.Sys().(syscall.WaitStatus).Signaled()
	if err != nil && !killed {
		t.Fatalf("step %d: %v: %s", n, err, out)
	}
	return strings.TrimSpace(string(out)), killed
}

// TestKilledAtEachStep kills Put before each of its steps, and the opening of the
// store before. Either Postfix had no answer, or the entry is there; and an entry
// that is there is whole.
func TestKilledAtEachStep(t *testing.T) {
	whole, nothing := 0, 0
	for n := 1; ; n++ {
		dir := filepath.Join(t.TempDir(), "q")
		said, killed := child(t, "put", dir, "", n)
		s := openStore(t, dir, testConfig())
		all := list(t, s, Filter{})
		for _, it := range all {
			e, msg, err := s.Message(it.ID)
			if err != nil || e.MailFrom != "a@example.net" {
				t.Fatalf("killed before step %d: %v", n, err)
			}
			b, err := io.ReadAll(msg)
			if err := errors.Join(err, msg.Close()); err != nil || string(b) != message {
				t.Errorf("killed before step %d: message %q, %v", n, b, err)
			}
			whole++
		}
		if len(all) == 0 {
			nothing++
		}
		if id, answered := strings.CutPrefix(said, "kept "); answered && ids(all) != id {
			t.Errorf("killed before step %d: %s was promised, there is %s", n, id, ids(all))
		}
		if left, err := os.ReadDir(filepath.Join(dir, "tmp")); err != nil || len(left) != 0 {
			t.Errorf("killed before step %d: left in tmp: %v, %v", n, left, err)
		}
		// The sender tries again.
		put(t, s, entry(arrived))
		if !killed {
			if n < 15 || whole < 2 || nothing < 10 {
				t.Errorf("%d steps, whole after %d, nothing after %d: the kills did not happen", n, whole, nothing)
			}
			return
		}
	}
}

// TestKilledMarking kills SetMark before each of its steps: the mark is the old
// one or the new one.
func TestKilledMarking(t *testing.T) {
	var old, marked int
	for n := 1; ; n++ {
		dir := filepath.Join(t.TempDir(), "q")
		id := put(t, openStore(t, dir, testConfig()), entry(arrived))
		said, killed := child(t, "mark", dir, id, n)
		it, err := openStore(t, dir, testConfig()).Show(id)
		switch {
		case err != nil:
			t.Fatalf("killed before step %d: %v", n, err)
		case it.State == Held && said == "":
			old++
		case it.State == Released && len(it.Delivered) == 1:
			marked++
		default:
			t.Errorf("killed before step %d: %+v, said %q", n, it, said)
		}
		if !killed {
			if old < 5 || marked < 2 {
				t.Errorf("old after %d, marked after %d", old, marked)
			}
			return
		}
	}
}

// TestFaultAtEachCall lets each call fail in turn: the sender gets a 451, nothing
// is kept, and nothing is left lying about.
func TestFaultAtEachCall(t *testing.T) {
	for _, errno := range []unix.Errno{unix.ENOSPC, unix.EDQUOT, unix.EIO, unix.EROFS} {
		for n := 1; ; n++ {
			dir := filepath.Join(t.TempDir(), "q")
			s := openStore(t, dir, testConfig())
			count, hit := 0, ""
			s.sys = faulty{before: func(call string) error {
				if count++; count == n {
					hit = call
					return errno
				}
				return nil
			}}
			id, err := s.Put(t.Context(), entry(arrived), strings.NewReader(message))
			if hit == "" {
				if err != nil || count < 8 {
					t.Errorf("%v: %d calls, %v", errno, count, err)
				}
				break
			}
			want := reply.Broken
			if errno == unix.ENOSPC || errno == unix.EDQUOT {
				want = replyFull
			}
			if err == nil || id != "" || reply.FromError(err) != want || !errors.Is(err, errno) {
				t.Errorf("%v at call %d (%s): Put = %q, %v", errno, n, hit, id, err)
			}
			again := openStore(t, dir, testConfig())
			if len(list(t, s, Filter{})) != 0 || len(list(t, again, Filter{})) != 0 || s.coming != 0 {
				t.Errorf("%v at call %d (%s): refused and kept", errno, n, hit)
			}
		}
	}
}

// fullDisk fills a small tmpfs in a mount namespace of its own.
func fullDisk() {
	dir := os.Getenv("QUARANTINE_TEST_DIR")
	disktest.Mount(dir, "64k")
	s, err := Open(filepath.Join(dir, "q"), testConfig(), quiet)
	if err != nil {
		fmt.Println(err)
		os.Exit(2)
	}
	e, big := entry(arrived), strings.Repeat("x", 200_000)
	e.Size = int64(len(big))
	_, err = s.Put(context.Background(), e, strings.NewReader(big))
	fmt.Println(reply.FromError(err), err)
	left, terr := os.ReadDir(filepath.Join(dir, "q/tmp"))
	fmt.Println(len(left), terr, s.Stats().Entries)
	_, err = s.Put(context.Background(), entry(arrived), strings.NewReader(message))
	fmt.Println(err)
}

func TestFullDisk(t *testing.T) {
	lines := disktest.Child(t, "QUARANTINE_TEST_CHILD=full", "QUARANTINE_TEST_DIR="+t.TempDir())
	if !strings.HasPrefix(lines[0], "451 4.3.1 ") || !strings.Contains(lines[0], "make room on the disk") || lines[1] != "0 <nil> 0" || lines[2] != "<nil>" {
		t.Errorf("on a full disk: %q", lines)
	}
}
