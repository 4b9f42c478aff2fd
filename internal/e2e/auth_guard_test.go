//go:build linux && e2e

package e2e

import (
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/gatepost/gatepost/internal/e2e/lab"
)

// guesses is how many passwords each door is tried with, at the same time.
const guesses = 12

var decided = regexp.MustCompile(`msg="login decided".* client_addr=203\.0\.113\.150 .*verdict=(\w+) `)

// TestLineHolds: an address guesses at submission, IMAP, POP3 and ManageSieve at
// once. No more passwords than the line allows are looked at, whatever the door,
// and the right one not at all.
func TestLineHolds(t *testing.T) {
	box := user(t, "line")
	gatepostWith(t, "authd: {failure_delay: 0s}\n")
	linkMaster(t)
	dovecotWay(t, "auth.conf", nil)
	const guesser = "203.0.113.150"
	from := len(the.Log("gatepost"))
	doors := append([]door{{"submission", trySubmission}}, dovecotDoors...)
	var wg sync.WaitGroup
	for _, d := range doors {
		for g := range guesses {
			wg.Go(func() {
				if said, in := d.try(t, guesser, box.User, "guess "+d.name+strconv.Itoa(g)); in {
					t.Errorf("%s: a guess was let in: %s", d.name, said)
				}
			})
		}
	}
	wg.Wait()
	looked, refused := 0, 0
	for line := range strings.Lines(the.Log("gatepost")[from:]) {
		switch m := decided.FindStringSubmatch(line); {
		case m == nil:
		case m[1] == "fail": // that which crosses the line too, whose rule is the ban
			looked++
		default:
			refused++
		}
	}
	t.Logf("of %d guesses %d met a password check, %d were refused", len(doors)*guesses, looked, refused)
	if looked > 5 || looked+refused != len(doors)*guesses {
		t.Errorf("%d guesses met a password check and %d did not, want at most 5 of %d", looked, refused, len(doors)*guesses)
	}
	for _, d := range doors {
		if said, in := d.try(t, guesser, box.User, box.Password); in {
			t.Errorf("%s: the right password, after the line: %s", d.name, said)
		}
		if said, in := d.try(t, lab.UserIP, box.User, box.Password); !in {
			t.Errorf("%s: the right password from elsewhere: %s", d.name, said)
		}
	}
	if strings.Contains(the.Log("gatepost")[from:], "guess sub") {
		t.Error("a guess is in the log")
	}
	planted(t, "guess sub", "guess imap", "guess pop3", "guess sieve")
}

// planted looks for passwords in every file of gatepost's.
func planted(t *testing.T, passwords ...string) {
	t.Helper()
	for _, dir := range []string{"/var/lib/gatepost", "/var/log"} {
		args := []string{"-r", "-l", "-a", "-F"}
		for _, p := range passwords {
			args = append(args, "-e", p)
		}
		out, err := exec.Command("grep", append(args, dir)...).Output()
		if err == nil || len(out) > 0 {
			t.Errorf("planted passwords are in %s", out)
		}
	}
}
