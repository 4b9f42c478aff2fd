// Package disktest lets a test fill a real disk: a small tmpfs, in a mount
// namespace that only a child process sees.
package disktest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// noMount is the exit status of a child that may not mount.
const noMount = 3

// Child runs the test binary again in a mount namespace, with env added, and
// returns the lines that it printed. TestMain sees env and plays the child.
// Where no namespace can be had the test skips, or fails in CI.
func Child(t *testing.T, env ...string) []string {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	out, err := cmd.Output()
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSYS) || errors.Is(err, syscall.EINVAL) ||
		cmd.ProcessState != nil && cmd.ProcessState.ExitCode() == noMount {
		if os.Getenv("CI") == "true" {
			t.Fatalf("a full tmpfs needs a mount namespace: %v %s", err, out)
		}
		t.Skipf("a full tmpfs needs a mount namespace: %v %s", err, out)
	}
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return strings.Split(string(out), "\n")
}

// Mount puts an empty tmpfs of size ("64k") on dir. It is called in the child,
// and ends it where it may not.
func Mount(dir, size string) {
	if err := errors.Join(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
		unix.Mount("none", dir, "tmpfs", 0, "mode=0700,size="+size)); err != nil {
		fmt.Println("cannot mount:", err)
		os.Exit(noMount)
	}
}
