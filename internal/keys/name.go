package keys

import (
	"fmt"
	"strings"
	"time"

	"golang.org/x/net/idna"

	"github.com/gatepost/gatepost/internal/ascii"
)

// Bounds of a domain and a selector, so that both fit one DNS name.
const (
	maxDomain   = 180
	maxSelector = 60
)

// cleanDomain returns domain in lower case, in A-labels (RFC 5890), without a
// final dot. The result is safe as one component of a path: labels of letters,
// digits, "-" and "_" that do not begin with a dot or "-".
func cleanDomain(domain string) (string, error) {
	d := strings.ToLower(strings.TrimSuffix(domain, "."))
	if !ascii.Only(d) {
		a, err := idna.Lookup.ToASCII(d)
		if err != nil {
			return "", fmt.Errorf("%q is not a domain name", domain)
		}
		d = a
	}
	if !validLabels(d, maxDomain) || !strings.Contains(d, ".") {
		return "", fmt.Errorf("%q is not a domain name", domain)
	}
	return d, nil
}

// cleanSelector returns selector in lower case: labels as in cleanDomain
// (RFC 6376 §3.1).
func cleanSelector(selector string) (string, error) {
	s := strings.ToLower(selector)
	if !validLabels(s, maxSelector) {
		return "", fmt.Errorf("%q is not a selector: use letters, digits and \"-\"", selector)
	}
	return s, nil
}

// validLabels reports whether s is labels of at most 63 octets with dots
// between, at most limit octets in all.
func validLabels(s string, limit int) bool {
	if len(s) > limit {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			c := label[i]
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return false
			}
		}
	}
	return true
}

// DefaultSelector returns the selector of a key that is made in t's month:
// "gp202611r" for RSA, "gp202611e" for Ed25519.
func DefaultSelector(alg Algorithm, t time.Time) string {
	letter := "r"
	if alg == Ed25519 {
		letter = "e"
	}
	return "gp" + t.UTC().Format("200601") + letter
}
