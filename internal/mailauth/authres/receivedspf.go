package authres

import (
	"fmt"
	"net/netip"
	"strings"
)

// ReceivedSPF is what a Received-SPF field says (RFC 7208 §9.1). Fields that
// are empty are left out, but for Result.
type ReceivedSPF struct {
	Result   Result
	ClientIP netip.Addr
	// Identity is the one that was checked: "mailfrom" or "helo".
	Identity     string
	EnvelopeFrom string
	Helo         string
	Receiver     string // the host that checked
	Mechanism    string // the one that matched, as it stands in the record
	Problem      string // why there is no better result
}

// Encode returns the value of the field, without a blank before it and without
// a final line end, in lines as those of the function Encode. It writes no
// comment, and refuses with ErrValue what a quoted string cannot carry.
func (r ReceivedSPF) Encode() (string, error) {
	if !results[r.Result] || r.Result == Policy {
		return "", fmt.Errorf("result %q: %w", r.Result, ErrValue)
	}
	var ip string
	if r.ClientIP.IsValid() {
		ip = r.ClientIP.Unmap().WithZone("").String()
	}
	var words []string
	for _, p := range []struct{ key, value string }{
		{"receiver", r.Receiver}, {"identity", r.Identity}, {"client-ip", ip}, {"envelope-from", r.EnvelopeFrom},
		{"helo", r.Helo}, {"mechanism", r.Mechanism}, {"problem", r.Problem},
	} {
		if p.value == "" {
			continue
		}
		if !Carries(p.value) {
			return "", fmt.Errorf("%s: %w", p.key, ErrValue)
		}
		if !isDotAtom(p.value) {
			p.value = quote(p.value)
		}
		words = append(words, p.key+"="+p.value+";")
	}
	w := folder{col: len("Received-SPF: ")}
	w.word(string(r.Result))
	for i, s := range words {
		if i == len(words)-1 {
			s = strings.TrimSuffix(s, ";")
		}
		w.word(s)
	}
	return w.b.String(), nil
}

// isDotAtom reports whether s is a dot-atom of RFC 5322 §3.2.3 in US-ASCII.
func isDotAtom(s string) bool {
	dot := true
	for i := range len(s) {
		c := s[i]
		if c == '.' && dot || c != '.' && (!isToken(s[i:i+1]) || c < '!') {
			return false
		}
		dot = c == '.'
	}
	return !dot
}
