//go:build linux && e2e

package boot

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/e2e/lab"
)

const (
	password = "a long enough password"
	alice    = "alice@" + lab.Domain
)

const config = `queue_helper: /run/gatepost/queue
policyd: { greylist: { mode: off } }
ban_sinks: { nftables: { mode: enforce } }
`

// the is the lab of this package, systemd what runs gatepost in it.
var (
	the     *lab.Lab
	systemd *lab.Systemd
)

func TestMain(m *testing.M) {
	status, err := 1, lab.Enter()
	if err == nil {
		status, err = run(m)
	}
	if err != nil {
		var missing *lab.Missing
		if errors.As(err, &missing) && os.Getenv("CI") != "true" {
			fmt.Println("skip: e2e:", err)
			return
		}
		fmt.Fprintln(os.Stderr, "e2e:", err)
		status = 1
	}
	os.Exit(status)
}

// run starts the lab, and gatepost by its unit rather than by the lab.
func run(m *testing.M) (status int, err error) {
	the, err = lab.Start(lab.Options{Config: config})
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, the.Stop()) }()
	for _, args := range [][]string{{"domain", "add", lab.Domain}, {"user", "add", alice}} {
		if _, err := the.CLI(password+"\n", args...); err != nil {
			return 1, err
		}
	}
	if err := the.StopGatepost(); err != nil {
		return 1, err
	}
	if systemd, err = the.Boot(); err != nil {
		return 1, errors.Join(err, errors.New(the.Tails(30)))
	}
	defer func() { err = errors.Join(err, systemd.Stop()) }()
	if _, err := systemd.Run("systemctl", "start", "gatepost-queue.socket", "gatepost-firewall.socket", "gatepost.service"); err != nil {
		return 1, errors.Join(err, errors.New(the.Tails(30)))
	}
	return m.Run(), nil
}

func logsOnFailure(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("\n" + the.Tails(30))
		}
	})
}

func cli(t *testing.T, args ...string) string {
	t.Helper()
	out, err := systemd.Run(append([]string{"/usr/local/bin/gatepost"}, args...)...) // as root, who may ask in any shape
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// mail is a message of alice's.
func mail(to, id string) lab.Mail {
	return lab.Mail{
		From: lab.UserIP, To: lab.ServerIP + ":587", Helo: "laptop.invalid", User: alice, Password: password, MailFrom: alice, RcptTo: []string{to},
		Data: lab.Message{From: alice, To: to, Subject: "Hello", ID: id, Body: "Hello.\n"}.Bytes(),
	}
}

// TestServes: with all that the unit takes away, mail goes out and comes in, and
// can be read.
func TestServes(t *testing.T) {
	logsOnFailure(t)
	deliver(t, alice, "<unit.1@example.com>")
	if out, err := the.Send(mail("dave@example.net", "<unit.2@example.org>")); err != nil || out.Reply.Code != 250 {
		t.Errorf("Send() = %+v, %v", out, err)
	}
}

// TestGroupHome: a home that hands on its group gets its mail, although the unit
// may not set that bit.
func TestGroupHome(t *testing.T) {
	logsOnFailure(t)
	const bob, id = "bob@" + lab.Domain, "<group.1@example.com>"
	if _, err := the.CLI(password+"\n", "user", "add", bob); err != nil {
		t.Fatal(err)
	}
	home := "/var/vmail/" + lab.Domain + "/bob"
	if err := errors.Join(os.MkdirAll(home, 0o700), os.Chown(home, 5000, 5000), os.Chmod(home, 0o770|os.ModeSetgid)); err != nil {
		t.Fatal(err)
	}
	deliver(t, bob, id)
}

// TestRestartIsAPause: while four users submit and four read without end,
// gatepost is restarted three times. Nobody is refused, and no smtpd dies.
func TestRestartIsAPause(t *testing.T) {
	logsOnFailure(t)
	mailBefore := len(the.Log("maillog"))
	ctx, stop := context.WithCancel(t.Context())
	var users sync.WaitGroup
	var sent, read atomic.Int64
	for u := range 4 {
		users.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				out, err := the.Send(mail(alice, fmt.Sprintf("<pause.%d.%d@example.org>", u, i)))
				if err != nil || out.Reply.Code != 250 {
					t.Errorf("message %d of user %d: %v %v\n%s", i, u, out.Reply, err, strings.Join(out.Dialogue, "\n"))
					return
				}
				sent.Add(1)
			}
		})
		users.Go(func() {
			for ctx.Err() == nil {
				if err := login(); err != nil {
					t.Error(err)
					return
				}
				read.Add(1)
			}
		})
	}
	for i := range 3 { // systemd allows five starts in 10 s
		goal := sent.Load() + 5
		if err := the.Until("some mail", func() error {
			if n := sent.Load(); n < goal && !t.Failed() {
				return fmt.Errorf("%d of %d", n, goal)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
		began := time.Now()
		if _, err := systemd.Run("systemctl", "restart", "gatepost.service"); err != nil {
			t.Errorf("restart %d: %v", i, err)
		}
		t.Logf("restart %d took %v", i, time.Since(began))
	}
	stop()
	users.Wait()
	t.Logf("%d messages and %d logins over three restarts", sent.Load(), read.Load())
	for line := range strings.Lines(the.Log("maillog")[mailBefore:]) {
		if strings.Contains(line, "fatal:") || strings.Contains(line, "throttling") {
			t.Error(line)
		}
	}
}

func login() error {
	c, err := the.IMAP(lab.UserIP)
	if err != nil {
		return err
	}
	defer c.Close()
	a, err := c.Login(alice, password)
	if err == nil && !a.OK() {
		err = fmt.Errorf("login: %s", a.Status)
	}
	return err
}

// TestQueueHelper: the helper that systemd starts, as root but with almost
// nothing that root may do, holds and deletes mail that waits.
func TestQueueHelper(t *testing.T) {
	logsOnFailure(t)
	out, err := the.Send(mail("carol@example.com", "<queue.1@example.org>")) // nobody listens there
	if err != nil || out.Reply.Code != 250 {
		t.Fatalf("Send() = %+v, %v", out, err)
	}
	id := out.Reply.QueueID()
	cli(t, "user", "hold", alice)
	if err := the.Until("the queued message is on hold", func() error {
		return queued(id, true)
	}); err != nil {
		t.Error(err)
	}
	cli(t, "user", "release", alice, "--queued", "delete")
	if err := the.Until("the queued message is gone", func() error {
		return queued(id, false)
	}); err != nil {
		t.Error(err)
	}
	if out, err := systemd.Run("systemctl", "is-active", "gatepost-queue.service"); err != nil {
		t.Error(out, err)
	}
}

// queued returns an error unless Postfix has the message on hold, or not at all.
func queued(id string, held bool) error {
	out, err := the.Postfix("postqueue", "-p")
	if err == nil && (held && !strings.Contains(out, id+"!") || !held && strings.Contains(out, id)) {
		err = errors.New(out)
	}
	return err
}

// TestFirewallHelper: a ban reaches the kernel through the helper that alone may
// change it: the packets of a banned client are dropped on the ports of logins,
// not on port 25, and pass again once the ban is lifted.
func TestFirewallHelper(t *testing.T) {
	logsOnFailure(t)
	const client = "203.0.113.66"
	reaches := func(port string) error {
		d := net.Dialer{Timeout: 300 * time.Millisecond, LocalAddr: &net.TCPAddr{IP: net.ParseIP(client)}}
		c, err := d.Dial("tcp", net.JoinHostPort(lab.ServerIP, port))
		if err == nil {
			err = c.Close()
		}
		return err
	}
	if err := reaches("993"); err != nil {
		t.Fatal(err)
	}
	cli(t, "ban", "add", client, "--for", "10m")
	if err := the.Until("the packets to be dropped", func() error {
		var timeout net.Error
		if err := reaches("993"); !errors.As(err, &timeout) || !timeout.Timeout() {
			return fmt.Errorf("a banned client reaches port 993: %v", err)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if err := reaches("25"); err != nil {
		t.Errorf("port 25 is closed too: %v", err)
	}
	cli(t, "ban", "remove", client)
	if err := the.Until("the ban to be lifted in the kernel", func() error { return reaches("993") }); err != nil {
		t.Error(err)
	}
}
