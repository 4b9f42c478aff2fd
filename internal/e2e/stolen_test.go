//go:build linux && e2e

package e2e

import (
	"bytes"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/gatepost/gatepost/internal/e2e/lab"
)

// startQueueHelper runs what gatepost-queue.service runs, until the test ends.
func startQueueHelper(t *testing.T, socket string) {
	t.Helper()
	var log bytes.Buffer
	cmd := exec.Command(filepath.Join(the.Dir, "gatepost"), "queue-helper", "--user", "vmail", "--socket", socket, "--idle", "0")
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("queue helper: %v\n%s", err, log.String())
		}
	})
}

// held reports whether Postfix has the message on hold.
func held(queueID string) error {
	out, err := the.Postfix("postqueue", "-p")
	if err == nil && !strings.Contains(out, queueID+"!") {
		err = fmt.Errorf("%s is not on hold:\n%s", queueID, out)
	}
	return err
}

// TestStolenAccount: an account that suddenly sends spam under other names is
// held: what waits in the queue too. Its owner can still read; a release deletes
// the queued mail and lets him send again. Other accounts feel nothing.
func TestStolenAccount(t *testing.T) {
	box, other := user(t, "stolen"), user(t, "bystander")
	const socket = "/run/gatepost/queue"
	withPolicy(t, noGreylist, `scan:
  admin_rules:
    - { name: PILLS, when: 'subject contains "pills"', score: 9 }
abuse: { mode: enforce, settle: 0s, free_recipients: 5 }
queue_helper: `+socket+"\n")
	startQueueHelper(t, socket)
	if err := the.StopGatepost(); err != nil { // the helper's socket is read at the start
		t.Fatal(err)
	}
	if err := the.StartGatepost(); err != nil {
		t.Fatal(err)
	}
	spam := func(i int, to string) lab.Outcome {
		msg := lab.Message{From: fmt.Sprintf("Doctor %d <doctor%d@pharmacy.example>", i, i), To: to, Subject: "Cheap pills", ID: fmt.Sprintf("<pills.%d@pharmacy.example>", i), Body: "Buy.\n"}
		return send(t, submission(box, to, msg))
	}
	// This one cannot be delivered now: nobody listens there.
	first := spam(0, "carol@example.com")
	wantTaken(t, first)
	waits := first.Reply.QueueID()
	var last lab.Outcome
	for i := 1; i < 10; i++ {
		if last = spam(i, fmt.Sprintf("victim%d@example.net", i)); last.Reply.Code != 250 {
			break
		}
	}
	if err := the.Until("the account is held", func() error {
		if out := cli(t, "", "user", "show", box.User); !strings.Contains(out, "held") {
			return fmt.Errorf("%s\n%s", out, cli(t, "", "user", "signals", box.User))
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if o := spam(99, "victim99@example.net"); o.Reply.Code != 451 || !strings.Contains(o.Reply.String(), "held") {
		t.Errorf("a held account sends: %v at %s", o.Reply, o.At)
	}
	if err := the.Until("its mail in the queue is on hold", func() error { return held(waits) }); err != nil {
		t.Error(err)
	}
	// Reading goes on, and so does the mail of others.
	const in = "<stolen.in@example.com>"
	wantTaken(t, send(t, stranger(box.User, in)))
	read(t, box, in)
	wantTaken(t, send(t, submission(other, "dave@example.net", lab.Message{From: other.User, To: "dave@example.net", Subject: "Hi", ID: "<bystander.1@example.org>", Body: "Hi.\n"})))

	cli(t, "", "user", "release", box.User, "--queued", "delete")
	if out, err := the.Postfix("postqueue", "-p"); err != nil || strings.Contains(out, waits) {
		t.Errorf("%s is in the queue still: %v\n%s", waits, err, out)
	}
	cli(t, "", "limit", "reset", box.User)
	wantTaken(t, send(t, submission(box, "dave@example.net", lab.Message{From: box.User, To: "dave@example.net", Subject: "It is me", ID: "<stolen.2@example.org>", Body: "Hi.\n"})))
}
