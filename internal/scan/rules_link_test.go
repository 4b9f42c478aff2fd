package scan

import (
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/mailauth"
	"github.com/gatepost/gatepost/internal/mailauth/authres"
)

// page returns a message of one HTML part.
func page(head, body string) Message {
	return Message{Raw: parse("From: a@shop.com\nTo: bob@example.org\n" + head + "MIME-Version: 1.0\nContent-Type: text/html; charset=utf-8\n\n" + body)}
}

// TestLinkTracking: what other filters took for fraud. A newsletter has its
// links from the service that sends it (rspamd issues 549, 5060, 5361), and the
// report of a mismatch between equal domains was one of letters (5170).
func TestLinkTracking(t *testing.T) {
	const tracked = `<a href="https://click.esp.net/1">www.shop.com</a>`
	others := strings.Repeat(`<a href="https://click.esp.net/2">offer</a> `, 5)
	signed := page("", tracked)
	signed.Auth = mailauth.Results{DKIM: []mailauth.DKIM{{Result: authres.Pass, Domain: "shop.com"}}}
	for _, tc := range []struct {
		name string
		m    Message
		low  float64
		high float64
	}{
		{"one link elsewhere", page("", tracked), 0.5, 0.5},
		{"newsletter", page("List-Unsubscribe: <mailto:x@esp.net>\n", tracked+others), 0, 0},
		{"newsletter without the field", page("", tracked+others), 0.05, 0.3},
		{"who is shown has signed", signed, 0, 0},
		{"the link tells where it goes on to", page("", `<a href="https://safelinks.example.net/?url=https%3A%2F%2Fwww.shop.com%2Fx">www.shop.com</a>`), 0.05, 0.3},
		{"the host stands in the path", page("", `<a href="https://evil.net/www.shop.com">www.shop.com</a>`), 0.5, 0.5},
		{"letters and A-labels", page("", `<a href="https://xn--bcher-kva.de/">www.bücher.de</a>`), 0, 0},
		{"capital letters", page("", `<a href="https://WWW.Shop.COM/">www.shop.com</a>`), 0, 0},
		{"near miss", page("", `<a href="https://www.paypa1.com/">www.paypal.com</a>`), 1, 1},
		{"name in a label", page("", `<a href="https://paypal.evil.net/">www.paypal.com</a>`), 1, 1},
		{"two letters changed places", page("", `<a href="https://payapl.com/">paypal.com</a>`), 1, 1},
	} {
		share := 0.0
		for _, h := range Hits(tc.m, noon) {
			if h.Rule == "LINK_MISMATCH" {
				share = h.Share
			}
		}
		if share < tc.low || share > tc.high {
			t.Errorf("%s: %v of LINK_MISMATCH, want %v to %v", tc.name, share, tc.low, tc.high)
		}
	}
}

// TestHonestContent: forms of honest mail that rules of other filters hit. No
// rule about content may say anything but what want names.
func TestHonestContent(t *testing.T) {
	const plain = "From: a@shop.com\nTo: bob@example.org\nSubject: Hi\nMessage-ID: <1@shop.com>\nDate: Thu, 15 Jan 2026 11:00:00 +0000\nMIME-Version: 1.0\n"
	for name, tc := range map[string]struct{ in, want string }{
		"a list's footer behind base64 (Mailman)":    {plain + "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\nR3LDvMOfZSBhdXMgS8O2bG4sIHVuZCBiaXMgRnJlaXRhZyBpbSBHYXJ0ZW4=\n", ""},
		"quoted-printable of plain text (Mailchimp)": {plain + "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\nDear Bob, this is a letter that could =\nstand as it is.\n", ""},
		"mixed with text only (rspamd issue 3071)":   {plain + "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain; charset=utf-8\n\nDear Bob, see you on Friday.\n--b--\n", ""},
		"names of Europe (3156, 6254, 1480)":         {plain + "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nVážený pane Dvořáku, kedves Szabó Győző, lieber Jörg, sayın Çağlar Işık, αγαπητέ Γιώργο, Nguyễn Thị Hằng\n", ""},
		"a bill with a link":                         {plain + "Content-Type: text/plain; charset=utf-8\n\nThank you for your order. Invoice number 8831. It has been charged to your card.\nSee https://www.shop.com/orders/8831 or call us: +1 (888) 555-0142\n", ""},
		"invitation":                                 {plain + "Content-Type: multipart/alternative; boundary=b\n\n--b\nContent-Type: text/plain; charset=utf-8\n\nTea party on Friday at the hatter's\n--b\nContent-Type: text/calendar; method=REQUEST\n\nBEGIN:VCALENDAR\n--b--\n", ""},
		"sources in brackets":                        {plain + "Content-Type: text/plain; charset=utf-8\n\nSee [1] and (https://git.kernel.org/pub/scm/.git/x?h=v6.1), file:///etc/hosts, user@host:/path and 10.0.0.1:8080/x. It was fine when I looked at it.\n\n[1]: https://www.rfc-editor.org/rfc/rfc5322.html#section-3.6\n", ""},
	} {
		raw := parse(tc.in)
		for _, l := range Scan(Default(), Message{Raw: raw}, noon).Lines {
			if l.Score > 0 && strings.Contains(" mime attachment html url text ", " "+l.Group+" ") && l.Name != tc.want {
				t.Errorf("%s: %+v", name, l)
			}
		}
	}
}
