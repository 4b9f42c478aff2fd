//go:build linux && e2e

package pair

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/e2e/lab"
)

// the is the lab, whose own host is the first of the two.
var the *lab.Lab

const password = "a long enough password"

// ownMail is the login that sends mail of our own on both hosts.
const ownMail = "gatepost@" + lab.Domain

func TestMain(m *testing.M) {
	if err := lab.Enter(); err != nil {
		var missing *lab.Missing
		if errors.As(err, &missing) && os.Getenv("CI") != "true" {
			fmt.Println("skip: e2e of two hosts:", err)
			return
		}
		fmt.Fprintln(os.Stderr, "e2e of two hosts:", err)
		os.Exit(1)
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	var err error
	if the, err = lab.Start(lab.Options{Config: "policyd: { greylist: { mode: off } }\n"}); err != nil {
		fmt.Fprintln(os.Stderr, "e2e of two hosts:", err)
		return 1
	}
	status := m.Run()
	if err := the.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e of two hosts:", err)
		status = 1
	}
	return status
}

// second starts the second host for a test.
func second(t *testing.T, config string) *lab.Host {
	t.Helper()
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("\n" + the.Tails(25))
		}
	})
	h, err := the.StartHost(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Stop(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// hop is a host as tests give commands to it.
type hop interface {
	CLI(stdin string, args ...string) (string, error)
	Postfix(name string, args ...string) (string, error)
}

func cli(t *testing.T, h hop, stdin string, args ...string) string {
	t.Helper()
	out, err := h.CLI(stdin, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// fill adds a domain and its users.
func fill(t *testing.T, h hop, domain string, users ...string) {
	t.Helper()
	cli(t, h, "", "domain", "add", domain)
	for _, u := range users {
		cli(t, h, password+"\n", "user", "add", u)
	}
}

// idle waits until no mail is queued on any of the hosts.
func idle(t *testing.T, hosts ...hop) {
	t.Helper()
	tries := 0
	err := the.UntilQueued("empty queues", func() error {
		tries++
		for _, h := range hosts {
			if tries%50 == 0 { // what was put off while nobody answered need not wait
				if _, err := h.Postfix("postqueue", "-f"); err != nil {
					return err
				}
			}
			if out, err := h.Postfix("postqueue", "-p"); err != nil || !strings.Contains(out, "is empty") {
				return fmt.Errorf("%s, %v", out, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// copies counts the messages in a mailbox below a mail root that have a text in
// them.
func copies(t *testing.T, root, user, text string) (n int) {
	t.Helper()
	local, domain, _ := strings.Cut(user, "@")
	for _, dir := range []string{"new", "cur"} {
		names, err := filepath.Glob(filepath.Join(root, domain, local, "Maildir", dir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(b), text) {
				n++
			}
		}
	}
	return n
}
