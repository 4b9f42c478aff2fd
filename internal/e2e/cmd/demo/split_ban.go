//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/gatepost/gatepost/internal/e2e/lab"
)

// banEverywhere shows what only the split shape has to: who runs as whom, that one
// process alone has files open, and that a ban, which one process takes, holds in
// the others within a second.
func banEverywhere(l *lab.Lab) error {
	fmt.Print("\n7. Five processes: a ban that one of them takes holds in all\n\n")
	if err := apart(l); err != nil {
		return err
	}
	const who, password = "dora@" + lab.Domain, "anchor of the ferry"
	if _, err := l.CLI(password+"\n", "user", "add", who); err != nil {
		return err
	}
	session, err := loggedIn(l, who, password)
	if err != nil {
		return err
	}
	defer session.Close()
	if r, err := session.Command("MAIL FROM:<" + who + ">"); err != nil || r.Code != 250 {
		return fmt.Errorf("MAIL: %v, %w", r, err)
	}
	if r, err := session.Command("RCPT TO:<dave@example.net>"); err != nil || r.Code != 250 {
		return fmt.Errorf("before the ban: RCPT: %v, %w", r, err)
	}
	fmt.Printf("   %s is logged in at submission from %s, and may send.\n", who, lab.OtherUserIP)
	if out, err := l.CLI("", "ban", "add", lab.OtherUserIP, "--for", "10m"); err != nil {
		return err
	} else {
		fmt.Printf("   $ gatepost ban add %s --for 10m\n     %s\n", lab.OtherUserIP, strings.TrimSpace(out))
	}
	return within(l, session, who, password)
}

// within looks at both services until the ban holds, for a second at most.
func within(l *lab.Lab, session *lab.SMTP, who, password string) error {
	began := time.Now()
	var submission lab.Reply
	for submission.Code != 450 {
		if time.Since(began) > time.Second {
			return fmt.Errorf("after a second the open session may send: %v", submission)
		}
		var err error
		if _, err = session.Command("RSET"); err == nil {
			_, err = session.Command("MAIL FROM:<" + who + ">")
		}
		if err == nil {
			submission, err = session.Command("RCPT TO:<dave@example.net>")
		}
		if err != nil {
			return err
		}
	}
	fmt.Printf("   after %d ms policyd says to the open session: %s\n", time.Since(began).Milliseconds(), submission)
	c, err := l.IMAP(lab.OtherUserIP)
	if err != nil {
		return err
	}
	defer c.Close()
	a, err := c.Login(who, password)
	if err != nil {
		return err
	}
	if a.OK() {
		return errors.New("the right password is let in over IMAP")
	}
	fmt.Printf("   and authd to the right password over IMAP: %s\n", a.Status)
	_, err = l.CLI("", "ban", "remove", lab.OtherUserIP)
	return err
}

// loggedIn opens a session at submission.
func loggedIn(l *lab.Lab, who, password string) (*lab.SMTP, error) {
	c, err := l.Dial(lab.OtherUserIP, lab.ServerIP+":587")
	if err != nil {
		return nil, err
	}
	for _, step := range []func() error{func() error { return c.Hello("laptop") }, c.StartTLS, func() error { return c.Hello("laptop") }} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	if r, err := c.Auth(who, password); err != nil || r.Code != 235 {
		return nil, fmt.Errorf("log in: %v, %w", r, err)
	}
	return c, nil
}

// apart prints the five processes and looks at what files they have open.
func apart(l *lab.Lab) error {
	procs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return err
	}
	users := map[uint32]string{}
	for _, p := range procs {
		argv, err := os.ReadFile(filepath.Join(p, "cmdline"))
		words := strings.Split(strings.TrimRight(string(argv), "\x00"), "\x00")
		if err != nil || len(words) < 2 || words[0] != filepath.Join(l.Dir, "gatepost") || !slices.Contains(words, "serve") {
			continue
		}
		st, err := os.Stat(p)
		if err != nil {
			return err
		}
		name := words[len(words)-1]
		open, err := dataFiles(p)
		if err != nil {
			return err
		}
		uid := st.Sys().(*syscall.Stat_t).Uid
		fmt.Printf("   user id %d: gatepost serve %-8s %2d files of %s open\n", uid, name, open, dataDir)
		if other, twice := users[uid]; twice {
			return fmt.Errorf("%s and %s are one user", name, other)
		}
		if users[uid] = name; (open > 0) != (name == "state") {
			return fmt.Errorf("%s has %d files of %s open", name, open, dataDir)
		}
	}
	if len(users) != len(splitNames) {
		return fmt.Errorf("%d processes run, want %d", len(users), len(splitNames))
	}
	fmt.Println()
	return nil
}

// dataFiles counts what a process has open below the data directory.
func dataFiles(proc string) (n int, err error) {
	fds, err := filepath.Glob(filepath.Join(proc, "fd/*"))
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil && strings.HasPrefix(to, dataDir+"/") {
			n++
		}
	}
	return n, err
}
