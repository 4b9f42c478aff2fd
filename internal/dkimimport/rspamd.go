package dkimimport

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// rspamdModule is the section of these settings, where a file has it.
const rspamdModule = "dkim_signing"

// rspamd is how rspamd's module dkim_signing chooses keys.
type rspamd struct {
	path, selector string
	from           Place // of path, or of the file
	fallback       bool
	// organization cuts a domain to the part that was registered; nil where the
	// module takes the domain as it is.
	organization func(domain string) (string, bool)
	blocks       map[string][]use // domain {} and its selectors
	selectors    map[string]row   // selector_map
	paths        map[string]row   // path_map
	off          string           // why nothing is signed with these settings
}

// ReadRspamd reads local.d/dkim_signing.conf at an absolute path, the file of
// the same name in override.d beside local.d, and all that they name.
// organization is the public suffix list's answer: the organizational domain,
// false for none. The error is about the first file only.
func ReadRspamd(files Files, file string, organization func(string) (string, bool)) (*Source, error) {
	b, err := readFile(files, file)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	root, err := parseUCL(file, b)
	if err != nil {
		return nil, err
	}
	s := &Source{named: make(map[string]bool), texts: make(map[string]keyFile)}
	r := &module{files: files, source: s, root: s.inside(root), dir: path.Dir(path.Dir(file))}
	override := path.Join(r.dir, "override.d", path.Base(file))
	if b, err := readFile(files, override); err == nil && override != file {
		over, err := parseUCL(override, b)
		if err != nil {
			return nil, err
		}
		r.override(s.inside(over))
	}
	r.notes()
	m := r.model()
	m.from.File = file
	if n := r.root.find("path"); n != nil {
		m.from = n.at
	}
	if r.yes("use_esld", true) {
		m.organization = organization
	}
	s.model = m
	r.senders()
	r.keys(m)
	return s, nil
}

// inside returns the settings of a file that repeats the section's name.
func (s *Source) inside(root *node) *node {
	if n := root.find(rspamdModule); n != nil && n.kind == objectNode && len(root.fields) == 1 {
		return n
	}
	return root
}

// module is the settings while they are read.
type module struct {
	files  Files
	source *Source
	root   *node
	dir    string // where local.d is
}

// override replaces settings by those of override.d.
func (r *module) override(over *node) {
	set := make(map[string]bool)
	for _, f := range over.fields {
		set[strings.ToLower(f.name)] = true
	}
	r.root.fields = slices.DeleteFunc(r.root.fields, func(f field) bool { return set[strings.ToLower(f.name)] })
	r.root.fields = append(r.root.fields, over.fields...)
}

// text returns a setting that is one text.
func (r *module) text(name, absent string) string {
	n := r.root.find(name)
	if n == nil || n.kind != textNode {
		return absent
	}
	return n.text
}

// yes reads a Boolean.
func (r *module) yes(name string, absent bool) bool {
	switch strings.ToLower(r.text(name, "")) {
	case "true", "yes", "on", "1":
		return true
	case "false", "no", "off", "0":
		return false
	}
	return absent
}

// rspamdNotes are the settings with a note, where they are not the default.
var rspamdNotes = map[string]struct{ absent, why, do string }{
	"use_redis":                {"false", "keys in Redis are not read", "write each key into a file, and name it in a domain {} block"},
	"use_vault":                {"false", "keys in Vault are not read", "write each key into a file, and name it in a domain {} block"},
	"use_http_headers":         {"false", "Gatepost takes no keys from a request", ""},
	"signing_table":            {"", "tables of OpenDKIM are read from opendkim.conf", "name both tables in a file like opendkim.conf, and gatepost dkim import opendkim FILE"},
	"key_table":                {"", "tables of OpenDKIM are read from opendkim.conf", "name both tables in a file like opendkim.conf, and gatepost dkim import opendkim FILE"},
	"sign_condition":           {"", "a script cannot be carried over", ""},
	"use_domain_custom":        {"", "a script cannot be carried over", ""},
	"use_domain":               {"header", "Gatepost signs with the domain of the header From", ""},
	"use_domain_sign_networks": {"header", "Gatepost signs with the domain of the header From", ""},
	"use_domain_sign_local":    {"header", "Gatepost signs with the domain of the header From", ""},
	"use_domain_sign_inbound":  {"", "Gatepost never signs what only passes through", ""},
	"sign_inbound":             {"false", "Gatepost never signs what only passes through", ""},
	"sign_authenticated":       {"true", "Gatepost signs what users send, if they may use the header From", ""},
	"auth_only":                {"true", "Gatepost signs what users send, if they may use the header From", ""},
	"allow_username_mismatch":  {"false", "a login may use its own address and the aliases that lead to it", "gatepost alias add ADDRESS USER allows another"},
	"allow_hdrfrom_mismatch":   {"false", "Gatepost does not compare the header From with the envelope: the rights of the login decide", ""},
	"allow_hdrfrom_multiple":   {"false", "a message with several authors is not signed", ""},
	"sign_headers":             {"", fixedFields, ""},
	"skip_spam_sign":           {"", "refused mail is not signed, all other is", ""},
	"http_headers":             {"", "Gatepost takes no keys from a request", ""},
}

// quiet are the settings that need no note: they are carried over, or are of no
// matter for d= and s=.
var quiet = []string{
	"path", "selector", "selector_map", "path_map", "domain", "try_fallback", "use_esld", "sign_local", "sign_networks", "enabled",
	"symbol", "key_prefix", "check_pubkey", "allow_pubkey_mismatch", "allow_envfrom_empty", "selector_prefix", "check_violation",
	"allow_hdrfrom_mismatch_local", "allow_hdrfrom_mismatch_sign_networks",
}

func (r *module) notes() {
	plan := &r.source.plan
	seen := make(map[string]bool)
	for _, f := range r.root.fields {
		name := strings.ToLower(f.name)
		n, known := rspamdNotes[name]
		switch {
		case strings.HasPrefix(name, "."):
			plan.note(f.value.at, f.name+" "+f.value.text, "macros are not followed", "write its settings into this file for the import")
		case known && (n.absent == "" || !strings.EqualFold(f.value.text, n.absent)):
			plan.note(f.value.at, f.name+" = "+f.value.text, n.why, n.do)
		case !known && !slices.Contains(quiet, name):
			plan.note(f.value.at, f.name, "this setting is not known", "")
		}
		if seen[name] && name != "domain" && name[0] != '.' {
			plan.note(f.value.at, f.name, "it is set twice; the last one was taken", "")
		}
		seen[name] = true
	}
}

// model reads what chooses keys.
func (r *module) model() *rspamd {
	m := &rspamd{path: r.text("path", ""), selector: r.text("selector", "dkim"), fallback: r.yes("try_fallback", true),
		blocks: make(map[string][]use)}
	if !r.yes("enabled", true) {
		m.off = "enabled = false"
	}
	for _, name := range []string{"use_redis", "use_vault"} {
		if r.yes(name, false) {
			m.off = name
		}
	}
	for _, f := range r.root.fields {
		if strings.EqualFold(f.name, "domain") {
			r.domains(m, f.value)
		}
	}
	m.selectors = r.table("selector_map")
	m.paths = r.table("path_map")
	return m
}

// domains reads "domain { example.org { selector; path; selectors [...] } }".
func (r *module) domains(m *rspamd, n *node) {
	if n.kind != objectNode {
		r.source.plan.note(n.at, "domain "+n.text, "a map of domain blocks is not read", "write the blocks into this file")
		return
	}
	for _, f := range n.fields {
		d := strings.ToLower(f.name)
		if !isDomain(d) || f.value.kind != objectNode {
			r.source.plan.note(f.value.at, "domain "+f.name, "it is not a block of one domain", "")
			continue
		}
		r.source.named[d] = true
		if u, ok := block(f.value, d); ok {
			m.blocks[d] = append(m.blocks[d], u)
		}
		list := f.value.find("selectors")
		if list == nil {
			continue
		}
		entries := list.list
		if list.kind == objectNode {
			entries = []*node{list}
		}
		for _, e := range entries {
			if u, ok := block(e, d); ok {
				m.blocks[d] = append(m.blocks[d], u)
			}
		}
	}
}

// block reads selector and path of one key.
func block(n *node, domain string) (use, bool) {
	u := use{domain: domain, from: n.at}
	if v := n.find("selector"); v != nil {
		u.selector = v.text
	}
	if v := n.find("path"); v != nil {
		u.path = v.text
	}
	return u, u.selector != "" || u.path != ""
}

// table reads a map: a file with "domain value" lines, or such lines in a list.
func (r *module) table(name string) map[string]row {
	n := r.root.find(name)
	if n == nil {
		return nil
	}
	rows := r.rows(name, n)
	out := make(map[string]row, len(rows))
	for _, e := range rows {
		d := strings.ToLower(e.key)
		out[d] = row{d, strings.Trim(e.value, `"`), e.at}
		if isDomain(d) {
			r.source.named[d] = true
		}
	}
	return out
}

// rows reads the lines of a map.
func (r *module) rows(name string, n *node) []row {
	if n.kind == listNode {
		var out []row
		for _, e := range n.list {
			key, value, _ := strings.Cut(strings.TrimSpace(e.text), " ")
			out = append(out, row{key, strings.TrimSpace(value), e.at})
		}
		return out
	}
	file := strings.TrimPrefix(n.text, "file://")
	for _, v := range []string{"$LOCAL_CONFDIR", "${LOCAL_CONFDIR}", "$CONFDIR", "${CONFDIR}"} {
		file = strings.Replace(file, v, r.dir, 1)
	}
	file = strings.NewReplacer("$DBDIR", "/var/lib/rspamd", "${DBDIR}", "/var/lib/rspamd").Replace(file)
	if !path.IsAbs(file) {
		r.source.plan.note(n.at, name+" = "+n.text, "only maps in flat files are read", "write it into a file for the import")
		return nil
	}
	b, err := readFile(r.files, file)
	if err != nil {
		r.source.plan.note(n.at, name+" = "+n.text, "the file cannot be read", "")
		return nil
	}
	return parseTable(file, b)
}

// senders reads whose mail is signed.
func (r *module) senders() {
	plan := &r.source.plan
	if r.yes("sign_local", true) {
		plan.Local = true
		at := Place{File: r.root.at.File}
		if n := r.root.find("sign_local"); n != nil {
			at = n.at
		}
		plan.note(at, "sign_local", "rspamd means all private networks by it, Gatepost this host only",
			"name the networks that send without a login in milter.submission_networks")
	}
	n := r.root.find("sign_networks")
	if n == nil {
		return
	}
	for _, e := range r.rows("sign_networks", n) {
		plan.host(e)
	}
}

// keys reads the key files that the model can come to.
func (r *module) keys(m *rspamd) {
	s := r.source
	if m.fallback && m.path != "" && m.off == "" {
		for _, d := range s.keepTemplate(r.files, strings.ReplaceAll(m.path, "$selector", m.selector), "$domain") {
			s.named[strings.ToLower(d)] = true
		}
	}
	for d := range s.named {
		for _, u := range m.sign(probe, d) {
			if u.path != "" {
				s.keep(r.files, u.path)
			}
		}
	}
	if m.path != "" && !strings.Contains(m.path, "$domain") {
		s.keep(r.files, strings.ReplaceAll(m.path, "$selector", m.selector))
	}
	sortNotes(s.plan.Notes)
}

// sign returns the signatures on mail of a domain.
func (m *rspamd) sign(_, domain string) []use {
	if m.off != "" {
		return nil
	}
	if m.organization != nil {
		if org, ok := m.organization(domain); ok {
			domain = org
		}
	}
	uses := slices.Clone(m.blocks[domain])
	uses = fill(uses, m.selectors[domain], func(u *use) *string { return &u.selector })
	uses = fill(uses, m.paths[domain], func(u *use) *string { return &u.path })
	if len(uses) == 0 && !m.fallback {
		return nil
	}
	for i := range uses {
		uses[i].maybe = uses[i].path == ""
	}
	if len(uses) == 0 && m.path != "" {
		uses = []use{{from: m.from, maybe: true}}
	}
	uses = fill(uses, row{value: m.path, at: m.from}, func(u *use) *string { return &u.path })
	uses = fill(uses, row{value: m.selector, at: m.from}, func(u *use) *string { return &u.selector })
	out := uses[:0]
	for _, u := range uses {
		if u.path == "" {
			continue // no key: rspamd passes the message by
		}
		u.domain = domain
		u.path = strings.ReplaceAll(strings.ReplaceAll(u.path, "$domain", domain), "$selector", u.selector)
		out = append(out, u)
	}
	return out
}

// fill sets what no signature has yet, and begins one where there is none.
func fill(uses []use, e row, of func(*use) *string) []use {
	if e.value == "" {
		return uses
	}
	if len(uses) == 0 {
		uses = append(uses, use{from: e.at})
	}
	for i := range uses {
		if f := of(&uses[i]); *f == "" {
			*f = e.value
		}
	}
	return uses
}

// partial has nothing to say: rspamd chooses by domain only.
func (m *rspamd) partial(string, func(string, Place, string)) {}
