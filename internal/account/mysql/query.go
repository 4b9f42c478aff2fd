package mysql

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/mailaddr"
)

// query is a statement of a schema with "?" where its values go.
type query struct {
	text   string
	values []value
}

// value is what goes in for one "?": pieces of text, and of the address.
type value []piece

// piece is a text, or with of set a part of the address: 's', 'u' or 'd'.
type piece struct {
	text string
	of   byte
}

// args returns the values for an address, which is folded.
func (q query) args(a mailaddr.Address) []any {
	out := make([]any, len(q.values))
	for i, v := range q.values {
		var b strings.Builder
		for _, p := range v {
			switch p.of {
			case 's':
				b.WriteString(wholeAddress(a))
			case 'u':
				b.WriteString(a.LocalPart)
			case 'd':
				b.WriteString(a.Domain)
			default:
				b.WriteString(p.text)
			}
		}
		out[i] = b.String()
	}
	return out
}

// wholeAddress is how other programs write an address into a column: without
// the quotes of RFC 5321, and "@domain" for a catch-all.
func wholeAddress(a mailaddr.Address) string {
	if a == (mailaddr.Address{}) {
		return ""
	}
	return a.LocalPart + "@" + a.Domain
}

// compile reads a query with %s, %u and %d. A literal in quotation marks that
// has one of them becomes one value as a whole, so that a query of Postfix's
// mysql_table(5) can be taken as it is.
func compile(text string) (query, error) {
	if strings.TrimSpace(text) == "" {
		return query{}, errors.New("a query is missing")
	}
	c := compiler{in: text}
	for c.pos < len(c.in) {
		if err := c.next(); err != nil {
			return query{}, err
		}
	}
	c.q.text = c.out.String()
	return c.q, nil
}

// compiler goes through a query once.
type compiler struct {
	in  string
	pos int
	out strings.Builder
	q   query
}

func (c *compiler) next() error {
	rest := c.in[c.pos:]
	switch ch := rest[0]; {
	case ch == '\'' || ch == '"':
		return c.literal(ch)
	case ch == '`':
		end := strings.IndexByte(rest[1:], '`')
		if end < 0 || strings.ContainsAny(rest[:end+2], "?%") {
			return errors.New("a name in ` does not end, or has ? or % in it")
		}
		c.copy(end + 2)
	case ch == '%':
		p, err := percent(rest)
		if err != nil {
			return err
		}
		c.pos += 2
		if p.of == 0 {
			c.out.WriteString(p.text)
			return nil
		}
		c.value(value{p})
	case ch == '?':
		return errors.New("a query has no ?: values go in by %s, %u and %d")
	case ch == ';':
		return errors.New("a query is one statement, without ;")
	case ch == '#', strings.HasPrefix(rest, "/*"), strings.HasPrefix(rest, "-- "), strings.HasPrefix(rest, "--\n"):
		return errors.New("a query has no comments")
	default:
		c.copy(1)
	}
	return nil
}

func (c *compiler) copy(n int) {
	c.out.WriteString(c.in[c.pos : c.pos+n])
	c.pos += n
}

func (c *compiler) value(v value) {
	c.out.WriteByte('?')
	c.q.values = append(c.q.values, v)
}

// percent reads what begins with a percent sign.
func percent(s string) (piece, error) {
	if len(s) > 1 {
		switch s[1] {
		case '%':
			return piece{text: "%"}, nil
		case 's', 'u', 'd':
			return piece{of: s[1]}, nil
		}
	}
	return piece{}, errors.New("a % is followed by s (address), u (local part), d (domain) or another %")
}

// literal reads a literal that begins with quote.
func (c *compiler) literal(quote byte) error {
	var v value
	var text strings.Builder
	for i := c.pos + 1; i < len(c.in); i++ {
		switch ch := c.in[i]; {
		case ch == quote && i+1 < len(c.in) && c.in[i+1] == quote:
			text.WriteByte(quote)
			i++
		case ch == quote:
			c.pos = i + 1
			if text.Len() > 0 || len(v) == 0 {
				v = append(v, piece{text: text.String()})
			}
			c.value(v)
			return nil
		case ch == '\\':
			return errors.New(`a literal has no \: write '' for a quotation mark`)
		case ch == '%':
			p, err := percent(c.in[i:])
			if err != nil {
				return err
			}
			i++
			if p.of == 0 {
				text.WriteByte('%')
				continue
			}
			if text.Len() > 0 {
				v = append(v, piece{text: text.String()})
				text.Reset()
			}
			v = append(v, p)
		default:
			text.WriteByte(ch)
		}
	}
	return fmt.Errorf("a literal does not end: %s", c.in[c.pos:])
}

// namedQuery is a query with the key of its setting, and the columns that it
// has to have and may have.
type namedQuery struct {
	name, text   string
	needs, mayBe []string
}

// The columns of users that may be left out.
var userMayHave = []string{"id", "enabled", "nologin", "services", "allow_nets", "quota", "changed"}

func (s Schema) named() []namedQuery {
	user, alias := []string{"address", "password"}, []string{"address", "destinations"}
	return []namedQuery{
		{"domain", s.Domain, []string{"domain"}, nil}, {"domains", s.Domains, []string{"domain"}, nil},
		{"user", s.User, user, userMayHave}, {"users", s.Users, user, userMayHave},
		{"alias", s.Alias, alias, nil}, {"aliases", s.Aliases, alias, nil},
	}
}

// columns returns nil if a result has the columns of q.
func (q namedQuery) columns(have []string) error {
	for _, name := range q.needs {
		if !slices.Contains(have, name) {
			return fmt.Errorf("query %q needs a column %q, and has %s", q.name, name, strings.Join(have, ", "))
		}
	}
	for _, name := range have {
		if !slices.Contains(q.needs, name) && !slices.Contains(q.mayBe, name) {
			return fmt.Errorf("query %q has a column %q: there are %s", q.name, name, strings.Join(append(q.needs, q.mayBe...), ", "))
		}
	}
	return nil
}

// schema returns the preset with the configured queries over it.
func (c Config) schema() (Schema, error) {
	if c.Schema == Own {
		return Schema{Name: Own}, nil
	}
	all := presets()
	i := slices.IndexFunc(all, func(s Schema) bool { return s.Name == c.Schema })
	if i < 0 {
		names := []string{Own}
		for _, s := range all {
			names = append(names, s.Name)
		}
		return Schema{}, fmt.Errorf("%q is not one of %s", c.Schema, strings.Join(names, ", "))
	}
	s := all[i]
	for _, r := range []struct {
		to   *string
		text string
	}{
		{&s.Domain, c.Queries.Domain}, {&s.Domains, c.Queries.Domains}, {&s.User, c.Queries.User},
		{&s.Users, c.Queries.Users}, {&s.Alias, c.Queries.Alias}, {&s.Aliases, c.Queries.Aliases},
	} {
		if r.text != "" {
			*r.to = r.text
		}
	}
	return s, nil
}

// targets reads the destinations of an alias of another program: addresses with
// commas between, which may stand in quotation marks.
func targets(text string) (all []mailaddr.Address, err error) {
	quoted, start := false, 0
	for i := 0; i <= len(text); i++ {
		switch {
		case i < len(text) && text[i] == '"':
			quoted = !quoted
			continue
		case i+1 < len(text) && quoted && text[i] == '\\':
			i++
			continue
		case i < len(text) && (text[i] != ',' || quoted):
			continue
		}
		one := strings.TrimSpace(text[start:i])
		start = i + 1
		if one == "" {
			continue
		}
		to, err := account.ParseTarget(one)
		if err != nil || to.Domain == "" {
			return nil, fmt.Errorf("destination %q is no full address: %w", one, errors.Join(err, mailaddr.ErrSyntax))
		}
		all = append(all, to)
	}
	return all, nil
}
