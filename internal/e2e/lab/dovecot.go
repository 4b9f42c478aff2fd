//go:build linux

package lab

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// DovecotOverrides is the local.conf that examples/dovecot/dovecot.conf
// includes at its end: all that the lab sets otherwise.
var DovecotOverrides = []string{
	"log_path = /var/log/dovecot.log",
}

// prepareDovecot fills /etc/dovecot.
func (l *Lab) prepareDovecot() error {
	local := "/etc/dovecot/local.conf"
	if l.opt.Existing {
		if err := command("cp", "-R", "/usr/share/dovecot/dovecot.conf", "/usr/share/dovecot/conf.d", "/etc/dovecot/"); err != nil {
			return err
		}
		// local.conf is the administrator's.
		local = "/etc/dovecot/conf.d/99-lab.conf"
	} else {
		root, err := Root()
		if err != nil {
			return err
		}
		from := filepath.Join(root, "examples/dovecot/dovecot.conf")
		if err := copyFile(from, "/etc/dovecot/dovecot.conf", 0o644); err != nil {
			return err
		}
	}
	lines := append(DovecotOverrides, l.opt.Dovecot...)
	return os.WriteFile(local, []byte(strings.Join(lines, "\n")+"\n"), 0o644)
}

// StartDovecot starts Dovecot and waits for the greeting on port 143.
func (l *Lab) StartDovecot() error {
	p, err := l.start("dovecot-master", exec.Command("dovecot", "-F"))
	if err != nil {
		return err
	}
	l.dovecot = p
	return l.Until("Dovecot's greeting", func() error {
		if err := p.ended(); err != nil {
			return err
		}
		return greets(net.JoinHostPort(ServerIP, "143"), "* OK")
	})
}

// greets reports whether the server at addr begins with that text.
func greets(addr, want string) error {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Second))
	b := make([]byte, len(want))
	n, err := conn.Read(b)
	if string(b[:n]) != want {
		return fmt.Errorf("greeting %q: %w", b[:n], err)
	}
	return nil
}

// StopDovecot ends Dovecot.
func (l *Lab) StopDovecot() error {
	if l.dovecot == nil {
		return nil
	}
	return l.dovecot.stop(syscall.SIGTERM, 10*time.Second)
}
