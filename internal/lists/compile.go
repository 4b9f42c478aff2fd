package lists

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/secret"
	"github.com/gatepost/gatepost/internal/unit"
)

// list is one list, ready to be asked.
type list struct {
	List   // merged with its preset
	key    secret.Value
	cap    float64
	hash   hash
	terms  terms
	*state // survives a new configuration
}

// zone returns the zone to ask, which is not shown: it has the key in it.
func (l *list) zone() string {
	if l.key.IsEmpty() {
		return l.Zone
	}
	return strings.ReplaceAll(l.Zone, placeholder, string(l.key.Reveal()))
}

// tests returns the names of the entries that the list has to have, and must
// not have; "" for no test.
func (l *list) tests() (good, bad string) {
	if l.TestListed != none {
		good, _ = l.testName(l.TestListed, l.zone())
	}
	if l.TestNotListed != none {
		bad, _ = l.testName(l.TestNotListed, l.zone())
	}
	return good, bad
}

// compile makes a set of cfg, with fresh states.
func compile(cfg Config, now time.Time) (*set, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &set{cfg: cfg, never: newDomainSet(wellKnown, cfg.NeverAsk)}
	var errs []error
	for _, c := range cfg.Lists {
		m, err := c.merged()
		if err == nil && m.Mode == unit.Off {
			continue
		}
		var l *list
		if err == nil {
			l, err = newList(m, cfg.MaxScore, now)
		}
		errs = append(errs, err)
		s.lists = append(s.lists, l)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return s, nil
}

func newList(m List, maxScore float64, now time.Time) (*list, error) {
	l := &list{List: m, cap: maxScore, hash: hashes[m.Hash]}
	if p, ok := presetOf(m.Preset); ok {
		l.terms = p.terms
	}
	if m.KeyFile != "" {
		key, err := readKey(m.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("key of list %s: %w", m.Name, err)
		}
		l.key = key
	}
	if m.MayReject {
		l.cap = math.Inf(1)
	}
	l.state = newState(l.tested(), now)
	return l, nil
}

// tested reports whether the list has an entry to test it by.
func (l *list) tested() bool { return l.TestListed != none || l.TestNotListed != none }

// maxKey bounds a key, in octets: it is one label, or a few.
const maxKey = 128

// readKey returns the first line of a key file. Its content is in no error.
func readKey(path string) (secret.Value, error) {
	f, err := os.Open(path)
	if err != nil {
		return secret.Value{}, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 4096))
	if err != nil {
		return secret.Value{}, err
	}
	key := strings.ToLower(strings.TrimSpace(string(b)))
	if d, err := mailaddr.ParseDomain(key); err != nil || d != key || len(key) > maxKey {
		return secret.Value{}, fmt.Errorf("%s holds no key that can stand in a domain name", path)
	}
	return secret.String(key), nil
}

// masked returns s without the list's key.
func (l *list) masked(s string) string {
	if l.key.IsEmpty() {
		return s
	}
	return strings.ReplaceAll(s, string(l.key.Reveal()), placeholder)
}

// inherit takes the states of lists that are as they were in old.
func (s *set) inherit(old *set) {
	for _, l := range s.lists {
		for _, o := range old.lists {
			if l.same(o) {
				l.state = o.state
			}
		}
	}
}

// same reports whether what was learned of o holds for l.
func (l *list) same(o *list) bool {
	return l.Name == o.Name && l.Zone == o.Zone && l.key.Equal(o.key) &&
		l.TestListed == o.TestListed && l.TestNotListed == o.TestNotListed && l.Hash == o.Hash &&
		slices.EqualFunc(l.Blocked, o.Blocked, func(a, b Answer) bool { return a.text == b.text })
}
