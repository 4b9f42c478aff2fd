package resolver

import (
	"strings"
	"testing"
)

// TestSecureKinds: records, and whether somebody vouches for them.
func TestSecureKinds(t *testing.T) {
	r, zone := start(t, `
mx.example. MX 10 a.mx.example.
mx.example. MX 5 b.mx.example.
plain.example. MX 10 a.mx.example.
a.mx.example. A 192.0.2.1
a.mx.example. AAAA 2001:db8::1
_25._tcp.a.mx.example. TLSA 3 1 1 `+strings.Repeat("ab", 32)+`
_25._tcp.plain.example. TLSA 2 0 2 `+strings.Repeat("CD", 64)+`
`)
	for _, name := range []string{"mx.example", "a.mx.example", "_25._tcp.a.mx.example"} {
		zone.Secure(name)
	}
	for range 2 { // from the server and from the cache
		mx, secure, err := r.LookupMXSecure(t.Context(), "mx.example")
		if err != nil || !secure || len(mx) != 2 || mx[0].Host != "b.mx.example" {
			t.Errorf("LookupMXSecure(mx.example) = %v, %v, %v", mx, secure, err)
		}
		if _, secure, err := r.LookupMXSecure(t.Context(), "plain.example"); err != nil || secure {
			t.Errorf("LookupMXSecure(plain.example) = %v, %v", secure, err)
		}
		if a, secure, err := r.LookupIPSecure(t.Context(), "a.mx.example"); err != nil || !secure || len(a) != 2 {
			t.Errorf("LookupIPSecure(a.mx.example) = %v, %v, %v", a, secure, err)
		}
		tlsa, secure, err := r.LookupTLSA(t.Context(), "_25._tcp.a.mx.example")
		if want := (TLSA{3, 1, 1, strings.Repeat("ab", 32)}); err != nil || !secure || len(tlsa) != 1 || tlsa[0] != want {
			t.Errorf("LookupTLSA(a.mx.example) = %v, %v, %v, want %v", tlsa, secure, err, want)
		}
		if tlsa, secure, err := r.LookupTLSA(t.Context(), "_25._tcp.plain.example"); err != nil || secure || len(tlsa) != 1 {
			t.Errorf("LookupTLSA(plain.example) = %v, %v, %v, want a record that nobody vouches for", tlsa, secure, err)
		}
	}
}
