//go:build linux && e2e

package e2e

import (
	"errors"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/e2e/lab"
	"github.com/gatepost/gatepost/internal/e2e/tour"
)

var errNoBounce = errors.New("not there yet")

// restart brings gatepost back after a test has killed it.
func restart(t *testing.T) {
	t.Helper()
	if the.GatepostRuns() == nil {
		return
	}
	if err := the.StartGatepost(); err != nil {
		t.Fatal(err)
	}
}

// TestKilled: without gatepost a stranger gets 451 and his mail arrives after
// the restart; Postfix throttles nothing.
func TestKilled(t *testing.T) {
	box := user(t, "killed")
	from := len(the.Log("maillog"))
	if err := the.KillGatepost(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { restart(t) })
	const id = "<killed.1@example.com>"
	m := stranger(box.User, id)
	for range 3 {
		if o := send(t, m); o.Reply.Code != 451 {
			t.Errorf("without gatepost: %v at %s, want 451", o.Reply, o.At)
		}
	}
	restart(t)
	wantTaken(t, send(t, m))
	read(t, box, id)
	if log := the.Log("maillog")[from:]; strings.Contains(log, "throttling") || strings.Contains(log, "fatal:") {
		t.Errorf("Postfix suffered:\n%s", log)
	}
}

// TestKilledBeforeDelivery: the verdict was made before the message got its
// 250, so a kill afterwards does not take it out of Junk.
func TestKilledBeforeDelivery(t *testing.T) {
	box := user(t, "between")
	hold(t, "lmtp")
	const id = "<between.1@example.com>"
	out := send(t, tour.Suspicious(box.User, id))
	wantTaken(t, out)
	if err := the.KillGatepost(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { restart(t) })
	if queue, err := the.Postfix("postqueue", "-p"); err != nil || !strings.Contains(queue, out.Reply.QueueID()) {
		t.Fatalf("the message has left the queue before the kill: %s %v", queue, err)
	}
	restart(t)
	hold(t, "")
	if _, err := the.Postfix("postqueue", "-f"); err != nil {
		t.Fatal(err)
	}
	junk := box
	junk.Name = "Junk"
	read(t, junk, id)
	wantAbsent(t, box, id)
}

// hold sets Postfix's defer_transports.
func hold(t *testing.T, transport string) {
	t.Helper()
	for _, cmd := range [][]string{
		{"postconf", "-e", "defer_transports = " + transport},
		{"postfix", "reload"},
	} {
		from := len(the.Log("maillog"))
		if _, err := the.Postfix(cmd[0], cmd[1:]...); err != nil {
			t.Fatal(err)
		}
		if cmd[0] != "postfix" {
			continue
		}
		if _, err := the.UntilLogged("maillog", from, "reload -- version"); err != nil {
			t.Fatal(err)
		}
	}
}

// TestStoppedInOrder: SIGTERM is no different for a stranger.
func TestStoppedInOrder(t *testing.T) {
	box := user(t, "stopped")
	if err := the.StopGatepost(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { restart(t) })
	restart(t)
	const id = "<stopped.1@example.com>"
	wantTaken(t, send(t, stranger(box.User, id)))
	read(t, box, id)
	if a := imapLogin(t, lab.UserIP, box); !a.OK() {
		t.Errorf("LOGIN after a restart: %s", a.Status)
	}
}

// imapLogin waits out the pause in which Dovecot has not reconnected yet.
func imapLogin(t *testing.T, from string, box lab.Mailbox) lab.Answer {
	t.Helper()
	c, err := the.IMAP(from)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	a, err := c.Login(box.User, box.Password)
	if err != nil {
		t.Fatal(err)
	}
	return a
}
