//go:build linux && e2e

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/e2e/lab"
)

const noGreylist = "  greylist: {mode: off}\n"

// withPolicy puts lines below policyd in place of the lab's greylist, and what
// stands at the root besides, until the test ends.
func withPolicy(t *testing.T, policyd, root string) {
	t.Helper()
	put := func(policyd, root string) {
		if err := the.WriteConfig(""); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(the.ConfigPath())
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(b, []byte(noGreylist)) {
			t.Fatalf("the lab's settings have no %q:\n%s", noGreylist, b)
		}
		b = append(bytes.Replace(b, []byte(noGreylist), []byte(policyd), 1), root...)
		from := len(the.Log("gatepost"))
		if err := os.WriteFile(the.ConfigPath(), b, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := the.HupGatepost(); err != nil {
			t.Fatal(err)
		}
		if line, err := the.UntilLogged("gatepost", from, "configuration"); err != nil || !strings.Contains(line, "configuration taken") {
			t.Fatalf("%s: %s, %v", policyd, line, err)
		}
	}
	t.Cleanup(func() { put(noGreylist, "") })
	put(policyd, root)
}

// wantReply fails the test unless the mail ended there with that reply.
func wantReply(t *testing.T, o lab.Outcome, at string, code int, text string) {
	t.Helper()
	if o.At != at || o.Reply.Code != code || !strings.Contains(o.Reply.String(), text) {
		t.Fatalf("%v at %s, want %d %q at %s\n%s", o.Reply, o.At, code, text, at, strings.Join(o.Dialogue, "\n"))
	}
}

// TestGreylistRoundTrip: a stranger who comes back is let in, one who is known
// to a user never waits, and who is not there is told so at once.
func TestGreylistRoundTrip(t *testing.T) {
	box := user(t, "patient")
	withPolicy(t, "  greylist: {mode: always, delay: 1s, clients: []}\n", "")
	const id = "<grey.1@example.com>"
	m := stranger(box.User, id)
	wantReply(t, send(t, m), "RCPT", 450, "greylisted")
	if list := cli(t, "", "greylist", "list"); !strings.Contains(list, "carol@example.com") {
		t.Errorf("the list:\n%s", list)
	}
	unknown := m
	unknown.RcptTo = []string{"nobody.at.all@" + lab.Domain}
	if o := send(t, unknown); o.At != "RCPT" || o.Reply.Code != 550 {
		t.Errorf("an unknown recipient: %v at %s, want 550 at RCPT", o.Reply, o.At)
	}
	if err := the.Until("the stranger is let in", func() error {
		if o := send(t, m); o.Reply.Code != 250 {
			return fmt.Errorf("%v", o.Reply)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	read(t, box, id)

	// Who was written to does not wait.
	wantTaken(t, send(t, submission(box, "dave@example.net", lab.Message{From: box.User, To: "dave@example.net", Subject: "Hi", ID: "<grey.2@example.org>", Body: "Hi.\n"})))
	answer := stranger(box.User, "<grey.3@example.net>")
	answer.From, answer.MailFrom = lab.NextHopIP, "dave@example.net"
	answer.Data = bytes.ReplaceAll(answer.Data, []byte("Carol <carol@example.com>"), []byte("Dave <dave@example.net>"))
	wantTaken(t, send(t, answer))
}

// TestForwardAndBounce: mail that an alias sends on has a sender of ours; its
// bounce finds the way back, and nobody else may use that address.
func TestForwardAndBounce(t *testing.T) {
	box := user(t, "home")
	withPolicy(t, noGreylist+"  srs: {domain: "+lab.Domain+"}\n", "")
	cli(t, "", "alias", "add", "away@"+lab.Domain, "far@example.net")
	const id = "<forward.1@example.com>"
	m := stranger("away@"+lab.Domain, id)
	m.From, m.MailFrom = lab.NextHopIP, "dave@example.net"
	m.Data = bytes.ReplaceAll(m.Data, []byte("Carol <carol@example.com>"), []byte("Dave <dave@example.net>"))
	out := send(t, m)
	wantTaken(t, out)
	got, err := the.Await(id)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(got.MailFrom, "SRS0=") || !strings.HasSuffix(got.MailFrom, "@"+lab.Domain) {
		t.Fatalf("MAIL FROM:<%s>, want a sender of ours", got.MailFrom)
	}
	if story := cli(t, "", "explain", out.Reply.QueueID()); !strings.Contains(story, "<dave@example.net>") || !strings.Contains(story, "SRS0=") {
		t.Errorf("the story has not both senders:\n%s", story)
	}
	abuse := stranger(got.MailFrom, "<forward.2@example.com>")
	wantReply(t, send(t, abuse), "RCPT", 550, "bounces")
	local, domain, _ := strings.Cut(got.MailFrom, "@")
	for _, to := range []string{got.MailFrom + ".", local + "%" + domain, domain + "!" + local} { // Postfix makes that address of each
		spelled := abuse
		spelled.RcptTo = []string{to}
		// reject_non_fqdn_recipient may be first.
		if o := send(t, spelled); o.At != "RCPT" || o.Reply.Code/100 != 5 {
			t.Errorf("to <%s>: %v at %s, want 5yz at RCPT", to, o.Reply, o.At)
		}
	}
	forged := abuse
	forged.MailFrom = ""
	forged.RcptTo = []string{strings.Replace(got.MailFrom, "=dave", "=victim", 1)}
	if o := send(t, forged); o.Reply.Code/100 != 5 {
		t.Errorf("a forged address: %v at %s", o.Reply, o.At)
	}
	bounce := abuse
	bounce.MailFrom = ""
	bounce.Data = bytes.Replace(bounce.Data, []byte("Subject: Hello"), []byte("Subject: Undelivered"), 1)
	wantTaken(t, send(t, bounce))
	back, err := the.Await("<forward.2@example.com>")
	if err != nil {
		t.Fatal(err)
	}
	if len(back.RcptTo) != 1 || back.RcptTo[0] != "dave@example.net" {
		t.Errorf("the bounce goes to %q, want dave@example.net", back.RcptTo)
	}

	// Mail between users of ours keeps its sender.
	cli(t, "", "alias", "add", "near@"+lab.Domain, box.User)
	wantTaken(t, send(t, stranger("near@"+lab.Domain, "<forward.3@example.com>")))
	if raw := read(t, box, "<forward.3@example.com>"); !bytes.Contains(raw, []byte("Return-Path: <carol@example.com>")) {
		t.Errorf("the sender of mail that stays was changed:\n%.300s", raw)
	}
}

// TestGrantedSender: a grant lets a user send as another address, in the
// envelope and in the header, and without it he may not.
func TestGrantedSender(t *testing.T) {
	box := user(t, "granted")
	user(t, "sales")
	as := "sales@" + lab.Domain
	m := submission(box, "dave@example.net", lab.Message{From: as, To: "dave@example.net", Subject: "Offer", ID: "<grant.1@example.org>", Body: "Hi.\n"})
	m.MailFrom = as
	if o := send(t, m); o.Reply.Code != 553 {
		t.Fatalf("without a grant: %v at %s, want 553", o.Reply, o.At)
	}
	// In the header alone: it goes out, and nothing signs for it.
	h := m
	h.MailFrom, h.Data = box.User, bytes.Replace(m.Data, []byte("<grant.1@"), []byte("<grant.2@"), 1)
	out := send(t, h)
	wantTaken(t, out)
	if why := dkimWhy(t, out.Reply.QueueID()); !strings.Contains(why, "may not use the header From") && !strings.Contains(why, "no key") {
		t.Errorf("dkim why:\n%s", why)
	}
	cli(t, "", "user", "grant", box.User, "--send-as", as)
	wantTaken(t, send(t, m))
	cli(t, "", "user", "revoke", box.User, "--send-as", as)
	if o := send(t, m); o.Reply.Code != 553 {
		t.Errorf("after revoke: %v at %s, want 553", o.Reply, o.At)
	}
}

// dkimWhy returns what dkim why says, which fails where nothing signed.
func dkimWhy(t *testing.T, queueID string) string {
	t.Helper()
	out, err := the.CLI("", "dkim", "why", queueID)
	if err != nil {
		out += err.Error()
	}
	return out
}

// TestDenied: an entry refuses a sender for one mailbox only, at once, until it
// is removed.
func TestDenied(t *testing.T) {
	box, other := user(t, "quiet"), user(t, "open")
	cli(t, "", "deny", "add", "carol@example.com", "--for", box.User, "--reason", "asked to")
	if o := send(t, stranger(box.User, "<denied.1@example.com>")); o.At != "RCPT" || o.Reply.Code/100 != 5 {
		t.Errorf("denied: %v at %s, want 5yz at RCPT", o.Reply, o.At)
	}
	wantTaken(t, send(t, stranger(other.User, "<denied.2@example.com>")))
	cli(t, "", "deny", "remove", "carol@example.com", "--for", box.User)
	wantTaken(t, send(t, stranger(box.User, "<denied.3@example.com>")))
}

// TestActionsThroughPostfix: every action of the closed set has the effect in
// the real Postfix that its name promises.
func TestActionsThroughPostfix(t *testing.T) {
	box := user(t, "actions")
	for _, tc := range []struct {
		action string
		code   int
		check  func(t *testing.T, id string, o lab.Outcome)
	}{
		{"DUNNO", 250, nil},
		{"REJECT not today", 554, func(t *testing.T, _ string, o lab.Outcome) {
			if !strings.Contains(o.Reply.String(), "not today") {
				t.Errorf("%v", o.Reply)
			}
		}},
		{"550 5.7.1 no", 550, nil},
		{"DEFER later", 450, nil},
		{"DEFER_IF_PERMIT perhaps", 450, nil},
		{"WARN look at this", 250, nil},
		{"INFO noted", 250, nil},
		{"PREPEND X-Rule: yes", 250, func(t *testing.T, id string, _ lab.Outcome) {
			if raw := read(t, box, id); !bytes.Contains(raw, []byte("X-Rule: yes")) {
				t.Errorf("no field:\n%.400s", raw)
			}
		}},
		{"DISCARD", 250, func(t *testing.T, id string, _ lab.Outcome) { wantAbsent(t, box, id) }},
		{"REDIRECT dave@example.net", 250, func(t *testing.T, id string, _ lab.Outcome) {
			got, err := the.Await(id)
			if err != nil || len(got.RcptTo) != 1 || got.RcptTo[0] != "dave@example.net" {
				t.Errorf("went to %q, %v", got.RcptTo, err)
			}
		}},
		{"BCC dave@example.net", 250, func(t *testing.T, id string, _ lab.Outcome) {
			read(t, box, id)
			if got, err := the.Await(id); err != nil || len(got.RcptTo) != 1 || got.RcptTo[0] != "dave@example.net" {
				t.Errorf("the copy went to %q, %v", got.RcptTo, err)
			}
		}},
		{"FILTER smtp:[mx.example.net]", 250, func(t *testing.T, id string, _ lab.Outcome) {
			if got, err := the.Await(id); err != nil || len(got.RcptTo) != 1 || got.RcptTo[0] != box.User {
				t.Errorf("went to %q, %v", got.RcptTo, err)
			}
		}},
		{"DEFER_IF_REJECT wait", 250, nil},
		{"HOLD", 250, func(t *testing.T, _ string, o lab.Outcome) {
			id := o.Reply.QueueID()
			if out, err := the.Postfix("postqueue", "-p"); err != nil || !strings.Contains(out, id+"!") {
				t.Errorf("%s is not on hold: %v\n%s", id, err, out)
			}
			if _, err := the.Postfix("postsuper", "-d", id); err != nil {
				t.Error(err)
			}
		}},
	} {
		t.Run(strings.Fields(tc.action)[0]+fmt.Sprint(tc.code), func(t *testing.T) {
			withPolicy(t, noGreylist+fmt.Sprintf("  rules:\n    - name: test\n      when: 'sender == \"carol@example.com\" and recipient == \"%s\"'\n      action: %q\n", box.User, tc.action), "")
			id := fmt.Sprintf("<action.%s@example.com>", strings.ToLower(strings.Fields(tc.action)[0]))
			o := send(t, stranger(box.User, id))
			if o.Reply.Code != tc.code {
				t.Fatalf("%v at %s, want %d", o.Reply, o.At, tc.code)
			}
			if tc.check != nil {
				tc.check(t, id, o)
			}
		})
	}
}

// TestLimitSurvivesKill: a limit is counted over both submission services, and
// kill -9 in the middle forgets one second of it at most.
func TestLimitSurvivesKill(t *testing.T) {
	box := user(t, "counted")
	n := 0
	try := func() bool {
		n++
		msg := lab.Message{From: box.User, To: "dave@example.net", Subject: "One of many", ID: fmt.Sprintf("<counted.%d@example.org>", n), Body: "Hi.\n"}
		m := submission(box, "dave@example.net", msg)
		if n%2 == 0 {
			m.To = lab.ServerIP + ":465"
		}
		return send(t, m).Reply.Code == 250
	}
	for i := range 5 {
		if !try() {
			t.Fatalf("mail %d of 5 did not pass", i+1)
		}
	}
	// The store is at most a second behind.
	if err := the.Until("the count is on the disk", func() error {
		if out := cli(t, "", "limit", "show"); !strings.Contains(out, box.User) {
			return fmt.Errorf("%s", out)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := the.StopGatepost(); err != nil {
		t.Fatal(err)
	}
	if err := the.StartGatepost(); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		try()
		if err := the.KillGatepost(); err != nil {
			t.Fatal(err)
		}
		if err := the.StartGatepost(); err != nil {
			t.Fatal(err)
		}
	}
	// Each kill may forget what lies within a second before it, which is one mail
	// here; what was on the disk before stays.
	rest := 0
	for range 12 {
		if try() {
			rest++
		}
	}
	if rest > 5 {
		t.Errorf("%d more passed; 5 of 10 were on the disk", rest)
	}
	cli(t, "", "limit", "reset", box.User)
}
