//go:build linux && e2e

package pair

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/gatepost/gatepost/internal/e2e/lab"
)

// TestRedirectLoop: alice's script sends all mail on to bob at the second host,
// whose script sends all to alice. Each of both sends a message on once; when it
// comes back it is kept, and no queue has it any more.
func TestRedirectLoop(t *testing.T) {
	const alice, bob, id = "alice@" + lab.Domain, "bob@" + lab.SecondDomain, "<loop.1@example.net>"
	secret := filepath.Join(the.Dir, "outgoing.password")
	if err := os.WriteFile(secret, []byte(password+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	config := func(port, user, domain string) string {
		return fmt.Sprintf("outgoing: { address: %q, user: %s, password_file: %s }\nsieve: { enabled: true }\npolicyd: { greylist: { mode: off }, srs: { domain: %s } }\n",
			port, user, secret, domain)
	}
	if err := os.WriteFile(the.ConfigPath(), []byte("hostname: "+lab.Hostname+"\n"+config("127.0.0.1:10587", ownMail, lab.Domain)), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := the.StopGatepost(); err != nil {
		t.Fatal(err)
	}
	if err := the.StartGatepost(); err != nil {
		t.Fatal(err)
	}
	const ownSecond = "gatepost@" + lab.SecondDomain
	h := second(t, config("127.0.0.2:10587", ownSecond, lab.SecondDomain))
	fill(t, the, lab.Domain, alice, ownMail)
	fill(t, h, lab.SecondDomain, bob, ownSecond)
	activate(t, the, alice, `redirect "`+bob+`";`)
	activate(t, h, bob, `redirect "`+alice+`";`)

	msg := lab.Message{From: "Dave <dave@example.net>", To: alice, Subject: "Round", ID: id, Body: "Hello.\n"}
	out, err := the.Send(lab.Mail{From: lab.NextHopIP, MailFrom: "dave@example.net", RcptTo: []string{alice}, Data: msg.Bytes()})
	if err != nil || out.At != "message" || out.Reply.Code != 250 {
		t.Fatalf("%+v, %v", out, err)
	}
	err = the.Until("the message to come to rest", func() error {
		if n := copies(t, "/var/vmail", alice, id) + copies(t, h.MailRoot, bob, id); n == 0 {
			return fmt.Errorf("%d copies", n)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	idle(t, the, h)
	a, b := copies(t, "/var/vmail", alice, id), copies(t, h.MailRoot, bob, id)
	t.Logf("alice has %d, bob %d", a, b)
	if a != 1 || b != 0 {
		t.Errorf("alice has %d copies and bob %d, want one where it began", a, b)
	}
}

// activate makes text the active script of a user.
func activate(t *testing.T, h hop, user, text string) {
	t.Helper()
	cli(t, h, text+"\n", "sieve", "put", user, "rules", "-")
	cli(t, h, "", "sieve", "activate", user, "rules")
}
