//go:build linux && e2e

package e2e

import (
	"testing"

	"github.com/gatepost/gatepost/internal/e2e/lab"
)

// TestOwnMailService: the smtpd for mail of our own takes <> and any sender from
// its own account, and nothing from others.
func TestOwnMailService(t *testing.T) {
	logsOnFailure(t)
	box, own := user(t, "ownreader"), user(t, "gatepost")
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
