package mailaddr

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestParseMailboxes(t *testing.T) {
	for _, tc := range []struct {
		name, in string
		want     []string // "name|address"
		err      error
	}{
		{"bare", "alice@example.org", []string{"|alice@example.org"}, nil},
		{"name", "Alice Liddell <alice@example.org>", []string{"Alice Liddell|alice@example.org"}, nil},
		{"quoted name", `"Liddell, Alice \"Al\"" <alice@example.org>`, []string{`Liddell, Alice "Al"|alice@example.org`}, nil},
		{"no blank", "Alice<alice@example.org>", []string{"Alice|alice@example.org"}, nil},
		{"comment as name", "alice@example.org (Alice (Al) Liddell)", []string{"Alice (Al) Liddell|alice@example.org"}, nil},
		{"RFC 5322 A.1.2", "\"Joe Q. Public\" <john.q.public@example.com>,\r\n Mary Smith <mary@x.test>, jdoe@example.org, Who? <one@y.test>",
			[]string{"Joe Q. Public|john.q.public@example.com", "Mary Smith|mary@x.test", "|jdoe@example.org", "Who?|one@y.test"}, nil},
		{"RFC 5322 A.1.3 group", "A Group:Ed Jones <c@a.test>,joe@where.test,John <jdoe@one.test>;",
			[]string{"Ed Jones|c@a.test", "|joe@where.test", "John|jdoe@one.test"}, nil},
		{"RFC 5322 A.1.3 empty group", "Undisclosed recipients:;", nil, nil},
		{"RFC 5322 A.5", "Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>", []string{"Pete|pete@silly.test"}, nil},
		{"RFC 5322 A.6.1 obsolete", "Joe Q. Public <john.q.public@example.com>", []string{"Joe Q. Public|john.q.public@example.com"}, nil},
		{"RFC 5322 A.6.1 route and empty entry", "Mary Smith <@node.test:mary@example.net>, , jdoe@test   . example", []string{"Mary Smith|mary@example.net", "|jdoe@test.example"}, nil},
		{"address as a name", "service@bank.example <evil@host.example>", []string{"service@bank.example|evil@host.example"}, nil},
		{"encoded-word stays", "=?utf-8?q?=C3=A4?= <a@b.example>", []string{"=?utf-8?q?=C3=A4?=|a@b.example"}, nil},
		{"quoted local part", `"a b"@example.org`, []string{`|"a b"@example.org`}, nil},
		{"quoted at sign in brackets", `<"a@b>c"@example.org>`, []string{`|"a@b>c"@example.org`}, nil},
		{"literal", "a@[192.0.2.1]", []string{"|a@[192.0.2.1]"}, nil},
		{"UTF-8", "Дмитрий <дмитрий@почта.рф>", []string{"Дмитрий|дмитрий@почта.рф"}, nil},
		{"raw 8 bit name", "J\xf6rg <j@b.example>", []string{"J\xf6rg|j@b.example"}, nil},
		{"local part alone", "root (Cron Daemon)", []string{"Cron Daemon|root"}, nil},
		{"empty", "", nil, nil},
		{"comment alone", "(nobody)", nil, nil},
		{"semicolons", "a@b.example; c@d.example", []string{"|a@b.example", "|c@d.example"}, nil},
		{"open bracket", "A <a@b.example", []string{"A|a@b.example"}, nil},
		{"two words", "alice example", nil, ErrSyntax},
		{"empty brackets", "Alice <>", nil, ErrSyntax},
		{"one bad of three", "a@b.example, c d@e.example, f@g.example", []string{"|a@b.example", "|f@g.example"}, ErrSyntax},
		{"8 bit local part", "\xe4@b.example", nil, ErrSyntax},
		{"control", "a\x01@b.example", nil, ErrSyntax},
		{"too many", strings.Repeat("a@b.example,", MaxMailboxes+1), slices.Repeat([]string{"|a@b.example"}, MaxMailboxes), ErrTooLong},
		{"too long", strings.Repeat(" ", MaxMailboxBytes+1), nil, ErrTooLong},
	} {
		t.Run(tc.name, func(t *testing.T) {
			boxes, err := ParseMailboxes([]byte(tc.in))
			var got []string
			for _, b := range boxes {
				got = append(got, fmt.Sprintf("%s|%s", b.Name, b.Addr))
			}
			if !slices.Equal(got, tc.want) || !errors.Is(err, tc.err) {
				t.Errorf("ParseMailboxes(%.200q) = %.300q, %v, want %.300q, %v", tc.in, got, err, tc.want, tc.err)
			}
		})
	}
}

func FuzzParseMailboxes(f *testing.F) {
	for _, s := range []string{
		`"a\"" <b@c>, d:e@f,;`, "a (b (c) \\) d) @ e . f", "<@a,@b:c@d>", `<"a>"@b>`, "((((", "a:b:c;:", `"`, "<", "\\",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		boxes, _ := ParseMailboxes(value)
		for _, b := range boxes {
			again, err := ParseMailboxes([]byte(b.Addr.Path()))
			if err != nil || len(again) != 1 || again[0].Addr != b.Addr {
				t.Fatalf("ParseMailboxes(%q) has %+v, which reads again as %+v, %v", value, b, again, err)
			}
		}
	})
}
