package trace

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/received"
)

const (
	host     = "mx.example.org"
	postfix  = "Received: from client.example.net (client.example.net [192.0.2.1])\n\t(using TLSv1.3 with cipher X (256/256 bits))\n\tby mx.example.org (Postfix) with ESMTPS id 4XyZ1b2c3dzABC\n\tfor <alice@example.org>; Fri, 20 Nov 2026 11:30:00 +0000 (UTC)\n"
	lmtp     = "Return-Path: <bob@example.net>\nDelivered-To: alice@example.org\nReceived: from mx.example.org ([unix socket])\n\tby mx.example.org with LMTP\n\tid a1b2\n\t(envelope-from <bob@example.net>)\n\tfor <alice@example.org>; Fri, 20 Nov 2026 11:30:01 +0000\n"
	verdicts = "Authentication-Results: mx.example.org; spf=pass\n"
	scores   = "X-Spam-Status: No, score=0.1\nX-Gatepost-Score: 0.10\n"
	original = "Received: from a.example.net by b.example.net with ESMTP id 77;\n\tFri, 20 Nov 2026 11:29:00 +0000\nDelivered-To: list@example.net\nAuthentication-Results: b.example.net; spf=pass\nMessage-ID: <1@example.net>\nFrom: bob@example.net\nSubject: a\n\tb\n"
	body     = "\nhello\n\nReceived: not a field\n"
)

func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

func TestCut(t *testing.T) {
	cfg := Config{Hostname: host, AuthservID: host}
	arrived := time.Date(2026, 11, 20, 11, 30, 0, 0, time.UTC)
	ours := Trace{QueueID: "4XyZ1b2c3dzABC", Arrived: arrived, MessageID: "1@example.net"}
	foreign := Trace{MessageID: "1@example.net"}
	seal := "ARC-Seal: i=2; a=rsa-sha256; d=example.org; cv=pass; b=x\nARC-Message-Signature: i=2; d=example.org; b=y\nARC-Authentication-Results: i=2; mx.example.org; spf=pass\n"
	theirs := "ARC-Seal: i=1; a=rsa-sha256; d=example.net; cv=none; b=x\nARC-Message-Signature: i=1; d=example.net; b=y\nARC-Authentication-Results: i=1; b.example.net; spf=pass\n"
	for _, tc := range []struct {
		name, file, want string
		trace            Trace
	}{
		{"as Postfix has it", postfix + verdicts + original + scores + body, original + body, ours},
		{"delivered by us", lmtp + postfix + verdicts + original + scores + body, original + body, ours},
		{"CRLF on the disk", crlf(lmtp + postfix + verdicts + original + scores + body), original + body, ours},
		{"mbox line in front", "From bob Fri Nov 20 11:30:00 2026\n" + lmtp + postfix + original + body, original + body, ours},
		{"with our seal above theirs", postfix + seal + verdicts + theirs + original + body, theirs + original + body, ours},
		{"a seal that only says to be ours", postfix + "X-Other: 1\n" + seal + original + body, "X-Other: 1\n" + seal + original + body, ours},
		{"never came through here", original + body, original + body, foreign},
		{"delivered elsewhere", "Return-Path: <a@b>\nDelivered-To: alice@example.org\nX-Original-To: b@c\n" + original + body, original + body, foreign},
		{"another host's Postfix", strings.ReplaceAll(postfix, host, "mx.example.net") + original + body, strings.ReplaceAll(postfix, host, "mx.example.net") + original + body, foreign},
		{"forged below ours", postfix + strings.Replace(postfix, "4XyZ1b2c3dzABC", "FORGED", 1) + original + body, strings.Replace(postfix, "4XyZ1b2c3dzABC", "FORGED", 1) + original + body, ours},
		{"a HELO that tells a Received", strings.Replace(postfix, "from client.example.net", "from x by mx.example.org id FORGED; Fri,", 1) + original + body,
			strings.Replace(postfix, "from client.example.net", "from x by mx.example.org id FORGED; Fri,", 1) + original + body, foreign},
		{"a recipient that ends his path early", strings.Replace(postfix, "<alice@example.org>", `<"alice+>"@example.org>`, 1) + strings.Replace(postfix, "4XyZ1b2c3dzABC", "FORGED", 1) + original + body,
			strings.Replace(postfix, "4XyZ1b2c3dzABC", "FORGED", 1) + original + body, ours},
		{"a field as long as HELO and a recipient make it", strings.NewReplacer("from client.example.net", "from "+strings.Repeat("h", 2000), "<alice@", "<alice+"+strings.Repeat("x", 2000)+"@").Replace(postfix) +
			strings.Replace(postfix, "4XyZ1b2c3dzABC", "FORGED", 1) + original + body, strings.Replace(postfix, "4XyZ1b2c3dzABC", "FORGED", 1) + original + body, ours},
		{"a recipient with a quote", strings.Replace(postfix, "<alice@example.org>", `<"al\\\"ice; (>"@example.org>`, 1) + original + body, original + body, ours},
		{"no body", postfix + original, original, ours},
		{"a line that is no field", postfix + original + "no field\nX-Spam-Flag: YES\n", original + "no field\nX-Spam-Flag: YES\n", ours},
		{"empty", "", "", Trace{}},
		{"no header", "\nhello\n", "\nhello\n", Trace{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, tr := Cut([]byte(tc.file), cfg)
			if string(got) != crlf(tc.want) || !tr.Arrived.Equal(tc.trace.Arrived) || tr.QueueID != tc.trace.QueueID || tr.MessageID != tc.trace.MessageID {
				t.Errorf("Cut(%q) =\n%q, %+v\nwant\n%q, %+v", tc.file, got, tr, crlf(tc.want), tc.trace)
			}
		})
	}
}

// TestCutBytes: the milter looks at the first ScanBytes of a message, with CRLF
// and without our fields.
func TestCutBytes(t *testing.T) {
	cfg := Config{Hostname: host, AuthservID: host, ScanBytes: 1000}
	file := lmtp + postfix + verdicts + original + scores + "\n" + strings.Repeat("text\n", 10000)
	got, _ := Cut([]byte(file), cfg)
	want := crlf(original + "\n" + strings.Repeat("text\n", 10000))[:1000]
	if string(got) != want {
		t.Errorf("Cut = %d bytes, want %d: …%q, want …%q", len(got), len(want), got[max(0, len(got)-20):], want[len(want)-20:])
	}
}

func TestCanonical(t *testing.T) {
	for in, want := range map[string]string{" <a@b> ": "a@b", "a@b": "a@b", "<a@b> (comment)": "a@b", "x <a@b>": "a@b", "": "", "<>": "<>"} {
		if got := Canonical(in); got != want {
			t.Errorf("Canonical(%q) = %q, want %q", in, got, want)
		}
	}
	if got := Canonical(strings.Repeat("x", 9999)); len(got) != maxID {
		t.Errorf("a long one has %d bytes", len(got))
	}
}

// FuzzCut: no panic, and to cut what was cut changes nothing, unless the sender
// himself had put a Received of ours below ours.
func FuzzCut(f *testing.F) {
	f.Add([]byte(lmtp + postfix + verdicts + original + scores + body))
	f.Add([]byte("Received: by mx.example.org (" + strings.Repeat("(", 100) + ") with SMTP id A; Fri, 20 Nov 2026 11:30:00 +0000\n\n"))
	f.Add([]byte("ARC-Authentication-Results: i=1; mx.example.org\nARC-Seal: i=1\n\n\r\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		cfg := Config{Hostname: host, AuthservID: host}
		once, tr := Cut(b, cfg)
		if len(once) > 2*len(b) {
			t.Fatalf("%d bytes of %d", len(once), len(b))
		}
		if tr.QueueID != "" && !received.ValidQueueID(tr.QueueID) {
			t.Fatalf("queue id %q", tr.QueueID)
		}
		if bytes.Contains(bytes.ReplaceAll(once, []byte("\r\n"), nil), []byte("\n")) {
			t.Fatalf("bare LF in %q", once)
		}
	})
}

func TestAuthor(t *testing.T) {
	cfg := Config{Hostname: host, AuthservID: host}
	pass := "Authentication-Results: mx.example.org;\n\tdmarc=pass header.from=example.net\n"
	for _, tc := range []struct{ name, file, want string }{
		{"passed", postfix + pass + "From: Bob <bob@example.net>\n\nb\n", "bob@example.net"},
		{"failed", postfix + verdicts + "From: bob@example.net\n\n", ""},
		{"passed elsewhere", strings.ReplaceAll(pass, host, "mx.example.net") + "From: bob@example.net\n\n", ""},
		{"two authors", pass + "From: bob@example.net, eve@example.net\n\n", ""},
		{"two fields", pass + "From: bob@example.net\nFrom: eve@example.net\n\n", ""},
		{"in the body", "From: bob@example.net\n\n" + pass, ""},
		{"none", pass + "\n", ""},
	} {
		if a, ok := Author([]byte(tc.file), cfg); ok != (tc.want != "") || a.String() != tc.want {
			t.Errorf("%s: Author = %v, %v, want %q", tc.name, a, ok, tc.want)
		}
	}
}
