package rule

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"github.com/expr-lang/expr"
)

// functions are those that rules may call, with their types.
var functions = map[string]any{
	"lower":     new(func(string) string),
	"domain_of": new(func(string) string),
	"under":     new(func(string, string) bool),
	"ip_in":     new(func(string, ...string) bool),
	"in_map":    new(func(string, string) bool),
}

// named returns the functions that rules name, only to be checked.
func (c *compiler) named() []expr.Option {
	var out []expr.Option
	for name, typ := range functions {
		out = append(out, expr.Function(name, notCalled, typ))
	}
	return out
}

// table collects functions whose first argument is the meter.
type table []expr.Option

func (t *table) add(name string, typ any, fn func(m *Meter, p []any) (any, error)) {
	*t = append(*t, expr.Function(name, func(p ...any) (any, error) { return fn(p[0].(*Meter), p[1:]) }, typ))
}

// counted returns the functions that guard puts in the place of those and of
// operators.
func (c *compiler) counted() []expr.Option {
	var t table
	t.operators()
	t.callable(c.opt.Maps)
	return t
}

// operators are what the language does to whole texts and lists.
func (t *table) operators() {
	t.add("_step", new(func(*Meter, int) bool), func(m *Meter, p []any) (any, error) {
		return true, m.spend(p[0].(int))
	})
	t.add("_matches", new(func(*Meter, string, *regexp.Regexp) bool), func(m *Meter, p []any) (any, error) {
		s := p[0].(string)
		if err := m.spend(costMatches(s)); err != nil {
			return false, err
		}
		return p[1].(*regexp.Regexp).MatchString(s), nil
	})
	t.add("_contains", new(func(*Meter, string, string) bool), func(m *Meter, p []any) (any, error) {
		s := p[0].(string)
		if err := m.spend(costContains(s)); err != nil {
			return false, err
		}
		return strings.Contains(s, p[1].(string)), nil
	})
	t.add("_in", new(func(*Meter, string, []string) bool), func(m *Meter, p []any) (any, error) {
		list := p[1].([]string)
		if err := m.spend(1 + len(list)/8); err != nil {
			return false, err
		}
		for _, s := range list {
			if s == p[0].(string) {
				return true, nil
			}
		}
		return false, nil
	})
	t.add("_textlen", new(func(*Meter, string) int), func(m *Meter, p []any) (any, error) {
		return len(p[0].(string)), m.spend(costLen)
	})
}

// callable are the functions of rules.
func (t *table) callable(maps Maps) {
	price, _ := maps.(pricer)
	t.add("_lower", new(func(*Meter, string) string), func(m *Meter, p []any) (any, error) {
		s := p[0].(string)
		if err := m.spend(costLower(s)); err != nil {
			return "", err
		}
		return strings.ToLower(s), nil
	})
	t.add("_domain_of", new(func(*Meter, string) string), func(m *Meter, p []any) (any, error) {
		return domainOf(p[0].(string)), m.spend(costDomain)
	})
	t.add("_under", new(func(*Meter, string, string) bool), func(m *Meter, p []any) (any, error) {
		return under(p[0].(string), p[1].(string)), m.spend(costUnder(p[0].(string)))
	})
	t.add("_ip_in", new(func(*Meter, string, *[]netip.Prefix) bool), func(m *Meter, p []any) (any, error) {
		nets := *p[1].(*[]netip.Prefix)
		if err := m.spend(costNets(nets)); err != nil {
			return false, err
		}
		return ipIn(p[0].(string), nets), nil
	})
	t.add("_in_map", new(func(*Meter, string, string) bool), func(m *Meter, p []any) (any, error) {
		name, value := p[0].(string), p[1].(string)
		if err := m.spend(costMap(price, name, value)); err != nil {
			return false, err
		}
		if maps == nil {
			return false, fmt.Errorf("there is no map %q", name)
		}
		return maps.Has(name, value), nil
	})
}

// What the functions cost, in units of Budget.
const costLen, costDomain = 1, 1

func costMatches(s string) int         { return 5 + len(s)/2 }
func costContains(s string) int        { return 1 + len(s)/64 }
func costLower(s string) int           { return 1 + len(s)/16 }
func costUnder(domain string) int      { return 1 + len(domain)/64 }
func costNets(nets []netip.Prefix) int { return 2 + len(nets)/8 }

// costMap is what a look-up costs; price is nil for maps that have none.
func costMap(price pricer, name, value string) int {
	cost := costCall + len(value)
	if price != nil {
		cost += price.Cost(name, len(value))
	}
	return cost
}

// notCalled stands for a function that guard replaces.
func notCalled(...any) (any, error) { return nil, fmt.Errorf("this function was not compiled") }

// domainOf returns what stands behind the last "@" of an address in lower case;
// "" without one.
func domainOf(address string) string {
	i := strings.LastIndexByte(address, '@')
	if i < 0 {
		return ""
	}
	return strings.ToLower(address[i+1:])
}

// under reports whether domain is parent or below it, whatever the case. No
// domain is under "".
func under(domain, parent string) bool {
	parent = strings.Trim(parent, ".")
	at := len(domain) - len(parent)
	return parent != "" && at >= 0 && strings.EqualFold(domain[at:], parent) && (at == 0 || domain[at-1] == '.')
}

// ipIn reports whether addr, of either form of IPv4, is in one of nets; what is
// no address is in none.
func ipIn(addr string, nets []netip.Prefix) bool {
	a, err := netip.ParseAddr(addr)
	if err != nil {
		return false
	}
	a = a.Unmap().WithZone("")
	for _, n := range nets {
		if n.Contains(a) {
			return true
		}
	}
	return false
}
