//go:build linux

package tour

import (
	"fmt"
	"strings"

	"github.com/gatepost/gatepost/internal/e2e/lab"
)

// gtube is the test pattern of spam filters, in two parts so that no filter
// on the way to a reader of this file takes offence.
const gtube = "XJS*C4JDBQADN1.NSBN3*2IDNEN*" + "GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"

// judged: three messages, three verdicts.
func judged(t *Tour) error {
	if err := refuseGTUBE(t); err != nil {
		return err
	}
	if err := acceptNearGTUBE(t); err != nil {
		return err
	}
	return markSuspicious(t)
}

func refuseGTUBE(t *Tour) error {
	t.out.Say("mail.example.com sends the GTUBE test pattern:")
	msg := lab.Message{From: "carol@example.com", To: alice.user, Subject: "A test", ID: "<gtube.1@example.com>", Body: gtube}
	out, err := t.send(lab.Mail{
		From: lab.StrangerIP, MailFrom: "carol@example.com", RcptTo: []string{alice.user}, Data: msg.Bytes(),
	})
	if err != nil {
		return err
	}
	if out.At != "message" || out.Reply.Code != 554 {
		return fmt.Errorf("want 554 to the message, got %v at %s", out.Reply, out.At)
	}
	t.out.OK("refused at SMTP", out.Reply.String())
	return nil
}

func acceptNearGTUBE(t *Tour) error {
	const id = "<gtube.2@example.com>"
	t.out.Say("The same with one letter changed:")
	msg := lab.Message{From: "carol@example.com", To: alice.user, Subject: "A test", ID: id,
		Body: strings.Replace(gtube, "GTUBE", "GTUBA", 1)}
	out, err := t.send(lab.Mail{
		From: lab.StrangerIP, MailFrom: "carol@example.com", RcptTo: []string{alice.user}, Data: msg.Bytes(),
	})
	if err != nil {
		return err
	}
	if err := accepted(out); err != nil {
		return err
	}
	raw, err := t.lab.Read(alice.mailbox("INBOX"), id)
	if err != nil {
		return err
	}
	line, err := bodyLine(raw, "GTUBA")
	if err != nil {
		return err
	}
	t.out.OK("taken: "+out.Reply.String()+"; FETCH from INBOX", line)
	return nil
}

// Suspicious is mail that scores between mark and reject: the name shows
// another address than the real one, and a host without a name sends for a
// domain that forbids it.
func Suspicious(to, id string) lab.Mail {
	msg := lab.Message{
		From: `"service@example.net" <carol@example.com>`, To: to, Subject: "Your account", ID: id,
		Body: "Please confirm your account.\n",
	}
	return lab.Mail{
		From: lab.AttackerIP, Helo: "host.example.com", MailFrom: "carol@example.com",
		RcptTo: []string{to}, Data: msg.Bytes(),
	}
}

func markSuspicious(t *Tour) error {
	const id = "<phish.1@example.com>"
	t.out.Say("A host without a name [%s] sends for a domain that forbids it:", lab.AttackerIP)
	out, err := t.send(Suspicious(alice.user, id))
	if err != nil {
		return err
	}
	if err := accepted(out); err != nil {
		return err
	}
	raw, err := t.lab.Read(alice.mailbox("Junk"), id)
	if err != nil {
		return err
	}
	var shown []string
	for _, name := range []string{"X-Spam", "X-Spam-Status", "X-Spamd-Result", "Message-ID"} {
		f, err := one(raw, name)
		if err != nil {
			return err
		}
		shown = append(shown, f)
	}
	if !strings.EqualFold(shown[0], "X-Spam: Yes") {
		return fmt.Errorf("not marked: %q", shown[0])
	}
	inbox, err := t.lab.Holds(alice.mailbox("INBOX"), id)
	if err != nil {
		return err
	}
	if inbox {
		return fmt.Errorf("the message is in INBOX too")
	}
	t.junk = out.Reply.QueueID()
	t.out.OK("taken: "+out.Reply.String()+"; FETCH from Junk", strings.Join(shown, "\n"))
	return nil
}

func bodyLine(raw []byte, text string) (string, error) {
	for line := range strings.Lines(string(raw)) {
		if strings.Contains(line, text) {
			return strings.TrimSpace(line), nil
		}
	}
	return "", fmt.Errorf("no %q in the message", text)
}
