//go:build linux

package tour

import (
	"fmt"
	"strings"

	"github.com/gatepost/gatepost/internal/e2e/lab"
)

// limited: the limit holds for the user who reached it and for nobody else.
func limited(t *Tour) error {
	t.out.Say("%s may write to 10 recipients an hour, has written to one, and writes to ten more:", alice.user)
	var many []string
	for i := range 10 {
		many = append(many, fmt.Sprintf("guest%d@example.net", i+1))
	}
	msg := lab.Message{From: alice.user, To: "guests:;", Subject: "Invitation", ID: "<party.1@laptop>", Body: "Come!\n"}
	out, err := t.send(alice.submission(lab.UserIP, many, msg.Bytes()))
	if err != nil {
		return err
	}
	if len(out.Refused) == 0 {
		return fmt.Errorf("nobody was refused: %v", out.Reply)
	}
	r := out.Refused[0]
	t.refused = r.String()
	if r.Code/100 != 4 && r.Code/100 != 5 {
		return fmt.Errorf("want a refusal, got %v", r)
	}
	if !strings.Contains(r.Text, "outgoing") {
		return fmt.Errorf("the refusal does not name the limit: %v", r)
	}
	t.out.OK("refused; the text names the limit and when it ends", r.String())

	t.out.Say("%s writes meanwhile:", bob.user)
	msg = lab.Message{From: bob.user, To: "guest1@example.net", Subject: "Invitation", ID: "<party.2@laptop>", Body: "Come!\n"}
	out, err = t.send(bob.submission(lab.OtherUserIP, []string{"guest1@example.net"}, msg.Bytes()))
	if err != nil {
		return err
	}
	if err := accepted(out); err != nil {
		return err
	}
	t.out.OK("another user is not refused", out.Reply.String())
	shown, err := t.lab.CLI("", "limit", "show")
	if err != nil {
		return err
	}
	t.out.OK("gatepost limit show", shown)
	return nil
}
