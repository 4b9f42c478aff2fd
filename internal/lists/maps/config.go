package maps

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/unit"
)

// Kind is what the entries of a map are.
type Kind string

// The kinds.
const (
	Address Kind = "address"
	Domain  Kind = "domain"
	Network Kind = "network"
	Regexp  Kind = "regexp"
	Hash    Kind = "hash"
)

// kinds says which values a map of each kind can be asked about, beside
// headers, which only regular expressions can.
var kinds = map[Kind][]string{
	Address: {"mail_from", "from", "reply_to", "rcpt"},
	Domain:  {"client_name", "helo", "mail_from", "from", "reply_to", "rcpt", "uri"},
	Network: {"client", "uri"},
	Regexp:  {"client_name", "helo", "mail_from", "from", "reply_to", "rcpt", "uri", "subject", "attachment"},
	Hash:    {"mail_from", "from", "reply_to", "rcpt", "attachment_hash"},
}

// headerOf begins the name of a header field in Of.
const headerOf = "header:"

// Config is all maps.
type Config []Map

// Map is one map.
type Map struct {
	// Name is what admin rules call it; its lines are MAP_ and the name in
	// capitals.
	Name string `yaml:"name"`
	// File is the absolute path.
	File string `yaml:"file"`
	// Kind is address, domain, network, regexp or hash.
	Kind Kind `yaml:"kind"`
	// Of is what of a message is looked up: client, client_name, helo, mail_from,
	// from, reply_to, rcpt, uri, subject, attachment, attachment_hash,
	// header:NAME. Empty for a map that only admin rules use.
	Of []string `yaml:"of"`
	// Score is that of an entry without points of its own.
	Score float64 `yaml:"score"`
	// Mode is enforce unless set.
	Mode unit.Mode `yaml:"mode"`
	// Text is the sentence for a person.
	Text string `yaml:"text"`
	// Unauthenticated lets an entry take points away for a sender that nothing
	// proves.
	Unauthenticated bool `yaml:"unauthenticated"`
}

// Bounds of settings.
const (
	maxMaps  = 200
	maxScore = 10000
	maxName  = 40
)

// Validate returns all faults of c. The files are not looked at.
func (c Config) Validate() error {
	var errs []error
	if len(c) > maxMaps {
		errs = append(errs, config.Invalid("", "%d maps are more than %d", len(c), maxMaps))
	}
	seen := map[string]int{}
	for i, m := range c {
		key := fmt.Sprintf("[%d]", i)
		errs = append(errs, config.Under(key, m.validate()))
		if first, twice := seen[m.Name]; twice {
			errs = append(errs, config.Invalid(key+".name", "%q is the name of [%d] too", m.Name, first))
		}
		seen[m.Name] = i
	}
	return errors.Join(errs...)
}

func (m Map) validate() error {
	var errs []error
	if !validName(m.Name) {
		errs = append(errs, config.Invalid("name", "%q is not a name of lower-case letters, digits and _", m.Name))
	}
	if !filepath.IsAbs(m.File) || filepath.Clean(m.File) != m.File {
		errs = append(errs, config.Invalid("file", "%q is not a clean absolute path", m.File))
	}
	if !slices.Contains([]unit.Mode{"", unit.Off, unit.Observe, unit.Enforce}, m.Mode) {
		errs = append(errs, config.Invalid("mode", "%q is not a mode: use off, observe or enforce", string(m.Mode)))
	}
	if !(math.Abs(m.Score) <= maxScore) {
		errs = append(errs, config.Invalid("score", "%v is not a score from -%d to %d", m.Score, maxScore, maxScore))
	}
	values, ok := kinds[m.Kind]
	if !ok {
		return errors.Join(append(errs, config.Invalid("kind", "%q is not address, domain, network, regexp or hash", string(m.Kind)))...)
	}
	for i, o := range m.Of {
		name, header := strings.CutPrefix(o, headerOf)
		switch key := fmt.Sprintf("of[%d]", i); {
		case header && (m.Kind != Regexp || !validField(name)):
			errs = append(errs, config.Invalid(key, "%q: a header field is looked up in a map of kind regexp, as header:List-Id", o))
		case !header && !slices.Contains(values, o):
			errs = append(errs, config.Invalid(key, "a map of kind %s cannot be asked about %q: use %s", m.Kind, o, strings.Join(values, ", ")))
		}
	}
	return errors.Join(errs...)
}

func validName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || i > 0 && (c >= '0' && c <= '9' || c == '_')) {
			return false
		}
	}
	return s != "" && len(s) <= maxName
}

// validField reports whether s can name a header field (RFC 5322 §3.6.8).
func validField(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f || s[i] == ':' {
			return false
		}
	}
	return s != "" && len(s) <= 100
}
