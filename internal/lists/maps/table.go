package maps

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/gatepost/gatepost/internal/link"
	"github.com/gatepost/gatepost/internal/mailaddr"
)

// table is the content of one file. It is not changed once it is read.
type table struct {
	kind     Kind
	count    int
	exact    map[string]entry
	networks map[netip.Prefix]entry
	// lengths are those of the networks, the longest first: a look-up tries
	// each.
	lengths4, lengths6 lengths
	patterns           []pattern
	program            int
}

type pattern struct {
	re *regexp.Regexp
	entry
	text string
}

// lengths are prefix lengths, the longest first.
type lengths []int

func (l *lengths) add(n int) {
	i, found := slices.BinarySearchFunc(*l, n, func(a, b int) int { return b - a })
	if !found {
		*l = slices.Insert(*l, i, n)
	}
}

// newTable returns an empty table for about n entries.
func newTable(kind Kind, n int) *table {
	t := &table{kind: kind}
	n = min(n, maxEntries)
	switch kind {
	case Network:
		t.networks = make(map[netip.Prefix]entry, n)
	case Regexp:
	default:
		t.exact = make(map[string]entry, n)
	}
	return t
}

// maxValue bounds what a regular expression is held against, in bytes.
const maxValue = 4096

// find returns the entry that value has, and the key of that entry. What value
// is not, an address for a map of networks say, has none.
func (t *table) find(value string) (e entry, key string, ok bool) {
	switch t.kind {
	case Network:
		a, err := netip.ParseAddr(value)
		if err != nil {
			return entry{}, "", false
		}
		return t.network(a.Unmap().WithZone(""))
	case Address:
		a, err := mailaddr.Parse(value)
		if err != nil {
			return entry{}, "", false
		}
		key = a.Folded().String()
	case Domain:
		return t.domain(value)
	case Hash:
		key = strings.ToLower(value)
		if strings.IndexByte(value, '@') >= 0 {
			key = addressHash(value)
		}
	case Regexp:
		return t.pattern(value)
	}
	e, ok = t.exact[key]
	return e, key, ok
}

// addressHash is the form of an address in a map of hashes.
func addressHash(addr string) string {
	sum := sha256.Sum256([]byte(strings.ToLower(addr)))
	return hex.EncodeToString(sum[:])
}

func (t *table) network(a netip.Addr) (entry, string, bool) {
	all := t.lengths4
	if a.Is6() {
		all = t.lengths6
	}
	for _, n := range all {
		p, err := a.Prefix(n)
		if err != nil {
			continue
		}
		if e, ok := t.networks[p]; ok {
			return e, p.String(), true
		}
	}
	return entry{}, "", false
}

// domain looks value up, a domain or an address, and what is above it: the
// entry nearest to it counts.
func (t *table) domain(value string) (entry, string, bool) {
	d := strings.TrimSuffix(value[strings.LastIndexByte(value, '@')+1:], ".")
	d = link.ToASCII(d)
	for len(d) <= mailaddr.MaxDomain {
		if e, ok := t.exact[d]; ok {
			return e, d, true
		}
		i := strings.IndexByte(d, '.')
		if i < 0 {
			break
		}
		d = d[i+1:]
	}
	return entry{}, "", false
}

func (t *table) pattern(value string) (entry, string, bool) {
	value = value[:min(len(value), maxValue)]
	for _, p := range t.patterns {
		if p.re.MatchString(value) {
			return p.entry, p.text, true
		}
	}
	return entry{}, "", false
}
