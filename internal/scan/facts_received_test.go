package scan

import (
	"net/netip"
	"testing"
	"time"
)

func TestReadHop(t *testing.T) {
	at := time.Date(2026, 1, 15, 11, 0, 1, 0, time.UTC)
	for _, tc := range []struct {
		name, in string
		want     hop
	}{
		{"Postfix", "from helo.example (mx.example [203.0.113.9])\n\tby mail.example.org (Postfix) with ESMTPS id 1; Thu, 15 Jan 2026 11:00:01 +0000",
			hop{from: true, helo: "helo.example", name: "mx.example", by: "mail.example.org", with: "esmtps", at: at}},
		{"Postfix, no name", "from helo.example (unknown [203.0.113.9]) by mail.example.org (Postfix) with ESMTP id 1",
			hop{from: true, helo: "helo.example", nameless: true, by: "mail.example.org", with: "esmtp"}},
		{"Postfix, login", "from [10.0.0.1] (mx.example [203.0.113.9]) (Authenticated sender: a) by mail.example.org (Postfix) with ESMTPA id 1",
			hop{from: true, helo: "[10.0.0.1]", name: "mx.example", by: "mail.example.org", with: "esmtpa", login: true}},
		{"Exim", "from mx.example ([203.0.113.9] helo=helo.example) by mail.example.org with esmtps (Exim 4.95)",
			hop{from: true, helo: "helo.example", name: "mx.example", by: "mail.example.org", with: "esmtps"}},
		{"Exim, name and HELO are one", "from mx.example ([203.0.113.9]) by mail.example.org with esmtps (Exim 4.95)",
			hop{from: true, helo: "mx.example", name: "mx.example", by: "mail.example.org", with: "esmtps"}},
		{"Exim, no name", "from [203.0.113.9] (helo=helo.example) by mail.example.org with esmtp (Exim 4.95)",
			hop{from: true, helo: "helo.example", nameless: true, by: "mail.example.org", with: "esmtp"}},
		{"qmail", "from unknown (HELO helo.example) (203.0.113.9) by mail.example.org with SMTP; 15 Jan 2026 11:00:01 -0000",
			hop{from: true, helo: "helo.example", nameless: true, by: "mail.example.org", with: "smtp", at: at}},
		{"Sendmail", "from helo.example (user@mx.example [203.0.113.9]) by mail.example.org (8.18/8.18) with ESMTP id x",
			hop{from: true, helo: "helo.example", name: "mx.example", by: "mail.example.org", with: "esmtp"}},
		{"Sendmail, forged", "from helo.example (mx.example [203.0.113.9] (may be forged)) by mail.example.org with ESMTP id x",
			hop{from: true, helo: "helo.example", by: "mail.example.org", with: "esmtp"}},
		{"Exchange", "from A.example (203.0.113.9) by B.example (10.0.0.2) with Microsoft SMTP Server id 15",
			hop{from: true, helo: "A.example", by: "b.example", with: "microsoft"}},
		{"no client", "by mail.example.org with HTTP; Thu, 15 Jan 2026 11:00:01 +0000",
			hop{by: "mail.example.org", with: "http", login: true, at: at}},
		{"nothing", "", hop{}},
		{"from alone", "from ", hop{from: true}},
	} {
		tc.want.addr = netip.Addr{}
		got := readHop(tc.in)
		if got.from && tc.name != "from alone" && got.addr != netip.MustParseAddr("203.0.113.9") {
			t.Errorf("%s: address %v", tc.name, got.addr)
		}
		same := got.at.Equal(tc.want.at)
		got.addr, got.at, tc.want.at = netip.Addr{}, time.Time{}, time.Time{}
		if got != tc.want || !same {
			t.Errorf("%s: readHop = %+v, want %+v", tc.name, got, tc.want)
		}
	}
}

func FuzzReadHop(f *testing.F) {
	for _, s := range []string{"from a (b [1.2.3.4]) by c with d; e", "from [1.2.3.4] (helo=x) by y", "from (((([[[[ by", "by", "from\tby "} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		h := readHop(s)
		if h.name != "" && h.nameless {
			t.Fatalf("readHop(%q) = %+v", s, h)
		}
		poolName(h.name, h.addr)
		poolName(h.helo, h.addr)
	})
}

func TestPoolName(t *testing.T) {
	for _, tc := range []struct {
		host, addr string
		want       float64
	}{
		{"203-0-113-9.dsl.access.example", "203.0.113.9", poolSure},
		{"9.113.0.203.dynamic.access.example", "203.0.113.9", poolSure},
		{"host-cb007109.access.example", "203.0.113.9", poolMaybe},
		{"ip203.0-113-9.access.example", "203.0.113.9", poolLikes},
		{"pool7.access.example", "203.0.113.9", poolLikes},
		{"static-203-0-113-9.access.example", "203.0.113.9", poolMaybe},
		{"vps-68f57636.vps.example.net", "203.0.113.9", poolNone},
		{"mail-ed1-f44.google.com", "209.85.208.44", poolNone},
		{"a8-30.smtp-out.amazonses.com", "54.240.8.30", poolNone},
		{"mx1.example.org", "203.0.113.9", poolNone},
		{"example.org", "203.0.113.9", poolNone},
		{"client.example.org", "203.0.113.9", poolNone},
		{"1.2.3.4.access.example", "", poolLikes},
		{"", "203.0.113.9", poolNone},
		{"[203.0.113.9]", "203.0.113.9", poolNone},
	} {
		var a netip.Addr
		if tc.addr != "" {
			a = netip.MustParseAddr(tc.addr)
		}
		if got := poolName(tc.host, a); got != tc.want {
			t.Errorf("poolName(%q, %s) = %v, want %v", tc.host, tc.addr, got, tc.want)
		}
	}
}
