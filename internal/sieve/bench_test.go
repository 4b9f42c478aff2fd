package sieve

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/rawmsg"
)

// benchMessage is mail as it comes: 36 KB with some 25 fields.
func benchMessage() []byte {
	var b strings.Builder
	for i := range 6 {
		fmt.Fprintf(&b, "Received: from mx%d.example.org (mx%d.example.org [192.0.2.%d])\r\n\tby mail.example.net (Postfix) with ESMTPS id 4ABC%d\r\n\tfor <user@example.net>; Fri, 20 Nov 2026 15:00:0%d +0000 (UTC)\r\n", i, i, i, i, i)
	}
	b.WriteString("From: =?utf-8?q?J=C3=BCrgen?= <juergen@example.org>\r\nTo: user@example.net, \"Other, One\" <other@example.com>\r\n" +
		"Cc: a@example.com, b@example.com, c@example.com\r\nSubject: =?utf-8?B?VMOkZ2xpY2hlciBCZXJpY2h0?= of the week\r\n" +
		"Date: Fri, 20 Nov 2026 15:00:00 +0000\r\nMessage-ID: <1234@example.org>\r\nList-Id: <weekly.example.org>\r\n" +
		"X-Spam-Score: No, score=-3.2\r\nMIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n" +
		"--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n")
	for b.Len() < 18<<10 {
		b.WriteString("Some line of text as people write it, nothing to see here.\r\n")
	}
	b.WriteString("--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<html>")
	for b.Len() < 36<<10 {
		b.WriteString("<p>Some line of text as people write it, <b>nothing</b> to see here.</p>\r\n")
	}
	b.WriteString("</html>\r\n--b--\r\n")
	return []byte(b.String())
}

// fiftyRules is a script as mail programs write it.
func fiftyRules() string {
	var b strings.Builder
	b.WriteString("require [\"fileinto\", \"imap4flags\", \"regex\", \"variables\", \"subaddress\", \"envelope\", \"date\", \"relational\"];\n")
	for i := range 50 {
		switch i % 5 {
		case 0:
			fmt.Fprintf(&b, "# rule:[list %d]\nif header :contains \"List-Id\" \"<list%d.example.com>\" { fileinto \"Lists.l%d\"; stop; }\n", i, i, i)
		case 1:
			fmt.Fprintf(&b, "if address :is :all \"from\" [\"friend%d@example.com\", \"friend%d@example.org\"] { addflag \"\\\\Flagged\"; fileinto \"Friends\"; }\n", i, i)
		case 2:
			fmt.Fprintf(&b, "if anyof (header :matches \"Subject\" \"[ticket%d-*] *\", header :contains [\"to\", \"cc\"] \"box%d@\") { fileinto \"Tickets.${1}\"; stop; }\n", i, i)
		case 3:
			fmt.Fprintf(&b, "if allof (header :contains \"subject\" \"invoice %d\", not size :over 2M) { fileinto \"Invoices\"; }\n", i)
		case 4:
			fmt.Fprintf(&b, "if header :regex \"subject\" \"^(re|fwd?): .*project-%d\" { fileinto \"Projects.p%d\"; stop; }\n", i, i)
		}
	}
	return b.String()
}

func BenchmarkRun(b *testing.B) {
	s, err := Compile(fiftyRules(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	raw := benchMessage()
	env := &Env{Limits: DefaultLimits(), Now: time.Unix(1795000000, 0), Envelope: Envelope{From: "juergen@example.org", To: "user@example.net"}}
	b.ReportAllocs()
	for b.Loop() {
		res, err := Run(context.Background(), s, env, NewMessage(rawmsg.Scan(raw, rawmsg.Default())), nil)
		if err != nil || !res.ImplicitKeep {
			b.Fatal(res, err)
		}
	}
}

// BenchmarkScan is the part of BenchmarkRun that delivery has done already.
func BenchmarkScan(b *testing.B) {
	raw := benchMessage()
	for b.Loop() {
		rawmsg.Scan(raw, rawmsg.Default())
	}
}

func BenchmarkParse(b *testing.B) {
	src := strings.Repeat(fiftyRules(), 100)
	b.SetBytes(int64(len(src)))
	b.ReportAllocs()
	for b.Loop() {
		f := &faults{}
		if parse(src, f); f.any() {
			b.Fatal(f.list[0].err)
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	src := fiftyRules()
	b.SetBytes(int64(len(src)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Compile(src, Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	s, err := Compile(fiftyRules(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	bin := s.Binary()
	b.SetBytes(int64(len(bin)))
	for b.Loop() {
		if _, err := Load(bin, Options{}); err != nil {
			b.Fatal(err)
		}
	}
}
