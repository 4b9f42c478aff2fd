//go:build linux

package lab

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// config is the lab's gatepost.yaml; everything else is the default, so that
// the tests run what an administrator gets.
const config = "hostname: " + Hostname + "\n"

// prepareGatepost makes the directories of docs/security.md's table and
// writes the configuration.
func (l *Lab) prepareGatepost() error {
	owned := []struct {
		path, group string
		mode        os.FileMode
	}{
		{"/var/lib/gatepost", "vmail", 0o700},
		{"/var/vmail", "vmail", 0o700},
		{"/var/spool/postfix/gatepost", "postfix", 0o750 | os.ModeSetgid},
		{"/run/gatepost", "dovenull", 0o750 | os.ModeSetgid},
	}
	for _, d := range owned {
		g, err := user.LookupGroup(d.group)
		if err != nil {
			return err
		}
		gid, err := strconv.Atoi(g.Gid)
		if err != nil {
			return err
		}
		if err := os.Mkdir(d.path, 0o700); err != nil {
			return err
		}
		if err := os.Chown(d.path, vmail, gid); err != nil {
			return err
		}
		if err := os.Chmod(d.path, d.mode); err != nil { // after chown, which drops setgid
			return err
		}
	}
	return l.WriteConfig("")
}

// WriteConfig puts a new gatepost.yaml in place of the old one: the lab's own
// lines, those of Options, and more.
func (l *Lab) WriteConfig(more string) error {
	return os.WriteFile(l.ConfigPath(), []byte(config+l.opt.Config+more), 0o644)
}

// ConfigPath is where the lab's gatepost.yaml lies.
func (l *Lab) ConfigPath() string { return filepath.Join(l.Dir, "gatepost.yaml") }

// EnvSplit names a program that serves gatepost in the split shape, as root, for the
// arguments of Split: it starts the five processes.
const EnvSplit = "GATEPOST_SPLIT"

// Split are the arguments of the program that EnvSplit names, before the path of
// gatepost and that of its configuration.
const Split = "-supervise"

// asVmail makes cmd run as the mail user, but in the split shape.
func asVmail(cmd *exec.Cmd) {
	if os.Getenv(EnvSplit) != "" {
		return // root, who may ask there
	}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: vmail, Gid: vmail}}
}

// StartGatepost starts `gatepost serve` and waits until it says READY=1.
func (l *Lab) StartGatepost() error {
	if by := os.Getenv(EnvSplit); by != "" {
		return l.serve([]string{by, Split, filepath.Join(l.Dir, "gatepost"), l.ConfigPath()})
	}
	return l.serve([]string{filepath.Join(l.Dir, "gatepost"), "serve", "--config", l.ConfigPath()})
}

func (l *Lab) serve(argv []string) (err error) {
	l.gate, err = l.startServer("gatepost", l.notify, argv...)
	return err
}

// startServer starts a gatepost as the mail user, and waits until it tells n
// READY=1. The process is there also when that was in vain.
func (l *Lab) startServer(name string, n *notify, argv ...string) (*process, error) {
	before := n.count()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = []string{"NOTIFY_SOCKET=" + n.path, "PATH=/usr/bin:/bin", "HOME=/"}
	asVmail(cmd)
	p, err := l.start(name, cmd)
	if err != nil {
		return nil, err
	}
	return p, l.Until(name+" to be ready", func() error {
		if err := p.ended(); err != nil {
			return err
		}
		return n.heard("READY=1", before)
	})
}

// KillGatepost ends gatepost with SIGKILL.
func (l *Lab) KillGatepost() error { return l.gate.stop(syscall.SIGKILL, time.Minute) }

// StopGatepost ends gatepost in the orderly way.
func (l *Lab) StopGatepost() error {
	if l.gate == nil {
		return nil
	}
	return l.gate.stop(syscall.SIGTERM, 30*time.Second)
}

// HupGatepost makes gatepost read its configuration again.
func (l *Lab) HupGatepost() error { return l.gate.cmd.Process.Signal(syscall.SIGHUP) }

// GatepostPID is its process id.
func (l *Lab) GatepostPID() int { return l.gate.cmd.Process.Pid }

// GatepostRuns returns an error when gatepost has ended.
func (l *Lab) GatepostRuns() error { return l.gate.ended() }

// CLI runs gatepost's command line as the mail user and returns what it
// printed on stdout; an error holds what it said on stderr.
func (l *Lab) CLI(stdin string, args ...string) (string, error) {
	return l.cli(l.ConfigPath(), stdin, args...)
}

// cli is CLI for the gatepost with that configuration.
func (l *Lab) cli(config, stdin string, args ...string) (string, error) {
	cmd := exec.Command(filepath.Join(l.Dir, "gatepost"), append([]string{"--config", config}, args...)...)
	asVmail(cmd)
	var out, talk bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &talk
	if err := cmd.Run(); err != nil {
		return out.String(), errors.Join(fmt.Errorf("gatepost %s: %w", strings.Join(args, " "), err),
			errors.New(strings.TrimSpace(talk.String())))
	}
	return out.String(), nil
}
