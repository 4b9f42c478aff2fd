package received

import (
	"strings"
	"testing"
	"time"
)

const host = "mx.example.test"

func TestParse(t *testing.T) {
	const date = "; Fri, 20 Nov 2026 06:55:35 +0000 (UTC)"
	at := time.Date(2026, 11, 20, 6, 55, 35, 0, time.UTC)
	for _, tc := range []struct {
		name, in, id string
	}{
		{"smtpd", "from x (unknown [127.0.0.1])\tby mx.example.test (Postfix) with ESMTP id 6F5FC9BA7FA" + date, "6F5FC9BA7FA"},
		{"one recipient", "from x (unknown [127.0.0.1])\tby mx.example.test (Postfix) with UTF8SMTP id EFB089BA860\tfor <tøm@example.test>" + date, "EFB089BA860"},
		{"quoted recipient", `from x (unknown [127.0.0.1]) by mx.example.test (Postfix) with ESMTP id AB12 for <"a; b> (c"@example.test>` + date, "AB12"},
		{"TLS and SASL", "from [192.0.2.1] (host.example [192.0.2.1])\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)\t key-exchange X25519)\t(No client certificate requested)\t(Authenticated sender: a@b.example)\tby mx.example.test (Postfix) with ESMTPSA id 3xVb4g0Nmcz1Lr" + date, "3xVb4g0Nmcz1Lr"},
		{"bounce", "by mx.example.test (Postfix)\tid 874A69BA82D" + date, "874A69BA82D"},
		{"sendmail", "by mx.example.test (Postfix, from userid 1000)\tid 874A69BA82D" + date, "874A69BA82D"},
		{"client part replaced", "by MX.Example.Test (Postfix) with ESMTPSA id 874A69BA82D" + date, "874A69BA82D"},
		{"HELO is a keyword", "from by (unknown [127.0.0.1])\tby mx.example.test (Postfix) with ESMTP id AB12" + date, "AB12"},
		{"from quarantine", "by mx.example.test (Gatepost) with LMTP id AB12" + date, "AB12"},
		{"day with one digit and a blank", "by mx.example.test (Postfix) id AB12; Fri,  6 Nov 2026 06:55:35 +0000 (UTC)", "AB12"},
		{"another host", "from x (unknown [127.0.0.1])\tby mx.evil.test (Postfix) with ESMTP id 6F5FC9BA7FA" + date, ""},
		{"our LMTP field", "from mx.example.test by mx.example.test with LMTP id ABC.1" + date, ""},
		{"forged in the client's name", "from x (by mx.example.test (Postfix) with ESMTP id FAKE" + date + ")\tby mx.evil.test (Postfix) with ESMTP id AB12" + date, ""},
		{"forged in HELO", "from x by mx.example.test (Postfix) with ESMTP id FAKE" + date + " (unknown [127.0.0.1])\tby mx.example.test (Postfix) with ESMTP id AB12" + date, ""},
		{"no client", "from x by mx.example.test (Postfix) with ESMTP id AB12" + date, ""},
		{"open comment", "from x (unknown by mx.example.test (Postfix) with ESMTP id AB12" + date, ""},
		{"open path", "by mx.example.test (Postfix) id AB12 for <a@b" + date, ""},
		{"no date", "by mx.example.test (Postfix) with ESMTP id AB12", ""},
		{"odd date", "by mx.example.test (Postfix) with ESMTP id AB12; yesterday", ""},
		{"odd id", "by mx.example.test (Postfix) with ESMTP id ../../x" + date, ""},
		{"word too many", "by mx.example.test (Postfix) with ESMTP id AB12 via x" + date, ""},
		{"empty", "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, ok := Parse(tc.in, host)
			if ok != (tc.id != "") || got.QueueID != tc.id {
				t.Fatalf("Parse(%q) = %+v, %t, want %q", tc.in, got, ok, tc.id)
			}
			if want := at; ok && tc.name != "day with one digit and a blank" && !got.Date.Equal(want) {
				t.Errorf("Date = %v, want %v", got.Date, want)
			}
		})
	}
	if _, ok := Parse("by  (Postfix) id AB12"+date, ""); ok {
		t.Error("an empty host name matched")
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"from x (unknown [127.0.0.1])\tby mx.example.test (Postfix) with ESMTP id 6F5FC9BA7FA; Fri, 20 Nov 2026 06:55:35 +0000 (UTC)",
		"by mx.example.test (Postfix)\tid 874A69BA82D\tfor <\"a\\\"b\"@c>; Fri, 20 Nov 2026 06:55:35 +0000",
		"((((", "from (a\\", "by mx.example.test (Postfix) id <;>; ;",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, ok := Parse(s, host)
		if !ok {
			return
		}
		wire := "by " + host + " (Postfix) id " + r.QueueID + "; " + r.Date.Format("Mon, 2 Jan 2006 15:04:05 -0700")
		again, ok := Parse(wire, host)
		if !ok || again.QueueID != r.QueueID || !again.Date.Equal(r.Date) {
			t.Errorf("Parse(%q) = %+v, %t, want %+v", wire, again, ok, r)
		}
	})
}

func FuzzValidQueueID(f *testing.F) {
	for _, s := range []string{"6F5FC9BA7FA", "3xVb4g0Nmcz1Lr", "", "a/b", strings.Repeat("A", 65)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if ValidQueueID(s) && (s == "" || len(s) > 64 || strings.ContainsAny(s, "/ \x00\r\n%*")) {
			t.Errorf("ValidQueueID(%q)", s)
		}
	})
}

func TestByLMTP(t *testing.T) {
	for value, want := range map[string]bool{
		"from mx.example.test by mx.example.test with LMTP id ABC.1 (envelope-from <s@y.test>) for <a@b>; Fri, 06 Nov 2026 07:00:18 +0000": true,
		"from mx.example.test ([127.0.0.1]) by MX.example.test with LMTP id 1; x":                                                          true,
		"from mx.example.test by mx.example.test (Dovecot) with LMTPS id 1; x":                                                             true,
		"from x by mx.other.test with LMTP id 1; x":                                                                                        false,
		"from x (y [192.0.2.1]) by mx.example.test (Postfix) with ESMTP id 1; x":                                                           false,
		"from by mx.example.test with LMTP":                                                                                                false,
		"by mx.example.test with LMTP":                                                                                                     false,
		"":                                                                                                                                 false,
	} {
		if got := ByLMTP(value, "mx.example.test"); got != want {
			t.Errorf("ByLMTP(%q) = %t", value, got)
		}
	}
	if ByLMTP("from x by  with LMTP", "") {
		t.Error("no host is a host")
	}
}
