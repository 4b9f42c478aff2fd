//go:build linux && e2e

package pair

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/e2e/lab"
)

// TestVerdictAcrossHosts: the first host judges the mail of the second one's
// domain and sends it on to a port there that has no milter (docs/howto/
// two-hosts-verdict.md). The two share a key and nothing else. No copy has the
// field, and what a stranger writes himself is worth nothing.
func TestVerdictAcrossHosts(t *testing.T) {
	const bob, mail = "bob@" + lab.SecondDomain, 5000
	path := filepath.Join(the.Dir, "verdict.keys")
	if err := os.WriteFile(path, []byte("e2e "+base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 32)))+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, mail, mail); err != nil {
		t.Fatal(err)
	}
	keys := "verdict_keys_file: " + path + "\n"
	if err := os.WriteFile(the.ConfigPath(), []byte("hostname: "+lab.Hostname+"\n"+keys+`policyd: { greylist: { mode: off } }
scan:
  admin_rules:
    - { name: BUY, when: 'subject contains "buy"', score: 8 }
`), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := the.StopGatepost(); err != nil {
		t.Fatal(err)
	}
	if err := the.StartGatepost(); err != nil {
		t.Fatal(err)
	}
	h := second(t, keys)
	fill(t, h, lab.SecondDomain, bob)
	postfix := func(h hop, name string, args ...string) {
		t.Helper()
		if _, err := h.Postfix(name, args...); err != nil {
			t.Fatal(err)
		}
	}
	const port = lab.SecondIP + ":2525"
	postfix(h, "postconf", "-M", port+"/inet="+port+" inet n - n - - smtpd -o smtpd_milters= -o mynetworks="+lab.ServerIP+"/32"+
		" -o smtpd_client_restrictions=permit_mynetworks,reject -o smtpd_relay_restrictions=permit_mynetworks,reject"+
		" -o smtpd_sender_restrictions= -o smtpd_recipient_restrictions=reject_unlisted_recipient,permit_mynetworks,reject"+
		" -o smtpd_data_restrictions= -o smtpd_end_of_data_restrictions=")
	postfix(h, "postfix", "reload")
	postfix(the, "postconf", "-e", "relay_domains = "+lab.SecondDomain, "transport_maps = inline:{ "+lab.SecondDomain+"=smtp:["+lab.SecondIP+"]:2525 }",
		"smtp_line_length_limit = 990") // the default breaks long lines
	t.Cleanup(func() {
		postfix(the, "postconf", "-X", "relay_domains", "transport_maps")
		postfix(the, "postconf", "-e", "smtp_line_length_limit = 0")
		postfix(the, "postfix", "reload")
	})
	postfix(the, "postfix", "reload")

	long := strings.Repeat("word", 1000)
	for i, tc := range []struct {
		name, subject, body, fields string
		junk                        bool
	}{
		{"accepted", "Hello", "Hello Bob,\n\n  a line.\t\n.\n", "", false},
		{"marked", "Please buy", "Now.\n", "", true},
		{"long lines that Postfix breaks", "Please buy", long + "\n" + long + "\n", "", true},
		{"a field of the sender's own", "Please buy", "Now.\n", "x-gatepost-verdict :\n accept\nX-GATEPOST-Verdict: v=1; k=e2e; q=; t=0; s=0.00; d=accept; h=; b=AAAA\n", true},
	} {
		id := fmt.Sprintf("<verdict.%d@example.net>", i)
		msg := lab.Message{From: "Dave <dave@example.net>", To: bob, Subject: tc.subject, ID: id, Body: tc.body}
		data := append([]byte(strings.ReplaceAll(tc.fields, "\n", "\r\n")), msg.Bytes()...)
		out, err := the.Send(lab.Mail{From: lab.NextHopIP, MailFrom: "dave@example.net", RcptTo: []string{bob}, Data: data})
		if err != nil || out.At != "message" || out.Reply.Code != 250 {
			t.Fatalf("%s: %+v, %v", tc.name, out, err)
		}
		idle(t, the, h)
		inbox, junk := stored(t, h.MailRoot, bob, "", id), stored(t, h.MailRoot, bob, ".Junk", id)
		if len(inbox)+len(junk) != 1 || (len(junk) == 1) != tc.junk {
			t.Fatalf("%s: %d in the inbox and %d in Junk", tc.name, len(inbox), len(junk))
		}
		if all := strings.ToLower(strings.Join(append(inbox, junk...), "")); strings.Contains(all, "gatepost-verdict") || !strings.Contains(all, "x-spam-score") {
			t.Errorf("%s: stored is %s", tc.name, all)
		}
		if strings.Contains(tc.body, long) && strings.Contains(strings.Join(append(inbox, junk...), ""), long) {
			t.Errorf("%s: Postfix broke no line, which shows nothing", tc.name)
		}
		if said := cli(t, h, "", "explain", id); !strings.Contains(said, "another host, queue id ") {
			t.Errorf("%s: journaled %s", tc.name, said)
		}
	}
}

// stored returns the messages in a folder of a mailbox that have a text in them.
func stored(t *testing.T, root, user, folder, text string) (out []string) {
	t.Helper()
	local, domain, _ := strings.Cut(user, "@")
	names, err := filepath.Glob(filepath.Join(root, domain, local, "Maildir", folder, "new", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), text) {
			out = append(out, string(b))
		}
	}
	return out
}
