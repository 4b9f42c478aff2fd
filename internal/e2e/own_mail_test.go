//go:build linux && e2e

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/e2e/lab"
)

// machine is the account that main.cf of the examples lets send mail of our own.
func machine(t *testing.T) lab.Mailbox {
	t.Helper()
	if _, err := the.CLI("", "user", "show", "gatepost@"+lab.Domain); err != nil {
		return user(t, "gatepost")
	}
	return lab.Mailbox{User: "gatepost@" + lab.Domain, Password: password, Name: "INBOX"}
}

// TestOwnMailService: the smtpd for mail of our own takes <> and any sender from
// its own account, and nothing from others.
func TestOwnMailService(t *testing.T) {
	logsOnFailure(t)
	box, own := user(t, "ownreader"), machine(t)
	for _, tc := range []struct {
		who  string
		box  *lab.Mailbox
		from string
		id   string
		ok   bool
	}{
		{"own", &own, "", "<own.1@mx.example.org>", true},
		{"own", &own, "somebody@example.net", "<own.2@mx.example.org>", true},
		{"other", &box, box.User, "<own.3@mx.example.org>", false},
		{"nobody", nil, "", "<own.4@mx.example.org>", false},
	} {
		c, err := the.Dial("127.0.0.1", "127.0.0.1:10587")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.Hello("localhost"); err != nil {
			t.Fatal(err)
		}
		if tc.box != nil {
			if r, err := c.Auth(tc.box.User, tc.box.Password); err != nil || r.Code != 235 {
				t.Fatalf("%s: login: %v %v", tc.who, r, err)
			}
		}
		msg := lab.Message{From: "postmaster@example.org", To: box.User, Subject: "Notice", ID: tc.id, Body: "Notice."}
		o, err := c.Transaction(tc.from, []string{box.User}, msg.Bytes())
		t.Logf("%s: %v at %q %v", tc.who, o.Reply, o.At, err)
		if err != nil || (o.Reply.Code == 250) != tc.ok {
			t.Errorf("%s: %v at %s, %v, want taken %v", tc.who, o.Reply, o.At, err, tc.ok)
		}
		if tc.ok {
			read(t, box, tc.id)
		}
	}
}

// TestNoticeGoesOut: a limit that is reached is told to the admin, once, by mail
// of our own that is signed. A message through the same smtpd that our spool did
// not write, with the same author, leaves unsigned.
func TestNoticeGoesOut(t *testing.T) {
	logsOnFailure(t)
	const domain = "notices.example.org"
	cli(t, "", "domain", "add", domain)
	cli(t, "", "dkim", "new", domain)
	box, own := user(t, "chatty"), machine(t)
	if err := the.DNS.Add(cli(t, "", "dkim", "dns", domain)); err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(the.Dir, "outgoing.password")
	if err := os.WriteFile(secret, []byte(own.Password+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	withPolicy(t, noGreylist, fmt.Sprintf(`outgoing: { address: "127.0.0.1:10587", user: %s, password_file: %s }
notices: { to: [admin@example.net], from: watch@%s, users: false }
`, own.User, secret, domain))
	for i := range 14 { // the limit is 10 an hour
		msg := lab.Message{From: box.User, To: "dave@example.net", Subject: "One of many", ID: fmt.Sprintf("<chatty.%d@example.org>", i), Body: "Hi.\n"}
		send(t, submission(box, "dave@example.net", msg))
	}
	got, err := the.Await("watch@" + domain)
	if err != nil {
		t.Fatal(err)
	}
	if len(lab.Fields(got.Data, "DKIM-Signature")) == 0 || !bytes.Contains(got.Data, []byte(box.User)) {
		t.Errorf("the notice is not signed, or does not name the user:\n%s", got.Data)
	}
	forge := lab.Mail{From: "127.0.0.1", To: "127.0.0.1:10587", Helo: "localhost", User: own.User, Password: own.Password,
		MailFrom: "stranger@example.net", RcptTo: []string{"dave@example.net"},
		Data: lab.Message{From: "watch@" + domain, To: "dave@example.net", Subject: "Not a notice", ID: "<forged.notice@example.net>", Body: "Hi.\n"}.Bytes()}
	c, err := the.Dial(forge.From, forge.To)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Hello("localhost"); err != nil {
		t.Fatal(err)
	}
	if r, err := c.Auth(forge.User, forge.Password); err != nil || r.Code != 235 {
		t.Fatal(r, err)
	}
	if o, err := c.Transaction(forge.MailFrom, forge.RcptTo, forge.Data); err != nil || o.Reply.Code != 250 {
		t.Fatal(o.Reply, err)
	}
	out, err := the.Await("<forged.notice@example.net>")
	if err != nil {
		t.Fatal(err)
	}
	if f := lab.Fields(out.Data, "DKIM-Signature"); len(f) != 0 {
		t.Errorf("a message that we did not write is signed: %s", strings.Join(f, "\n"))
	}
	cli(t, "", "limit", "reset", box.User)
}
