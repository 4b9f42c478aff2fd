//go:build linux

package tour

import (
	"fmt"
	"strings"

	"github.com/gatepost/gatepost/internal/e2e/lab"
)

// guesser is an address that guesses passwords.
const guesser = "203.0.113.99"

// banned: five wrong passwords over two services, then the address is refused
// on both, and nowhere else.
func banned(t *Tour) error {
	t.out.Say("%s guesses passwords of %s, three over IMAP and two at submission:", guesser, bob.user)
	for i, guess := range []string{"123456", "letmein", "bob1970", "qwerty", "password"} {
		try := imapLogin
		if i >= 3 {
			try = submissionLogin
		}
		if _, err := try(t, guesser, bob.user, guess, false); err != nil {
			return err
		}
	}
	t.out.Say("Now the right password from the same address:")
	for _, try := range []login{imapLogin, submissionLogin} {
		said, err := try(t, guesser, bob.user, bob.password, false)
		if err != nil {
			return err
		}
		t.out.OK("refused", said)
	}
	list, err := t.lab.CLI("", "ban", "list")
	if err != nil {
		return err
	}
	if !strings.Contains(list, guesser) {
		return fmt.Errorf("gatepost ban list does not name %s:\n%s", guesser, list)
	}
	t.out.OK("gatepost ban list", list)

	t.out.Say("The right password from %s:", lab.OtherUserIP)
	for _, try := range []login{imapLogin, submissionLogin} {
		said, err := try(t, lab.OtherUserIP, bob.user, bob.password, true)
		if err != nil {
			return err
		}
		t.out.OK("let in", said)
	}
	return mailFromBanned(t)
}

// mailFromBanned: port 25 is not affected.
func mailFromBanned(t *Tour) error {
	t.out.Say("Mail on port 25 from %s:", guesser)
	msg := lab.Message{From: "erin@example.edu", To: bob.user, Subject: "Hello", ID: "<hello.1@example.edu>", Body: "Hello Bob.\n"}
	out, err := t.send(lab.Mail{
		From: guesser, Helo: "relay.example.edu", MailFrom: "erin@example.edu", RcptTo: []string{bob.user}, Data: msg.Bytes(),
	})
	if err != nil {
		return err
	}
	if err := accepted(out); err != nil {
		return err
	}
	t.out.OK("still accepted", out.Reply.String())
	return nil
}

// login tries one password and returns what the server said; an error when
// the answer is not the one wanted.
type login func(t *Tour, from, user, password string, want bool) (string, error)

func imapLogin(t *Tour, from, user, password string, want bool) (string, error) {
	c, err := t.lab.IMAP(from)
	if err != nil {
		return "", err
	}
	defer c.Close()
	a, err := c.Login(user, password)
	if err != nil {
		return "", err
	}
	said := "IMAP from " + from + ": " + a.Status
	if !want {
		t.out.Quote(said)
	}
	if a.OK() != want {
		return "", fmt.Errorf("%s, want success %t", said, want)
	}
	return said, nil
}

func submissionLogin(t *Tour, from, user, password string, want bool) (string, error) {
	c, err := t.lab.Dial(from, lab.ServerIP+":587")
	if err != nil {
		return "", err
	}
	defer c.Close()
	const helo = "laptop"
	if err := c.Hello(helo); err != nil {
		return "", err
	}
	if err := c.StartTLS(); err != nil {
		return "", err
	}
	if err := c.Hello(helo); err != nil {
		return "", err
	}
	r, err := c.Auth(user, password)
	if err != nil {
		return "", err
	}
	said := "submission from " + from + ": " + r.String()
	if !want {
		t.out.Quote(said)
	}
	if (r.Code == 235) != want {
		return "", fmt.Errorf("%s, want success %t", said, want)
	}
	return said, nil
}
