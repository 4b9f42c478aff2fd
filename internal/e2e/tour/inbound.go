//go:build linux

package tour

import (
	"errors"
	"fmt"
	"strings"

	"github.com/gatepost/gatepost/internal/e2e/lab"
)

// inbound: a stranger's mail arrives in INBOX with our headers, and the
// verdicts that it brought along are gone.
func inbound(t *Tour) error {
	const id = "<lunch.1@example.com>"
	msg := lab.Message{
		From: "Carol <carol@example.com>", To: alice.user, Subject: "Lunch on Friday?", ID: id,
		Extra: []string{
			"Authentication-Results: " + lab.Hostname + "; spf=pass smtp.mailfrom=forged.example",
			"X-Spam-Status: No, score=-99",
		},
		Body: "Shall we meet at noon?\n\nCarol\n",
	}
	t.out.Say("mail.example.com [%s] brings mail for %s, with two forged verdicts:", lab.StrangerIP, alice.user)
	out, err := t.send(lab.Mail{
		From: lab.StrangerIP, MailFrom: "carol@example.com", RcptTo: []string{alice.user}, Data: msg.Bytes(),
	})
	if err != nil {
		return err
	}
	if err := accepted(out); err != nil {
		return err
	}
	t.first = out.Reply.QueueID()
	t.out.OK("Postfix took it", out.Reply.String())

	t.out.Say("%s reads INBOX over IMAP (TLS, certificate verified):", alice.user)
	raw, err := t.lab.Read(alice.mailbox("INBOX"), id)
	if err != nil {
		return err
	}
	t.out.Quote(string(raw))
	ar, err := one(raw, "Authentication-Results")
	if err != nil {
		return err
	}
	for _, want := range []string{lab.Hostname + ";", "iprev=pass", "spf=pass"} {
		if !strings.Contains(ar, want) {
			return fmt.Errorf("no %q in %q", want, ar)
		}
	}
	if strings.Contains(ar, "forged.example") {
		return errors.New("the forged Authentication-Results is still there")
	}
	t.out.OK("FETCH shows one Authentication-Results, ours", ar)
	status, err := one(raw, "X-Spam-Status")
	if err != nil {
		return err
	}
	if strings.Contains(status, "-99") {
		return errors.New("the forged X-Spam-Status is still there")
	}
	result, err := one(raw, "X-Spamd-Result")
	if err != nil {
		return err
	}
	t.out.OK("and one verdict, ours", status+"\n"+result)
	return nil
}

// one returns the only field of that name.
func one(raw []byte, name string) (string, error) {
	f := lab.Fields(raw, name)
	if len(f) != 1 {
		return "", fmt.Errorf("%d %s fields, want one: %q", len(f), name, f)
	}
	return f[0], nil
}
