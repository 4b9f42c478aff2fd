package dkim

import (
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/rawmsg"
)

// MaxNames bounds the names in h=.
const MaxNames = 200

// Kind is what a signature field is.
type Kind uint8

// The kinds, and the names of their fields in lower case.
const (
	DKIM Kind = iota
	// ARCMessage is an ARC-Message-Signature (RFC 8617 §4.1.2).
	ARCMessage
	// ARCSeal is an ARC-Seal (RFC 8617 §4.1.3).
	ARCSeal
)

// FieldName returns the name of the field in lower case.
func (k Kind) FieldName() string {
	return [...]string{"dkim-signature", "arc-message-signature", "arc-seal"}[k]
}

// rules say which tags a kind must have and must not have. RFC 8617 §4.1.3:
// an ARC-Seal with h= makes the chain fail.
var rules = [...]struct{ must, mustNot []string }{
	DKIM:       {must: []string{"v", "a", "b", "bh", "d", "h", "s"}},
	ARCMessage: {must: []string{"a", "b", "bh", "d", "h", "i", "s"}},
	ARCSeal:    {must: []string{"a", "b", "cv", "d", "i", "s"}, mustNot: []string{"h"}},
}

// Signer is who a signature says made it.
type Signer struct {
	// Domain is the SDID (d=), Selector s=; both in lower case.
	Domain, Selector string
	// Identifier is the AUID (i=) as text, "@" and the SDID where there is
	// none. A stranger typed its local part.
	Identifier string
	// Algorithm is a= in lower case, for example "rsa-sha256".
	Algorithm string
}

// Scope is what a signature covers.
type Scope struct {
	Header, Body Canon
	// Names are those of h= as typed.
	Names []string
	// Length is l=, or Whole.
	Length int64
}

// Link is the place of a signature in an ARC chain.
type Link struct {
	// Instance is i= of the ARC fields, 1 to 50; 0 where it is none.
	Instance int
	// CV is cv= of an ARC-Seal: "none", "pass" or "fail".
	CV string
}

// Signature is a signature field as its text says. All of it is a stranger's
// word until it is verified.
type Signature struct {
	Kind Kind
	// Field is its place in rawmsg.Message.Fields.
	Field int
	Signer
	Scope
	Link
	// Time and Expiration are t= and x=, zero where they are missing.
	Time, Expiration time.Time
	// B is the beginning of b=, which tells signatures of one domain apart
	// (RFC 6008).
	B string
	// Bad says why the field cannot be verified, "" when it can.
	Bad string
	proof
}

// proof is what verification reads of a signature.
type proof struct {
	sig          []byte
	bodyHash     [sha256.Size]byte
	bStart, bEnd int // the value of b= in the field's value
}

// KeyName returns where the key is in DNS (RFC 6376 §3.6.2.1).
func (s *Signature) KeyName() string { return s.Selector + "._domainkey." + s.Domain }

// BodyHash returns bh=.
func (s *Signature) BodyHash() [sha256.Size]byte { return s.bodyHash }

// ParseSignature reads the field at i of m as kind. It always returns a
// Signature, with what could be read of a bad one.
func ParseSignature(kind Kind, m *rawmsg.Message, i int) *Signature {
	s := &Signature{Kind: kind, Field: i, Scope: Scope{Length: Whole}}
	f := &m.Fields[i]
	if f.Cut {
		s.Bad = "header too large"
		return s
	}
	list, bad := parseTags(string(f.Value))
	s.read(list)
	if bad != "" {
		s.Bad = bad
	}
	return s
}

// read takes the tags over; s.Bad is the first thing that is wrong.
func (s *Signature) read(list tags) {
	if b, ok := list.find("b"); ok {
		s.bStart, s.bEnd = b.start, b.end
	}
	s.Domain, s.Selector = strings.ToLower(list.get("d")), strings.ToLower(list.get("s"))
	s.Algorithm = strings.ToLower(list.get("a"))
	s.Identifier = "@" + s.Domain
	b := squeeze(list.get("b"))
	s.B = b[:min(8, len(b))]
	for _, step := range []func(tags) string{s.tags, s.numbers, s.who, s.how, s.what, s.chain} {
		if bad := step(list); bad != "" && s.Bad == "" {
			s.Bad = bad
		}
	}
}

// tags looks for tags that must be there, or must not.
func (s *Signature) tags(list tags) string {
	for _, name := range rules[s.Kind].must {
		if !list.has(name) {
			return "tag " + name + " is missing"
		}
	}
	for _, name := range rules[s.Kind].mustNot {
		if list.has(name) {
			return "tag " + name + " must not be there"
		}
	}
	if v, ok := list.find("v"); ok && v.value != "1" && s.Kind == DKIM {
		return "signature of another version"
	}
	return ""
}

// numbers reads t=, x= and l=.
func (s *Signature) numbers(list tags) string {
	for _, n := range []struct {
		name string
		set  func(n int64)
	}{
		{"t", func(n int64) { s.Time = seconds(n) }},
		{"x", func(n int64) { s.Expiration = seconds(n) }},
		{"l", func(n int64) { s.Length = n }},
	} {
		t, ok := list.find(n.name)
		if !ok || s.Kind == ARCSeal && n.name != "t" {
			continue
		}
		v, ok := digits(t.value)
		if !ok {
			return "malformed tag " + n.name
		}
		n.set(v)
	}
	if !s.Time.IsZero() && !s.Expiration.IsZero() && !s.Expiration.After(s.Time) {
		return "signature expired before it was made"
	}
	return ""
}

// maxSeconds is the end of the year 9999, which is as good as never
// (RFC 6376 §3.5, x=).
const maxSeconds = 253402300799

func seconds(n int64) time.Time { return time.Unix(min(n, maxSeconds), 0).UTC() }

// digits reads a number of digits only; one too long for an int64 is the
// largest.
func digits(v string) (int64, bool) {
	for i := range len(v) {
		if v[i] < '0' || v[i] > '9' {
			return 0, false
		}
	}
	if v == "" || len(v) > 76 {
		return 0, false // RFC 6376 §3.5, l=: at most 76 digits
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		return 1<<63 - 1, true
	}
	return n, true
}

// who reads d=, s= and i=.
func (s *Signature) who(list tags) string {
	if !isDomain(s.Domain) || !isDomain(s.Selector) {
		return "malformed domain or selector"
	}
	i, ok := list.find("i")
	if !ok || s.Kind != DKIM {
		return ""
	}
	id, ok := decodeQP(squeeze(i.value))
	if !ok || !strings.Contains(id, "@") {
		return "malformed identifier"
	}
	s.Identifier = id
	if d := s.identityDomain(); d != s.Domain && !strings.HasSuffix(d, "."+s.Domain) {
		return "identifier is not of the domain"
	}
	return ""
}

// identityDomain returns the domain of the AUID in lower case.
func (s *Signature) identityDomain() string {
	return strings.ToLower(s.Identifier[strings.LastIndexByte(s.Identifier, '@')+1:])
}

// how reads a=, b=, c= and q=.
func (s *Signature) how(list tags) string {
	switch s.Algorithm {
	case "rsa-sha256", "ed25519-sha256":
	case "rsa-sha1":
		return "rsa-sha1 is not accepted" // RFC 8301 §3.1
	default:
		return "unknown algorithm"
	}
	var err error
	s.sig, err = base64.StdEncoding.DecodeString(squeeze(list.get("b")))
	if err != nil || len(s.sig) == 0 {
		return "malformed tag b"
	}
	if s.Kind == ARCSeal {
		s.Header = Relaxed
		return ""
	}
	var ok bool
	c, given := list.find("c")
	if s.Header, s.Body, ok = parseCanon(c.value); !given && s.Kind == ARCMessage {
		// The suite of the chain's authors has it so; RFC 8617 §4.1.2 says
		// nothing else than DKIM, which is simple. Every sealer writes c=.
		s.Header, s.Body = Relaxed, Relaxed
	}
	if !ok || given && c.value == "" {
		return "unknown canonicalization"
	}
	if q, given := list.find("q"); given && !listed(q.value, "dns/txt") {
		return "unknown query method"
	}
	return ""
}

// what reads h= and bh=.
func (s *Signature) what(list tags) string {
	if s.Kind == ARCSeal {
		return ""
	}
	bh, err := base64.StdEncoding.DecodeString(squeeze(list.get("bh")))
	if copy(s.bodyHash[:], bh) != len(s.bodyHash) || len(bh) > len(s.bodyHash) || err != nil {
		return "malformed tag bh"
	}
	bad := ""
	each(list.get("h"), func(name string) bool {
		switch {
		case len(s.Names) == MaxNames:
			bad = "too many signed fields"
		case name == "" && s.Kind == ARCMessage:
			// The suite of the chain's authors wants this to be nothing.
		case !isFieldName(name):
			bad = "malformed tag h"
		default:
			s.Names = append(s.Names, name)
		}
		return bad == ""
	})
	covers := func(field string) bool {
		return slices.ContainsFunc(s.Names, func(n string) bool { return strings.EqualFold(n, field) })
	}
	switch {
	case bad != "":
		return bad
	case s.Kind == DKIM && !covers("from"):
		return "From is not signed"
	case s.Kind == ARCMessage && covers("arc-seal"):
		return "covers a seal" // RFC 8617 §4.1.2
	}
	return ""
}

// maxInstance is RFC 8617 §4.2.1.
const maxInstance = 50

// chain reads i= and cv= of the ARC fields.
func (s *Signature) chain(list tags) string {
	if s.Kind == DKIM {
		return ""
	}
	var ok bool
	if s.Instance, ok = ParseInstance(list.get("i")); !ok {
		return "malformed instance"
	}
	if s.Kind == ARCMessage {
		return ""
	}
	switch cv := strings.ToLower(list.get("cv")); cv {
	case "none", "pass", "fail":
		s.CV = cv
		return ""
	}
	return "malformed tag cv"
}

// ParseInstance reads i= of an ARC field: 1 to 50 (RFC 8617 §4.2.1).
func ParseInstance(v string) (int, bool) {
	n, ok := digits(v)
	if !ok || n < 1 || n > maxInstance || len(v) > 2 {
		return 0, false
	}
	return int(n), true
}

// decodeQP undoes dkim-quoted-printable (RFC 6376 §2.11). It refuses a result
// that holds a control character or is not to be written into a log.
func decodeQP(s string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '=' {
			if i+2 >= len(s) {
				return "", false
			}
			n, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
			if err != nil {
				return "", false
			}
			c = byte(n)
			i += 2
		}
		if c < ' ' || c == 0x7f {
			return "", false
		}
		b.WriteByte(c)
	}
	return b.String(), true
}

// isDomain reports whether s can be d= or s= of a signature: labels of
// letters, digits, "-" and "_" with dots between. Whatever else stands there
// (NUL, blanks, quotes, brackets) is meant for another parser than ours.
func isDomain(s string) bool {
	if len(s) > maxName {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
		for i := range len(label) {
			c := label[i]
			if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return false
			}
		}
	}
	return true
}

// isFieldName reports whether s can be the name of a field (RFC 5322 §2.2).
func isFieldName(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f || s[i] == ':' {
			return false
		}
	}
	return s != ""
}
