//go:build linux

package tour

import (
	"fmt"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/e2e/lab"
)

// explained: the story of the two messages, and of a refusal without one.
func explained(t *Tour) error {
	stories := []struct {
		what string
		args []string
		want []string
	}{
		{"the stranger's message from connection to mailbox", []string{"explain", t.first},
			[]string{lab.StrangerIP, "carol@example.com", alice.user, "lmtp"}},
		{"why the other one is in Junk", []string{"explain", t.junk},
			[]string{lab.AttackerIP, "mark from 6", "3.00  SPF_FAIL ", " = mark\n", "Junk"}},
		{"the user's message: login, limit, verdict, signatures, next hop", []string{"explain", t.sent},
			[]string{lab.UserIP, alice.user, "PLAIN", "outgoing", "rsa-sha256", "ed25519-sha256", "left our sight"}},
		{"a refusal that had no queue id", []string{"explain", "--client", guesser,
			"--since", time.Since(t.began).Round(time.Second).String()},
			[]string{guesser, bob.user}},
	}
	for _, s := range stories {
		var out string
		// The journal is written in batches, off the path of the mail.
		err := t.lab.Until("gatepost "+strings.Join(s.args, " "), func() error {
			var err error
			if out, err = t.lab.CLI("", s.args...); err != nil {
				return err
			}
			for _, want := range s.want {
				if !strings.Contains(out, want) {
					return fmt.Errorf("no %q in\n%s", want, out)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		t.out.Say("$ gatepost %s", strings.Join(s.args, " "))
		t.out.OK(s.what, out)
	}
	return nil
}
