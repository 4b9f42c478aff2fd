package dmarc

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Policy is a Domain Owner Assessment Policy (RFC 9989 §4.7 p, sp, np). The
// empty Policy stands for a tag that is missing.
type Policy string

// The policies, from the weakest to the strictest.
const (
	None       Policy = "none"
	Quarantine Policy = "quarantine"
	Reject     Policy = "reject"
)

// rank orders the policies; a missing one is the weakest.
func (p Policy) rank() int { return slices.Index([]Policy{"", None, Quarantine, Reject}, p) }

// weaker returns what t=y makes of p (RFC 9989 §4.7).
func (p Policy) weaker() Policy {
	if p == Reject {
		return Quarantine
	}
	return None
}

// PSD is the value of psd (RFC 9989 §4.7).
type PSD byte

// The values of psd.
const (
	PSDUnknown PSD = 'u' // the default: find out by walking
	PSDYes     PSD = 'y' // a public suffix
	PSDNo      PSD = 'n' // the organization of itself and what is below
)

// Record is a Policy Record. Tags that are missing or cannot be read have
// their defaults; P is empty in a record that asks for no processing at all
// (RFC 9989 §4.10.1), which still counts on a walk.
type Record struct {
	P, SP, NP             Policy
	StrictDKIM, StrictSPF bool // adkim=s, aspf=s
	PSD                   PSD
	Testing               bool     // t=y
	RUA, RUF              []string // URIs without the size of RFC 7489
	FailureOptions        string   // fo, "0" by default
	// Faults say what was wrong with the record, in the words of an operator;
	// none quotes it.
	Faults []string
}

// Bounds of one record.
const (
	maxTags   = 200
	maxURIs   = 50
	maxURI    = 2000
	maxFaults = 20
)

// ErrNoRecord is what Parse says of text that is no Policy Record: one that
// does not begin with the version.
var ErrNoRecord = errors.New("not a DMARC record")

// wsp is what may stand around a separator.
const wsp = " \t"

// Parse reads the text of a TXT record, its strings joined (RFC 9989 §4.8).
// Unknown tags are ignored and faults do not spoil the rest: they are kept.
func Parse(txt string) (Record, error) {
	version, rest, _ := strings.Cut(txt, ";")
	name, v, ok := strings.Cut(version, "=")
	if !ok || !strings.EqualFold(strings.Trim(name, wsp), "v") || strings.Trim(v, wsp) != "DMARC1" {
		return Record{}, ErrNoRecord
	}
	p := parser{r: Record{PSD: PSDUnknown, FailureOptions: "0"}}
	n := 0
	for rest != "" {
		var part string
		var more bool
		part, rest, more = strings.Cut(rest, ";")
		if n++; n > maxTags {
			p.fault("more than %d tags", maxTags)
			break
		}
		if part = strings.Trim(part, wsp); part != "" {
			p.tag(part)
		} else if more {
			p.fault("empty tag")
		}
	}
	return p.finish(), nil
}

// parser holds a record while its tags come in.
type parser struct {
	r         Record
	badPolicy bool // p, sp or np holds no policy
	seen      []string
}

func (p *parser) fault(format string, args ...any) {
	if len(p.r.Faults) < maxFaults {
		p.r.Faults = append(p.r.Faults, fmt.Sprintf(format, args...))
	}
}

// known are the tags with a meaning.
var known = []string{"p", "sp", "np", "adkim", "aspf", "psd", "t", "rua", "ruf", "fo", "v"}

// tag takes in one part between separators.
func (p *parser) tag(part string) {
	name, v, ok := strings.Cut(part, "=")
	name, v = strings.ToLower(strings.Trim(name, wsp)), strings.Trim(v, wsp)
	if !slices.Contains(known, name) {
		if !ok || name == "" || strings.IndexFunc(name, func(c rune) bool { return c < 'a' || c > 'z' }) >= 0 {
			p.fault("a part is no tag")
		}
		return
	}
	if !ok || name == "v" {
		p.fault("a part is no tag")
		return
	}
	if !visible(v) {
		p.fault("bad value of %s", name)
		v = ""
	}
	if slices.Contains(p.seen, name) {
		p.fault("%s stands twice", name)
	} else {
		p.seen = append(p.seen, name)
	}
	p.set(name, v)
}

// set gives the tag name its value. What cannot be read leaves the default.
func (p *parser) set(name, v string) {
	r, good := &p.r, true
	low := strings.ToLower(v)
	switch name {
	case "p":
		r.P, good = policy(low)
	case "sp":
		r.SP, good = policy(low)
	case "np":
		r.NP, good = policy(low)
	case "adkim":
		r.StrictDKIM, good = low == "s", low == "s" || low == "r"
	case "aspf":
		r.StrictSPF, good = low == "s", low == "s" || low == "r"
	case "t":
		r.Testing, good = low == "y", low == "y" || low == "n"
	case "psd":
		r.PSD = PSDUnknown
		if good = low == "y" || low == "n" || low == "u"; good {
			r.PSD = PSD(low[0])
		}
	case "rua":
		r.RUA, good = uris(v)
	case "ruf":
		r.RUF, good = uris(v)
	case "fo":
		r.FailureOptions = "0"
		if good = failureOptions(low); good {
			r.FailureOptions = low
		}
	}
	if !good && v != "" {
		p.fault("bad value of %s", name)
	}
}

// finish applies RFC 9989 §4.10.1: a record whose policy cannot be read says
// p=none when someone wants its reports, and nothing at all when not.
func (p *parser) finish() Record {
	r := &p.r
	for _, t := range []struct {
		name string
		v    Policy
	}{{"p", r.P}, {"sp", r.SP}, {"np", r.NP}} {
		if t.v == "" && (t.name == "p" || slices.Contains(p.seen, t.name)) {
			p.badPolicy = true
		}
	}
	if !slices.Contains(p.seen, "p") {
		p.fault("p is missing")
	}
	if p.badPolicy {
		r.P, r.SP, r.NP = "", "", ""
		if len(r.RUA) > 0 {
			r.P = None
		}
	}
	return *r
}

func policy(v string) (Policy, bool) {
	switch p := Policy(v); p {
	case None, Quarantine, Reject:
		return p, true
	}
	return "", false
}

// failureOptions reports whether v is a value of fo: 0 or 1, d, s, each once.
func failureOptions(v string) bool {
	var seen string
	for o := range strings.SplitSeq(v, ":") {
		if len(o) != 1 || !strings.Contains("01ds", o) || strings.Contains(seen, o) {
			return false
		}
		seen += o
	}
	return !strings.Contains(seen, "0") || !strings.Contains(seen, "1")
}

// visible reports whether v is one or more characters that a value may have.
func visible(v string) bool {
	for i := range len(v) {
		if v[i] < ' ' || v[i] > '~' {
			return false
		}
	}
	return v != ""
}

// uris reads a list of URIs and leaves the bad ones out.
func uris(v string) (list []string, good bool) {
	good = true
	for u := range strings.SplitSeq(v, ",") {
		u, ok := reportURI(strings.Trim(u, wsp))
		if !ok || len(list) == maxURIs {
			good = false
			continue
		}
		list = append(list, u)
	}
	return list, good
}

// reportURI returns u without the size that RFC 7489 §6.4 had; false when it
// is no URI (RFC 3986) or a mailto without an address.
func reportURI(u string) (string, bool) {
	u, size, sized := strings.Cut(u, "!")
	if sized {
		digits := strings.TrimRight(size, "kmgtKMGT")
		if digits == "" || len(size) > len(digits)+1 || strings.Trim(digits, "0123456789") != "" {
			return "", false
		}
	}
	scheme, rest, ok := strings.Cut(u, ":")
	if !ok || rest == "" || len(u) > maxURI || !isScheme(scheme) {
		return "", false
	}
	for i := range len(rest) {
		if c := rest[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("<>\"\\^`{|}", c) >= 0 {
			return "", false
		}
	}
	if strings.EqualFold(scheme, "mailto") {
		addr, _, _ := strings.Cut(rest, "?")
		at := strings.LastIndexByte(addr, '@')
		if at < 1 || at == len(addr)-1 {
			return "", false
		}
	}
	return u, true
}

// isScheme reports whether s is a scheme of RFC 3986 §3.1.
func isScheme(s string) bool {
	for i := range len(s) {
		c := s[i] | 0x20
		if (c < 'a' || c > 'z') && (i == 0 || (s[i] < '0' || s[i] > '9') && strings.IndexByte("+-.", s[i]) < 0) {
			return false
		}
	}
	return s != ""
}

// String returns the record as it could be published: what Parse reads as r,
// without its faults.
func (r Record) String() string {
	var b strings.Builder
	b.WriteString("v=DMARC1")
	tag := func(name, v string, write bool) {
		if write {
			b.WriteString("; " + name + "=" + v)
		}
	}
	tag("p", string(r.P), r.P != "")
	tag("sp", string(r.SP), r.SP != "")
	tag("np", string(r.NP), r.NP != "")
	tag("adkim", "s", r.StrictDKIM)
	tag("aspf", "s", r.StrictSPF)
	tag("psd", string(rune(r.PSD)), r.PSD == PSDYes || r.PSD == PSDNo)
	tag("t", "y", r.Testing)
	tag("rua", strings.Join(r.RUA, ","), len(r.RUA) > 0)
	tag("ruf", strings.Join(r.RUF, ","), len(r.RUF) > 0)
	tag("fo", r.FailureOptions, r.FailureOptions != "0" && r.FailureOptions != "")
	return b.String()
}
