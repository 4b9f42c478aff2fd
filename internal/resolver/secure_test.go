package resolver

import (
	"context"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/miekg/dns"
)

func TestSecure(t *testing.T) {
	r, zone := start(t, `
signed.example. TXT "s"
plain.example. TXT "p"
to-signed.example. CNAME signed.example.
both.example. CNAME signed.example.
`)
	zone.AddTXT("cut.example", strings.Repeat("x", 4000))
	for _, name := range []string{"signed.example", "both.example", "cut.example", "gone.example"} {
		zone.Secure(name)
	}
	for name, want := range map[string]bool{
		"signed.example": true, "plain.example": false, "both.example": true, "to-signed.example": false,
		"cut.example":  true,  // over TCP
		"gone.example": true,  // no such name is an answer, too
		"not a..name":  false, // nobody was asked
	} {
		for _, from := range []string{"server", "cache"} {
			if _, got, err := r.LookupTXTSecure(t.Context(), name); got != want || err != nil {
				t.Errorf("LookupTXTSecure(%s) from the %s = %v, %v, want %v", name, from, got, err, want)
			}
		}
	}
}

func TestTrusts(t *testing.T) {
	for _, tc := range []struct {
		server string
		all    bool
		want   bool
	}{
		{"127.0.0.1:53", false, true},
		{"127.0.53.1:5353", false, true},
		{"[::1]:53", false, true},
		{"[::ffff:127.0.0.1]:53", false, true},
		{"192.0.2.53:53", false, false},
		{"10.0.0.1:53", false, false},
		{"[fe80::1]:53", false, false},
		{"192.0.2.53:53", true, true},
	} {
		if got := (Config{TrustAD: tc.all}).trusts(tc.server); got != tc.want {
			t.Errorf("trusts(%s) with trust_ad %v = %v, want %v", tc.server, tc.all, got, tc.want)
		}
	}
}

// TestUntrustedAD: a server elsewhere that sets the bit on everything is not
// asked for it and not believed.
func TestUntrustedAD(t *testing.T) {
	zone := map[string]string{
		"a.example.":      `a.example. 300 IN TXT "x"`,
		"half.example.":   "half.example. 300 IN CNAME target.example.",
		"target.example.": `target.example. 300 IN TXT "x"`,
	}
	for _, trust := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			r, _ := fake(t, zone, func(c *Config) { c.TrustAD = trust })
			answer := r.exchange
			r.exchange = func(ctx context.Context, network, server string, q *dns.Msg) (*dns.Msg, error) {
				if q.AuthenticatedData != trust {
					t.Errorf("%s is asked with AD %v, want %v", server, q.AuthenticatedData, trust)
				}
				m, err := answer(ctx, network, server, q)
				if m != nil {
					m.AuthenticatedData = q.Question[0].Name != "half.example."
				}
				return m, err
			}
			if _, got, err := r.LookupTXTSecure(t.Context(), "a.example"); got != trust || err != nil {
				t.Errorf("LookupTXTSecure with trust_ad %v = %v, %v", trust, got, err)
			}
			// An alias that is not validated leads to what is.
			if txt, got, err := r.LookupTXTSecure(t.Context(), "half.example"); got || err != nil || len(txt) != 1 {
				t.Errorf("LookupTXTSecure(half.example) = %q, %v, %v, want it not to be secure", txt, got, err)
			}
		})
	}
}

// TestNamesThatNetRefuses asks for names that net.Resolver does not even put to
// a server. SPF macros make such names (RFC 7208 §7).
func TestNamesThatNetRefuses(t *testing.T) {
	names := []string{"a:b.example", "a/b.example", "a b.example", "192.0.2.1/24.example", `a"b@c.example`}
	r, zone := start(t, "")
	for _, n := range names {
		zone.AddTXT(n, "here")
	}
	dialed := false
	std := net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		dialed = true
		return nil, net.ErrClosed
	}}
	for _, n := range names {
		if txt, err := r.LookupTXT(t.Context(), n); err != nil || len(txt) != 1 || txt[0] != "here" {
			t.Errorf("LookupTXT(%q) = %q, %v", n, txt, err)
		}
		if _, err := std.LookupTXT(t.Context(), n); err == nil || dialed {
			t.Errorf("net.Resolver takes %q now: %v", n, err)
		}
	}
}
