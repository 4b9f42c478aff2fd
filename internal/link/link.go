// Package link finds links in text and reads them as browsers do, not as RFC
// 3986 has them: what a reader's click would open is what counts.
//
// Parse follows the URL standard of WHATWG (§4.4 basic URL parser, §3.5 host
// parser) for the schemes that mail holds: tabs and line ends go, a backslash
// is a slash, everything up to the last "@" of the authority is a user name, a
// host that ends in a number is an IPv4 address in any of its forms, a host
// with other letters becomes A-labels (RFC 5891). What such a link has on it
// that honest ones do not is told by Odd.
//
// Limits: a link is read up to MaxURL bytes. The tables of shorteners, file
// hosts and look-alike letters are short and made by hand: those that mail is
// seen with. Percent-encoding is undone in hosts only.
package link

// MaxURL bounds what is read of one link, in bytes.
const MaxURL = 4096

// URL is a link as a browser would open it.
type URL struct {
	// Scheme is in lower case: "http", "https", "mailto", "ftp", "file",
	// "data", "javascript", "tel", "cid" or another that was typed.
	Scheme string
	// User is the part of the authority before the last "@", as typed.
	User string
	// Host is in lower case, in A-labels, without port, brackets and final dot;
	// a number in any form is a dotted address. Of mailto it is the domain of
	// the first address. "" where there is none.
	Host string
	// Port is as typed, "" for none.
	Port string
	// Path is what follows the authority, with query and fragment. Of schemes
	// without authority it is all that follows the colon.
	Path string
	// Odd tells what honest links do not have.
	Odd Odd
}

// Web reports whether u is http or https with a host.
func (u *URL) Web() bool {
	return u.Host != "" && (u.Scheme == "http" || u.Scheme == "https")
}

// Odd is a set of oddities.
type Odd uint16

// The oddities.
const (
	// Backslash stands where a slash belongs.
	Backslash Odd = 1 << iota
	// UserInfo: there is a user name, in front of the host.
	UserInfo
	// ManyAt: the authority has more than one "@".
	ManyAt
	// Numeric: the host is an address.
	Numeric
	// Disguised: the host is an address in another form than four decimal
	// numbers or IPv6.
	Disguised
	// Private: the address is one of a private network or of this host.
	Private
	// Encoded: the host is written with percent signs.
	Encoded
	// Invisible: characters without width stand in the host or before it.
	Invisible
	// Turned: a character turns the direction of writing.
	Turned
	// BadHost: the host is none that DNS or a browser takes.
	BadHost
	// Split: a tab or line end stands within the scheme or host.
	Split
)

// Has reports whether o has all of x.
func (o Odd) Has(x Odd) bool { return o&x == x }
