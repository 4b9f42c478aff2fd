package limit

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/netaddr"
)

// Override is another rate for some.
type Override struct {
	// For are addresses, domains ("@example.org"), networks of the client, names
	// of groups of the configuration, or "group:staff" for a group of the account
	// store.
	For []string `yaml:"for" json:"for"`
	// Rate takes the place of the limit's.
	Rate Rates `yaml:"rate" json:"rate"`
}

// maxFor bounds the entries of an override, with the members of its groups.
const maxFor = 10_000

func (o Override) validate(of Of) error {
	var errs []error
	if len(o.For) == 0 {
		errs = append(errs, config.Invalid("for", "names nobody"))
	}
	if err := o.Rate.valid(of); err != nil {
		errs = append(errs, config.Invalid("rate", "%v", err))
	}
	return errors.Join(errs...)
}

// Expand puts the members of groups in the place of their names, and reports
// what is no address, domain, network or group, with keys such as
// "[0].overrides[1].for". limits are not changed.
func Expand(limits []Limit, groups map[string][]string) ([]Limit, error) {
	var errs []error
	out := append([]Limit(nil), limits...)
	for i := range out {
		overrides := append([]Override(nil), out[i].Overrides...)
		for j := range overrides {
			all, err := expand(overrides[j].For, groups)
			if err != nil {
				errs = append(errs, config.Invalid(fmt.Sprintf("[%d].overrides[%d].for", i, j), "%v", err))
			}
			overrides[j].For = all
		}
		out[i].Overrides = overrides
	}
	return out, errors.Join(errs...)
}

func expand(names []string, groups map[string][]string) ([]string, error) {
	var out []string
	for _, name := range names {
		if members, ok := groups[name]; ok {
			out = append(out, members...)
			continue
		}
		if _, err := parseWho(name); err != nil {
			return nil, err
		}
		out = append(out, name)
	}
	if len(out) > maxFor {
		return nil, fmt.Errorf("%d entries are more than %d", len(out), maxFor)
	}
	return out, nil
}

// ValidMember reports whether s can stand in a group: an address, a domain
// ("@example.org") or a network.
func ValidMember(s string) error {
	w, err := parseWho(s)
	if err == nil && w.group != "" {
		return fmt.Errorf("%q is a group, and groups hold no groups", s)
	}
	return err
}

// GroupPrefix stands before the name of a group of the account store.
const GroupPrefix = "group:"

// ValidGroup reports whether s can be the name of a group: letters, digits, "-",
// "_" and ".", at most 64 bytes.
func ValidGroup(s string) bool { return validName(s) }

// who is one entry of For.
type who struct {
	text    string // an address, or "@" and a domain, in lower case
	group   string // a group of the account store
	network netip.Prefix
}

func parseWho(s string) (who, error) {
	if d, ok := strings.CutPrefix(s, "@"); ok {
		d, err := mailaddr.ParseDomain(d)
		return who{text: "@" + strings.ToLower(d)}, err
	}
	if g, ok := strings.CutPrefix(s, GroupPrefix); ok {
		if !ValidGroup(g) {
			return who{}, fmt.Errorf("%q is no name of a group", g)
		}
		return who{group: strings.ToLower(g)}, nil
	}
	if strings.Contains(s, "@") {
		a, err := mailaddr.Parse(s)
		return who{text: a.Folded().String()}, err
	}
	p, err := netaddr.ParsePrefix(s)
	if err != nil {
		return who{}, fmt.Errorf("%q is no address, domain such as @example.org, network or group", s)
	}
	return who{network: p}, nil
}

// people are parsed entries of For.
type people struct {
	texts    map[string]bool
	groups   []string
	networks []netip.Prefix
}

// parsePeople leaves out what is not valid: Expand has said so.
func parsePeople(names []string) people {
	p := people{texts: map[string]bool{}}
	for _, name := range names {
		w, err := parseWho(name)
		switch {
		case err != nil:
		case w.group != "":
			p.groups = append(p.groups, w.group)
		case w.network.IsValid():
			p.networks = append(p.networks, w.network)
		default:
			p.texts[w.text] = true
		}
	}
	return p
}

// has reports whether one of the texts, of the groups or the client is among p.
func (p *people) has(address, domain string, groups []string, client netip.Addr) bool {
	if address != "" && p.texts[address] || domain != "" && p.texts["@"+domain] {
		return true
	}
	for _, g := range groups {
		if slices.Contains(p.groups, g) {
			return true
		}
	}
	for _, n := range p.networks {
		if client.IsValid() && n.Contains(client) {
			return true
		}
	}
	return false
}
