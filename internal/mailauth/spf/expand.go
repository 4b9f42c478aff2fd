package spf

import (
	"context"
	"net/netip"
	"strconv"
	"strings"

	"github.com/gatepost/gatepost/internal/ascii"
)

// maxExplanation bounds an explanation, and maxExplanationRecord the text that
// it is made from, in octets.
const (
	maxExplanation       = 500
	maxExplanationRecord = 4096
)

// target returns the target-name of a term (RFC 7208 §4.8): domain itself, or
// what spec expands to, cut from the left by whole labels to 253 octets
// (§7.3). It may be no name.
func (e *evaluation) target(ctx context.Context, spec MacroString, domain string) (string, error) {
	if spec == "" {
		return domain, nil
	}
	if strings.IndexByte(string(spec), '%') < 0 {
		return fit(string(spec)), nil
	}
	b, err := spec.expand(nil, func(letter byte) (string, error) { return e.value(ctx, letter, domain, inRecord) })
	if err != nil {
		return "", err
	}
	return fit(string(b)), nil
}

// fit drops one final dot, and labels from the left of what is too long. A
// label that is too long by itself stays.
func fit(name string) string {
	name = strings.TrimSuffix(name, ".")
	if len(name) <= maxName {
		return name
	}
	// A dot right before the last 253 octets is where a label begins.
	tail := name[len(name)-maxName-1:]
	if dot := strings.IndexByte(tail, '.'); dot >= 0 {
		return tail[dot+1:]
	}
	return tail
}

// value returns what a macro letter stands for (RFC 7208 §7.2), and counts its
// octets: three for each, as URL escaping may make of it.
func (e *evaluation) value(ctx context.Context, letter byte, domain string, p place) (string, error) {
	v, err := e.letter(ctx, letter, domain, p)
	if err != nil {
		return "", err
	}
	n := 3*len(v) + 1
	e.cost.Octets += n
	if e.values += n; e.values > maxOctets {
		return "", permError(reasonRecord, "macros become too much text")
	}
	return v, nil
}

func (e *evaluation) letter(ctx context.Context, letter byte, domain string, p place) (string, error) {
	switch letter {
	case 's':
		return e.local + "@" + e.domain, nil
	case 'l':
		return e.local, nil
	case 'o':
		return e.domain, nil
	case 'd':
		return domain, nil
	case 'i':
		return dotted(e.client.Addr), nil
	case 'p':
		return e.name(ctx, domain, p)
	case 'v':
		if e.client.Addr.Is4() {
			return "in-addr", nil
		}
		return "ip6", nil
	case 'h':
		return e.client.Helo, nil
	case 'c':
		return e.client.Addr.String(), nil
	case 'r':
		return e.c.receiver, nil
	}
	return strconv.FormatInt(e.c.now().Unix(), 10), nil // t
}

// name is the value of %{p}, which counts as a look-up when it asks for the
// client's names, except in an explanation.
func (e *evaluation) name(ctx context.Context, domain string, p place) (string, error) {
	if !e.names.asked && p != inExplanation {
		if err := e.count(); err != nil {
			return "", err
		}
	}
	if err := e.validate(ctx); err != nil {
		return "", err
	}
	return e.names.best(domain), nil
}

// dotted is the value of %{i}: an IPv4 address, or the 32 nibbles of an IPv6
// address with dots between them.
func dotted(a netip.Addr) string {
	if a.Is4() {
		return a.String()
	}
	const hex = "0123456789ABCDEF"
	raw := a.As16()
	b := make([]byte, 0, 64)
	for _, c := range raw {
		b = append(b, hex[c>>4], '.', hex[c&15], '.')
	}
	return string(b[:63])
}

// localInvisible reports whether spec asks for a local part that no name in
// DNS can hold (RFC 8616 §4).
func (e *evaluation) localInvisible(spec MacroString) bool {
	if ascii.Only(e.local) {
		return false
	}
	rest := string(spec)
	for rest != "" {
		t, r, err := next(rest)
		if err != nil {
			return false
		}
		if t.letter == 's' || t.letter == 'l' {
			return true
		}
		rest = r
	}
	return false
}

// explain returns the explanation of out, which is a fail; "" for each reason
// there is to have none (RFC 7208 §6.2).
func (e *evaluation) explain(ctx context.Context, out outcome) Explanation {
	if out.exp == "" || e.localInvisible(out.exp) {
		return ""
	}
	name, err := e.target(ctx, out.exp, out.source)
	if err != nil || !isName(name) {
		return ""
	}
	txt, err := e.txt(ctx, name)
	if err != nil || len(txt) != 1 || len(txt[0]) > maxExplanationRecord {
		return ""
	}
	e.cost.Octets += len(txt[0])
	if checkMacros(txt[0], inExplanation) != nil {
		return ""
	}
	b, err := MacroString(txt[0]).expand(nil, func(letter byte) (string, error) {
		return e.value(ctx, letter, out.source, inExplanation)
	})
	if err != nil || len(b) > maxExplanation {
		return ""
	}
	// Macros bring in what the client typed.
	for _, c := range b {
		if c < ' ' || c > '~' {
			return ""
		}
	}
	return Explanation(b)
}
