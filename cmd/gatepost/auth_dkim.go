package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/mailauth/arc"
	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/mailauth/dkim"
	"github.com/gatepost/gatepost/internal/rawmsg"
	"github.com/gatepost/gatepost/internal/resolver"
)

// signatureReport is the verdict about a DKIM-Signature, or about one of the
// signatures of an ARC set.
type signatureReport struct {
	Result     authres.Result `json:"result"`
	Reason     string         `json:"reason,omitempty"`
	Domain     string         `json:"domain"`
	Selector   string         `json:"selector"`
	Identifier string         `json:"identifier,omitempty"`
	Algorithm  string         `json:"algorithm"`
	Bits       int            `json:"bits,omitempty"`
	Key        string         `json:"key"`
	// KeySecure says that DNSSEC vouches for the answer at Key.
	KeySecure bool `json:"key_dnssec,omitempty"`
	Testing   bool `json:"testing,omitempty"`
	// Second is what another verifier says, where it does not agree with Result.
	Second  string     `json:"second_opinion,omitempty"`
	Made    *time.Time `json:"made,omitempty"`
	Expires *time.Time `json:"expires,omitempty"`
	coverage
}

// coverage is what a signature signs.
type coverage struct {
	// Canonicalization is c=.
	Canonicalization string   `json:"canonicalization,omitempty"`
	Signed           []string `json:"signed,omitempty"`
	// Absent are names in h= without a field: nobody may add one.
	Absent []string `json:"absent,omitempty"`
	// Unsigned are the fields of the message that the signature leaves out.
	Unsigned []string    `json:"unsigned,omitempty"`
	Body     *bodyReport `json:"body,omitempty"`
}

// bodyReport is what was hashed.
type bodyReport struct {
	Matches bool `json:"matches"`
	// Octets are those of the canonical body, Length is l= or -1.
	Octets int64  `json:"octets"`
	Length int64  `json:"length"`
	Want   string `json:"want"`
	Have   string `json:"have"`
	// First and Last are the first and last line of what was hashed.
	First string `json:"first_line,omitempty"`
	Last  string `json:"last_line,omitempty"`
	// Cause is why the hash does not match, where that can be told for sure.
	Cause  string `json:"cause,omitempty"`
	Lines  int    `json:"cause_lines,omitempty"`
	Change int64  `json:"cause_octets,omitempty"`
}

// arcReport is the verdict about a chain.
type arcReport struct {
	Result authres.Result `json:"result"`
	Reason string         `json:"reason,omitempty"`
	Sets   []arcSet       `json:"sets"`
}

type arcSet struct {
	Instance   int             `json:"instance"`
	AuthservID string          `json:"authserv_id"`
	Results    string          `json:"results"`
	Message    signatureReport `json:"message_signature"`
	Seal       signatureReport `json:"seal"`
}

// verify verifies the signatures and the chain of m, which is the whole
// message, and tells all about them. skipped counts signatures that nobody
// looks at.
func verify(ctx context.Context, res *resolver.Resolver, m *rawmsg.Message) (sigs []signatureReport, skipped int, chain arcReport, err error) {
	msg := dkim.NewMessage(m)
	keys := dkim.NewKeys(res)
	defer keys.Wait()
	now := time.Now()
	v := dkim.Start(ctx, msg, keys, now)
	a := arc.Start(ctx, msg, keys, now)
	if err := msg.ReadBody(ctx, bytes.NewReader(m.Raw)); err != nil {
		return nil, 0, chain, fmt.Errorf("read message: %w", err)
	}
	report := func(r *dkim.Result) signatureReport {
		s := newSignatureReport(msg, r)
		if s.Bits > 0 { // the answer is in the cache
			_, s.KeySecure, _ = res.LookupTXTSecure(ctx, s.Key)
		}
		return s
	}
	sigs = []signatureReport{}
	for _, r := range v.Results() {
		sigs = append(sigs, report(&r))
	}
	c := a.Result()
	chain = arcReport{Result: c.Result, Reason: c.Reason, Sets: []arcSet{}}
	for _, s := range c.Sets {
		chain.Sets = append(chain.Sets, arcSet{s.Instance, s.AuthservID, s.Results,
			report(&s.Message), report(&s.Seal)})
	}
	return sigs, v.Skipped(), chain, keys.Err()
}

func newSignatureReport(msg *dkim.Message, r *dkim.Result) signatureReport {
	out := signatureReport{
		Result: r.Result, Reason: r.Reason, Domain: r.Domain, Selector: r.Selector, Identifier: r.Identifier,
		Algorithm: r.Algorithm, Bits: r.Bits, Key: r.KeyName(), Testing: r.Testing,
		Made: someTime(r.Time), Expires: someTime(r.Expiration),
	}
	if len(r.Names) == 0 {
		return out
	}
	out.Canonicalization = canonName(r.Header) + "/" + canonName(r.Body)
	out.Signed, out.Absent, out.Unsigned = covered(msg.Raw(), r)
	if r.BodySize >= 0 {
		out.Body = newBodyReport(msg, r)
	}
	return out
}

func someTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func canonName(c dkim.Canon) string {
	if c == dkim.Relaxed {
		return "relaxed"
	}
	return "simple"
}

// covered sorts the names of fields into those that r signs, those that h= has
// more often than the message, and those that are not signed. Fields are
// counted from the bottom (RFC 6376 §5.4.2).
func covered(m *rawmsg.Message, r *dkim.Result) (signed, absent, unsigned []string) {
	left := make(map[string]int)
	for i := range m.Fields {
		if i != r.Field {
			left[strings.ToLower(m.Fields[i].Name)]++
		}
	}
	for _, n := range r.Names {
		low := strings.ToLower(n)
		if left[low] > 0 {
			left[low]--
			signed = append(signed, n)
		} else if !slices.Contains(absent, low) {
			absent = append(absent, low)
		}
	}
	for i := range m.Fields {
		n := m.Fields[i].Name
		if low := strings.ToLower(n); left[low] > 0 {
			left[low] = 0
			unsigned = append(unsigned, n)
		}
	}
	return signed, absent, unsigned
}

// maxExcerpt bounds a line of the body that is shown.
const maxExcerpt = 100

func newBodyReport(msg *dkim.Message, r *dkim.Result) *bodyReport {
	want := r.BodyHash()
	b := &bodyReport{Matches: !r.BodyChanged, Octets: r.BodySize, Length: r.Length, Want: base64.StdEncoding.EncodeToString(want[:])}
	m := msg.Raw()
	var text bytes.Buffer
	w := dkim.NewBody(&text, r.Body)
	// A buffer takes all.
	_, _ = w.Write(m.Raw[m.HeaderEnd:])
	_ = w.Close()
	hashed := text.Bytes()
	if r.Length >= 0 {
		hashed = hashed[:min(int64(len(hashed)), r.Length)]
	}
	have := sha256.Sum256(hashed)
	b.Have = base64.StdEncoding.EncodeToString(have[:])
	if b.Matches {
		return b
	}
	lines := bytes.Split(bytes.TrimSuffix(hashed, []byte("\r\n")), []byte("\r\n"))
	b.First, b.Last = excerpt(lines[0]), excerpt(lines[len(lines)-1])
	if e, ok := dkim.Explain(m, r); ok {
		b.Cause, b.Lines, b.Change = e.Cause, e.Lines, e.Octets
	}
	return b
}

func excerpt(line []byte) string { return string(line[:min(len(line), maxExcerpt)]) }

// signature prints one verdict.
func (p *page) signature(title string, s signatureReport) {
	p.line(0, "%s: %s%s", title, s.Result, because(s.Reason))
	key := "no key was read"
	if s.Bits > 0 {
		key = fmt.Sprintf("key of %d bits", s.Bits)
	}
	if s.KeySecure {
		key += " (DNSSEC)"
	}
	if s.Testing {
		key += ", published as a test (t=y)"
	}
	p.line(1, "d=%s s=%s a=%s", orNone(s.Domain), orNone(s.Selector), orNone(s.Algorithm))
	p.line(1, "%s at %s", key, s.Key)
	if s.Second != "" {
		p.line(1, "another verifier (go-msgauth) does not agree: %s", s.Second)
	}
	if s.Identifier != "" && s.Identifier != "@"+s.Domain {
		p.line(1, "i=%s", s.Identifier)
	}
	if s.Made != nil {
		p.line(1, "made %s", s.Made.Format(time.RFC3339))
	}
	if s.Expires != nil {
		p.line(1, "good until %s", s.Expires.Format(time.RFC3339))
	}
	if s.Canonicalization == "" {
		return
	}
	p.line(1, "c=%s", s.Canonicalization)
	p.line(1, "signed fields: %s", strings.Join(s.Signed, " "))
	if len(s.Absent) > 0 {
		p.line(1, "none may be added of: %s", strings.Join(s.Absent, " "))
	}
	if len(s.Unsigned) > 0 {
		p.line(1, "not signed: %s", strings.Join(s.Unsigned, " "))
	}
	if s.Body == nil {
		return
	}
	p.body(s.Body)
	if s.Body.Matches && s.Result == authres.Fail {
		p.line(1, "why: a signed field was changed, or the key is not the one that signed")
	}
}

// body prints what was hashed of the body.
func (p *page) body(b *bodyReport) {
	of := fmt.Sprintf("%d octets", b.Octets)
	if b.Length >= 0 {
		of = fmt.Sprintf("the first %d of %d octets (l=)", min(b.Length, b.Octets), b.Octets)
	}
	if b.Matches {
		p.line(1, "body hash: right, over %s", of)
		return
	}
	p.line(1, "body hash: wrong, the body is not what was signed")
	p.line(2, "bh= is %s", b.Want)
	p.line(2, "over %s it is %s", of, b.Have)
	p.line(2, "first line hashed: %s", b.First)
	p.line(2, "last line hashed: %s", b.Last)
	switch {
	case b.Cause == "":
		p.line(2, "why: none of the changes that mail programs are known for; somebody changed the text")
	case b.Change > 0:
		p.line(2, "why: %s (%d lines, %d octets)", b.Cause, b.Lines, b.Change)
	default:
		p.line(2, "why: %s", b.Cause)
	}
}

// arc prints the verdict about a chain.
func (p *page) arc(c arcReport) {
	p.line(0, "ARC chain: %s%s", c.Result, because(c.Reason))
	for _, s := range c.Sets {
		p.line(1, "set %d, by %s", s.Instance, orNone(s.AuthservID))
		p.line(2, "it found: %s", s.Results)
		for _, sig := range []struct {
			what string
			r    signatureReport
		}{{"message signature", s.Message}, {"seal", s.Seal}} {
			if sig.r.Result == "" {
				p.line(2, "%s: not looked at", sig.what)
				continue
			}
			p.line(2, "%s: %s%s, d=%s s=%s", sig.what, sig.r.Result, because(sig.r.Reason), sig.r.Domain, sig.r.Selector)
		}
	}
}
