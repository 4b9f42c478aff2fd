// Package authres writes the value of an Authentication-Results field
// (RFC 8601 §2.2) from typed results, so that nothing a peer typed can add a
// result or a field; and it tells whether an incoming field claims to be ours.
//
// It writes no comments. Parse reads what other hosts wrote, strictly; Own
// tells, leniently, whether a field has to be taken for ours. ReceivedSPF writes
// the older field of RFC 7208 §9.1.
package authres

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Result is the outcome of a method (RFC 8601 §2.7). The empty Result means
// that the method was not tried.
type Result string

// The results. SoftFail is SPF's only.
const (
	None      Result = "none"
	Pass      Result = "pass"
	Fail      Result = "fail"
	SoftFail  Result = "softfail"
	Policy    Result = "policy"
	Neutral   Result = "neutral"
	TempError Result = "temperror"
	PermError Result = "permerror"
)

// Method is what was tried (RFC 8601 §2.7).
type Method string

// The methods.
const (
	IPRev Method = "iprev"
	Auth  Method = "auth"
	SPF   Method = "spf"
	DKIM  Method = "dkim"
	DMARC Method = "dmarc"
	ARC   Method = "arc"
)

// Property is a ptype and a property of the registry "Email Authentication
// Property Types" (RFC 8601 §2.3, RFC 6008 for header.b).
type Property string

// The properties that Encode knows.
const (
	PolicyIPRev  Property = "policy.iprev"
	PolicyDMARC  Property = "policy.dmarc" // RFC 9989 §9.1
	SMTPAuth     Property = "smtp.auth"
	SMTPMailFrom Property = "smtp.mailfrom"
	SMTPHelo     Property = "smtp.helo"
	HeaderD      Property = "header.d"
	HeaderI      Property = "header.i"
	HeaderS      Property = "header.s"
	HeaderA      Property = "header.a"
	HeaderB      Property = "header.b"
	HeaderFrom   Property = "header.from"
	// HeaderOldestPass is RFC 8617 §10.2.
	HeaderOldestPass Property = "header.oldest-pass"
)

// Prop is a property with its value.
type Prop struct {
	Property Property
	Value    string
}

// ResInfo is one result (RFC 8601 §2.2 resinfo).
type ResInfo struct {
	Method Method
	Result Result
	// Reason is free text for people, empty for none.
	Reason string
	// Props are written in this order.
	Props []Prop
}

// Limits of Encode, in octets.
const (
	MaxValue  = 400
	MaxReason = 256
)

// ErrValue is what Encode refuses: a name outside the tables above, or a value
// that no quoted-string can carry.
var ErrValue = errors.New("not a value of Authentication-Results")

var (
	methods = map[Method]bool{IPRev: true, Auth: true, SPF: true, DKIM: true, DMARC: true, ARC: true}
	results = map[Result]bool{
		None: true, Pass: true, Fail: true, SoftFail: true, Policy: true,
		Neutral: true, TempError: true, PermError: true,
	}
	properties = map[Property]bool{
		PolicyIPRev: true, SMTPAuth: true, SMTPMailFrom: true, SMTPHelo: true, HeaderD: true,
		HeaderI: true, HeaderS: true, HeaderA: true, HeaderB: true, HeaderFrom: true,
		PolicyDMARC: true, HeaderOldestPass: true,
	}
)

// Carries reports whether v can be a value: not empty, at most MaxValue
// octets of UTF-8 (RFC 6532 §3.2) without control characters, and nothing in
// it that spells a pass. In quotes "dmarc=pass" is harmless to all that read
// RFC 8601, but users' filters look for the bare text. Whoever has a value from
// a peer asks first, and leaves the property out.
func Carries(v string) bool {
	return v != "" && len(v) <= MaxValue && printable(v) && !spellsPass(v)
}

// CarriesReason reports whether v can be a reason: at most MaxReason octets of
// UTF-8 without control characters. Whoever has words of a peer in one asks
// first, and leaves it out.
func CarriesReason(v string) bool { return len(v) <= MaxReason && printable(v) }

// spellsPass reports whether "=pass" is in v, in capitals or not, with blanks
// around the "=" or not.
func spellsPass(v string) bool {
	for {
		_, after, ok := strings.Cut(v, "=")
		if !ok {
			return false
		}
		v = after
		word := strings.TrimLeft(v, " ")
		if len(word) >= len(Pass) && strings.EqualFold(word[:len(Pass)], string(Pass)) {
			return true
		}
	}
}

// printable reports whether s is UTF-8 of graphic characters and blanks.
func printable(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if r != ' ' && !unicode.IsGraphic(r) {
			return false
		}
	}
	return true
}

// lineLen is where Encode begins a new line. RFC 5322 §2.1.1 recommends 78.
const lineLen = 76

// nameLen is the length of "Authentication-Results: ".
const nameLen = len("Authentication-Results: ")

// Encode returns the value of an Authentication-Results field, without a
// blank before it and without a final line end. Lines end in LF and go on
// with a tab, as milters and Postfix hand header values around. No result
// gives "authserv-id; none". It refuses with ErrValue what it cannot carry.
func Encode(authservID string, res ...ResInfo) (string, error) {
	if !Carries(authservID) {
		return "", fmt.Errorf("authserv-id: %w", ErrValue)
	}
	id := authservID
	if !isToken(id) {
		id = quote(id)
	}
	w := folder{col: nameLen}
	w.word(id + ";")
	if len(res) == 0 {
		w.word("none")
	}
	for i, r := range res {
		words, err := r.words()
		if err != nil {
			return "", err
		}
		if i < len(res)-1 {
			words[len(words)-1] += ";"
		}
		w.line()
		for _, s := range words {
			w.word(s)
		}
	}
	return w.b.String(), nil
}

// words returns the parts of r that a line may be folded between.
func (r ResInfo) words() ([]string, error) {
	if !methods[r.Method] || !results[r.Result] {
		return nil, fmt.Errorf("result %q=%q: %w", r.Method, r.Result, ErrValue)
	}
	words := []string{string(r.Method) + "=" + string(r.Result)}
	if r.Reason != "" {
		if !CarriesReason(r.Reason) {
			return nil, fmt.Errorf("reason of %s: %w", r.Method, ErrValue)
		}
		words = append(words, "reason="+quote(r.Reason))
	}
	for _, p := range r.Props {
		if !properties[p.Property] {
			return nil, fmt.Errorf("property %q: %w", p.Property, ErrValue)
		}
		v, err := value(p.Value)
		if err != nil {
			return nil, fmt.Errorf("property %s: %w", p.Property, err)
		}
		words = append(words, string(p.Property)+"="+v)
	}
	return words, nil
}

// value returns v as RFC 8601's pvalue: bare where it is a token or an address
// of dot-atoms, else a quoted-string.
func value(v string) (string, error) {
	if !Carries(v) {
		return "", ErrValue
	}
	if local, domain, ok := strings.Cut(v, "@"); ok {
		if (local == "" || isToken(local)) && isToken(domain) {
			return v, nil
		}
	} else if isToken(v) {
		return v, nil
	}
	return quote(v), nil
}

// isToken reports whether s is a token of RFC 2045 §5.1 in US-ASCII.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`()<>@,;:\"/[]?=`, c) >= 0 {
			return false
		}
	}
	return s != ""
}

// quote returns s as a quoted-string (RFC 5322 §3.2.4).
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

// folder puts words on lines.
type folder struct {
	b     strings.Builder
	col   int
	begun bool // the line has a word
}

// line begins a new line.
func (f *folder) line() {
	f.b.WriteString("\n\t")
	f.col, f.begun = 8, false
}

// word writes s, on a new line when the present one is full.
func (f *folder) word(s string) {
	if f.begun && f.col+1+len(s) > lineLen {
		f.line()
	}
	if f.begun {
		f.b.WriteByte(' ')
		f.col++
	}
	f.b.WriteString(s)
	f.col, f.begun = f.col+len(s), true
}
