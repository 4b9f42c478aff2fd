//go:build linux

package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// envDir tells the process inside the namespaces its scratch directory.
const envDir = "GATEPOST_LAB"

// envBinary names a gatepost to use in place of a fresh build.
const envBinary = "GATEPOST_BIN"

// Missing says what the machine lacks for a lab.
type Missing struct{ What, Hint string }

func (m *Missing) Error() string { return m.What + ": " + m.Hint }

// programs are what a lab runs, with the Debian package of each.
var programs = []struct{ path, pkg string }{
	{"/usr/sbin/postfix", "postfix"},
	{"/usr/sbin/dovecot", "dovecot-core"},
	{"/usr/lib/dovecot/imap", "dovecot-imapd"},
	{"/usr/sbin/opendkim-testmsg", "opendkim-tools"},
	{"/usr/bin/dkimverify", "python3-dkim"},
	{"/usr/lib/python3/dist-packages/nacl", "python3-nacl"},
	{"/sbin/ip", "iproute2"},
}

// Check reports the first thing that this machine lacks for a lab, as a
// *Missing, or nil.
func Check() error {
	if os.Geteuid() != 0 {
		return &Missing{"not root", "run as root: Postfix does not start otherwise"}
	}
	for _, p := range programs {
		if _, err := os.Stat(p.path); err != nil {
			return &Missing{p.path + " is missing", "apt-get install " + p.pkg + ", or `make deps`"}
		}
	}
	return nil
}

// Inside reports whether this process already runs in a lab's namespaces.
func Inside() bool { return os.Getenv(envDir) != "" }

// Enter returns at once inside a lab's namespaces. Outside it builds
// gatepost unless GATEPOST_BIN names one, makes a scratch directory, runs
// this program again inside fresh namespaces, waits, removes the directory,
// and exits with the status of that run. It returns an error when it cannot
// even start, a *Missing when the machine lacks something.
func Enter() error {
	if Inside() {
		return nil
	}
	if err := Check(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("/tmp", "gp-")
	if err != nil {
		return fmt.Errorf("make scratch directory: %w", err)
	}
	status, err := enter(dir)
	os.RemoveAll(dir)
	if err != nil {
		return err
	}
	os.Exit(status)
	return nil
}

func enter(dir string) (status int, err error) {
	// uid 5000, postfix and dovenull all walk through it.
	if err := os.Chmod(dir, 0o755); err != nil {
		return 0, err
	}
	if err := provideBinary(filepath.Join(dir, "gatepost")); err != nil {
		return 0, err
	}
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), envDir+"="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		// The same as unshare --net --mount --pid --fork.
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID,
		// The namespace dies with this process, however that ends.
		Pdeathsig: syscall.SIGKILL,
	}
	// The death signal is tied to the thread that starts the child.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		if errors.Is(err, syscall.EPERM) {
			return 0, &Missing{"no namespaces", "this container lacks CAP_SYS_ADMIN"}
		}
		return 0, fmt.Errorf("start in namespaces: %w", err)
	}
	// Inside, the process has number 1; nsenter needs this one.
	pid := []byte(strconv.Itoa(cmd.Process.Pid))
	if err := os.WriteFile(filepath.Join(dir, "pid"), pid, 0o644); err != nil {
		return 0, err
	}
	defer forward(cmd.Process)()
	err = cmd.Wait()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0, nil
	case errors.As(err, &exit) && exit.ExitCode() >= 0:
		return exit.ExitCode(), nil
	}
	return 0, fmt.Errorf("run in namespaces: %w", err)
}

// forward passes signals on, so that the scratch directory is removed after
// Ctrl-C too. The function that it returns ends that.
func forward(p *os.Process) (stop func()) {
	sigs := make(chan os.Signal, 1)
	signal.Notify(sigs, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case sig := <-sigs:
				p.Signal(sig)
			case <-done:
				return
			}
		}
	}()
	return func() {
		signal.Stop(sigs)
		close(done)
	}
}

// provideBinary puts a gatepost at path, where the mail user can run it: the
// one that GATEPOST_BIN names, or a fresh build.
func provideBinary(path string) error {
	if from := os.Getenv(envBinary); from != "" {
		return copyFile(from, path, 0o755)
	}
	root, err := Root()
	if err != nil {
		return err
	}
	cmd := exec.Command("go", "build", "-trimpath", "-o", path, "./cmd/gatepost")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build gatepost: %w\n%s", err, out)
	}
	return os.Chmod(path, 0o755)
}

// Root returns the directory of go.mod: the working directory or the nearest
// above it.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("find go.mod: not inside the source tree")
		}
		dir = up
	}
}

func copyFile(from, to string, mode os.FileMode) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.WriteFile(to, b, mode); err != nil {
		return err
	}
	return os.Chmod(to, mode) // whatever the umask is
}

// setup makes the namespaces a host: private mounts, addresses, names.
func setup(dir string, existing bool) error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := syscall.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	if err := network(); err != nil {
		return err
	}
	return mounts(dir, existing)
}

func network() error {
	if err := command("ip", "link", "set", "lo", "up"); err != nil {
		return err
	}
	for _, n := range routes.nets {
		if err := command("ip", "route", "add", "local", n, "dev", "lo"); err != nil {
			return err
		}
	}
	for _, a := range routes.addrs {
		if err := command("ip", "addr", "add", a, "dev", "lo", "nodad"); err != nil {
			return err
		}
	}
	return nil
}

// command runs a program and puts what it said into the error.
func command(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return nil
}
