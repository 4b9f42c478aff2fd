//go:build linux && e2e

package e2e

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/gatepost/gatepost/internal/e2e/lab"
)

// The thresholds of two configurations, as each shows on a message: never may
// one half of the one meet the other half of the other.
var thresholds = map[string]string{
	"scan: {mark: 6, reject: 15}\n": "required=6.00 / 15.00",
	"scan: {mark: 7, reject: 17}\n": "required=7.00 / 17.00",
}

// TestReloadUnderLoad: while mail flows on open sessions, SIGHUP brings good
// files and bad ones. No session is cut, each message is judged by one file
// as a whole, and a bad file changes nothing and is named in the log.
func TestReloadUnderLoad(t *testing.T) {
	box := user(t, "reload")
	t.Cleanup(func() { reload(t, "", true) })
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	counts := make([]int, 4)
	for i := range counts {
		wg.Go(func() { counts[i] = flow(t, ctx, box.User) })
	}
	for range 5 {
		for section := range thresholds {
			reload(t, section, true)
			reload(t, "scan: {mark: seven}\n", false)
			reload(t, "scan: {mork: 7}\n", false)
		}
	}
	stop()
	wg.Wait()
	total := 0
	for _, n := range counts {
		total += n
	}
	if total < len(counts) {
		t.Fatalf("%d messages during the reloads are too few to show anything", total)
	}
	checkThresholds(t, box, total)
}

// flow sends message after message on one SMTP session, and returns how many.
func flow(t *testing.T, ctx context.Context, to string) int {
	c, err := the.Dial(lab.StrangerIP, lab.ServerIP+":25")
	if err != nil {
		t.Error(err)
		return 0
	}
	defer c.Close()
	if err := c.Hello("mail.example.com"); err != nil {
		t.Error(err)
		return 0
	}
	m := stranger(to, "<load@example.com>")
	n := 0
	for ; ctx.Err() == nil; n++ {
		o, err := c.Transaction(m.MailFrom, m.RcptTo, m.Data)
		if err != nil || o.Reply.Code != 250 {
			t.Errorf("message %d: %v at %s, %v", n, o.Reply, o.At, err)
			return n
		}
	}
	return n
}

// reload puts a configuration in place, sends SIGHUP and waits until gatepost
// has taken or refused it.
func reload(t *testing.T, section string, good bool) {
	t.Helper()
	from := len(the.Log("gatepost"))
	if err := the.WriteConfig(section); err != nil {
		t.Fatal(err)
	}
	if err := the.HupGatepost(); err != nil {
		t.Fatal(err)
	}
	want := "configuration taken"
	if !good {
		want = "configuration not taken"
	}
	line, err := the.UntilLogged("gatepost", from, want)
	if err != nil {
		t.Fatalf("%q: %v", section, err)
	}
	if !good && !strings.Contains(line, "gatepost.yaml:") {
		t.Errorf("%q: %s\nwant the place of the fault", section, line)
	}
}

// checkThresholds waits for all messages and looks at the verdict of each.
func checkThresholds(t *testing.T, box lab.Mailbox, total int) {
	t.Helper()
	c, err := the.IMAP(lab.UserIP)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if a, err := c.Login(box.User, box.Password); err != nil || !a.OK() {
		t.Fatalf("LOGIN: %v, %v", a.Status, err)
	}
	var a lab.Answer
	err = the.Until(fmt.Sprintf("%d messages", total), func() error {
		if _, err := c.Command("SELECT INBOX"); err != nil {
			return err
		}
		if a, err = c.Command("FETCH 1:* BODY.PEEK[HEADER.FIELDS (X-Spam-Status X-Spamd-Result)]"); err != nil {
			return err
		}
		if len(a.Literals) < total {
			return fmt.Errorf("%d so far", len(a.Literals))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, header := range a.Literals {
		seen[verdictOf(string(header))]++
	}
	for _, want := range thresholds {
		if seen[want] == 0 {
			t.Errorf("no message was judged by %q", want)
		}
		delete(seen, want)
	}
	if len(seen) > 0 {
		t.Errorf("messages judged by a mix of two files: %v", seen)
	}
}

// verdictOf returns the two thresholds that a message shows.
func verdictOf(header string) string {
	var mark, reject string
	for _, word := range strings.Fields(header) {
		if strings.HasPrefix(word, "required=") {
			mark = word
		}
		if strings.HasSuffix(word, "];") && reject == "" {
			reject = strings.TrimSuffix(word, "];")
		}
	}
	return mark + " / " + reject
}
