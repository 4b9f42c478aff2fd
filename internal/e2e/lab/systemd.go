//go:build linux

package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Systemd is a real systemd that runs gatepost's units in the lab, in namespaces
// for processes and mounts of its own. It has those units, and of the machine's
// own the few that they lean on; Postfix and Dovecot stay outside.
type Systemd struct {
	lab    *Lab
	p      *process
	cgroup string
}

// leanOn are the units of the machine that ours name.
var leanOn = []string{
	"basic.target", "network.target", "nftables.service", "paths.target", "shutdown.target", "sockets.target", "sysinit.target",
	"timers.target", "umount.target",
}

// boot becomes systemd. Its arguments are the scratch directory and the directory
// of its own control group. Its /etc is a copy, in memory: it holds /etc/shadow.
const boot = `set -e
echo 0 >"$2/cgroup.procs"
exec unshare --cgroup -- /bin/sh -ec '
mount --make-rprivate /
mount -t proc proc /proc
mount -t tmpfs -o mode=0755 tmpfs "$1/all"
cp -a /etc/. "$1/all"
mkdir -p "$1/all/gatepost"
mount --bind "$1/all" /etc
mount --bind "$1/root/usr/local" /usr/local
mount --bind "$1/lib" /usr/lib/systemd/system
mount --bind "$1/etc" /etc/systemd/system
mount --bind "$1/empty" /usr/lib/systemd/system-generators
mount --bind "$1/gatepost" /etc/gatepost
exec /usr/lib/systemd/systemd --system --unit=basic.target --show-status=no' sh "$1"
`

// Boot starts systemd with what "make install" installs, of which nothing is
// started yet. Gatepost must not run outside of it. A machine that cannot do so is a
// Missing.
func (l *Lab) Boot() (*Systemd, error) {
	for _, program := range []string{"/usr/lib/systemd/systemd", "/usr/bin/systemctl", "/usr/bin/nsenter", "/usr/bin/unshare"} {
		if _, err := os.Stat(program); err != nil {
			return nil, &Missing{"no " + program, err.Error()}
		}
	}
	dir := filepath.Join(l.Dir, "systemd")
	if err := l.prepareSystemd(dir); err != nil {
		return nil, fmt.Errorf("prepare systemd: %w", err)
	}
	// With version 1 of control groups systemd has a hierarchy of its own.
	cgroup := "/sys/fs/cgroup"
	if _, err := os.Stat(filepath.Join(cgroup, "systemd")); err == nil {
		cgroup = filepath.Join(cgroup, "systemd")
	}
	s := &Systemd{lab: l}
	var err error
	if s.cgroup, err = os.MkdirTemp(cgroup, "gatepost-lab-"); err != nil {
		return nil, &Missing{"no control groups", err.Error()}
	}
	cmd := exec.Command("/bin/sh", "-c", boot, "sh", dir, s.cgroup)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "container=gatepost-lab"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS}
	if s.p, err = l.start("systemd", cmd); err != nil {
		return nil, errors.Join(err, s.tidy())
	}
	err = l.Until("systemd to be up", func() error {
		if err := s.p.ended(); err != nil {
			return err
		}
		_, err := s.Run("systemctl", "is-active", "basic.target")
		return err
	})
	if err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// prepareSystemd fills the directories that Boot mounts.
func (l *Lab) prepareSystemd(dir string) error {
	for _, d := range []string{"all", "lib", "etc", "empty", "gatepost"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return err
		}
	}
	if err := l.install(filepath.Join(dir, "root")); err != nil {
		return err
	}
	if err := copyFile(l.ConfigPath(), filepath.Join(dir, "gatepost/gatepost.yaml"), 0o644); err != nil {
		return err
	}
	for _, name := range leanOn {
		from := filepath.Join("/usr/lib/systemd/system", name)
		if _, err := os.Stat(from); errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err := copyFile(from, filepath.Join(dir, "lib", name), 0o644); err != nil {
			return err
		}
	}
	units, err := filepath.Glob(filepath.Join(dir, "root/usr/local/lib/systemd/system/gatepost*.service"))
	if err != nil {
		return err
	}
	for _, u := range units {
		name := strings.TrimSuffix(filepath.Base(u), ".service")
		log := name
		if strings.HasSuffix(name, "@") {
			log += "%i"
		}
		if err := logTo(filepath.Join(dir, "etc", name+".service.d"), l.logPath(log)); err != nil {
			return err
		}
	}
	return nil
}

// install does "make install" below a directory, with the gatepost of the lab.
func (l *Lab) install(dir string) error {
	root, err := Root()
	if err != nil {
		return err
	}
	cmd := exec.Command("make", "install", "DESTDIR="+dir)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("make install: %w: %s", err, out)
	}
	return copyFile(filepath.Join(l.Dir, "gatepost"), filepath.Join(dir, "usr/local/bin/gatepost"), 0o755)
}

// logTo makes a drop-in that sends what a service says to a log of the lab: no
// journal runs here.
func logTo(dir, log string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	text := "[Service]\nStandardOutput=append:" + log + "\nStandardError=append:" + log + "\n"
	return os.WriteFile(filepath.Join(dir, "log.conf"), []byte(text), 0o644)
}

// Run runs a command as root beside systemd and returns what it printed.
func (s *Systemd) Run(argv ...string) (string, error) {
	pid := strconv.Itoa(s.p.cmd.Process.Pid)
	out, err := exec.Command("nsenter", append([]string{"--target", pid, "--mount", "--pid", "--"}, argv...)...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, strings.TrimSpace(string(out)))
	}
	return string(out), err
}

// Stop ends systemd, and with it all that it started: it is the first process of
// a namespace. It does so whatever fails on the way.
func (s *Systemd) Stop() error {
	var errs []error
	if s.p.ended() == nil {
		// In order, so that nothing of a service's PrivateTmp= stays in /tmp.
		if _, err := s.Run("systemctl", "stop", "gatepost*"); err != nil {
			errs = append(errs, err)
		}
		errs = append(errs, s.p.stop(syscall.SIGKILL, time.Minute))
	}
	return errors.Join(append(errs, s.tidy())...)
}

// tidy removes what Boot made outside of the lab's directory. The mounts went
// with the namespace.
func (s *Systemd) tidy() error {
	return s.lab.Until("the control groups to be empty", func() error { return removeTree(s.cgroup) })
}

// removeTree removes a control group with those below it; their files go with
// them.
func removeTree(dir string) error {
	below, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range below {
		if e.IsDir() {
			if err := removeTree(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return syscall.Rmdir(dir)
}
