//go:build linux

package tour

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/e2e/lab"
)

// Config is what the tour needs in gatepost.yaml: a limit that five messages
// reach, so that nobody waits for two hundred, and no greylist, which would have
// a host without a name wait for five minutes.
const Config = `policyd:
  limits:
    - name: outgoing
      by: user
      rate: 10/hour
  greylist: {mode: off}
`

// Step is one part of the walk. Steps run in order: later ones look back at
// what earlier ones did.
type Step struct {
	Name, Title string
	run         func(*Tour) error
}

// Steps returns all steps.
func Steps() []Step {
	return []Step{
		{"inbound", "Mail from a stranger for a local user", inbound},
		{"judged", "GTUBE is refused, a suspicious message lands in Junk", judged},
		{"signed", "A user sends: what leaves is signed", signed},
		{"limited", "The same user passes the limit of recipients", limited},
		{"banned", "Wrong passwords: the address is refused everywhere", banned},
		{"explained", "Gatepost explains", explained},
	}
}

// Tour is one walk through a running lab.
type Tour struct {
	lab *lab.Lab
	out *Transcript

	began   time.Time
	first   string // queue id of the stranger's message
	junk    string // of the one that landed in Junk
	sent    string // queue id of the user's message
	refused string // the reply that had no queue id
}

// account is a user of example.org.
type account struct{ user, password string }

// The users of the tour.
var (
	alice = account{"alice@" + lab.Domain, "correct horse battery"}
	bob   = account{"bob@" + lab.Domain, "staple of the harbour"}
)

// New makes the accounts and the keys through gatepost's command line.
func New(l *lab.Lab, w io.Writer) (*Tour, error) {
	t := &Tour{lab: l, out: NewTranscript(w), began: time.Now()}
	t.out.Say("The administrator sets up %s:", lab.Domain)
	commands := []struct {
		stdin string
		args  []string
	}{
		{alice.password + "\n", []string{"user", "add", alice.user}},
		{bob.password + "\n", []string{"user", "add", bob.user}},
		{"", []string{"alias", "add", "info@" + lab.Domain, alice.user}},
	}
	// Another test may have added the domain.
	if _, err := l.CLI("", "domain", "show", lab.Domain); err != nil {
		if err := t.cli("", "domain", "add", lab.Domain); err != nil {
			return nil, err
		}
	}
	for _, c := range commands {
		if err := t.cli(c.stdin, c.args...); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// cli runs a command of the administrator and shows it.
func (t *Tour) cli(stdin string, args ...string) error {
	out, err := t.lab.CLI(stdin, args...)
	t.out.Quote("$ gatepost "+strings.Join(args, " "), out)
	return err
}

// Run takes one step.
func (t *Tour) Run(number int, s Step) error {
	t.out.Heading(number, s.Title)
	if err := s.run(t); err != nil {
		return fmt.Errorf("step %d, %s: %w", number, s.Name, err)
	}
	return nil
}

// send sends m and shows the dialogue.
func (t *Tour) send(m lab.Mail) (lab.Outcome, error) {
	out, err := t.lab.Send(m)
	t.out.Quote(smtp(out.Dialogue)...)
	return out, err
}

// accepted returns an error unless the message was taken as a whole.
func accepted(o lab.Outcome) error {
	if o.At == "message" && o.Reply.Code == 250 && len(o.Refused) == 0 {
		return nil
	}
	if len(o.Refused) > 0 {
		return fmt.Errorf("refused at %s: %v", o.At, o.Refused[0])
	}
	return fmt.Errorf("refused at %s: %v", o.At, o.Reply)
}

// inboxOf names a mailbox of a user.
func (a account) mailbox(name string) lab.Mailbox {
	return lab.Mailbox{User: a.user, Password: a.password, Name: name}
}

// submission is mail of the user through port 587.
func (a account) submission(from string, rcptTo []string, msg []byte) lab.Mail {
	return lab.Mail{
		From: from, To: lab.ServerIP + ":587", Helo: "[192.168.7.7]",
		User: a.user, Password: a.password,
		MailFrom: a.user, RcptTo: rcptTo, Data: msg,
	}
}
