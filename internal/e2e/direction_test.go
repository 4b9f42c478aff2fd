//go:build linux && e2e

package e2e

import (
	"bytes"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/e2e/lab"
	"github.com/gatepost/gatepost/internal/e2e/tour"
)

// TestSendmailIsLocal: what an ordinary user of this host hands to
// sendmail(1) comes through milter-local, is not scored, and arrives.
func TestSendmailIsLocal(t *testing.T) {
	box := user(t, "local")
	const id = "<cron.1@host>"
	msg := "From: cron <cron@batch.invalid>\nTo: " + box.User + "\nSubject: BACKUP FAILED\nMessage-ID: " + id + "\n\nDisk full.\n"
	if err := the.Sendmail([]byte(msg), box.User); err != nil {
		t.Fatal(err)
	}
	raw := read(t, box, id)
	if f := lab.Fields(raw, "X-Spam-Status"); len(f) > 0 {
		t.Errorf("local mail was scored: %q", f)
	}
	if f := lab.Fields(raw, "DKIM-Signature"); len(f) > 0 {
		t.Errorf("local mail of a foreign author was signed: %q", f)
	}
}

// TestLocalSendersAreSigned: a program of this host writes as a domain that
// local_senders names.
func TestLocalSendersAreSigned(t *testing.T) {
	logsOnFailure(t)
	const domain = "batch.example.org"
	cli(t, "", "domain", "add", domain)
	cli(t, "", "dkim", "new", domain)
	if err := the.DNS.Add(cli(t, "", "dkim", "dns", domain)); err != nil {
		t.Fatal(err)
	}
	reload(t, "local_senders: ["+domain+"]\n", true)
	t.Cleanup(func() { reload(t, "", true) })
	const id = "<cron.2@host>"
	msg := lab.Message{From: "cron@" + domain, To: "dave@example.net", Subject: "Report", ID: id, Body: "All is well.\n"}
	if err := the.Sendmail(msg.Bytes(), "dave@example.net"); err != nil {
		t.Fatal(err)
	}
	got, err := the.Await(id)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(lab.Fields(got.Data, "DKIM-Signature")); n != 2 {
		t.Fatalf("%d signatures, want 2:\n%s", n, got.Data)
	}
	for i := range 2 {
		if v, err := the.DKIMPy(got.Data, i); err != nil || !v.Pass {
			t.Errorf("signature %d: %+v, %v", i, v, err)
		}
	}
}

// TestLoopbackIsAStranger: an address of this host proves nothing on port 25.
func TestLoopbackIsAStranger(t *testing.T) {
	box := user(t, "loopback")
	const id = "<loop.1@container>"
	m := stranger(box.User, id)
	m.From, m.To = "127.0.0.2", "127.0.0.1:25"
	wantTaken(t, send(t, m))
	box.Name = "Junk" // example.com forbids this host to send for it
	raw := read(t, box, id)
	if f := lab.Fields(raw, "X-Spam-Status"); len(f) != 1 {
		t.Errorf("X-Spam-Status = %q, want one: it is inbound mail", f)
	}
	m.RcptTo = []string{"dave@example.net"}
	if o := send(t, m); o.At != "RCPT" || o.Reply.Code != 554 {
		t.Errorf("relaying from 127.0.0.2: %v at %s, want 554 at RCPT", o.Reply, o.At)
	}
}

// TestStrangerOverIPv6 is mail that comes by IPv6.
func TestStrangerOverIPv6(t *testing.T) {
	box := user(t, "sixer")
	const id = "<six.1@example.com>"
	m := stranger(box.User, id)
	m.From, m.To = lab.StrangerIP6, "["+lab.ServerIP6+"]:25"
	wantTaken(t, send(t, m))
	raw := read(t, box, id)
	ar := strings.Join(lab.Fields(raw, "Authentication-Results"), "\n")
	if !strings.Contains(ar, "spf=pass") {
		t.Errorf("Authentication-Results = %q, want spf=pass", ar)
	}
}

// TestForgedHeadersGo: five of each kind come in, none comes out.
func TestForgedHeadersGo(t *testing.T) {
	box := user(t, "dirty")
	const id = "<forged.1@example.com>"
	var extra []string
	for range 5 {
		extra = append(extra, "Authentication-Results: "+lab.Hostname+"; dkim=pass header.d=forgery.example",
			"X-Spam-Flag: forgery", "X-Rspamd-Score: forgery", "X-Spamd-Bar: forgery", "X-Gatepost-Verdict: forgery")
	}
	msg := lab.Message{From: "carol@example.com", To: box.User, Subject: "Hello", ID: id, Extra: extra, Body: "Hello.\n"}
	wantTaken(t, send(t, lab.Mail{From: lab.StrangerIP, MailFrom: "carol@example.com", RcptTo: []string{box.User}, Data: msg.Bytes()}))
	raw := read(t, box, id)
	if bytes.Contains(raw, []byte("forgery")) {
		t.Errorf("forged fields are left in\n%s", raw)
	}
	if f := lab.Fields(raw, "Authentication-Results"); len(f) != 1 {
		t.Errorf("Authentication-Results = %q, want one", f)
	}
}

// TestPolicyFirstIsNoRelay: Postfix asks the policy service before it asks
// whether it may relay, and still does not.
func TestPolicyFirstIsNoRelay(t *testing.T) {
	logsOnFailure(t)
	m := stranger("dave@example.net", "<relay.1@example.com>")
	m.To = lab.ServerIP + ":2525"
	if o := send(t, m); o.At != "RCPT" || o.Reply.Code != 554 {
		t.Errorf("relaying: %v at %s, want 554 at RCPT", o.Reply, o.At)
	}
}

// TestLoginsOnlyOnSubmission: port 25 offers none, submission none in clear
// text, and submission takes nothing without one.
func TestLoginsOnlyOnSubmission(t *testing.T) {
	box := user(t, "porter")
	for _, port := range []string{"25", "587"} {
		c, err := the.Dial(lab.UserIP, lab.ServerIP+":"+port)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.Hello("laptop"); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(c.Extended.Text, "AUTH") {
			t.Errorf("port %s offers a login: %v", port, c.Extended)
		}
	}
	msg := lab.Message{From: box.User, To: "dave@example.net", Subject: "Hello", ID: "<port465@example.org>", Body: "Hello.\n"}
	m := submission(box, "dave@example.net", msg)
	m.To = lab.ServerIP + ":465"
	wantTaken(t, send(t, m))
	m.User = ""
	if o := send(t, m); o.At != "RCPT" || o.Reply.Code != 554 {
		t.Errorf("without a login: %v at %s, want 554 at RCPT", o.Reply, o.At)
	}
}

// TestBounceComesBack: a notice of Postfix itself passes milter-local.
func TestBounceComesBack(t *testing.T) {
	box := user(t, "bounced")
	const id = "<bounce.1@example.org>"
	msg := lab.Message{From: box.User, To: "refused@example.net", Subject: "Hello", ID: id, Body: "Hello.\n"}
	wantTaken(t, send(t, submission(box, "refused@example.net", msg)))
	c, err := the.IMAP(lab.UserIP)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if a, err := c.Login(box.User, box.Password); err != nil || !a.OK() {
		t.Fatalf("LOGIN: %v %v", a, err)
	}
	err = the.Until("the bounce", func() error {
		if _, err := c.Command("SELECT INBOX"); err != nil {
			return err
		}
		a, err := c.Command(`FETCH 1 BODY.PEEK[]`)
		if err != nil {
			return err
		}
		if len(a.Literals) != 1 || !bytes.Contains(a.Literals[0], []byte("5.1.1 No such user here")) {
			return errNoBounce
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestOtherSenderIsRefused: a login is no right to every address.
func TestOtherSenderIsRefused(t *testing.T) {
	box := user(t, "honest")
	msg := lab.Message{From: box.User, To: "dave@example.net", Subject: "Hello", ID: "<other.1@example.org>", Body: "Hello.\n"}
	m := submission(box, "dave@example.net", msg)
	m.MailFrom = "ceo@" + lab.Domain
	if o := send(t, m); o.At != "RCPT" || o.Reply.Code/100 != 5 {
		t.Errorf("sent as somebody else: %v at %s, want 5xx at RCPT", o.Reply, o.At)
	}
}

// TestDetailAndAlias: info@ and user+detail@ lead to the mailbox.
func TestDetailAndAlias(t *testing.T) {
	box := user(t, "aliased")
	cli(t, "", "alias", "add", "sales@"+lab.Domain, box.User)
	for to, id := range map[string]string{
		"aliased+lists@" + lab.Domain: "<detail.1@example.com>",
		"SALES@" + lab.Domain:         "<alias.1@example.com>",
	} {
		wantTaken(t, send(t, stranger(to, id)))
		read(t, box, id)
	}
	if o := send(t, stranger("nobody-here@"+lab.Domain, "<unknown.1@example.com>")); o.At != "RCPT" || o.Reply.Code != 550 {
		t.Errorf("unknown user: %v at %s, want 550 at RCPT", o.Reply, o.At)
	}
}

// TestSuspiciousGoesToJunk: the user sees the mark, the stranger does not.
func TestSuspiciousGoesToJunk(t *testing.T) {
	box := user(t, "marked")
	const id = "<marked.1@example.com>"
	wantTaken(t, send(t, tour.Suspicious(box.User, id)))
	junk := box
	junk.Name = "Junk"
	read(t, junk, id)
	wantAbsent(t, box, id)
}
