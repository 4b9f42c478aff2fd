package lmtpd

import (
	"encoding/base64"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/seal"
	"github.com/gatepost/gatepost/internal/verdict"
)

// sealKeys returns keys that are made of words.
func sealKeys(t testing.TB, words ...string) *seal.Live {
	t.Helper()
	var b strings.Builder
	for _, w := range words {
		b.WriteString(w + " " + base64.StdEncoding.EncodeToString([]byte(strings.Repeat(w+"-", 32)[:32])) + "\n")
	}
	path := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	ring, err := seal.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	l := &seal.Live{}
	l.Set(ring)
	return l
}

// sealedBy returns the field that a host with those keys puts on top of msg.
func sealedBy(t testing.TB, keys *seal.Live, msg string, edit func(*seal.Row)) string {
	t.Helper()
	row := seal.Row{
		QueueID: "4abcMX", Arrived: time.Now().Add(-time.Minute), Score: 7.5, Verdict: verdict.Mark,
		ByRcpt: map[string]verdict.Verdict{"bob@example.test": verdict.Accept},
	}
	if edit != nil {
		edit(&row)
	}
	sum, err := seal.Read(strings.NewReader(msg))
	if err != nil {
		t.Fatal(err)
	}
	f, err := keys.Make(row, sum)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(f.String(), "\n", "\r\n") + "\r\n"
}

func newUnsealing(t testing.TB, root string, keys *seal.Live, l *ledger) *Server {
	t.Helper()
	deps := testDeps(l)
	if keys != nil {
		deps.Seals = keys
	}
	s, err := New(testConfig(root), deps, slog.New(slog.NewTextHandler(l, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const sealedMail = "From: Eve <eve@y.test>\r\nSubject: Buy this\r\nDate: Fri, 20 Nov 2026 06:55:00 +0000\r\nMessage-Id: <1@y.test>\r\n\r\nBuy, " +
	"buy.\r\n"

// TestVerdictOfAnotherHost: what decides is the row of this host, then a field
// that is proved. Alice's verdict is the message's, Bob has one of his own. No
// copy has the field.
func TestVerdictOfAnotherHost(t *testing.T) {
	keys, others := sealKeys(t, "a", "b"), sealKeys(t, "b")
	good := sealedBy(t, keys, sealedMail, nil)
	for _, tc := range []struct {
		name       string
		keys       *seal.Live
		content    string
		alice, bob string
		warn       string
	}{
		{"good", keys, receivedBy("OTHER") + good + sealedMail, "Junk", "INBOX", ""},
		{"good, Postfix is not ours", keys, strings.Replace(receivedBy("OTHER"), host, "mx2.test", 1) + good + sealedMail, "Junk", "INBOX", ""},
		{"good, no Received field", keys, good + sealedMail, "Junk", "INBOX", ""},
		{"good, the state is away", keys, receivedBy("AWAY") + good + sealedMail, "Junk", "INBOX", ""},
		{"good, at the end of the header", keys, strings.Replace(receivedBy("OTHER")+sealedMail, "\r\n\r\n", "\r\n"+good+"\r\n", 1), "Junk", "INBOX", ""},
		{"good, folded anew", keys, receivedBy("OTHER") + strings.ToUpper(seal.Field) + " :" + strings.ReplaceAll(good[len(seal.Field)+1:], "; ", ";\r\n\t  ") + sealedMail, "Junk", "INBOX", ""},
		{"good, by an older key", sealKeys(t, "c", "a"), receivedBy("OTHER") + good + sealedMail, "Junk", "INBOX", ""},
		{"accepts", keys, receivedBy("OTHER") + sealedBy(t, keys, sealedMail, func(r *seal.Row) { r.Verdict, r.ByRcpt = verdict.Accept, nil }) + sealedMail, "INBOX", "INBOX", ""},
		{"this host accepted", keys, receivedBy("HAM") + good + sealedMail, "INBOX", "INBOX", ""},
		{"this host marked", keys, receivedBy("SPAM") + sealedBy(t, keys, sealedMail, func(r *seal.Row) { r.Verdict = verdict.Accept }) + sealedMail, "Junk", "Junk", ""},
		{"no keys", nil, receivedBy("OTHER") + good + sealedMail, "INBOX", "INBOX", ""},
		{"keys that were taken away", &seal.Live{}, receivedBy("OTHER") + good + sealedMail, "INBOX", "INBOX", ""},
		{"another body", keys, receivedBy("OTHER") + good + sealedMail + "More.\r\n", "INBOX", "INBOX", seal.ErrForged.Error()},
		{"another Subject", keys, receivedBy("OTHER") + good + strings.Replace(sealedMail, "this", "that", 1), "INBOX", "INBOX", seal.ErrForged.Error()},
		{"another verdict", keys, receivedBy("OTHER") + strings.Replace(good, "d=mark", "d=reject", 1) + sealedMail, "INBOX", "INBOX", seal.ErrForged.Error()},
		{"expired", keys, receivedBy("OTHER") + sealedBy(t, keys, sealedMail, func(r *seal.Row) { r.Arrived = time.Now().Add(-seal.Kept - time.Second) }) + sealedMail, "INBOX", "INBOX", seal.ErrExpired.Error()},
		{"an unknown key", others, receivedBy("OTHER") + good + sealedMail, "INBOX", "INBOX", seal.ErrUnknownKey.Error()},
		{"twice", keys, receivedBy("OTHER") + good + good + sealedMail, "INBOX", "INBOX", errSealedTwice.Error()},
		{"a forged one below", keys, receivedBy("OTHER") + good + "x-gatepost-verdict: mark\r\n" + sealedMail, "INBOX", "INBOX", errSealedTwice.Error()},
		{"a word", keys, receivedBy("OTHER") + seal.Field + ": mark\r\n" + sealedMail, "INBOX", "INBOX", seal.ErrMalformed.Error()},
		{"nothing", keys, receivedBy("OTHER") + seal.Field + ":\r\n" + sealedMail, "INBOX", "INBOX", seal.ErrMalformed.Error()},
	} {
		t.Run(tc.name, func(t *testing.T) {
			root, l := t.TempDir(), &ledger{}
			talk(t, start(t, newUnsealing(t, root, tc.keys, l)), envelope(tc.content, "alice", "bob"), false)
			for user, folder := range map[string]string{"alice": tc.alice, "bob": tc.bob} {
				got := inbox(t, root, user, folder)
				if len(got) == 0 {
					t.Fatalf("%s has nothing in %s; journaled %+v", user, folder, l.records)
				}
				if strings.Contains(strings.ToLower(got[0]), "gatepost-verdict") || !strings.HasSuffix(got[0], strings.ReplaceAll(sealedMail[strings.Index(sealedMail, "\r\n\r\n"):len(sealedMail)-2], "\r\n", "\n")+strings.Repeat("\nMore.", strings.Count(tc.content, "More."))+"\n") {
					t.Errorf("%s has %q", user, got[0])
				}
			}
			log := l.log.String()
			if warns := strings.Count(log, "verdict of another host not used"); warns != min(1, len(tc.warn)) || !strings.Contains(log, tc.warn) {
				t.Errorf("want one warning with %q: %s", tc.warn, log)
			}
			if tc.warn != "" && (l.counts["lmtpd "+ruleUnscanned] != 2 || !strings.Contains(l.records[0].Facts[1].Value, "the verdict of another host is not good")) {
				t.Errorf("counted %v, journaled %+v", l.counts, l.records[0])
			}
		})
	}
}

// TestVerdictOfAnotherHostIsTold: the journal names the queue id there.
func TestVerdictOfAnotherHostIsTold(t *testing.T) {
	l, keys := &ledger{}, sealKeys(t, "a")
	talk(t, start(t, newUnsealing(t, t.TempDir(), keys, l)), envelope(receivedBy("OTHER")+sealedBy(t, keys, sealedMail, nil)+sealedMail, "alice"), false)
	r := l.records[0]
	facts := r.Facts
	if len(facts) < 3 || facts[1] != (journal.Fact{Key: "scan", Value: "mark"}) || facts[2] != (journal.Fact{Key: "scanned_by", Value: "another host, queue id 4abcMX, key a"}) ||
		r.Score != 7.5 || r.QueueID != "OTHER" || r.Rule != ruleJunk {
		t.Errorf("journaled %+v", r)
	}
	if strings.Contains(l.log.String(), "level=WARN") {
		t.Error(l.log.String())
	}
}

var sizes = regexp.MustCompile(`,S=(\d+),W=(\d+)`)

// TestFieldIsInNoCopy: a retry of the same bytes is known, and the size in the
// name is that of the file, for small messages, for those in a file, and for a
// header that is longer than what is looked at.
func TestFieldIsInNoCopy(t *testing.T) {
	keys := sealKeys(t, "a")
	for name, msg := range map[string]string{
		"small":         sealedMail,
		"in a file":     sealedMail + strings.Repeat("A line.\r\n", 100_000),
		"a long header": "X-Long: " + strings.Repeat("x", 90_000) + "\r\n" + strings.Repeat("X-More: "+strings.Repeat("y", 900)+"\r\n", 300) + sealedMail,
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				field := sealedBy(t, keys, msg, nil)
				content := receivedAt("4F1", time.Now()) + field + strings.Replace(msg, "Message-Id:", "x-GATEPOST-verdict :\r\n\tx\r\nMessage-Id:", 1)
				for range 2 {
					l := &ledger{}
					deps := testDeps(l)
					deps.Seals = keys
					cfg := testConfig(root)
					cfg.MessageSizeLimit = 4 << 20
					s, err := New(cfg, deps, slog.New(slog.NewTextHandler(l, nil)))
					if err != nil {
						t.Fatal(err)
					}
					p := newPipes()
					stop, done := serveIn(t, s, p)
					say := conversation(t, p.dial(t))
					say("", "220 ")
					say("LHLO x\r\n", "250 ")
					say("MAIL FROM:<s@y.test>\r\n", "250 ")
					say("RCPT TO:<alice@example.test>\r\n", "250 ")
					say("DATA\r\n", "354 ")
					say(content+".\r\n", "250 2.0.0 ")
					stop()
					if err := <-done; err != nil {
						t.Error(err)
					}
					time.Sleep(301 * time.Second)
				}
			})
			// The verdict of the long one is found: the second field is far below.
			files, _ := filepath.Glob(filepath.Join(root, "example.test/alice/Maildir/new/*"))
			junk, _ := filepath.Glob(filepath.Join(root, "example.test/alice/Maildir/.Junk/new/*"))
			if files = append(files, junk...); (len(junk) == 1) != strings.Contains(msg, "X-Long") {
				t.Errorf("in Junk: %q", junk)
			}
			if len(files) != 1 {
				t.Fatalf("%d files", len(files))
			}
			b, err := os.ReadFile(files[0])
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(strings.ToLower(string(b)), "gatepost-verdict") {
				t.Error("the field is in the copy")
			}
			want := []string{strconv.Itoa(len(b)), strconv.Itoa(len(b) + strings.Count(string(b), "\n"))}
			if m := sizes.FindStringSubmatch(files[0]); m == nil || m[1] != want[0] || m[2] != want[1] {
				t.Errorf("%s has sizes %v", filepath.Base(files[0]), want)
			}
		})
	}
}

// TestScriptsSeeNoField: nor do they believe what a stranger says in our name of
// himself, for which the script could bounce mail.
func TestScriptsSeeNoField(t *testing.T) {
	root, l, keys := t.TempDir(), &ledger{}, sealKeys(t, "a")
	s := newFiltered(t, root, `require ["fileinto", "reject"];
if exists "X-Gatepost-Verdict" { fileinto "Lists"; } else { reject "no"; }`, l)
	s.seals = keys
	msg := "Authentication-Results: localhost; spf=pass smtp.mailfrom=y.test\r\n" + sealedMail
	field := sealedBy(t, keys, msg, func(r *seal.Row) { r.Verdict = verdict.Accept })
	got := replies(t, talk(t, start(t, s), envelope(receivedBy("OTHER")+field+msg, "alice"), false))
	if len(got) != 1 || !strings.HasPrefix(got[0], "250 ") || len(inbox(t, root, "alice", "Junk")) != 1 ||
		!slices.ContainsFunc(l.records[0].Facts, func(f journal.Fact) bool { return strings.Contains(f.Value, "the sender is not proved") }) {
		t.Errorf("replies %q, journaled %+v, log %s", got, l.records, l.log.String())
	}
}
