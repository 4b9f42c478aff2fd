// Package srs rewrites the sender of a message that is passed on, so that SPF
// passes for us at the next hop and bounces find their way back (the Sender
// Rewriting Scheme, as postsrsd and libsrs2 write it):
//
//	SRS0=MAC=TT=origin.example=local@us.example
//	SRS1=MAC=first.example==MAC=TT=origin.example=local@us.example
//
// TT is the day in two characters of base32, modulo 1,024. The MAC is 80 bits of
// HMAC-SHA-256 in 16 characters of base32. It is over the address in lower case,
// because mail systems on the way back change case; the local part keeps its
// own.
//
// Only Postfix knows when to rewrite back, and it asks a table that sees nothing
// but the address. So whoever learned one such address could have us pass on
// whatever he likes; policyd takes mail for them from the null sender only, and
// not much of it.
//
// Limits: an address in this form may be longer than the 64 octets that
// RFC 5321 §4.5.3.1.1 promises for a local part. Postfix takes them, and so does
// Parse; a server that does not cannot send its bounce. SRS1 addresses of ours do
// not expire: their stamp is the first hop's business.
package srs

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/secret"
)

// MaxAge is how old a stamp may be: bounces come for as long as some server
// tries, which is five days as a rule.
const MaxAge = 21 * 24 * time.Hour

// MinKey is the least length of a key in bytes.
const MinKey = 16

var (
	// ErrNot means that the address is none of ours in this form.
	ErrNot = errors.New("not an SRS address of this host")
	// ErrForged means that no key of ours made the MAC.
	ErrForged = errors.New("the SRS address was not made here")
	// ErrExpired means that the stamp is too old, or in the future.
	ErrExpired = errors.New("the SRS address has expired")
)

// Rewriter rewrites. It is immutable.
type Rewriter struct {
	domain string
	keys   []secret.Value
}

// New returns a Rewriter whose addresses are at domain. The first key makes
// MACs, all of them prove one: to change the key, put a new one in front and
// take the old one away after MaxAge.
func New(domain string, keys ...secret.Value) (*Rewriter, error) {
	d, err := mailaddr.ParseDomain(domain)
	if err != nil {
		return nil, fmt.Errorf("SRS domain: %w", err)
	}
	if len(keys) == 0 {
		return nil, errors.New("SRS needs a key")
	}
	for _, k := range keys {
		if n := len(k.Reveal()); n < MinKey {
			return nil, fmt.Errorf("an SRS key has %d bytes, it needs %d", n, MinKey)
		}
	}
	return &Rewriter{domain: strings.ToLower(d), keys: keys}, nil
}

// Domain returns the domain of the addresses that r makes.
func (r *Rewriter) Domain() string { return r.domain }

// maxLocalPart bounds what Parse takes: our own part and two addresses.
const maxLocalPart = 512

// Parse reads an address as Postfix names it in a look-up or a policy request,
// also one with a local part that is too long for RFC 5321, which addresses of
// this package may have.
func Parse(s string) (mailaddr.Address, error) {
	a, err := mailaddr.Parse(s)
	if !errors.Is(err, mailaddr.ErrTooLong) {
		return a, err
	}
	at := strings.LastIndexByte(s, '@')
	if at < 1 || at > maxLocalPart {
		return mailaddr.Address{}, err
	}
	local := s[:at]
	if local[0] == '"' {
		return mailaddr.Address{}, err // quoted and too long: we make none that somebody sends
	}
	for i := range len(local) {
		if local[i] < ' ' || local[i] == 0x7f {
			return mailaddr.Address{}, mailaddr.ErrSyntax
		}
	}
	domain, err := mailaddr.ParseDomain(s[at+1:])
	if err != nil {
		return mailaddr.Address{}, err
	}
	return mailaddr.Address{LocalPart: local, Domain: domain}, nil
}

// Is reports whether a has the form of an SRS address, whoever's it is.
func Is(a mailaddr.Address) bool {
	_, _, ok := cutTag(a.LocalPart)
	return ok
}

// cutTag splits "SRS0=rest". The sign behind the tag may be one of three.
func cutTag(local string) (tag byte, rest string, ok bool) {
	if len(local) < 5 || !strings.EqualFold(local[:3], "SRS") || local[3] != '0' && local[3] != '1' ||
		strings.IndexByte("=-+", local[4]) < 0 {
		return 0, "", false
	}
	return local[3], local[5:], true
}

// Forward returns the sender under which mail of from is passed on at now. The
// null reverse-path, addresses at our own domain, and such as would become longer
// than Parse takes, stay.
func (r *Rewriter) Forward(from mailaddr.Address, now time.Time) mailaddr.Address {
	if from.IsNull() || strings.EqualFold(from.Domain, r.domain) {
		return from
	}
	if to := r.forward(from, now); len(to.LocalPart) <= maxLocalPart {
		return to
	}
	return from
}

func (r *Rewriter) forward(from mailaddr.Address, now time.Time) mailaddr.Address {
	tag, rest, ok := cutTag(from.LocalPart)
	switch {
	case ok && tag == '0':
		// Somebody passed it on before: bounces go back to him, not past him.
		rest = from.Domain + "==" + rest
		return r.address("SRS1", rest)
	case ok && strings.Contains(rest, "=="):
		// Already twice: keep the first hop, drop the one between.
		if _, rest, ok = strings.Cut(rest, "="); ok {
			return r.address("SRS1", rest)
		}
	}
	return r.address("SRS0", stamp(now)+"="+from.Domain+"="+from.LocalPart)
}

func (r *Rewriter) address(tag, rest string) mailaddr.Address {
	return mailaddr.Address{LocalPart: tag + "=" + mac(r.keys[0], tag, rest) + "=" + rest, Domain: r.domain}
}

// Reverse returns where mail to an address that Forward made has to go.
func (r *Rewriter) Reverse(to mailaddr.Address, now time.Time) (mailaddr.Address, error) {
	tag, rest, ok := cutTag(to.LocalPart)
	if !ok || !strings.EqualFold(to.Domain, r.domain) {
		return mailaddr.Address{}, ErrNot
	}
	given, rest, ok := strings.Cut(rest, "=")
	if !ok || !r.proves(given, "SRS"+string(tag), rest) {
		return mailaddr.Address{}, ErrForged
	}
	if tag == '1' {
		// The stamp is the first hop's business.
		domain, rest, ok := strings.Cut(rest, "==")
		if !ok {
			return mailaddr.Address{}, ErrForged
		}
		return parsed("SRS0="+rest, domain)
	}
	day, rest, _ := strings.Cut(rest, "=")
	if !fresh(day, now) {
		return mailaddr.Address{}, ErrExpired
	}
	domain, local, ok := strings.Cut(rest, "=")
	if !ok {
		return mailaddr.Address{}, ErrForged
	}
	return parsed(local, domain)
}

// parsed returns the address of parts that a MAC has proved.
func parsed(local, domain string) (mailaddr.Address, error) {
	d, err := mailaddr.ParseDomain(domain)
	if err != nil || local == "" {
		return mailaddr.Address{}, ErrForged
	}
	return mailaddr.Address{LocalPart: local, Domain: d}, nil
}

// proves compares in constant time.
func (r *Rewriter) proves(given, tag, rest string) bool {
	ok := false
	for _, k := range r.keys {
		ok = hmac.Equal([]byte(strings.ToUpper(given)), []byte(mac(k, tag, rest))) || ok
	}
	return ok
}

// macBytes are 80 bits, which base32 writes without padding.
const macBytes = 10

func mac(key secret.Value, tag, rest string) string {
	h := hmac.New(sha256.New, key.Reveal())
	h.Write([]byte(strings.ToLower(tag + "=" + rest)))
	return base32.StdEncoding.EncodeToString(h.Sum(nil)[:macBytes])
}

const (
	digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	days   = len(digits) * len(digits)
)

func day(t time.Time) int { return int(t.Unix()/(24*60*60)) % days }

func stamp(t time.Time) string {
	d := day(t)
	return string([]byte{digits[d/len(digits)], digits[d%len(digits)]})
}

// fresh reports whether a stamp is at most MaxAge old; a clock may be a day
// ahead.
func fresh(s string, now time.Time) bool {
	if len(s) != 2 {
		return false
	}
	s = strings.ToUpper(s)
	high, low := strings.IndexByte(digits, s[0]), strings.IndexByte(digits, s[1])
	if high < 0 || low < 0 {
		return false
	}
	age := (day(now) + 1 - high*len(digits) - low + 2*days) % days
	return age <= int(MaxAge/(24*time.Hour))+1
}
