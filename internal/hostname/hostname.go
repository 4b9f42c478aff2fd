// Package hostname tells the names that a provider makes for access lines from
// those that somebody gave to a server. It knows nothing of DNS: the caller
// says what of a name is its organization's, and what the address is.
//
// It goes by words and numbers, in time linear in the name. Names without
// either ("c1.provider.example") are not seen, and a mail server on an access
// line without a name of its own is taken for the line that it is.
package hostname

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Grade says how sure a name is one of an access line or of a machine that
// somebody rented and never named.
type Grade int

// The grades.
const (
	// Named is a name that somebody gave.
	Named Grade = iota
	// Rented holds the address, and a word for lines and machines that are
	// rented for good.
	Rented
	// Likely holds the address, or a word for access lines beside numbers.
	Likely
	// Sure holds the address and a word for access lines.
	Sure
)

// maxName is what of a name is looked at: DNS has none longer (RFC 1035 §2.3.4).
const maxName = 255

// kind is what a word in a name speaks for.
type kind int

const (
	access kind = iota + 1
	rented
	mail
)

// words are parts of names, by what they speak for.
var words = map[string]kind{
	"adsl": access, "broadband": access, "cable": access, "client": access, "clients": access, "cpe": access,
	"cust": access, "customer": access, "customers": access, "dhcp": access, "dial": access, "dialin": access,
	"dialup": access, "dip": access, "docsis": access, "dsl": access, "dyn": access, "dynamic": access,
	"dynip": access, "fiber": access, "fibra": access, "ftth": access, "gprs": access, "home": access,
	"kabel": access, "lte": access, "mobile": access, "modem": access, "pool": access, "pools": access,
	"ppp": access, "pppoe": access, "res": access, "residential": access, "umts": access, "user": access,
	"users": access, "vdsl": access, "wifi": access, "wimax": access, "wireless": access, "xdsl": access,

	"business": rented, "cloud": rented, "colo": rented, "compute": rented, "dedicated": rented, "fixed": rented,
	"host": rented, "hosted": rented, "hosting": rented, "instance": rented, "server": rented, "servers": rented,
	"srv": rented, "static": rented, "vps": rented, "vserver": rented,

	"bounce": mail, "email": mail, "exim": mail, "lists": mail, "mail": mail, "mailer": mail, "mailgw": mail,
	"mailhost": mail, "mailout": mail, "mails": mail, "mgw": mail, "mta": mail, "mx": mail, "mxout": mail,
	"newsletter": mail, "out": mail, "outbound": mail, "outgoing": mail, "postfix": mail, "relay": mail,
	"send": mail, "sender": mail, "smtp": mail, "smtpout": mail, "smtps": mail,
}

// Of grades name, of which organization is the end that its owner registered,
// as "example.org" of "mail.example.org". addr may be invalid: then four
// numbers that could be an address count as one.
func Of(name, organization string, addr netip.Addr) Grade {
	name = strings.ToLower(strings.TrimSuffix(name[:min(len(name), maxName)], "."))
	sub, ok := strings.CutSuffix(name, "."+strings.ToLower(organization))
	if !ok || organization == "" {
		return Named
	}
	f := find(sub)
	holds := f.holds(addr.Unmap(), sub)
	switch {
	case f.mail && !(f.access && holds):
		return Named
	case f.rented && holds:
		return Rented
	case f.rented:
		return Named
	case f.access && holds:
		return Sure
	case f.access && len(f.numbers) > 0, holds:
		return Likely
	}
	return Named
}

// found is what a name holds.
type found struct {
	access, rented, mail bool
	numbers              []int // below 256
}

func find(sub string) found {
	var f found
	for i := 0; i < len(sub); {
		j := i
		for j < len(sub) && letter(sub[j]) == letter(sub[i]) && digit(sub[j]) == digit(sub[i]) {
			j++
		}
		part := sub[i:j]
		switch {
		case letter(sub[i]):
			k := words[part]
			f.access = f.access || k == access
			f.rented = f.rented || k == rented
			f.mail = f.mail || k == mail
		case digit(sub[i]) && len(part) <= 3:
			if n, err := strconv.Atoi(part); err == nil && n < 256 {
				f.numbers = append(f.numbers, n)
			}
		}
		i = j
	}
	return f
}

// holds reports whether the name holds the address: three of its four numbers
// in whatever order, or all of it in hexadecimal.
func (f found) holds(addr netip.Addr, sub string) bool {
	if !addr.Is4() {
		return !addr.IsValid() && len(f.numbers) >= 4
	}
	b := addr.As4()
	left, hits := slices.Clone(f.numbers), 0
	for _, o := range b {
		if i := slices.Index(left, int(o)); i >= 0 {
			left[i] = -1
			hits++
		}
	}
	if hits >= 3 {
		return true
	}
	hex := strconv.FormatUint(uint64(b[0])<<24|uint64(b[1])<<16|uint64(b[2])<<8|uint64(b[3]), 16)
	return len(hex) >= 7 && strings.Contains(sub, hex)
}

func letter(c byte) bool { return c >= 'a' && c <= 'z' }
func digit(c byte) bool  { return c >= '0' && c <= '9' }
