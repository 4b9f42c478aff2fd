package lmtpd

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// mailUID owns Dovecot's mailboxes: it delivers for nobody with the uid 0.
const mailUID = 65534

// dovecotConfig lets Dovecot 2.3 deliver below a mail root, and nothing else. %[1]s
// is its scratch directory, %[2]s the mail root, %[3]d the uid.
const dovecotConfig = `
base_dir = %[1]s/run
state_dir = %[1]s/state
log_path = %[1]s/log
protocols = lmtp
ssl = no
hostname = bench.test
postmaster_address = postmaster@bench.test
mail_location = maildir:%[2]s/%%d/%%n/Maildir
mail_fsync = always
first_valid_uid = 1
userdb {
  driver = static
  args = uid=%[3]d gid=%[3]d home=%[2]s/%%d/%%n allow_all_users=yes
}
passdb {
  driver = static
  args = nopassword=yes
}
service lmtp {
  process_min_avail = 8
  unix_listener %[1]s/lmtp {
    mode = 0600
  }
}
`

// dovecotClients returns connections to a Dovecot of our own, which ends with the
// benchmark; nil where there is none to be had.
func dovecotClients(b *testing.B) []*benchClient {
	b.Helper()
	if os.Geteuid() != 0 {
		return nil
	}
	if _, err := os.Stat("/usr/lib/dovecot/lmtp"); err != nil {
		return nil
	}
	bin, err := exec.LookPath("dovecot")
	if err != nil {
		return nil
	}
	dir, err := os.MkdirTemp("", "dovecot-") // a short name, for the sockets
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	root := filepath.Join(benchRoot, "dovecot")
	for _, d := range []string{dir, benchRoot} {
		if err := os.Chmod(d, 0o755); err != nil {
			b.Fatal(err)
		}
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		b.Fatal(err)
	}
	if err := os.Chown(root, mailUID, mailUID); err != nil {
		b.Fatal(err)
	}
	conf := filepath.Join(dir, "dovecot.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, dovecotConfig, dir, root, mailUID), 0o644); err != nil {
		b.Fatal(err)
	}
	startDovecot(b, exec.Command(bin, "-F", "-c", conf), filepath.Join(dir, "log"), filepath.Join(dir, "lmtp"))
	clients := make([]*benchClient, benchClients)
	for i := range clients {
		clients[i] = dialBench(b, filepath.Join(dir, "lmtp"))
		b.Cleanup(func() { clients[i].Close() })
		for k := range 4 { // makes the mailboxes
			if err := clients[i].send([]byte("Subject: x\r\n\r\n"), benchUser(i, k)); err != nil {
				log, _ := os.ReadFile(filepath.Join(dir, "log"))
				b.Fatalf("%v: %s", err, log)
			}
		}
	}
	return clients
}

// startDovecot starts cmd and waits for its socket.
func startDovecot(b *testing.B, cmd *exec.Cmd, log, socket string) {
	b.Helper()
	var talk bytes.Buffer
	cmd.Stdout, cmd.Stderr = &talk, &talk
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	b.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // its children end with it
		<-ended
	})
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		c, err := net.Dial("unix", socket)
		if err == nil {
			c.Close()
			return
		}
		select {
		case err := <-ended:
			ended <- err
			b.Fatalf("dovecot: %v: %s", err, strings.TrimSpace(talk.String()))
		default:
		}
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(log)
			b.Fatalf("dovecot does not answer: %v: %s %s", err, talk.String(), text)
		}
	}
}
