package scan

import (
	"slices"
	"testing"

	"github.com/gatepost/gatepost/internal/link"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/mailauth"
	"github.com/gatepost/gatepost/internal/mailauth/authres"
)

func TestLooksLike(t *testing.T) {
	for _, tc := range []struct {
		a, own string
		want   bool
	}{
		{"sunf1ower.example", "sunflower.example", true},
		{"sunflowerr.example", "sunflower.example", true},
		{"sunflwoer.example", "sunflower.example", true},
		{"sunfower.example", "sunflower.example", true},
		{"sunflovver.example", "sunflower.example", true},
		{link.ToASCII("sunfl\u043ewer.example"), "sunflower.example", true},
		{"sunflower.test", "sunflower.example", false},
		{"sunflowers-club.example", "sunflower.example", false},
		{"sunflowerr.test", "sunflower.example", false},
		{"suns.example", "sun.example", false},
		{"school41.example", "school42.example", false},
		{"school4.example", "school.example", false},
	} {
		if got := looksLike(tc.a, tc.own); got != tc.want {
			t.Errorf("looksLike(%s, %s) = %v, want %v", tc.a, tc.own, got, tc.want)
		}
	}
}

// TestImpersonationVariants: forms that the two files of a rule do not show.
func TestImpersonationVariants(t *testing.T) {
	from := func(s string, more ...string) Message {
		head := "From: " + s + "\nTo: bob@example.org\n"
		for _, m := range more {
			head += m + "\n"
		}
		return Message{Raw: parse(head + "\nx"), OwnDomains: []string{"example.org"}, RcptTo: []mailaddr.Address{{LocalPart: "bob", Domain: "example.org"}}}
	}
	with := func(m Message, a mailauth.Results) Message { m.Auth = a; return m }
	unknown := mailauth.Results{DKIMChecked: true, SPF: mailauth.SPF{MailFrom: mailauth.SPFMailFrom{Result: authres.TempError}}}
	failed := mailauth.Results{DKIMChecked: true, SPF: mailauth.SPF{MailFrom: mailauth.SPFMailFrom{Result: authres.Fail}}}
	listed := mailauth.Results{DKIMChecked: true, SPF: mailauth.SPF{MailFrom: mailauth.SPFMailFrom{Result: authres.Pass, Domain: "lists.example"}}}
	for _, tc := range []struct {
		rule, name string
		m          Message
		want       bool
	}{
		{"BRAND_NAME", "no proof asked", from("PayPal <a@other.com>"), true},
		{"BRAND_NAME", "brand's own country", from("Amazon.co.jp <a@amazon.co.jp>"), false},
		{"BRAND_NAME", "a list speaks for the brand", from("PayPal via users <users@lists.example>", "List-Id: <users.lists.example>"), false},
		{"BRAND_NAME", "via another list", from("PayPal via users <users@other.com>", "List-Id: <users.lists.example>"), true},
		{"BRAND_NAME", "via without a list", from("PayPal via users <users@lists.example>"), true},
		{"BRAND_NAME", "a family name", from("Chase Miller <a@other.com>"), false},
		{"BRAND_NAME", "a word in another", from("Shell Oilfield Metaphors <a@other.com>"), false},
		{"BRAND_NAME", "ours", from("PayPal desk <a@example.org>"), false},
		{"BRAND_NAME", "Norwegian letters", from("=?utf-8?q?=C3=85se_=C3=98deg=C3=A5rd?= <a@other.com>"), false},
		{"OWN_DOMAIN_FORGED", "fails", with(from("a@example.org"), failed), true},
		{"OWN_DOMAIN_FORGED", "nothing asked", from("a@example.org"), false},
		{"OWN_DOMAIN_FORGED", "DNS was away", with(from("a@example.org"), unknown), false},
		{"OWN_DOMAIN_FORGED", "below", with(from("a@sub.example.org"), failed), true},
		{"FREEMAIL_FORGED", "DNS was away", with(from("a@gmail.com"), unknown), false},
		{"FREEMAIL_FORGED", "fails", with(from("a@gmail.com"), failed), true},
		{"FREEMAIL_FORGED", "a list", with(from("a@gmail.com", "List-Id: <users.lists.example>"), listed), false},
		{"FREEMAIL_FORGED", "says to be a list", with(from("a@gmail.com", "List-Id: <users.lists.example>"), failed), true},
		{"OWN_DOMAIN_FORGED", "says to be a list", with(from("a@example.org", "List-Id: <users.lists.example>"), failed), true},
		{"OWN_DOMAIN_FORGED", "a list passes our own mail on", with(from("a@example.org", "List-Id: <users.lists.example>"), listed), false},
		{"FREEMAIL_FORGED", "a provider that does not sign all", with(from("a@libero.it"), failed), false},
		{"RECIPIENT_DOMAIN_NAME", "ours", from("example.org desk <a@example.org>"), false},
		{"HEADER_MIXED_SCRIPT", "Czech, Hungarian, Turkish, Vietnamese", from("Jiří Őze Işık Nguyễn <a@other.com>"), false},
		{"HEADER_MIXED_SCRIPT", "two scripts, each word of one", from("Αλέξης Papas <a@other.com>"), false},
		{"HEADER_MIXED_SCRIPT", "within a word", from("Pаypal <a@other.com>"), true}, // a Cyrillic a
		{"SUBJECT_ENCODED", "quoted-printable of a service for bulk mail", from("a@other.com", "Subject: =?utf-8?Q?Hello=20you?="), false},
		{"SUBJECT_ENCODED", "needed", from("a@other.com", "Subject: =?utf-8?B?w4Ry?="), false},
	} {
		res := Scan(Default(), tc.m, noon)
		if _, ok := find(res.Lines, tc.rule); ok != tc.want {
			t.Errorf("%s, %s: lines %+v, want it: %v", tc.rule, tc.name, res.Lines, tc.want)
		}
	}
}

// TestTemporaryIsNoReason: with every answer of DNS missing, no rule about
// authentication or the sender's proof adds anything.
func TestTemporaryIsNoReason(t *testing.T) {
	m := Message{Raw: parse("Received: from a by b\nFrom: PayPal <a@gmail.com>\nTo: bob@example.org\nDate: Thu, 15 Jan 2026 11:00:00 +0000\nMessage-ID: <1@gmail.com>\nSubject: x\n\nx"),
		OwnDomains: []string{"gmail.com"}}
	m.Auth.DKIMChecked, m.Auth.DMARCChecked = true, true
	m.Auth.SPF.MailFrom.Result, m.Auth.DMARC.Result, m.Auth.IPRev.Result = authres.TempError, authres.TempError, authres.TempError
	res := Scan(Default(), m, noon)
	for _, l := range res.Lines {
		if l.Score > 0 && slices.Contains([]string{"auth", "session", "impersonation"}, l.Group) && l.Name != "BRAND_NAME" {
			t.Errorf("line %+v", l)
		}
	}
}
