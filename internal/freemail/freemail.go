// Package freemail knows domains under which anybody gets a mailbox: of the
// well-known providers, and of those that give addresses to throw away.
//
// Limits: the tables hold the well-known ones only. A provider's domains for
// customers of its other services (an access provider's) are in when strangers
// use them a lot.
package freemail

import "strings"

// Kind says what a domain gives to anybody.
type Kind int

// The kinds.
const (
	None Kind = iota
	// Free is a mailbox without a fee.
	Free
	// Disposable is one for a few minutes, without a name.
	Disposable
)

// Of returns the kind of domain, which is in lower case: of the domain itself,
// or of a domain above it.
func Of(domain string) Kind {
	for domain != "" {
		if k := table[domain]; k != None {
			return k
		}
		_, above, ok := strings.Cut(domain, ".")
		if !ok {
			break
		}
		domain = above
	}
	return None
}

// Is reports whether anybody gets a mailbox in domain.
func Is(domain string) bool { return Of(domain) != None }

// Proves reports whether all mail of the provider of domain bears proof (DKIM
// or SPF in the name of the domain), so that mail without any is not its own.
func Proves(domain string) bool { return proves[domain] }

// Provider returns a name for the provider that domain belongs to, so that
// hotmail.com and outlook.com are one; "" for no provider.
func Provider(domain string) string {
	if !Is(domain) {
		return ""
	}
	if p := providers[domain]; p != "" {
		return p
	}
	name, _, _ := strings.Cut(domain, ".")
	if p := providers[name+".*"]; p != "" {
		return p
	}
	return domain
}
