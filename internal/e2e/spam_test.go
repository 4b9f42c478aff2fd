//go:build linux && e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/classify"
	"github.com/gatepost/gatepost/internal/e2e/lab"
	"github.com/gatepost/gatepost/internal/learn"
	"github.com/gatepost/gatepost/internal/learn/kept"
)

const dataDirectory = "/var/lib/gatepost"

// files returns the messages in a folder of a mailbox, "" for the inbox.
func files(t *testing.T, box lab.Mailbox, folder string) []string {
	t.Helper()
	local, domain, _ := strings.Cut(box.User, "@")
	var out []string
	for _, dir := range []string{"new", "cur"} {
		paths, err := filepath.Glob(filepath.Join("/var/vmail", domain, local, "Maildir", folder, dir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, paths...)
	}
	return out
}

// mixed is a message of many shapes: what transport may change shows in it.
func mixed(to, id string) lab.Mail {
	msg := "From: \"Dr. Carol\" <carol@example.com>\nTo: " + to + "\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=  and   more\n" +
		"Date: " + time.Now().UTC().Format(time.RFC1123Z) + "\nMessage-ID: " + id + "\nReceived: from a by b; Thu, 1 Jan 2026 00:00:00 +0000\n" +
		"X-Odd:folded\n\tlike this\nMIME-Version: 1.0\nContent-Type: multipart/alternative; boundary=\"b\"\n\n" +
		"--b\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nGrüße, see https://www.example.com/a?b=c\n..dots\n" +
		strings.Repeat("a line of 1,200 characters ", 45) + "\n--b\nContent-Type: text/html; charset=utf-8\n\n<p>Gr&uuml;&szlig;e, see <a href=\"https://www.example.com/a?b=c\">here</a>\n--b--\n"
	return lab.Mail{From: lab.StrangerIP, MailFrom: "carol@example.com", RcptTo: []string{to}, Data: []byte(msg)}
}

// TestLearnsWhatWasScored: the features of the file in the mailbox are those
// that the milter saw before Postfix, lmtpd and we ourselves wrote on top, bit
// by bit.
func TestLearnsWhatWasScored(t *testing.T) {
	box := user(t, "learner")
	const id = "<scored.1@example.com>"
	wantTaken(t, send(t, mixed(box.User, id)))
	read(t, box, id)
	if err := the.StopGatepost(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := the.StartGatepost(); err != nil {
			t.Fatal(err)
		}
	}()
	paths := files(t, box, "")
	if len(paths) != 1 {
		t.Fatalf("%d files", len(paths))
	}
	raw, err := os.ReadFile(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	item, err := learn.Extract(raw, learn.TraceConfig{Hostname: "mx.example.org", AuthservID: "mx.example.org"}, new(classify.Features))
	if err != nil {
		t.Fatal(err)
	}
	db := filepath.Join(t.TempDir(), "features.db")
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if b, err := os.ReadFile(filepath.Join(dataDirectory, "features.db") + suffix); err == nil {
			if err := os.WriteFile(db+suffix, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	store, err := kept.Open(t.Context(), db, kept.Bounds{Days: 30, Bytes: 1 << 30}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	scored, ok, err := store.Find(t.Context(), item.Trace)
	if err != nil || !ok {
		t.Fatalf("no features are kept for %+v: %v", item.Trace, err)
	}
	if !bytes.Equal(scored, item.Features) {
		t.Errorf("the file has other features (%d bytes) than were scored (%d bytes)\n%s", len(item.Features), len(scored), raw)
	}
}

// pitch is spam of one kind that no rule knows.
func pitch(to string, i int) lab.Mail {
	msg := lab.Message{From: "Kettle Shop <shop@kettles.example>", To: to, Subject: fmt.Sprintf("Zirconium kettles, offer %d", i), ID: fmt.Sprintf("<kettle.%d@kettles.example>", i),
		Body: fmt.Sprintf("Our zirconium kettles boil in no time. Buy %d kettles of zirconium today at the kettle shop.\nEvery kettle comes with a whistle.\n", i)}
	return lab.Mail{From: lab.StrangerIP, MailFrom: "shop@kettles.example", RcptTo: []string{to}, Data: msg.Bytes()}
}

// chat is honest mail.
func chat(to string, i int) lab.Mail {
	msg := lab.Message{From: "Carol <carol@example.com>", To: to, Subject: fmt.Sprintf("Minutes of meeting %d", i), ID: fmt.Sprintf("<minutes.%d@example.com>", i),
		Body: fmt.Sprintf("Hello,\nthe minutes of meeting %d are in the usual folder. Agenda: roof, garden fence, school run.\nSee you on Friday, Carol\n", i)}
	return lab.Mail{From: lab.StrangerIP, MailFrom: "carol@example.com", RcptTo: []string{to}, Data: msg.Bytes()}
}

type learnStatus struct {
	Ham  int `json:"ham"`
	Spam int `json:"spam"`
}

func learned(t *testing.T) learnStatus {
	t.Helper()
	var s learnStatus
	if err := json.Unmarshal([]byte(cli(t, "", "learn", "status", "--json")), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestTaughtFilterMarks: mail that no rule minds goes to Junk once the filter
// was taught by files of both kinds, and explain says why. Twice taught is
// taught once, and undone is undone.
func TestTaughtFilterMarks(t *testing.T) {
	box := user(t, "pupil")
	const each = 15
	for i := range each {
		wantTaken(t, send(t, pitch(box.User, i)))
		wantTaken(t, send(t, chat(box.User, i)))
	}
	read(t, box, fmt.Sprintf("<minutes.%d@example.com>", each-1))
	var spam, ham []string
	for _, path := range files(t, box, "") {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(raw, []byte("<kettle.")) {
			spam = append(spam, path)
		} else {
			ham = append(ham, path)
		}
	}
	if len(spam) != each || len(ham) != each {
		t.Fatalf("%d and %d files", len(spam), len(ham))
	}
	before := learned(t)
	for range 2 {
		cli(t, "", append([]string{"learn", "spam"}, spam...)...)
		cli(t, "", append([]string{"learn", "ham"}, ham...)...)
	}
	after := learned(t)
	if after.Spam-before.Spam != each || after.Ham-before.Ham != each {
		t.Errorf("status went from %+v to %+v, want %d more of each", before, after, each)
	}
	out := send(t, pitch(box.User, 100))
	wantTaken(t, out)
	junk := box
	junk.Name = "Junk"
	read(t, junk, "<kettle.100@kettles.example>")
	if story := cli(t, "", "explain", out.Reply.QueueID()); !strings.Contains(story, "LEARNED_SPAM") {
		t.Errorf("explain does not name the filter:\n%s", story)
	}
	wantTaken(t, send(t, chat(box.User, 100)))
	read(t, box, "<minutes.100@example.com>")

	if err := the.KillGatepost(); err != nil {
		t.Fatal(err)
	}
	if err := the.StartGatepost(); err != nil {
		t.Fatal(err)
	}
	if s := learned(t); s != after {
		t.Errorf("after kill -9 %+v, want %+v", s, after)
	}
	cli(t, "", "learn", "undo", "--since", "1h")
	if s := learned(t); s.Spam > before.Spam || s.Ham > before.Ham {
		t.Errorf("after undo %+v, want %+v at most", s, before)
	}
}

// TestMoveTeaches: a user who moves a message into Junk with IMAP has taught the
// filter, without any script; what we file there ourselves teaches nothing.
func TestMoveTeaches(t *testing.T) {
	box := user(t, "mover")
	const id = "<moved.1@example.com>"
	m := pitch(box.User, 1)
	m.Data = bytes.Replace(m.Data, []byte("<kettle.1@kettles.example>"), []byte(id), 1)
	wantTaken(t, send(t, m))
	read(t, box, id)
	// A new mailbox is found within minutes, and at the start.
	if err := the.StopGatepost(); err != nil {
		t.Fatal(err)
	}
	if err := the.StartGatepost(); err != nil {
		t.Fatal(err)
	}
	before := learned(t)
	c, err := the.IMAP(lab.UserIP)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if a, err := c.Login(box.User, box.Password); err != nil || !a.OK() {
		t.Fatal(a, err)
	}
	for _, cmd := range []string{"SELECT INBOX", "MOVE 1 Junk"} {
		if a, err := c.Command("%s", cmd); err != nil || !a.OK() {
			t.Fatalf("%s: %v, %v", cmd, a, err)
		}
	}
	if err := the.Until("the move is learned", func() error {
		if s := learned(t); s.Spam != before.Spam+1 {
			return fmt.Errorf("%+v, before %+v", s, before)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// TestQuarantine: what a rule puts aside is taken from the peer, lies in nobody's
// mailbox, survives kill -9, and is given back to the inbox.
func TestQuarantine(t *testing.T) {
	box := user(t, "aside")
	t.Cleanup(func() { reload(t, "", true) })
	reload(t, "scan:\n  admin_rules:\n    - { name: PUT_ASIDE, when: 'subject contains \"to be kept\"', verdict: quarantine }\n", true)
	const id = "<aside.1@example.com>"
	m := stranger(box.User, id)
	m.Data = bytes.Replace(m.Data, []byte("Subject: Hello"), []byte("Subject: to be kept"), 1)
	out := send(t, m)
	wantTaken(t, out)
	queueID := out.Reply.QueueID()
	if story := cli(t, "", "explain", queueID); !strings.Contains(story, "PUT_ASIDE") || !strings.Contains(story, "quarantine") {
		t.Errorf("explain:\n%s", story)
	}
	if err := the.KillGatepost(); err != nil {
		t.Fatal(err)
	}
	if err := the.StartGatepost(); err != nil {
		t.Fatal(err)
	}
	wantAbsent(t, box, id)
	if list := cli(t, "", "quarantine", "list"); !strings.Contains(list, "to be kept") {
		t.Fatalf("the list has no such message:\n%s", list)
	}
	cli(t, "", "quarantine", "release", queueID)
	raw := read(t, box, id)
	if !bytes.Contains(raw, []byte("Subject: to be kept")) {
		t.Errorf("released:\n%s", raw)
	}
	cli(t, "", "quarantine", "release", queueID) // once more changes nothing
	if n := len(files(t, box, "")); n != 1 {
		t.Errorf("%d copies, want one", n)
	}
}

// TestListed: a DNS list that the settings name is asked, and its line stands in
// the story; nobody else is.
func TestListed(t *testing.T) {
	box := user(t, "listed")
	t.Cleanup(func() { reload(t, "", true) })
	if err := the.DNS.Add("test.bl.example. A 127.0.0.2\nlisted-sender.com.bl.example. A 127.0.0.2\n"); err != nil {
		t.Fatal(err)
	}
	reload(t, `dns_lists:
  lists:
    - name: SCRATCH
      zone: bl.example
      of: [sender]
      codes: [{ answer: 127.0.0.2, name: SPAM, score: 2.5, text: "The sender is on a list of this test." }]
`, true)
	if err := the.Until("the list has passed its test", func() error {
		if out := cli(t, "", "lists"); !strings.Contains(out, "SCRATCH") || !strings.Contains(out, " on\n") {
			return fmt.Errorf("%s", out)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	const id = "<listed.1@example.com>"
	m := stranger(box.User, id)
	// Addresses for documentation are never asked about, which the lab's are.
	m.Data = bytes.Replace(m.Data, []byte("From: Carol <carol@example.com>"), []byte("From: Carol <carol@listed-sender.com>"), 1)
	out := send(t, m)
	wantTaken(t, out)
	if story := cli(t, "", "explain", out.Reply.QueueID()); !strings.Contains(story, "SCRATCH_SPAM") {
		t.Errorf("the story does not name the list:\n%s", story)
	}
}

// TestAnswerIsKnown: mail that answers what a user sent gets credit.
func TestAnswerIsKnown(t *testing.T) {
	box := user(t, "writer")
	const first, answer = "<question.1@example.org>", "<answer.1@example.com>"
	wantTaken(t, send(t, submission(box, "dave@example.net", lab.Message{From: box.User, To: "dave@example.net", Subject: "A question", ID: first, Body: "Hm?\n"})))
	m := stranger(box.User, answer)
	m.Data = bytes.Replace(m.Data, []byte("Message-ID:"), []byte("In-Reply-To: "+first+"\nMessage-ID:"), 1)
	wantTaken(t, send(t, m))
	raw := read(t, box, answer)
	if f := strings.Join(lab.Fields(raw, "X-Spamd-Result"), ""); !strings.Contains(f, "REPLY_KNOWN") {
		t.Errorf("X-Spamd-Result: %s", f)
	}
}

// TestEachRecipientHasAVerdict: one mailbox marks from a lower score on, so the
// same message goes to Junk there and to the inbox elsewhere.
func TestEachRecipientHasAVerdict(t *testing.T) {
	strict, mild := user(t, "strict"), user(t, "mild")
	t.Cleanup(func() { reload(t, "", true) })
	reload(t, fmt.Sprintf(`scan:
  mark: 60
  reject: 80
  users: { %s: { mark: 20 } }
  admin_rules:
    - { name: MANY_POINTS, when: 'subject contains "many points"', score: 40 }
`, strict.User), true)
	const id = "<each.1@example.com>"
	m := stranger(mild.User, id)
	m.RcptTo = append(m.RcptTo, strict.User)
	m.Data = bytes.Replace(m.Data, []byte("Subject: Hello"), []byte("Subject: many points"), 1)
	wantTaken(t, send(t, m))
	read(t, mild, id)
	strict.Name = "Junk"
	read(t, strict, id)
}
