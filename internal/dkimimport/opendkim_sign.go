package dkimimport

import (
	"cmp"
	"path"
	"slices"
	"strings"
)

// opendkim is how OpenDKIM chooses signatures.
type opendkim struct {
	keys     dataset // KeyTable
	signing  dataset // SigningTable
	multiple bool
	// domains, with one key, stand in the place of both tables.
	domains    []row
	subdomains bool
	single     use
}

// opendkim builds the model, and reads the keys that it can come to.
func (r *conf) opendkim() *opendkim {
	s := r.source
	m := &opendkim{multiple: r.yes("multiplesignatures"), subdomains: r.yes("subdomains")}
	table, ok := r.values["signingtable"]
	if !ok {
		r.one(m)
		return m
	}
	if m.signing, ok = r.dataset(table); !ok {
		return m
	}
	keys, ok := r.values["keytable"]
	if !ok {
		s.plan.note(table.at, "SigningTable", "there is no KeyTable beside it", "")
		return m
	}
	if m.keys, ok = r.dataset(keys); !ok {
		m.signing = dataset{}
		return m
	}
	for _, e := range m.keys.rows {
		r.loadKey(e)
	}
	for i, e := range m.signing.rows {
		if m.signing.pattern && strings.ContainsAny(e.key, `[]\`) {
			s.plan.note(e.at, e.key, "the pattern is a regular expression", "name the domains that it stands for")
			m.signing.rows[i].key = ""
			continue
		}
		_, domain, ok := strings.Cut(e.key, "@")
		if !ok {
			domain = e.key
		}
		if isDomain(domain) {
			s.named[strings.ToLower(domain)] = true
		} else {
			s.plan.note(e.at, strings.TrimSpace(e.key+" "+e.value), "it stands for any number of domains: taken over for those that Gatepost or these files name", "gatepost domain add NAME before the import names more")
		}
	}
	m.unused(&s.plan)
	return m
}

// one reads a configuration with a single key.
func (r *conf) one(m *opendkim) {
	s := r.source
	domain, ok := r.values["domain"]
	if !ok {
		return
	}
	set, ok := r.dataset(domain)
	if !ok {
		return
	}
	m.domains = set.rows
	m.single = use{selector: r.values["selector"].value, path: r.values["keyfile"].value, from: r.values["keyfile"].at}
	if m.single.from.File == "" {
		m.single.from = domain.at
	}
	if m.single.selector == "" || m.single.path == "" {
		m.single.broken = "Domain without Selector and KeyFile"
	} else {
		s.keep(r.files, m.single.path)
	}
	for _, d := range m.domains {
		if isDomain(d.key) {
			s.named[strings.ToLower(d.key)] = true
		}
	}
}

// loadKey reads the key of one line of the KeyTable.
func (r *conf) loadKey(e row) {
	domain, _, key, ok := splitKey(e.value)
	if !ok {
		r.source.plan.note(e.at, e.key, "the line is not NAME DOMAIN:SELECTOR:KEY", "")
		return
	}
	if isDomain(domain) {
		r.source.named[strings.ToLower(domain)] = true
	}
	if !isPath(key) {
		return
	}
	if !strings.Contains(key, "%") {
		r.source.keep(r.files, key)
		return
	}
	for _, d := range r.source.keepTemplate(r.files, key, "%") {
		r.source.named[strings.ToLower(d)] = true
	}
}

func isPath(key string) bool {
	return strings.HasPrefix(key, "/") || strings.HasPrefix(key, "./") || strings.HasPrefix(key, "../")
}

// splitKey reads a value of the KeyTable.
func splitKey(value string) (domain, selector, key string, ok bool) {
	domain, rest, ok := strings.Cut(value, ":")
	selector, key, more := strings.Cut(rest, ":")
	return domain, selector, key, ok && more && domain != "" && selector != "" && key != ""
}

// unused notes the keys that no line of the SigningTable names.
func (m *opendkim) unused(p *Plan) {
	for _, k := range m.keys.rows {
		named := slices.ContainsFunc(m.signing.rows, func(e row) bool {
			name, _, _ := strings.Cut(e.value, ":")
			return name == k.key || name == "%" && isDomain(k.key) || m.keys.pattern && glob(k.key, name)
		})
		if !named {
			p.note(k.at, k.key, "no line of the SigningTable uses this key", "")
		}
	}
}

// sign returns the signatures on mail of an author.
func (m *opendkim) sign(local, domain string) []use {
	if m.domains != nil {
		return m.signOne(domain)
	}
	var out []use
	for _, e := range m.matches(local, domain) {
		u := m.key(e, domain)
		out = append(out, u)
		if !m.multiple || u.broken != "" {
			break
		}
	}
	return out
}

// signOne signs with the one key: with SubDomains for all below, too.
func (m *opendkim) signOne(domain string) []use {
	for _, d := range m.domains {
		below := m.subdomains && len(domain) > len(d.key) && strings.EqualFold(domain[len(domain)-len(d.key)-1:], "."+d.key)
		if strings.EqualFold(d.key, domain) || below {
			u := m.single
			u.domain = strings.ToLower(d.key)
			return []use{u}
		}
	}
	return nil
}

// matches returns the lines of the SigningTable for an author, in order.
func (m *opendkim) matches(local, domain string) []row {
	var out []row
	if m.signing.pattern {
		for _, e := range m.signing.rows {
			if e.key != "" && glob(e.key, local+"@"+domain) {
				out = append(out, e)
			}
		}
		return out
	}
	for _, key := range lookups(local, domain) {
		if i := slices.IndexFunc(m.signing.rows, func(e row) bool { return strings.EqualFold(e.key, key) }); i >= 0 {
			out = append(out, m.signing.rows[i])
		}
	}
	return out
}

// lookups are the keys that are looked for in a plain table: the address, its
// domain, then for each domain above it those with and without the local part.
func lookups(local, domain string) []string {
	out := []string{local + "@" + domain, domain}
	for rest := domain; ; {
		i := strings.IndexByte(rest, '.')
		if i < 0 {
			break
		}
		out = append(out, local+"@"+rest[i:], rest[i:])
		rest = rest[i+1:]
	}
	return append(out, local+"@*", "*")
}

// key returns the signature that a line of the SigningTable asks for.
func (m *opendkim) key(e row, domain string) use {
	name, _, _ := strings.Cut(e.value, ":")
	if name == "%" {
		name = domain
	}
	i := slices.IndexFunc(m.keys.rows, func(k row) bool {
		return k.key == name || m.keys.pattern && glob(k.key, name)
	})
	if i < 0 {
		return use{from: e.at, broken: "the KeyTable has no key " + cmp.Or(name, "without a name") + ": OpenDKIM defers this mail"}
	}
	k := m.keys.rows[i]
	d, selector, key, ok := splitKey(k.value)
	if !ok {
		return use{from: k.at, broken: "the line is not NAME DOMAIN:SELECTOR:KEY: OpenDKIM defers this mail"}
	}
	if d == "%" {
		d = domain
	}
	u := use{domain: strings.ToLower(d), selector: selector, from: k.at}
	if !isPath(key) {
		u.inline = key
		return u
	}
	u.path = strings.ReplaceAll(key, "%", domain)
	return u
}

// partial finds the lines that are for some authors only.
func (m *opendkim) partial(domain string, f func(local string, from Place, what string)) {
	for _, e := range m.signing.rows {
		pattern, of, ok := strings.Cut(e.key, "@")
		if !ok || pattern == "*" || pattern == "" {
			continue
		}
		// An author for whom the line is meant.
		local := strings.ReplaceAll(pattern, "*", probe)
		if m.signing.pattern && !glob(of, domain) {
			continue
		}
		if !m.signing.pattern && !slices.Contains(lookups(local, domain), strings.ToLower(e.key)) {
			continue
		}
		f(local, e.at, strings.TrimSpace(e.key+" "+e.value))
	}
}

// glob reports whether a pattern, in which "*" stands for any text, matches
// all of s, in any case.
func glob(pattern, s string) bool {
	pattern, s = strings.ToLower(pattern), strings.ToLower(s)
	first, rest, star := strings.Cut(pattern, "*")
	s, ok := strings.CutPrefix(s, first)
	if !ok || !star {
		return ok && s == ""
	}
	for {
		part, more, star := strings.Cut(rest, "*")
		if !star {
			return strings.HasSuffix(s, part)
		}
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s, rest = s[i+len(part):], more
	}
}

// sortNotes puts notes in the order of their places.
func sortNotes(notes []Note) {
	slices.SortFunc(notes, func(a, b Note) int {
		return cmp.Or(cmp.Compare(path.Clean(a.File), path.Clean(b.File)), a.Line-b.Line, cmp.Compare(a.What, b.What))
	})
}
