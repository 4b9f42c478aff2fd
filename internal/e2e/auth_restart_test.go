//go:build linux && e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/gatepost/gatepost/internal/e2e/lab"
)

// holder has gatepost's listeners, as systemd holds them: the gatepost that it
// starts gets them by LISTEN_FDS (sd_listen_fds(3)).
type holder struct {
	files []*os.File
	cmd   *exec.Cmd
}

// holdSockets takes the place of the lab's gatepost until the test ends.
func holdSockets(t *testing.T) *holder {
	t.Helper()
	was := map[string]fs.FileInfo{}
	for _, pattern := range []string{"/var/spool/postfix/gatepost/*", "/run/gatepost/*"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if st, err := os.Lstat(name); err == nil && st.Mode().Type() == fs.ModeSocket {
				was[name] = st
			}
		}
	}
	if err := the.StopGatepost(); err != nil {
		t.Fatal(err)
	}
	h := &holder{}
	t.Cleanup(func() {
		h.stop(t)
		for _, f := range h.files {
			_ = f.Close()
		}
		restart(t)
	})
	for name, st := range was {
		h.listen(t, name, st)
	}
	h.start(t)
	return h
}

// listen makes one listener with the owner and the mode that it had.
func (h *holder) listen(t *testing.T, name string, was fs.FileInfo) {
	t.Helper()
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: name, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	f, err := ln.File()
	if err != nil {
		t.Fatal(err)
	}
	h.files = append(h.files, f)
	owner := was.Sys().(*syscall.Stat_t)
	if err := errors.Join(ln.Close(), os.Chown(name, int(owner.Uid), int(owner.Gid)), os.Chmod(name, was.Mode().Perm())); err != nil {
		t.Fatal(err)
	}
}

func (h *holder) start(t *testing.T) {
	t.Helper()
	log, err := os.OpenFile("/var/log/gatepost.log", os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	// The shell knows the process id that gatepost will have.
	h.cmd = exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ exec "$0" serve --config "$1"`, filepath.Join(the.Dir, "gatepost"), the.ConfigPath())
	h.cmd.Env = []string{"LISTEN_FDS=" + strconv.Itoa(len(h.files)), "PATH=/usr/bin:/bin", "HOME=/"}
	h.cmd.Dir, h.cmd.ExtraFiles, h.cmd.Stdout, h.cmd.Stderr = "/", h.files, log, log
	h.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 5000, Gid: 5000}}
	if err := h.cmd.Start(); err != nil {
		t.Fatal(err)
	}
}

func (h *holder) stop(t *testing.T) {
	t.Helper()
	if h.cmd == nil {
		return
	}
	if err := errors.Join(h.cmd.Process.Signal(syscall.SIGTERM), h.cmd.Wait()); err != nil {
		t.Error(err)
	}
	h.cmd = nil
}

// TestSessionsOutliveRestart: gatepost ends and starts anew three times while
// users log in all the time. No login fails, no smtpd stops, and sessions that
// were open before go on, whether they had logged in or had yet to.
func TestSessionsOutliveRestart(t *testing.T) {
	box := user(t, "outlive")
	h := holdSockets(t)
	from, fromDovecot := len(the.Log("maillog")), len(the.Log("dovecot"))
	ctx, stop := context.WithCancel(t.Context())
	var users sync.WaitGroup
	var sent, read atomic.Int64
	for range 3 {
		users.Go(func() { count(ctx, &sent, func() error { return submits(box) }, t) })
		users.Go(func() { count(ctx, &read, func() error { return reads(box) }, t) })
	}
	defer users.Wait()
	defer stop()
	for i := range 3 {
		wait(t, &sent, 5)
		wait(t, &read, 5)
		sender, reader, waiting := submissionSession(t, lab.UserIP), imapSession(t), imapSession(t)
		if a, err := reader.Login(box.User, box.Password); err != nil || !a.OK() {
			t.Errorf("restart %d: %v %v", i, a, err)
		}
		h.stop(t)
		// Logged in is logged in.
		if a, err := reader.Command("SELECT INBOX"); err != nil || !a.OK() {
			t.Errorf("without gatepost: %v %v", a, err)
		}
		h.start(t)
		if r, err := sender.Auth(box.User, box.Password); err != nil || r.Code != 235 {
			t.Errorf("restart %d: a submission session that was open: %v %v", i, r, err)
		}
		if a, err := waiting.Login(box.User, box.Password); err != nil || !a.OK() {
			t.Errorf("restart %d: an imap session that was open: %v %v", i, a, err)
		}
		sender.Close()
	}
	stop()
	users.Wait()
	t.Logf("%d logins to send and %d to read over three restarts", sent.Load(), read.Load())
	if log := the.Log("maillog")[from:]; strings.Contains(log, "throttling") || strings.Contains(log, "fatal:") {
		t.Errorf("an smtpd suffered:\n%s", log)
	}
	for line := range strings.Lines(the.Log("dovecot")[fromDovecot:]) {
		if strings.Contains(line, "Internal login failure") || strings.Contains(line, "Error:") {
			t.Error(line)
		}
	}
}

func imapSession(t *testing.T) *lab.IMAP {
	t.Helper()
	c, err := the.IMAP(lab.UserIP)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// count does something until ctx ends, and counts how often.
func count(ctx context.Context, n *atomic.Int64, do func() error, t *testing.T) {
	for ctx.Err() == nil {
		if err := do(); err != nil {
			t.Error(err)
			return
		}
		n.Add(1)
	}
}

// wait waits until a count has grown by that much.
func wait(t *testing.T, n *atomic.Int64, by int64) {
	t.Helper()
	goal := n.Load() + by
	if err := the.Until("logins", func() error {
		if t.Failed() || n.Load() >= goal {
			return nil
		}
		return fmt.Errorf("%d of %d", n.Load(), goal)
	}); err != nil {
		t.Error(err)
	}
}

// submits logs in at port 587, and hangs up.
func submits(box lab.Mailbox) error {
	c, err := openSubmission(lab.OtherUserIP)
	if err != nil {
		return err
	}
	defer c.Close()
	r, err := c.Auth(box.User, box.Password)
	if err == nil && r.Code != 235 {
		err = fmt.Errorf("submission: %v", r)
	}
	return err
}

// reads logs in at port 993, opens the mailbox, and hangs up.
func reads(box lab.Mailbox) error {
	c, err := the.IMAP(lab.OtherUserIP)
	if err != nil {
		return err
	}
	defer c.Close()
	a, err := c.Login(box.User, box.Password)
	if err == nil && a.OK() {
		a, err = c.Command("SELECT INBOX")
	}
	if err == nil && !a.OK() {
		err = fmt.Errorf("imap: %s", a.Status)
	}
	return err
}
