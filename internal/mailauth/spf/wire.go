package spf

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Version is what a record begins with (RFC 7208 §4.5), in any case.
const Version = "v=spf1"

// maxTerms bounds the terms of one record. 64 KiB of ip4 terms stay below it.
const maxTerms = 8192

// Qualifier says what a match means (RFC 7208 §4.6.2).
type Qualifier byte

// The qualifiers.
const (
	Plus     Qualifier = '+' // pass
	Minus    Qualifier = '-' // fail
	Tilde    Qualifier = '~' // softfail
	Question Qualifier = '?' // neutral
)

// Mechanism is the name of a mechanism (RFC 7208 §5), in lower case.
type Mechanism string

// The mechanisms.
const (
	All     Mechanism = "all"
	Include Mechanism = "include"
	A       Mechanism = "a"
	MX      Mechanism = "mx"
	PTR     Mechanism = "ptr"
	IP4     Mechanism = "ip4"
	IP6     Mechanism = "ip6"
	Exists  Mechanism = "exists"
)

// The modifiers that mean something (RFC 7208 §6).
const (
	modRedirect = "redirect"
	modExp      = "exp"
)

// Directive is a mechanism with its qualifier.
type Directive struct {
	Qualifier Qualifier
	Mechanism Mechanism
	// Domain is the domain-spec, "" for the domain of the record.
	Domain MacroString
	// Network is that of ip4 and ip6, as it was written: not masked.
	Network netip.Prefix
	// Bits4 and Bits6 are the CIDR lengths of a and mx, 32 and 128 when the
	// record has none.
	Bits4, Bits6 uint8
}

// Modifier is one that RFC 7208 does not define (§6).
type Modifier struct {
	Name  string
	Value MacroString
}

// Record is a record that keeps to the grammar (RFC 7208 §12).
type Record struct {
	Directives []Directive
	// Redirect and Exp are domain-specs, "" when the record has none.
	Redirect, Exp MacroString
	Unknown       []Modifier
}

// SyntaxError is a fault in a record. Its text is ASCII and holds no control
// character, whatever the record holds.
type SyntaxError struct {
	Term    string // as it was written
	Problem string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("term %+q: %s", e.Term[:min(len(e.Term), 80)], e.Problem)
}

// IsRecord reports whether text is a record of version 1: what follows the
// version is a space or nothing (RFC 7208 §4.5).
func IsRecord(text string) bool {
	n := len(Version)
	return len(text) >= n && strings.EqualFold(text[:n], Version) && (len(text) == n || text[n] == ' ')
}

// Parse reads a record, for which IsRecord holds. The error is a *SyntaxError.
func Parse(text string) (Record, error) {
	var r Record
	if !IsRecord(text) {
		return r, &SyntaxError{text, "does not begin with " + Version}
	}
	n := 0
	for term := range strings.SplitSeq(text[len(Version):], " ") {
		if term == "" {
			continue
		}
		if n++; n > maxTerms {
			return Record{}, &SyntaxError{term, "too many terms"}
		}
		if err := r.term(term); err != nil {
			return Record{}, &SyntaxError{term, err.Error()}
		}
	}
	return r, nil
}

// term adds one term. It is a modifier when "=" follows the name before any
// ":" or "/" (RFC 7208 §4.6.1).
func (r *Record) term(s string) error {
	n := nameLen(s)
	if n > 0 && n < len(s) && s[n] == '=' {
		return r.modifier(s[:n], s[n+1:])
	}
	d, err := parseDirective(s)
	if err == nil {
		r.Directives = append(r.Directives, d)
	}
	return err
}

func (r *Record) modifier(name, value string) error {
	into := &r.Redirect
	switch strings.ToLower(name) {
	case modRedirect:
	case modExp:
		into = &r.Exp
	default:
		r.Unknown = append(r.Unknown, Modifier{name, MacroString(value)})
		return checkMacros(value, inRecord)
	}
	if *into != "" {
		return fault("comes twice") // RFC 7208 §6
	}
	*into = MacroString(value)
	return checkDomainSpec(value)
}

// nameLen returns the length of the name that s begins with.
func nameLen(s string) int {
	for i := range len(s) {
		c := s[i]
		if !isAlpha(c) && (i == 0 || !isDigit(c) && c != '-' && c != '_' && c != '.') {
			return i
		}
	}
	return len(s)
}

func parseDirective(s string) (Directive, error) {
	d := Directive{Qualifier: Plus}
	switch q := Qualifier(s[0]); q {
	case Plus, Minus, Tilde, Question:
		d.Qualifier, s = q, s[1:]
	}
	n := nameLen(s)
	d.Mechanism = Mechanism(strings.ToLower(s[:n]))
	rest := s[n:]
	var err error
	switch d.Mechanism {
	case All:
		if rest != "" {
			err = fault("takes no argument")
		}
	case Include, Exists:
		if rest == "" {
			return d, fault("has no domain")
		}
		err = d.domain(rest)
	case PTR:
		err = d.domain(rest)
	case A, MX:
		rest, err = d.dualCIDR(rest)
		if err == nil {
			err = d.domain(rest)
		}
	case IP4:
		err = d.network(rest, 32)
	case IP6:
		err = d.network(rest, 128)
	default:
		err = fault("unknown mechanism")
	}
	return d, err
}

// domain reads [ ":" domain-spec ].
func (d *Directive) domain(s string) error {
	if s == "" {
		return nil
	}
	if s[0] != ':' {
		return fault("unknown text after the mechanism")
	}
	d.Domain = MacroString(s[1:])
	return checkDomainSpec(s[1:])
}

// dualCIDR takes the CIDR lengths off the end of s. They cannot be part of a
// domain-spec, which does not end in "/" and digits.
func (d *Directive) dualCIDR(s string) (rest string, err error) {
	d.Bits4, d.Bits6 = 32, 128
	digits, rest := cutDigits(s)
	if rest == s {
		return s, nil
	}
	if head, ok := strings.CutSuffix(rest, "/"); ok {
		if d.Bits6, err = cidr(digits, 128); err != nil {
			return "", err
		}
		if digits, rest = cutDigits(head); rest == head {
			return head, nil
		}
	}
	d.Bits4, err = cidr(digits, 32)
	return rest, err
}

// cutDigits cuts "/" and digits off the end of s; rest is s when there are
// none.
func cutDigits(s string) (digits, rest string) {
	rest = strings.TrimRight(s, "0123456789")
	digits = s[len(rest):]
	if head, ok := strings.CutSuffix(rest, "/"); ok && digits != "" {
		return digits, head
	}
	return "", s
}

// cidr reads a CIDR length. It has no leading zeros.
func cidr(s string, most uint8) (uint8, error) {
	n, err := strconv.ParseUint(s, 10, 8)
	if err != nil || s[0] == '0' && len(s) > 1 || uint8(n) > most {
		return 0, fault("bad CIDR length")
	}
	return uint8(n), nil
}

// network reads ":" address [ "/" length ].
func (d *Directive) network(s string, bits uint8) error {
	if s == "" || s[0] != ':' {
		return fault("has no address")
	}
	text, length, has := strings.Cut(s[1:], "/")
	addr, err := netip.ParseAddr(text)
	if err != nil || addr.Zone() != "" || addr.BitLen() != int(bits) {
		return fault("bad address")
	}
	if has {
		if bits, err = cidr(length, bits); err != nil {
			return err
		}
	}
	d.Network = netip.PrefixFrom(addr, int(bits))
	return nil
}

// String writes d as it stands in a record, in the shortest form.
func (d Directive) String() string {
	var b strings.Builder
	if d.Qualifier != Plus {
		b.WriteByte(byte(d.Qualifier))
	}
	b.WriteString(string(d.Mechanism))
	if d.Network.IsValid() {
		b.WriteByte(':')
		if d.Network.IsSingleIP() {
			b.WriteString(d.Network.Addr().String())
		} else {
			b.WriteString(d.Network.Addr().String() + "/" + strconv.Itoa(d.Network.Bits()))
		}
	}
	if d.Domain != "" {
		b.WriteString(":" + string(d.Domain))
	}
	if d.Mechanism == A || d.Mechanism == MX {
		if d.Bits4 != 32 {
			b.WriteString("/" + strconv.Itoa(int(d.Bits4)))
		}
		if d.Bits6 != 128 {
			b.WriteString("//" + strconv.Itoa(int(d.Bits6)))
		}
	}
	return b.String()
}

// String writes r: the directives, then the modifiers.
func (r Record) String() string {
	var b strings.Builder
	b.WriteString(Version)
	for _, d := range r.Directives {
		b.WriteString(" " + d.String())
	}
	if r.Redirect != "" {
		b.WriteString(" " + modRedirect + "=" + string(r.Redirect))
	}
	if r.Exp != "" {
		b.WriteString(" " + modExp + "=" + string(r.Exp))
	}
	for _, m := range r.Unknown {
		b.WriteString(" " + m.Name + "=" + string(m.Value))
	}
	return b.String()
}

// fault is what is wrong with a term.
type fault string

func (f fault) Error() string { return string(f) }

func isAlpha(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
func isDigit(c byte) bool { return c >= '0' && c <= '9' }
