// Package mailaddr reads and writes the addresses of the SMTP envelope
// (RFC 5321 §4.1.2, with UTF-8 as of RFC 6531 §3.3), and reads those of header
// fields (RFC 5322 §3.4).
package mailaddr

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of RFC 5321 §4.5.3.1, in octets.
const (
	MaxLocalPart = 64
	MaxDomain    = 255
	MaxPath      = 256
)

// Errors of Parse and ParsePath.
var (
	ErrSyntax  = errors.New("not an address")
	ErrTooLong = errors.New("address too long")
)

// Address is an envelope address. The zero Address is the null reverse-path.
type Address struct {
	// LocalPart is unquoted: "a b"@example.org has the local part `a b`.
	LocalPart string
	// Domain is in lower case, without a final dot; empty for a bare local
	// part such as "postmaster". An address literal keeps its brackets.
	Domain string
}

// Parse reads local-part@domain, or a bare local part, as Postfix's policy
// protocol and user names have it: the local part may be quoted or not, and
// holds no control character. The last "@" outside quotes ends it.
func Parse(s string) (Address, error) {
	if s == "" {
		return Address{}, ErrSyntax
	}
	local, rest, err := cutLocalPart(s)
	if err != nil {
		return Address{}, err
	}
	a := Address{LocalPart: local}
	if rest != "" {
		a.Domain = strings.ToLower(strings.TrimSuffix(rest[1:], "."))
		if !validDomain(a.Domain) {
			return Address{}, ErrSyntax
		}
	}
	if len(a.LocalPart) > MaxLocalPart || len(a.Domain) > MaxDomain {
		return Address{}, ErrTooLong
	}
	return a, nil
}

// ParsePath reads a path: an address in angle brackets, or "<>", which gives
// the zero Address. Brackets may be missing, as in non-SMTP milter events. A
// source route ("<@a,@b:c@d>") is dropped (RFC 5321 §4.1.1.3).
func ParsePath(s string) (Address, error) {
	if len(s) > 2*MaxPath {
		return Address{}, ErrTooLong
	}
	if strings.HasPrefix(s, "<") {
		if !strings.HasSuffix(s, ">") {
			return Address{}, ErrSyntax
		}
		s = s[1 : len(s)-1]
	}
	if s == "" {
		return Address{}, nil
	}
	if s[0] == '@' {
		_, after, ok := strings.Cut(s, ":")
		if !ok {
			return Address{}, ErrSyntax
		}
		s = after
	}
	return Parse(s)
}

// cutLocalPart splits s into the unquoted local part and "@domain" or "".
func cutLocalPart(s string) (local, rest string, err error) {
	if s[0] != '"' {
		at := strings.LastIndexByte(s, '@')
		if at < 0 {
			at = len(s)
		}
		local, rest = s[:at], s[at:]
		if !validText(local) {
			return "", "", ErrSyntax
		}
		return local, rest, nil
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; c {
		case '\\':
			i++
			if i == len(s) {
				return "", "", ErrSyntax
			}
			b.WriteByte(s[i])
		case '"':
			rest = s[i+1:]
			if !validText(b.String()) || rest != "" && rest[0] != '@' {
				return "", "", ErrSyntax
			}
			return b.String(), rest, nil
		default:
			b.WriteByte(c)
		}
	}
	return "", "", ErrSyntax
}

// validText reports whether s is not empty and is UTF-8 without controls.
func validText(s string) bool {
	if s == "" || !utf8.ValidString(s) {
		return false
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

// validDomain reports whether s is labels of letters, digits, "-", "_" and
// UTF-8, or an address literal. "_" is not a host name's, but Postfix passes it.
func validDomain(s string) bool {
	if len(s) > 2 && s[0] == '[' && s[len(s)-1] == ']' {
		return validText(s) && !strings.ContainsAny(s[1:len(s)-1], "[]@<> \"\\")
	}
	if s == "" || !utf8.ValidString(s) {
		return false
	}
	label := 0
	for i := range len(s) {
		switch c := s[i]; {
		case c == '.':
			if label == 0 {
				return false
			}
			label = 0
			continue
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_', c >= 0x80:
		default:
			return false
		}
		label++
	}
	return label > 0
}

// IsNull reports whether a is the null reverse-path "<>".
func (a Address) IsNull() bool { return a == Address{} }

// String returns a as it goes on the wire, without brackets: the local part is
// quoted where it has to be. The null reverse-path is "", and a domain alone,
// which is no envelope address but a catch-all's name, is "@domain".
func (a Address) String() string {
	local := a.LocalPart
	if local != "" && !isDotString(local) {
		local = quote(local)
	}
	if a.Domain == "" {
		return local
	}
	return local + "@" + a.Domain
}

// Path returns a in angle brackets.
func (a Address) Path() string { return "<" + a.String() + ">" }

// MarshalText returns String.
func (a Address) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (a *Address) UnmarshalText(b []byte) error {
	s := string(b)
	if len(s) > 1 && s[0] == '@' {
		domain, err := ParseDomain(s[1:])
		if err != nil {
			return err
		}
		*a = Address{Domain: domain}
		return nil
	}
	got, err := ParsePath(s)
	if err != nil {
		return err
	}
	*a = got
	return nil
}

// ParseDomain reads a domain: lower case, without a final dot.
func ParseDomain(s string) (string, error) {
	d := strings.ToLower(strings.TrimSuffix(s, "."))
	if len(d) > MaxDomain {
		return "", ErrTooLong
	}
	if !validDomain(d) {
		return "", ErrSyntax
	}
	return d, nil
}

// Folded returns a with the local part in lower case. Look-ups use it: a
// mailbox is one, however its name is typed.
func (a Address) Folded() Address {
	return Address{LocalPart: FoldLocal(a.LocalPart), Domain: a.Domain}
}

// FoldLocal returns a local part in lower case. A sign beyond ASCII whose lower
// case is an ASCII letter (the Kelvin sign, U+212A) stays as it is: whoever types
// it does not mean the mailbox of that letter.
func FoldLocal(s string) string {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return strings.Map(lower, s)
		}
	}
	return strings.ToLower(s)
}

func lower(r rune) rune {
	if l := unicode.ToLower(r); r < utf8.RuneSelf || l >= utf8.RuneSelf {
		return l
	}
	return r
}

// CutDetail splits the local part at the first delim (Postfix's
// recipient_delimiter), unless nothing stands before it: info+box@d gives
// info@d, "box", true. An empty delim never splits.
func (a Address) CutDetail(delim string) (base Address, detail string, ok bool) {
	at := -1
	if delim != "" {
		at = strings.IndexAny(a.LocalPart, delim)
	}
	if at < 1 {
		return a, "", false
	}
	return Address{LocalPart: a.LocalPart[:at], Domain: a.Domain}, a.LocalPart[at+1:], true
}

// isDotString reports whether s needs no quotes (RFC 5321 §4.1.2 Dot-string).
func isDotString(s string) bool {
	dot := true
	for i := range len(s) {
		c := s[i]
		if c == '.' {
			if dot {
				return false
			}
			dot = true
			continue
		}
		dot = false
		if !isAtext(c) {
			return false
		}
	}
	return !dot
}

// isAtext is RFC 5322 §3.2.3 atext, and UTF-8 (RFC 6531 §3.3).
func isAtext(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
		c >= 0x80 || strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
}

// quote returns s as a Quoted-string.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	b.WriteByte('"')
	return b.String()
}
