package stated

import (
	"net/netip"
	"time"

	"github.com/gatepost/gatepost/internal/access"
	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/secret"
)

// address is a mailaddr.Address that is asked about: what a stranger typed goes
// over byte by byte, and is not read again on the other side.
type address struct {
	Local  []byte `json:"local,omitempty"`
	Domain string `json:"domain,omitempty"`
}

func addressOf(a mailaddr.Address) address { return address{[]byte(a.LocalPart), a.Domain} }

func (a address) address() mailaddr.Address {
	return mailaddr.Address{LocalPart: string(a.Local), Domain: a.Domain}
}

// lookup asks for what has a name or an address, or that a mask matches.
type lookup struct {
	Name string  `json:"name,omitempty"`
	Addr address `json:"addr,omitzero"`
	// Force removes what is in it, too.
	Force bool `json:"force,omitempty"`
}

// user is an account.User with its hash, for who may read that.
type user struct {
	account.User
	Hash string `json:"hash,omitempty"`
}

func userOf(u account.User, secrets bool) user {
	if !secrets {
		return user{User: u}
	}
	return user{u, string(u.Password.Reveal())}
}

func (u user) user() account.User {
	out := u.User
	if u.Hash != "" {
		out.Password = secret.String(u.Hash)
	}
	return out
}

// app is an account.AppPassword with its hash.
type app struct {
	account.AppPassword
	Stored string `json:"hash,omitempty"`
}

func appOf(p account.AppPassword) app { return app{p, string(p.Hash.Reveal())} }

func (a app) app() account.AppPassword {
	out := a.AppPassword
	if a.Stored != "" {
		out.Hash = secret.String(a.Stored)
	}
	return out
}

// used is a use of an app password.
type used struct {
	App  app        `json:"app"`
	When time.Time  `json:"when"`
	From netip.Addr `json:"from,omitzero"`
}

// change sets one thing of a user: that whose field is not nil.
type change struct {
	Addr      address         `json:"addr"`
	Hash      *string         `json:"hash,omitempty"`
	Held      *bool           `json:"held,omitempty"`
	Disabled  *bool           `json:"disabled,omitempty"`
	Quota     *int64          `json:"quota,omitempty"`
	AllowNets *[]netip.Prefix `json:"allow_nets,omitempty"`
	NoLogin   *string         `json:"nologin,omitempty"`
	Services  *[]string       `json:"services,omitempty"`
	Expires   *time.Time      `json:"expires,omitempty"`
}

// rehash replaces a hash by another of the same password.
type rehash struct {
	Addr address `json:"addr"`
	Old  string  `json:"old"`
	New  string  `json:"new"`
}

// targets is an alias and some of its targets, or a user and what is granted.
type targets struct {
	Addr address   `json:"addr"`
	To   []address `json:"to,omitempty"`
}

func targetsOf(a mailaddr.Address, to []mailaddr.Address) targets {
	t := targets{Addr: addressOf(a)}
	for _, x := range to {
		t.To = append(t.To, addressOf(x))
	}
	return t
}

func (t targets) to() []mailaddr.Address {
	var all []mailaddr.Address
	for _, x := range t.To {
		all = append(all, x.address())
	}
	return all
}

// posting is an account.Posting.
type posting struct {
	targets
	Rule   account.PostingRule `json:"rule"`
	Reason string              `json:"reason,omitempty"`
}

// listed names an allow or deny entry.
type listed struct {
	Entry access.Entry `json:"entry,omitzero"`
	Deny  bool         `json:"deny,omitempty"`
	Name  string       `json:"name,omitempty"`
	Scope string       `json:"scope,omitempty"`
}

// rate is a rate of somebody.
type rate struct {
	User   address `json:"user,omitzero"`
	Group  string  `json:"group,omitempty"`
	Domain string  `json:"domain,omitempty"`
	Limit  string  `json:"limit"`
	Rate   string  `json:"rate,omitempty"`
}

func rateOf(s account.Subject, limit, text string) rate {
	return rate{addressOf(s.User), s.Group, s.Domain, limit, text}
}

func (r rate) rate() account.LimitRate {
	return account.LimitRate{Subject: account.Subject{User: r.User.address(), Group: r.Group, Domain: r.Domain}, Limit: r.Limit, Rate: r.Rate}
}

// group is some members of a group.
type group struct {
	Name  string    `json:"name"`
	Users []address `json:"users,omitempty"`
}

func groupOf(g account.Group) group { return group{g.Name, targetsOf(mailaddr.Address{}, g.Users).To} }

func (g group) group() account.Group {
	return account.Group{Name: g.Name, Users: targets{To: g.Users}.to()}
}
