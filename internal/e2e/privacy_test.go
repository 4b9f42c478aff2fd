//go:build linux && e2e

package e2e

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/e2e/lab"
)

// clientSecrets are what submission knows of its client and keeps.
var clientSecrets = []string{lab.UserIP, "laptop-of-secret", "isp.example", "Secret/1.0"}

// TestClientIsNotTold: where a user sits stays with us, whatever Postfix
// writes after "with".
func TestClientIsNotTold(t *testing.T) {
	box := user(t, "private")
	for _, tc := range []struct {
		name, port, subject string
		utf8                bool
		more                []string // recipients
		kept                []string // in the Received line
	}{
		{"submission", "587", "Hello", false, nil, []string{"with ESMTPSA id ", "for <dave@example.net>; "}},
		{"two recipients", "587", "Hello", false, []string{"erin@example.net"}, []string{"with ESMTPSA id ", ";"}},
		{"submissions", "465", "Hello", false, nil, []string{"with ESMTPSA id ", "for <dave@example.net>; "}},
		{"SMTPUTF8", "587", "Grüße", true, nil, []string{"with UTF8SMTPSA id ", "for <dave@example.net>; "}},
		{"SMTPUTF8, two recipients", "465", "Grüße", true, []string{"erin@example.net"}, []string{"with UTF8SMTPSA id ", ";"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			id := fmt.Sprintf("<private.%s@example.org>", strings.Map(letters, tc.name))
			msg := lab.Message{
				From: box.User, To: "dave@example.net", Subject: tc.subject, ID: id, Body: "Hello.\n",
				Extra: []string{"X-Originating-IP: [" + lab.UserIP + "]", "User-Agent: Secret/1.0 (" + lab.UserIP + ")"},
			}
			m := submission(box, "dave@example.net", msg)
			m.To, m.UTF8, m.RcptTo = lab.ServerIP+":"+tc.port, tc.utf8, append(m.RcptTo, tc.more...)
			wantTaken(t, send(t, m))
			got, err := the.Await(id)
			if err != nil {
				t.Fatal(err)
			}
			for _, secret := range clientSecrets {
				if bytes.Contains(got.Data, []byte(secret)) {
					t.Errorf("%q leaves with the message:\n%s", secret, got.Data)
				}
			}
			received := lab.Fields(got.Data, "Received")
			if len(received) != 1 {
				t.Fatalf("Received = %q, want one", received)
			}
			for _, kept := range append(tc.kept, "by "+lab.Hostname) {
				if !strings.Contains(received[0], kept) {
					t.Errorf("Received = %q, want %q in it", received[0], kept)
				}
			}
		})
	}
}

// letters drops what has no place in a Message-ID.
func letters(r rune) rune {
	if r == ' ' || r == ',' {
		return -1
	}
	return r
}

// TestReceivedForms asks the table of submission-cleanup about the forms that
// Postfix 3.7 can write under other settings than ours (its smtpd.c: TLS,
// smtpd_sasl_authenticated_header, a proxy filter, which leaves out the queue
// id), and about lines that have to stay.
func TestReceivedForms(t *testing.T) {
	const (
		from  = "Received: from [192.168.7.7] (laptop.isp.example [198.51.100.7])\n"
		tls   = "\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)\n\t key-exchange X25519)\n\t(No client certificate requested)\n"
		login = "\t(Authenticated sender: alice@example.org)\n"
		by    = "\tby mx.example.org (Postfix) with "
		end   = "\tfor <dave@example.net>; Fri, 20 Nov 2026 10:00:00 +0000 (UTC)\n"
		date  = "Fri, 20 Nov 2026 10:00:00 +0000 (UTC)\n"
	)
	for _, tc := range []struct{ name, line, want string }{
		{"TLS", from + tls + by + "ESMTPSA id 4XyZ\n" + end, "by mx.example.org (Postfix) with ESMTPSA id 4XyZ"},
		{"no TLS", from + by + "ESMTPA id 4XyZ\n" + end, "with ESMTPA id 4XyZ"},
		{"HELO", from + by + "SMTPA id 4XyZ\n" + end, "with SMTPA id 4XyZ"},
		{"SMTPUTF8", from + tls + by + "UTF8SMTPSA id 4XyZ\n" + end, "with UTF8SMTPSA id 4XyZ"},
		{"SMTPUTF8, no TLS", from + by + "UTF8SMTPA id 4XyZ\n" + end, "with UTF8SMTPA id 4XyZ"},
		{"authenticated sender", from + tls + login + by + "ESMTPSA id 4XyZ\n" + end, "with ESMTPSA id 4XyZ"},
		{"two recipients", from + tls + by + "ESMTPSA id 4XyZ;\n\t" + date, "with ESMTPSA id 4XyZ;"},
		{"proxy filter", from + tls + by + "ESMTPSA\n" + end, "with ESMTPSA"},
		{"proxy filter, two recipients", from + by + "UTF8SMTPSA;\n\t" + date, "with UTF8SMTPSA;"},
		{"a stranger's", "Received: from mail.example.com (mail.example.com [203.0.113.25])\n" + tls + by + "ESMTPS id 4XyZ\n" + end, ""},
		{"another host's", "Received: from laptop (x [192.0.2.9])\n\tby mx2.example.org (Postfix) with ESMTPSA id 4XyZ\n" + end, ""},
		{"sendmail's", "Received: by mx.example.org (Postfix, from userid 1000)\n\tid 4XyZ; " + date, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cmd := exec.Command("postmap", "-hq", "-", "regexp:/etc/postfix/submission_header_checks")
			cmd.Stdin = strings.NewReader(tc.line + "\nBody.\n")
			out, err := cmd.CombinedOutput()
			if tc.want == "" {
				if len(out) > 0 {
					t.Errorf("replaced by %q, want it to stay", out)
				}
				return
			}
			if err != nil {
				t.Fatalf("not found: %v %s", err, out)
			}
			// postmap prints the line, a tab and the action.
			_, action, ok := strings.Cut(string(out), "\tREPLACE Received: by ")
			if !ok || strings.Contains(action, "198.51.100.7") || strings.Contains(action, "alice") {
				t.Fatalf("postmap says %q", out)
			}
			for _, kept := range []string{strings.TrimPrefix(tc.want, "by "), date} {
				if !strings.Contains(action, kept) {
					t.Errorf("replaced by %q, want %q in it", action, kept)
				}
			}
		})
	}
}

// TestAttachedMessageStays: the Received lines of a message that a user
// attaches are content, also where we wrote them.
func TestAttachedMessageStays(t *testing.T) {
	box := user(t, "forwarder")
	const (
		id       = "<attached.1@example.org>"
		received = "Received: from [10.0.0.9] (pc.example [203.0.113.77])\n\tby " + lab.Hostname + " (Postfix) with ESMTPSA id 4XyZ;\n\tFri, 20 Nov 2026 10:00:00 +0000 (UTC)"
	)
	text := "From: " + box.User + "\nTo: dave@example.net\nSubject: Fwd: Minutes\nMessage-ID: " + id +
		"\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\n" +
		received + "\nFrom: bob@example.org\nSubject: Minutes\n\nWe agreed.\n\n--b--\n"
	m := submission(box, "dave@example.net", lab.Message{})
	m.Data = []byte(text)
	wantTaken(t, send(t, m))
	got, err := the.Await(id)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(strings.ReplaceAll(string(got.Data), "\r\n", "\n"), received) {
		t.Errorf("the attached message was changed:\n%s", got.Data)
	}
}
