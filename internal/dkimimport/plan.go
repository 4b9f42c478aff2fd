package dkimimport

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/secret"
)

// Files is what is read of the machine.
type Files interface {
	// ReadFile returns the file at an absolute path.
	ReadFile(path string) ([]byte, error)
	// ReadDir returns the names in a directory.
	ReadDir(path string) ([]string, error)
}

// Bounds of what is read.
const (
	maxFileBytes = 8 << 20
	maxLines     = 200000
	maxDomains   = 100000
	maxNotes     = 1000
)

// Place is a line of a file; Line 0 is the file as a whole.
type Place struct {
	File string `json:"file"`
	Line int    `json:"line,omitempty"`
}

// String returns "file:line".
func (p Place) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}

// Note is something that is not carried over, or not as it was.
type Note struct {
	Place
	// What is the text of the line, or what it means.
	What string `json:"what"`
	// Why it is not carried over, and what to Do instead, "" for nothing.
	Why string `json:"why"`
	Do  string `json:"do,omitempty"`
}

// Key is a private key to take over.
type Key struct {
	Domain   string `json:"domain"`
	Selector string `json:"selector"`
	// From says which line names it.
	From Place `json:"from"`
	// Path is its file, "" for one that stands in a table.
	Path string       `json:"path,omitempty"`
	Text secret.Value `json:"-"`
}

// Plan is what becomes of a configuration.
type Plan struct {
	Keys []Key `json:"keys"`
	// Local says that programs on the host itself were signed for.
	Local bool `json:"local"`
	// Networks may send without a login; their mail was signed.
	Networks []netip.Prefix `json:"networks"`
	// Expire is the life of a signature, 0 for no end.
	Expire time.Duration `json:"expire_ns"`
	Notes  []Note        `json:"notes"`
}

// Domains returns the domains of the plan's keys.
func (p *Plan) Domains() []string {
	var out []string
	for _, k := range p.Keys {
		out = append(out, k.Domain)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// note adds a note, at most once.
func (p *Plan) note(at Place, what, why, do string) {
	n := Note{at, what, why, do}
	if len(p.Notes) < maxNotes && !slices.Contains(p.Notes, n) {
		p.Notes = append(p.Notes, n)
	}
}

// Source is a configuration that was read whole, with its keys.
type Source struct {
	plan  Plan // what does not depend on domains
	model model
	// named are the domains that the files name.
	named map[string]bool
	// texts are the key files by path.
	texts map[string]keyFile
}

type keyFile struct {
	text secret.Value
	err  error
}

// use is one signature that the other program would make.
type use struct {
	domain, selector string
	path             string
	inline           string
	from             Place
	// broken is why the program itself could not sign.
	broken string
	// maybe says that without a key file the program just does not sign.
	maybe bool
}

// model says what the other program signs mail with, by its author.
type model interface {
	sign(local, domain string) []use
	// partial calls f for each rule that is for some authors of domain only:
	// with such an author, and its line.
	partial(domain string, f func(local string, from Place, what string))
}

// Plan says what to carry over when the given domains are ours: a rule that
// stands for any domain is taken over for these and those that the files name.
func (s *Source) Plan(ours []string) Plan {
	p := s.plan
	p.Keys, p.Notes = nil, slices.Clone(s.plan.Notes)
	domains := make(map[string]bool)
	for d := range s.named {
		domains[d] = true
	}
	for _, d := range ours {
		domains[strings.ToLower(d)] = true
	}
	all := make([]string, 0, len(domains))
	for d := range domains {
		all = append(all, d)
	}
	slices.Sort(all)
	for _, d := range all {
		s.domain(&p, d)
	}
	return p
}

// probe is an author that no rule means.
const probe = "gatepost-import-probe"

// domain plans for mail of one domain.
func (s *Source) domain(p *Plan, domain string) {
	uses := s.model.sign(probe, domain)
	for _, u := range uses {
		s.carry(p, domain, u)
	}
	if len(uses) > 2 {
		p.note(uses[0].from, fmt.Sprintf("%d signatures on mail of %s", len(uses), domain),
			"OpenDKIM 2.11 makes only the first and the last of them", "")
	}
	s.model.partial(domain, func(local string, from Place, what string) {
		if same(s.model.sign(local, domain), uses) {
			return
		}
		p.note(from, what, "it is for some authors of "+domain+" only; Gatepost signs all mail of a domain alike",
			"look at what else signs for "+domain+" above, or leave it out")
	})
}

// same reports whether two lists of signatures are alike.
func same(a, b []use) bool {
	return slices.EqualFunc(a, b, func(x, y use) bool { return x.domain == y.domain && x.selector == y.selector })
}

// carry plans one signature on mail of a domain.
func (s *Source) carry(p *Plan, domain string, u use) {
	what := fmt.Sprintf("mail of %s, signed as d=%s s=%s", domain, u.domain, u.selector)
	if u.broken != "" {
		p.note(u.from, "mail of "+domain, u.broken, "gatepost dkim new "+domain+" makes keys")
		return
	}
	if !strings.EqualFold(u.domain, domain) {
		p.note(u.from, what, "Gatepost signs with the author's own domain only", "gatepost dkim new "+domain+" --pending makes keys for it")
		return
	}
	if slices.ContainsFunc(p.Keys, func(k Key) bool { return k.Domain == u.domain && k.Selector == strings.ToLower(u.selector) }) {
		return
	}
	text, err := s.text(u)
	if u.maybe && errors.Is(err, errNoFile) {
		return
	}
	if err != nil {
		p.note(u.from, what, "its key cannot be read: "+err.Error(), "gatepost dkim new "+domain+" makes keys")
		return
	}
	p.Keys = append(p.Keys, Key{Domain: u.domain, Selector: strings.ToLower(u.selector), From: u.from, Path: u.path, Text: text})
}

// errNoFile is a key file that was not there when the files were read.
var errNoFile = errors.New("no such file")

// text returns the private key of u as a PEM file.
func (s *Source) text(u use) (secret.Value, error) {
	if u.inline != "" {
		return inlineKey(u.inline)
	}
	f, ok := s.texts[u.path]
	if !ok {
		return secret.Value{}, fmt.Errorf("%s: %w", u.path, errNoFile)
	}
	return f.text, f.err
}

// inlineKey reads a key that stands in a table: PEM, or the base64 of DER.
func inlineKey(s string) (secret.Value, error) {
	if strings.HasPrefix(s, "-----BEGIN") {
		return secret.String(s), nil
	}
	der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		return secret.Value{}, errors.New("it is neither a path nor PEM nor base64")
	}
	kind := "PRIVATE KEY"
	if _, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		kind = "RSA PRIVATE KEY"
	}
	return secret.New(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})), nil
}

// keep reads a key file once.
func (s *Source) keep(files Files, path string) {
	if _, ok := s.texts[path]; ok || len(s.texts) >= maxDomains {
		return
	}
	b, err := readFile(files, path)
	if err != nil {
		s.texts[path] = keyFile{err: err}
		return
	}
	s.texts[path] = keyFile{text: secret.New(b)}
	clear(b)
}

// keepTemplate reads the key files of a path with a word that stands for a
// domain, for every domain that has one, and returns these.
func (s *Source) keepTemplate(files Files, path, word string) []string {
	dir, name, ok := cutTemplate(path, word)
	if !ok {
		return nil
	}
	names, err := files.ReadDir(dir)
	if err != nil {
		return nil
	}
	before, after, _ := strings.Cut(name, word)
	var out []string
	for _, n := range names {
		if len(n) < len(before)+len(after) || !strings.HasPrefix(n, before) || !strings.HasSuffix(n, after) {
			continue
		}
		d := n[len(before) : len(n)-len(after)]
		if !isDomain(d) || len(out) >= maxDomains {
			continue
		}
		file := strings.ReplaceAll(path, word, d)
		s.keep(files, file)
		if s.texts[file].err == nil {
			out = append(out, d)
		} else {
			delete(s.texts, file)
		}
	}
	return out
}

// cutTemplate returns the directory above the first component with word, and
// that component.
func cutTemplate(path, word string) (dir, name string, ok bool) {
	i := strings.Index(path, word)
	if i < 0 {
		return "", "", false
	}
	slash := strings.LastIndexByte(path[:i], '/')
	if slash < 0 {
		return "", "", false
	}
	name, _, _ = strings.Cut(path[slash+1:], "/")
	return path[:max(slash, 1)], name, true
}

// readFile reads a file of a bounded size. The text of an error has no path.
func readFile(files Files, path string) ([]byte, error) {
	b, err := files.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if len(b) > maxFileBytes || bytes.Count(b, []byte("\n")) > maxLines {
		return nil, errors.New("the file is too large")
	}
	return b, nil
}

// isDomain reports whether s looks like a domain, so that it is safe as a part
// of a path.
func isDomain(s string) bool {
	if len(s) > 253 || !strings.Contains(s, ".") {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' {
			return false
		}
		for i := range len(label) {
			c := label[i] | 0x20
			if (c < 'a' || c > 'z') && (label[i] < '0' || label[i] > '9') && label[i] != '-' && label[i] != '_' {
				return false
			}
		}
	}
	return true
}
