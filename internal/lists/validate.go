package lists

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/unit"
)

// Bounds of settings.
const (
	maxLists     = 100
	maxCodes     = 100
	maxScore     = 10000
	maxDomains   = 200
	maxEmails    = 100
	maxQuestions = 2000
	maxTimeout   = 30 * time.Second
)

// Validate returns all faults of c. Key files are not looked at.
func (c Config) Validate() error {
	var errs []error
	if d := c.Timeout.Std(); d < 100*time.Millisecond || d > maxTimeout {
		errs = append(errs, config.Invalid("timeout", "%s is not between 100ms and 30s", c.Timeout))
	}
	for _, n := range []struct {
		key         string
		value, most int
	}{{"max_domains", c.MaxDomains, maxDomains}, {"max_emails", c.MaxEmails, maxEmails}, {"max_questions", c.MaxQuestions, maxQuestions}} {
		if n.value < 1 || n.value > n.most {
			errs = append(errs, config.Invalid(n.key, "%d is not between 1 and %d", n.value, n.most))
		}
	}
	switch {
	case !(c.MaxScore > 0 && c.MaxScore <= maxScore):
		errs = append(errs, config.Invalid("max_score", "%v is not a score above 0", c.MaxScore))
	case c.Reject > 0 && c.MaxScore >= c.Reject && len(c.Lists) > 0:
		errs = append(errs, config.Invalid("max_score",
			"%v is not below scan.reject, which is %v: one list would refuse mail alone; may_reject of a list allows that", c.MaxScore, c.Reject))
	}
	for i, d := range c.NeverAsk {
		if got, err := mailaddr.ParseDomain(d); err != nil || got != d {
			errs = append(errs, config.Invalid(fmt.Sprintf("never_ask[%d]", i), "%q is not a domain in lower case", d))
		}
	}
	if len(c.Lists) > maxLists {
		errs = append(errs, config.Invalid("lists", "%d lists are more than %d", len(c.Lists), maxLists))
	}
	seen := map[string]int{}
	for i, l := range c.Lists {
		key := fmt.Sprintf("lists[%d]", i)
		m, err := l.merged()
		if err != nil {
			errs = append(errs, config.Under(key, err))
			continue
		}
		errs = append(errs, config.Under(key, m.validate()))
		if first, twice := seen[m.Name]; twice {
			errs = append(errs, config.Invalid(key+".name", "%s is the name of lists[%d] too", m.Name, first))
		}
		seen[m.Name] = i
	}
	return errors.Join(errs...)
}

// merged returns l with what its preset has where l says nothing.
func (l List) merged() (List, error) {
	m := l
	if l.Preset != "" {
		p, ok := presetOf(l.Preset)
		if !ok {
			return l, config.Invalid("preset", "there is no preset of this name%s", config.Suggest(l.Preset, PresetNames()))
		}
		m = p.over(l)
	}
	if m.Mode == "" {
		m.Mode = unit.Enforce
	}
	if m.TestListed == "" {
		m.TestListed = m.usualTest("127.0.0.2", "test", none)
	}
	if m.TestNotListed == "" {
		m.TestNotListed = m.usualTest("127.0.0.1", "invalid", "nobody@example.invalid")
	}
	if len(m.Scores) == 0 {
		return m, nil
	}
	m.Codes = slices.Clone(m.Codes)
	for i, c := range m.Codes {
		if s, ok := m.Scores[c.Name]; ok {
			m.Codes[i].Score = s
		}
	}
	return m, nil
}

// usualTest returns the entry for a list of l's kind, of those that RFC 5782 §5
// has and one for e-mail addresses, of which it does not speak.
func (l List) usualTest(addr, domain, email string) string {
	switch {
	case l.takes(Client) || l.takes(Client4):
		return addr
	case l.takes(URI) || l.takes(Host) || l.takes(Sender) || l.takes(Helo) || l.takes(PTR):
		return domain
	case l.takes(URIAddr):
		return addr
	}
	return email
}

// none switches a test off.
const none = "none"

func (l List) takes(o Of) bool { return slices.Contains(l.Of, o) }

// validate returns the faults of a list that merged returned.
func (l List) validate() error {
	var errs []error
	if !validName(l.Name) {
		errs = append(errs, config.Invalid("name", "%q is not a name of capitals, digits and _, such as SPAMHAUS_ZEN", l.Name))
	}
	if !slices.Contains([]unit.Mode{unit.Off, unit.Observe, unit.Enforce}, l.Mode) {
		errs = append(errs, config.Invalid("mode", "%q is not a mode: use off, observe or enforce", string(l.Mode)))
	}
	errs = append(errs, l.validateZone())
	if len(l.Of) == 0 {
		errs = append(errs, config.Invalid("of", "says nothing to ask about: use %s", joinKinds()))
	}
	for i, o := range l.Of {
		if !slices.Contains(kinds, o) {
			errs = append(errs, config.Invalid(fmt.Sprintf("of[%d]", i), "%q is not one of %s", string(o), joinKinds()))
		}
	}
	if _, ok := hashes[l.Hash]; l.takes(Email) && !ok || l.Hash != "" && !ok {
		errs = append(errs, config.Invalid("hash", "%q is not one of %s", l.Hash, strings.Join(hashNames(), ", ")))
	}
	errs = append(errs, l.validateCodes())
	for _, t := range []struct{ key, entry string }{{"test_listed", l.TestListed}, {"test_not_listed", l.TestNotListed}} {
		if _, ok := l.testName(t.entry, "example"); t.entry != none && !ok {
			errs = append(errs, config.Invalid(t.key, "%q is no address, domain or e-mail address that this list can be asked about", t.entry))
		}
	}
	return errors.Join(errs...)
}

// placeholder stands for the key in a zone.
const placeholder = "{key}"

func (l List) validateZone() error {
	zone := strings.ReplaceAll(l.Zone, placeholder, "key")
	d, err := mailaddr.ParseDomain(zone)
	switch {
	case err != nil || d != zone || !strings.Contains(zone, "."):
		return config.Invalid("zone", "%q is not a domain in lower case", l.Zone)
	case zone != l.Zone && l.KeyFile == "":
		return config.Invalid("key_file", "the zone %s needs a key: name the file that holds it", l.Zone)
	case zone == l.Zone && l.KeyFile != "":
		return config.Invalid("zone", "%q has no %s, so the key file is of no use", l.Zone, placeholder)
	}
	return nil
}

func (l List) validateCodes() error {
	if len(l.Codes) == 0 {
		return config.Invalid("codes", "no answer counts: name at least one, such as { answer: 127.0.0.2, score: 2 }")
	}
	if len(l.Codes) > maxCodes {
		return config.Invalid("codes", "%d codes are more than %d", len(l.Codes), maxCodes)
	}
	var errs []error
	names := map[string]bool{}
	for i, c := range l.Codes {
		key := fmt.Sprintf("codes[%d]", i)
		if c.Answer.text == "" {
			errs = append(errs, config.Invalid(key+".answer", "is missing, such as 127.0.0.2"))
		}
		if c.Name != "" && !validName(c.Name) {
			errs = append(errs, config.Invalid(key+".name", "%q is not a name of capitals, digits and _", c.Name))
		}
		if !(math.Abs(c.Score) <= maxScore) {
			errs = append(errs, config.Invalid(key+".score", "%v is not a score from -%d to %d", c.Score, maxScore, maxScore))
		}
		names[c.Name] = true
	}
	known := make([]string, 0, len(l.Scores))
	for name := range l.Scores {
		known = append(known, name)
	}
	sort.Strings(known)
	for _, name := range known {
		if !names[name] {
			errs = append(errs, config.Invalid("scores."+name, "the list has no code of this name"))
		} else if s := l.Scores[name]; !(math.Abs(s) <= maxScore) {
			errs = append(errs, config.Invalid("scores."+name, "%v is not a score from -%d to %d", s, maxScore, maxScore))
		}
	}
	return errors.Join(errs...)
}

// validName reports whether s can be a part of a line's name.
func validName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c >= 'A' && c <= 'Z' || i > 0 && (c >= '0' && c <= '9' || c == '_')) {
			return false
		}
	}
	return s != "" && len(s) <= 40
}

func joinKinds() string {
	out := make([]string, len(kinds))
	for i, k := range kinds {
		out[i] = string(k)
	}
	return strings.Join(out, ", ")
}

// testName returns the name to ask for an entry in zone.
func (l List) testName(entry, zone string) (string, bool) {
	if a, err := netip.ParseAddr(entry); err == nil {
		return reversed(a.Unmap()) + "." + zone, true
	}
	if strings.IndexByte(entry, '@') >= 0 {
		a, err := mailaddr.Parse(entry)
		h := hashes[l.Hash]
		return hashed(h, a) + "." + zone, err == nil && h.sum != nil
	}
	d, err := mailaddr.ParseDomain(entry)
	return d + "." + zone, err == nil && d != ""
}
