package account

import (
	"fmt"
	"strings"

	"golang.org/x/net/idna"

	"github.com/gatepost/gatepost/internal/mailaddr"
)

// maxLabel bounds a label of a domain (RFC 1035 §2.3.4).
const maxLabel = 63

// ValidDomain returns nil for a name that can be a mail domain of ours, and
// else an ErrInvalid with the reason: labels of letters, digits and inner
// hyphens (RFC 5321 §4.1.2), two at least, the last one no number. Case and a
// final dot do not matter.
//
// An internationalized domain has to be in its A-label form ("xn--..."). That
// is how the DNS and all senders without SMTPUTF8 name it. Postfix converts
// neither form to the other, so it hands the U-label form over as another
// domain, which is not ours.
func ValidDomain(name string) error {
	invalid := func(why string) error { return fmt.Errorf("%w: %q is no domain: %s", ErrInvalid, name, why) }
	folded := FoldDomain(name)
	switch {
	case folded == "":
		return fmt.Errorf("%w: a domain has a name", ErrInvalid)
	case strings.HasPrefix(folded, "["):
		return invalid("it is an address of the network")
	case len(folded) > mailaddr.MaxDomain:
		return fmt.Errorf("%w: a domain has at most %d bytes", ErrInvalid, mailaddr.MaxDomain)
	}
	for i := range len(folded) {
		if folded[i] >= 0x80 {
			return invalid(inASCII(folded))
		}
	}
	labels := strings.Split(folded, ".")
	for _, l := range labels {
		if !validLabel(l) {
			return invalid("its parts have letters, digits and inner hyphens, 1 to 63 of them")
		}
	}
	if len(labels) < 2 {
		return invalid("it has no dot")
	}
	if strings.Trim(labels[len(labels)-1], "0123456789") == "" {
		return invalid("it ends in a number, as an address of the network does")
	}
	return nil
}

func validLabel(l string) bool {
	if l == "" || len(l) > maxLabel || l[0] == '-' || l[len(l)-1] == '-' {
		return false
	}
	for i := range len(l) {
		c := l[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// inASCII says how a name that is not ASCII has to be written.
func inASCII(name string) string {
	a, err := idna.Lookup.ToASCII(name)
	if err != nil {
		return "it is not ASCII"
	}
	return "write it in ASCII, as " + a
}
