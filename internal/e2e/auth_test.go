//go:build linux && e2e

package e2e

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/e2e/lab"
)

// shape is a message that breaks signatures where somebody is careless.
type shape struct{ name, extra, body string }

var shapes = []shape{
	{"8-bit", "Content-Transfer-Encoding: 8bit\n", "Grüße aus Köln: 5 € und ein Byte \xff.\n"},
	{"long line", "", "begin\n" + strings.Repeat("a long line of 1,600 characters ", 50) + "\nend\n"},
	{"dot-stuffed", "", ".\n..\n.hidden\nend.\n.\n"},
	{"empty body", "", ""},
	{"list-like", "Sender: list-bounces@example.net\nList-Id: A list\n\t<list.example.net>\nList-Unsubscribe: <mailto:off@example.net>\nPrecedence: list\n",
		"Dear list,  \n\tan indented \t line\n\n\n-- \nA footer\n\n\n"},
}

// write returns the message with LF line ends.
func (s shape) write(from, to, id string) []byte {
	return fmt.Appendf(nil, "From: %s\nTo: %s\nSubject: A  message that is  %s\nDate: %s\nMessage-ID: %s\n"+
		"MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n%s\n%s", from, to, s.name,
		time.Now().UTC().Format(time.RFC1123Z), id, s.extra, s.body)
}

// flip returns msg with one byte changed: the last letter of the body, or one of
// the subject where there is no body.
func flip(msg []byte) []byte {
	out := bytes.Clone(msg)
	_, body, _ := bytes.Cut(bytes.ReplaceAll(msg, []byte("\r\n"), []byte("\n")), []byte("\n\n"))
	at := bytes.Index(out, []byte("message that is"))
	if letter := func(r rune) bool { return r >= 'a' && r <= 'z' }; bytes.ContainsFunc(body, letter) {
		at = bytes.LastIndexFunc(out, letter)
	}
	out[at] ^= 1
	return out
}

// TestAuthSignedVerifies: what users send is signed with RSA and Ed25519, and
// OpenDKIM and dkimpy verify both from what stands in DNS, after the next hop
// got it; with one byte flipped neither does.
func TestAuthSignedVerifies(t *testing.T) {
	logsOnFailure(t)
	const domain = "signing.example.org"
	cli(t, "", "domain", "add", domain)
	cli(t, password+"\n", "user", "add", "erin@"+domain)
	cli(t, "", "dkim", "new", domain)
	if err := the.DNS.Add(cli(t, "", "dkim", "dns", domain)); err != nil {
		t.Fatal(err)
	}
	box := lab.Mailbox{User: "erin@" + domain, Password: password}
	for i, s := range shapes {
		t.Run(s.name, func(t *testing.T) {
			id := fmt.Sprintf("<signed.%d@%s>", i, domain)
			m := submission(box, "dave@example.net", lab.Message{})
			m.Data = s.write(box.User, "dave@example.net", id)
			wantTaken(t, send(t, m))
			got, err := the.Await(id)
			if err != nil {
				t.Fatal(err)
			}
			fields := strings.Join(lab.Fields(got.Data, "DKIM-Signature"), "\n")
			if n := strings.Count(fields, "d="+domain); n != 2 || !strings.Contains(fields, "a=rsa-sha256") || !strings.Contains(fields, "a=ed25519-sha256") {
				t.Fatalf("signatures\n%s\nwant one of RSA and one of Ed25519", fields)
			}
			wantVerified(t, got.Data, true)
			wantVerified(t, flip(got.Data), false)
		})
	}
}

// wantVerified asks dkimpy about both signatures and OpenDKIM about the message.
func wantVerified(t *testing.T, msg []byte, want bool) {
	t.Helper()
	var all []lab.Verified
	for i := range 2 {
		v, err := the.DKIMPy(msg, i)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	v, err := the.OpenDKIM(msg)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range append(all, v) {
		if v.Pass != want {
			t.Errorf("%s: %v (%s), want %v\n%s", v.Tool, v.Pass, v.Line, want, msg)
		}
	}
}

// TestAuthForeignSignature: what OpenDKIM signed verifies here, in both
// canonicalizations, and with one byte flipped it does not.
func TestAuthForeignSignature(t *testing.T) {
	box := user(t, "reader")
	const domain = "opendkim.example"
	the.DNS.AddTXT(domain, "v=spf1 ip4:"+lab.StrangerIP+" -all")
	for _, canon := range []string{"simple/simple", "relaxed/relaxed"} {
		signer := startOpenDKIM(t, domain, canon)
		for i, s := range shapes {
			t.Run(canon+" "+s.name, func(t *testing.T) {
				id := fmt.Sprintf("<foreign.%s.%d@%s>", canon[:6], i, domain)
				good := signer.sign(t, s.write("Carol <carol@"+domain+">", box.User, id))
				wantResult(t, box, good, domain, id, "dkim=pass", "header.d="+domain)
				other := strings.Replace(id, "foreign", "flipped", 1)
				bad := flip(signer.sign(t, s.write("Carol <carol@"+domain+">", box.User, other)))
				wantResult(t, box, bad, domain, other, "dkim=fail", "header.d="+domain)
			})
		}
	}
}

// wantResult sends msg as a stranger and looks for words in the
// Authentication-Results that the user sees.
func wantResult(t *testing.T, box lab.Mailbox, msg []byte, domain, id string, words ...string) {
	t.Helper()
	wantTaken(t, send(t, lab.Mail{From: lab.StrangerIP, MailFrom: "carol@" + domain, RcptTo: []string{box.User}, Data: msg}))
	wantWords(t, read(t, box, id), words...)
}

func wantWords(t *testing.T, raw []byte, words ...string) {
	t.Helper()
	fields := lab.Fields(raw, "Authentication-Results")
	if len(fields) != 1 {
		t.Fatalf("%d Authentication-Results, want one:\n%s", len(fields), raw)
	}
	for _, w := range words {
		if !strings.Contains(fields[0], w) {
			t.Errorf("%s\nwant %q in it", fields[0], w)
		}
	}
}

// TestDMARC: a stranger writes as the author of a domain with p=reject.
func TestDMARC(t *testing.T) {
	box := user(t, "victim")
	junk := box
	junk.Name = "Junk"
	for name, txt := range map[string]string{
		"_dmarc.bank.example": "v=DMARC1; p=reject", "_dmarc.shop.example": "v=DMARC1; p=quarantine", "_dmarc.club.example": "v=DMARC1; p=none",
		"_dmarc.mine.example": "v=DMARC1; p=reject", "mine.example": "v=spf1 ip4:" + lab.StrangerIP + " -all",
	} {
		the.DNS.AddTXT(name, txt)
	}
	n := 0
	mail := func(author, mailFrom string) (lab.Mail, string) {
		n++
		id := fmt.Sprintf("<dmarc.%d@%s>", n, author)
		msg := lab.Message{From: "The Boss <boss@" + author + ">", To: box.User, Subject: "Hello", ID: id, Body: "Hello.\n"}
		return lab.Mail{From: lab.StrangerIP, MailFrom: mailFrom, RcptTo: []string{box.User}, Data: msg.Bytes()}, id
	}
	for _, tc := range []struct {
		name, config, author, mailFrom string
		in                             lab.Mailbox // none: refused
		words                          []string
	}{
		{"reject", "", "bank.example", "carol@example.com", junk, []string{"spf=pass smtp.mailfrom=carol@example.com", "dmarc=fail", "header.from=bank.example", "policy.dmarc=reject"}},
		{"quarantine", "", "shop.example", "carol@example.com", box, []string{"dmarc=fail", "policy.dmarc=quarantine"}},
		{"aligned", "", "mine.example", "boss@mine.example", box, []string{"dmarc=pass", "header.from=mine.example", "policy.dmarc=reject"}},
		{"null sender, HELO of another", "", "bank.example", "", junk, []string{"dmarc=fail", "policy.dmarc=reject"}},
		{"reject, enforced", "milter: {dmarc: enforce}\n", "bank.example", "carol@example.com", junk, []string{"dmarc=fail"}},
		{"quarantine, enforced", "milter: {dmarc: enforce}\n", "shop.example", "carol@example.com", junk, []string{"dmarc=fail"}},
		{"none, enforced", "milter: {dmarc: enforce}\n", "club.example", "carol@example.com", box, []string{"dmarc=fail", "policy.dmarc=none"}},
		{"reject, enforced alone", "milter: {dmarc: enforce, dmarc_reject_alone: true}\n", "bank.example", "carol@example.com", lab.Mailbox{}, nil},
		{"aligned, enforced alone", "milter: {dmarc: enforce, dmarc_reject_alone: true}\n", "mine.example", "boss@mine.example", box, []string{"dmarc=pass"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			reload(t, tc.config, true)
			t.Cleanup(func() { reload(t, "", true) })
			m, id := mail(tc.author, tc.mailFrom)
			out := send(t, m)
			if tc.words == nil {
				if got, want := out.Reply.String(), "554 5.7.1 message refused by the DMARC policy of the domain in From"; out.At != "message" || got != want {
					t.Errorf("%s at %s, want %s", got, out.At, want)
				}
				return
			}
			wantTaken(t, out)
			wantWords(t, read(t, tc.in, id), tc.words...)
		})
	}
	t.Run("trusted forwarder", func(t *testing.T) {
		again := func(section string) {
			if err := the.WriteConfig(section); err != nil {
				t.Fatal(err)
			}
			if err := the.StopGatepost(); err != nil {
				t.Fatal(err)
			}
			restart(t)
		}
		again("mailauth: {trusted_forwarders: [example.com]}\n")
		t.Cleanup(func() { again("") })
		m, id := mail("bank.example", "carol@example.com")
		out := send(t, m)
		wantTaken(t, out)
		raw := read(t, box, id)
		wantWords(t, raw, "dmarc=fail", "policy.dmarc=reject")
		if f := strings.Join(lab.Fields(raw, "X-Spamd-Result"), "\n"); !strings.Contains(f, "FORWARDED_TRUSTED(0.00)[example.com,spf]") || strings.Contains(f, "DMARC_FAIL") {
			t.Errorf("%s\nwant FORWARDED_TRUSTED and no DMARC_FAIL", f)
		}
		story := cli(t, "", "explain", out.Reply.QueueID())
		for _, want := range []string{"fail, bank.example", "reject, by p=reject of bank.example; done: none, trusted_forwarder", "example.com, by spf"} {
			if !strings.Contains(strings.Join(strings.Fields(story), " "), want) {
				t.Errorf("explain says\n%s\nwant %q in it", story, want)
			}
		}
	})
}
