package sieve

import (
	"fmt"
	"iter"
	"regexp"
	"strconv"
	"strings"
)

type matchKind uint8

const (
	matchIs matchKind = iota
	matchContains
	matchMatches
	matchRegex
	matchValue
	matchCount
	matchList
)

var matchKinds = map[string]matchKind{"is": matchIs, "contains": matchContains, "matches": matchMatches,
	"regex": matchRegex, "value": matchValue, "count": matchCount, "list": matchList}

// relations of RFC 5231 §4: the sign of a comparison that satisfies them.
var relations = map[string]func(sign int) bool{
	"gt": func(n int) bool { return n > 0 },
	"ge": func(n int) bool { return n >= 0 },
	"lt": func(n int) bool { return n < 0 },
	"le": func(n int) bool { return n <= 0 },
	"eq": func(n int) bool { return n == 0 },
	"ne": func(n int) bool { return n != 0 },
}

// match is what a test does with values: match type, comparator and keys.
type match struct {
	kind    matchKind
	cmp     comparator
	rel     func(sign int) bool
	keys    []key
	capture bool // match variables are in use
}

// key is one key; a constant one is prepared when the script is compiled.
type key struct {
	text   text
	ready  bool
	folded string
	glob   glob
	regex  *regexp.Regexp
	size   int
}

// matchTags are the tags of tests that match.
var matchTags = []tagDef{
	{name: "is", group: "match type"},
	{name: "contains", group: "match type"},
	{name: "matches", group: "match type"},
	{name: "regex", ext: "regex", group: "match type"},
	{name: "count", ext: "relational", group: "match type", param: argString, constant: true},
	{name: "value", ext: "relational", group: "match type", param: argString, constant: true},
	{name: "list", ext: "extlists", group: "match type"},
	{name: "comparator", param: argString, constant: true},
}

// match compiles the tags of a call with its keys; nil behind an error. keys
// may be nil for a command that can do without.
func (c *compiler) match(call *call, keys *arg) *match {
	mt := &match{capture: c.has("variables")}
	ok := true
	if u, is := call.tags["match type"]; is {
		mt.kind = matchKinds[u.def.name]
		if u.def.param != 0 {
			if mt.rel = relations[lowerASCII(u.arg.text)]; mt.rel == nil {
				c.faults.add(u.at, "unknown relation %s: it is one of gt, ge, lt, le, eq, ne", quoteShort(u.arg.text))
				ok = false
			}
		}
	}
	if u, is := call.tags["comparator"]; is {
		if !c.comparator(mt, call, u) {
			ok = false
		}
	}
	if !ok {
		return nil
	}
	if keys == nil {
		return mt
	}
	for _, s := range keys.strings() {
		k := key{text: c.text(s, keys.at)}
		if k.text.constant() {
			if _, err := mt.prepare(&k, k.text.lit); err != nil {
				c.faults.add(keys.at, "%s", err)
				ok = false
			}
			if c.unit.regexes += k.size; c.unit.regexes > maxRegexes {
				c.faults.add(keys.at, "the regular expressions of the script are too large together")
				return nil
			}
			k.ready = true
		}
		mt.keys = append(mt.keys, k)
	}
	if !ok {
		return nil
	}
	return mt
}

func (c *compiler) comparator(mt *match, call *call, u *tagUse) bool {
	cmp, known := comparators[u.arg.text]
	if known && cmp == asciiNumeric && !c.has("comparator-"+u.arg.text) {
		c.faults.add(u.at, "comparator %s needs require \"comparator-%s\"", u.arg.text, u.arg.text)
		return false
	}
	switch {
	case !known:
		c.faults.add(u.at, "unknown comparator %s", quoteShort(u.arg.text))
		return false
	case mt.kind == matchList:
		c.faults.add(u.at, ":comparator has no meaning with :list")
		return false
	case !cmp.substrings() && (mt.kind == matchContains || mt.kind == matchMatches || mt.kind == matchRegex):
		c.faults.add(u.at, "comparator %s cannot be used with :%s in %s", u.arg.text, call.tags["match type"].def.name, call.n.name)
		return false
	}
	mt.cmp = cmp
	return true
}

// prepare fills k for its value s. tooBig tells an expression past the bounds.
func (mt *match) prepare(k *key, s string) (tooBig bool, err error) {
	switch mt.kind {
	case matchRegex:
		k.regex, k.size, tooBig, err = compileRegex(s, mt.cmp)
	case matchMatches:
		k.glob = compileGlob(mt.cmp.fold(s))
	case matchList:
		k.folded = s
	default:
		k.folded = mt.cmp.fold(s)
	}
	return tooBig, err
}

// run reports whether one of the values matches one of the keys.
func (mt *match) run(m *machine, values iter.Seq[string]) (bool, error) {
	keys, err := mt.ready(m)
	if err != nil {
		return false, err
	}
	if mt.kind == matchCount {
		n := 0
		for range values {
			n++
		}
		m.spend(n)
		return mt.any(m, strconv.Itoa(n), keys)
	}
	for v := range values {
		if found, err := mt.any(m, v, keys); found || err != nil {
			return found, err
		}
	}
	return false, m.over()
}

// each is run for values that are there already: most tests, and no closure.
func (mt *match) each(m *machine, values []string) (bool, error) {
	keys, err := mt.ready(m)
	if err != nil {
		return false, err
	}
	if mt.kind == matchCount {
		return mt.any(m, strconv.Itoa(len(values)), keys)
	}
	for _, v := range values {
		if found, err := mt.any(m, v, keys); found || err != nil {
			return found, err
		}
	}
	return false, m.over()
}

// ready returns the keys with the values that their variables have now.
func (mt *match) ready(m *machine) ([]key, error) {
	for i := range mt.keys {
		if !mt.keys[i].ready {
			return mt.prepareAll(m)
		}
	}
	return mt.keys, nil
}

// prepareAll evaluates the keys with variables. An invalid expression is told
// to the user and matches nothing, as in Pigeonhole; one past the bounds ends
// the script.
func (mt *match) prepareAll(m *machine) ([]key, error) {
	keys := make([]key, 0, len(mt.keys))
	for _, k := range mt.keys {
		if !k.ready {
			s := k.text.eval(m)
			tooBig, err := mt.prepare(&k, s)
			if tooBig {
				return nil, fmt.Errorf("%w: %w", ErrBudget, err)
			}
			if err != nil {
				m.warn("%s", err)
				continue
			}
			m.spend(8 * k.size)
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// any tries the keys on one value.
func (mt *match) any(m *machine, v string, keys []key) (bool, error) {
	folded := v
	if mt.folds(v) {
		folded = mt.cmp.fold(v)
		m.spend(len(v) >> mt.cmp.foldShift())
	}
	for i := range keys {
		m.spend(1 + len(v)>>8)
		found, err := mt.one(m, v, folded, &keys[i])
		if found || err != nil {
			return found, err
		}
	}
	return false, m.over()
}

// folds reports whether v is to be folded, once for all keys. Short ASCII is
// compared as it is.
func (mt *match) folds(v string) bool {
	switch {
	case mt.cmp == octet || mt.cmp == asciiNumeric || mt.kind == matchRegex || mt.kind == matchList:
		return false
	case mt.cmp == asciiCasemap && mt.kind == matchIs:
		return false
	}
	return mt.cmp != asciiCasemap || mt.kind != matchContains || len(v) > maxPlain
}

// maxPlain is the length up to which contains looks at a value without folding
// it.
const maxPlain = 512

// one tries one key. folded is the value as folds wants it.
func (mt *match) one(m *machine, v, folded string, k *key) (bool, error) {
	switch mt.kind {
	case matchIs:
		if mt.cmp == asciiCasemap {
			return len(v) == len(k.folded) && hasFoldedPrefix(v, k.folded), nil
		}
		return mt.cmp.compare(folded, k.folded) == 0, nil
	case matchContains:
		if mt.cmp == asciiCasemap && len(v) <= maxPlain {
			return indexFolded(v, k.folded) >= 0, nil
		}
		return strings.Contains(folded, k.folded), nil
	case matchMatches:
		return mt.globs(m, v, folded, k)
	case matchRegex:
		return mt.regexes(m, v, k)
	case matchList:
		m.spend(listSteps)
		found, err := m.inList(k.folded, v)
		if found && mt.capture {
			m.matched = []string{v}
		}
		return found, err
	}
	return mt.rel(mt.cmp.compare(folded, k.folded)), nil
}

func (mt *match) globs(m *machine, v, folded string, k *key) (bool, error) {
	g := globber{s: folded, orig: v, want: mt.capture, budget: 4 * max(m.left(), 0)}
	if len(g.s) != len(v) {
		g.orig = g.s // folding changed lengths: captures are of the folded text
	}
	before := g.budget
	found := g.match(k.glob)
	m.spend((before - g.budget) / 4)
	if g.budget <= 0 {
		return false, m.over()
	}
	if found && mt.capture {
		m.matched = append(append(make([]string, 0, 1+len(g.captures)), v), g.captures...)
	}
	return found, nil
}

func (mt *match) regexes(m *machine, v string, k *key) (bool, error) {
	// In the worst case each byte takes the whole program, and each step of it
	// copies the captures.
	m.spend(1 + len(v)*k.size/16)
	if err := m.over(); err != nil {
		return false, err
	}
	if found := k.regex.MatchString(v); !found || !mt.capture {
		return found, nil
	}
	m.spend(len(v) * k.size * k.regex.NumSubexp() / 64)
	if err := m.over(); err != nil {
		return false, err
	}
	subs := k.regex.FindStringSubmatch(v)
	m.matched = subs
	return true, nil
}
