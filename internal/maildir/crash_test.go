package maildir

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/gatepost/gatepost/internal/disktest"
	"github.com/gatepost/gatepost/internal/reply"
)

// TestMain lets the test binary play a delivery that is killed, or one on a
// disk that is full.
func TestMain(m *testing.M) {
	switch os.Getenv("MAILDIR_TEST_CHILD") {
	case "kill":
		killedDelivery()
	case "full":
		fullDelivery()
	case "readonly":
		readOnlyDelivery()
	default:
		os.Exit(m.Run())
	}
}

const crashBody = "Subject: kill -9\r\n\r\nwhole or not at all\r\n"

// killedDelivery delivers one message and kills this process before the system
// call whose number it was given.
func killedDelivery() {
	at, err := strconv.Atoi(os.Getenv("MAILDIR_TEST_KILL"))
	s, nerr := New(Config{Root: os.Getenv("MAILDIR_TEST_ROOT"), Host: "h"})
	if err := errors.Join(err, nerr); err != nil {
		fmt.Println(err)
		os.Exit(2)
	}
	count := 0
	s.sys = faulty{before: func(string) error {
		if count++; count == at {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		return nil
	}}
	st, err := s.Deliver(context.Background(), Message{To: alice, Folder: Junk, Body: text(crashBody)})
	if err != nil {
		fmt.Println(err)
		os.Exit(2)
	}
	fmt.Println("stored", st.Name())
}

// TestKilledAtEachStep kills a delivery before each of its system calls: new
// never holds half a file, and what was promised is there.
func TestKilledAtEachStep(t *testing.T) {
	const want = "Subject: kill -9\n\nwhole or not at all\n"
	visible := 0
	for n := 1; ; n++ {
		root := t.TempDir()
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "MAILDIR_TEST_CHILD=kill", "MAILDIR_TEST_ROOT="+root, "MAILDIR_TEST_KILL="+strconv.Itoa(n))
		out, err := cmd.Output()
		killed := cmd.ProcessState.Sys().(syscall.WaitStatus).Signaled()
		if err != nil && !killed {
			t.Fatalf("call %d: %v: %s", n, err, out)
		}
		name, promised := strings.CutPrefix(strings.TrimSpace(string(out)), "stored ")
		dir := filepath.Join(root, "example.org/alice/Maildir/.Junk/new")
		got := files(t, dir)
		for file, content := range got {
			visible++
			if content != want {
				t.Errorf("killed before call %d: new/%s = %q", n, file, content)
			}
		}
		if promised && got[name] != want {
			t.Errorf("killed before call %d: %s was promised, new has %v", n, name, got)
		}
		// The same message comes again: a killed delivery hinders nobody.
		if _, err := newStore(t, root).Deliver(t.Context(), Message{To: alice, Folder: Junk, Body: text(crashBody)}); err != nil {
			t.Errorf("after a kill before call %d: %v", n, err)
		}
		if !killed {
			if n < 20 || visible == 0 {
				t.Errorf("%d steps, visible after %d: the kills did not happen", n, visible)
			}
			return
		}
	}
}

// fullDelivery fills a small tmpfs in a mount namespace of its own.
func fullDelivery() {
	root := os.Getenv("MAILDIR_TEST_ROOT")
	disktest.Mount(root, "64k")
	s, err := New(Config{Root: root, Host: "h"})
	if err != nil {
		fmt.Println(err)
		os.Exit(2)
	}
	big := strings.Repeat(strings.Repeat("x", 76)+"\r\n", 2000)
	_, err = s.Deliver(context.Background(), Message{To: alice, Body: text(big)})
	fmt.Println(err != nil && reply.FromError(err) == reply.DiskFull, err)
	tmp, terr := os.ReadDir(filepath.Join(root, "example.org/alice/Maildir/tmp"))
	nw, nerr := os.ReadDir(filepath.Join(root, "example.org/alice/Maildir/new"))
	fmt.Println(len(tmp), len(nw), terr, nerr)
	_, err = s.Deliver(context.Background(), Message{To: alice, Body: text("small")})
	fmt.Println(err)
}

func TestFullDisk(t *testing.T) {
	lines := disktest.Child(t, "MAILDIR_TEST_CHILD=full", "MAILDIR_TEST_ROOT="+t.TempDir())
	if !strings.HasPrefix(lines[0], "true ") || !strings.Contains(lines[0], "no space left") || lines[1] != "0 0 <nil> <nil>" || lines[2] != "<nil>" {
		t.Errorf("on a full disk: %q", lines)
	}
}

// readOnlyDelivery delivers on a tmpfs that is mounted read-only after the first
// message, as a file system is after an error of its disk.
func readOnlyDelivery() {
	root := os.Getenv("MAILDIR_TEST_ROOT")
	disktest.Mount(root, "1m")
	s, err := New(Config{Root: root, Host: "h"})
	if err != nil {
		fmt.Println(err)
		os.Exit(2)
	}
	m := Message{To: alice, Body: text("x"), Source: Source{Key: Key{1}}}
	st, err := s.Deliver(context.Background(), m)
	fmt.Println(err)
	if err := syscall.Mount("", root, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		fmt.Println(err)
		os.Exit(2)
	}
	again, err := s.Deliver(context.Background(), m) // needs no disk
	fmt.Println(again.Name() == st.Name(), err)
	for _, m := range []Message{{To: alice, Body: text("x")}, {To: alice, Folder: Junk, Body: text("x")}, {To: bob, Body: text("x")}} {
		_, err := s.Deliver(context.Background(), m)
		fmt.Println(errors.Is(err, syscall.EROFS), reply.FromError(err) == reply.Broken)
	}
	os.Exit(0)
}

func TestReadOnlyDisk(t *testing.T) {
	lines := disktest.Child(t, "MAILDIR_TEST_CHILD=readonly", "MAILDIR_TEST_ROOT="+t.TempDir())
	if want := "<nil>\ntrue <nil>\ntrue true\ntrue true\ntrue true\n"; strings.Join(lines, "\n") != want {
		t.Errorf("on a read-only disk: %q, want %q", lines, want)
	}
}
