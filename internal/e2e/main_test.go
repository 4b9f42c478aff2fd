//go:build linux && e2e

package e2e

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/e2e/lab"
	"github.com/gatepost/gatepost/internal/e2e/tour"
)

// the is the lab that all tests of this package share: starting one takes
// seconds. Tests that stop gatepost start it again, and none runs in parallel.
var the *lab.Lab

// relay is a second port 25 for TestPolicyFirstIsNoRelay.
const relay = `
` + lab.ServerIP + `:2525 inet n - y - - smtpd
  -o syslog_name=postfix/policy-first
  -o smtpd_relay_restrictions=$gatepost_policy,reject_unauth_destination
`

func TestMain(m *testing.M) {
	if err := lab.Enter(); err != nil {
		var missing *lab.Missing
		if errors.As(err, &missing) && os.Getenv("CI") != "true" {
			fmt.Println("skip: e2e:", err)
			return
		}
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	var err error
	the, err = lab.Start(lab.Options{Config: tour.Config, Master: relay})
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	status := m.Run()
	if err := the.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		status = 1
	}
	return status
}

// logsOnFailure prints the end of every log when the test has failed.
func logsOnFailure(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("\n" + the.Tails(25))
		}
	})
}

const password = "a long enough password"

// user makes an account of its own for a test, so that limits and mailboxes
// of the tests do not meet.
func user(t *testing.T, name string) lab.Mailbox {
	t.Helper()
	logsOnFailure(t)
	addr := name + "@" + lab.Domain
	// The domain may be there from another test.
	if _, err := the.CLI("", "domain", "show", lab.Domain); err != nil {
		cli(t, "", "domain", "add", lab.Domain)
	}
	cli(t, password+"\n", "user", "add", addr)
	return lab.Mailbox{User: addr, Password: password, Name: "INBOX"}
}

func cli(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	out, err := the.CLI(stdin, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// send returns where the mail ended; only a broken connection fails the test.
func send(t *testing.T, m lab.Mail) lab.Outcome {
	t.Helper()
	out, err := the.Send(m)
	if err != nil {
		t.Fatalf("%v\n%s", err, strings.Join(out.Dialogue, "\n"))
	}
	return out
}

// wantTaken fails the test unless the whole message was taken.
func wantTaken(t *testing.T, o lab.Outcome) {
	t.Helper()
	if o.At != "message" || o.Reply.Code != 250 || len(o.Refused) > 0 {
		t.Fatalf("refused at %s: %v %v\n%s", o.At, o.Reply, o.Refused, strings.Join(o.Dialogue, "\n"))
	}
}

func read(t *testing.T, box lab.Mailbox, id string) []byte {
	t.Helper()
	raw, err := the.Read(box, id)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// wantAbsent fails the test if the mailbox holds the message.
func wantAbsent(t *testing.T, box lab.Mailbox, id string) {
	t.Helper()
	if has, err := the.Holds(box, id); err != nil || has {
		t.Errorf("Holds(%s, %s) = %t, %v, want false", box.Name, id, has, err)
	}
}

// stranger is honest mail from outside.
func stranger(to, id string) lab.Mail {
	msg := lab.Message{From: "Carol <carol@example.com>", To: to, Subject: "Hello", ID: id, Body: "Hello.\n"}
	return lab.Mail{From: lab.StrangerIP, MailFrom: "carol@example.com", RcptTo: []string{to}, Data: msg.Bytes()}
}

// submission is mail of a user through port 587.
func submission(box lab.Mailbox, to string, msg lab.Message) lab.Mail {
	return lab.Mail{
		From: lab.UserIP, To: lab.ServerIP + ":587", Helo: "laptop-of-secret.invalid",
		User: box.User, Password: box.Password,
		MailFrom: box.User, RcptTo: []string{to}, Data: msg.Bytes(),
	}
}
