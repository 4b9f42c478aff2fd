package stated

import (
	"context"
	"errors"
	"fmt"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/secret"
)

// accountRoutes serve the accounts.
func (s *Server) accountRoutes() {
	a := s.parts.Accounts
	onAddr(s, "account/user", rightNames, func(ctx context.Context, p *peer, addr mailaddr.Address) (any, error) {
		u, err := a.User(ctx, addr)
		return userOf(u, p.may(rightSecrets)), err
	})
	onList(s, "account/users", func(ctx context.Context, p *peer, mask string) (any, error) {
		all, err := a.Users(ctx, mask)
		out := make([]user, len(all))
		for i, u := range all {
			out[i] = userOf(u, p.may(rightSecrets))
		}
		return out, err
	})
	on(s, "account/domain", rightNames, func(ctx context.Context, _ *peer, in lookup) (any, error) { return a.Domain(ctx, in.Name) })
	onList(s, "account/domains", func(ctx context.Context, _ *peer, _ string) (any, error) { return a.Domains(ctx) })
	onList(s, "account/aliases", func(ctx context.Context, _ *peer, mask string) (any, error) { return a.Aliases(ctx, mask) })
	onList(s, "account/postings", func(ctx context.Context, _ *peer, mask string) (any, error) { return a.Postings(ctx, mask) })
	onList(s, "account/access", func(ctx context.Context, _ *peer, _ string) (any, error) { return a.Access(ctx) })
	onList(s, "account/rates", func(ctx context.Context, _ *peer, _ string) (any, error) { return a.Rates(ctx) })
	onList(s, "account/groups", func(ctx context.Context, _ *peer, _ string) (any, error) { return a.Groups(ctx) })
	onAddr(s, "account/alias", rightNames, func(ctx context.Context, _ *peer, addr mailaddr.Address) (any, error) { return a.Alias(ctx, addr) })
	onAddr(s, "account/grants", rightNames, func(ctx context.Context, _ *peer, addr mailaddr.Address) (any, error) { return a.Grants(ctx, addr) })
	onAddr(s, "account/grantees", rightNames, func(ctx context.Context, _ *peer, as mailaddr.Address) (any, error) { return a.Grantees(ctx, as) })
	onAddr(s, "account/posting", rightNames, func(ctx context.Context, _ *peer, addr mailaddr.Address) (any, error) { return a.Posting(ctx, addr) })
	onAddr(s, "account/standing", rightNames, func(ctx context.Context, _ *peer, addr mailaddr.Address) (any, error) { return a.Standing(ctx, addr) })
	s.loginRoutes(a)
	s.changeRoutes(a)
	s.rightRoutes(a)
}

// onAddr is on for a question about an address.
func onAddr(s *Server, name string, need Right, f func(context.Context, *peer, mailaddr.Address) (any, error)) {
	on(s, name, need, func(ctx context.Context, p *peer, in lookup) (any, error) { return f(ctx, p, in.Addr.address()) })
}

// onList is on for a question about all that match a mask.
func onList(s *Server, name string, f func(context.Context, *peer, string) (any, error)) {
	onSize(s, name, rightNames, maxBody, huge, func(ctx context.Context, p *peer, in lookup) (any, error) { return f(ctx, p, in.Name) })
}

// errReadBack says that the store has not what was written.
var errReadBack = errors.New("the new hash was not read back as it was written")

// saltKey is the one key of the account store that a daemon needs.
const saltKey = "scram"

// loginRoutes serve what logins need beside users. They see the store as it is.
func (s *Server) loginRoutes(a account.Backend) {
	onAddr(s, "login/user", rightNames|rightSecrets, func(ctx context.Context, _ *peer, addr mailaddr.Address) (any, error) {
		u, err := a.Fresh().User(ctx, addr)
		return userOf(u, true), err
	})
	onAddr(s, "login/apps", rightNames|rightSecrets, func(ctx context.Context, _ *peer, addr mailaddr.Address) (any, error) {
		all, err := a.Fresh().AppPasswords(ctx, addr)
		out := make([]app, len(all))
		for i, p := range all {
			out[i] = appOf(p)
		}
		return out, err
	})
	on(s, "login/key", rightSecrets, func(ctx context.Context, p *peer, in lookup) (any, error) {
		if in.Name != saltKey && !p.may(rightChange) { // each name that is asked for is made
			return nil, fmt.Errorf("%w: key %q", ErrForbidden, in.Name)
		}
		k, err := a.OwnKey(ctx, in.Name)
		return k.Reveal(), err
	})
	// The caller has seen that New is of the right password; it can not be asked
	// while the store waits.
	on(s, "login/rehash", rightSecrets, func(ctx context.Context, _ *peer, in rehash) (any, error) {
		return nil, a.Rehash(ctx, in.Addr.address(), secret.String(in.Old), secret.String(in.New), func(got secret.Value) error {
			if string(got.Reveal()) != in.New {
				return errReadBack
			}
			return nil
		})
	})
	on(s, "login/rehashes", rightSecrets, func(context.Context, *peer, struct{}) (any, error) {
		_, ok := a.Fresh().(account.Rehasher)
		return ok, nil
	})
	on(s, "account/writable", rightChange, func(ctx context.Context, _ *peer, _ struct{}) (any, error) { return nil, a.Writable(ctx) })
}

// changeRoutes change accounts. No daemon may, but the calls are those of an
// account.Backend, and its contract is tested over them.
func (s *Server) changeRoutes(a account.Backend) {
	on(s, "account/add-domain", rightChange, func(ctx context.Context, _ *peer, in lookup) (any, error) { return nil, a.AddDomain(ctx, in.Name) })
	on(s, "account/remove-domain", rightChange, func(ctx context.Context, _ *peer, in lookup) (any, error) {
		return nil, a.RemoveDomain(ctx, in.Name, in.Force)
	})
	on(s, "account/add-user", rightChange, func(ctx context.Context, _ *peer, in added) (any, error) {
		u := in.User.user()
		u.Addr = in.Addr.address()
		return nil, a.AddUser(ctx, u)
	})
	onAddr(s, "account/remove-user", rightChange, func(ctx context.Context, _ *peer, addr mailaddr.Address) (any, error) {
		return nil, a.RemoveUser(ctx, addr)
	})
	on(s, "account/change", rightChange, func(ctx context.Context, _ *peer, in change) (any, error) { return nil, in.apply(ctx, a) })
	on(s, "account/add-alias", rightChange, func(ctx context.Context, _ *peer, in targets) (any, error) {
		return nil, a.AddAlias(ctx, account.Alias{Addr: in.Addr.address(), To: in.to()})
	})
	on(s, "account/remove-alias", rightChange, func(ctx context.Context, _ *peer, in targets) (any, error) {
		return nil, a.RemoveAlias(ctx, in.Addr.address(), in.to()...)
	})
	on(s, "account/add-app", rightChange, func(ctx context.Context, _ *peer, in added) (any, error) {
		p := in.App.app()
		p.User = in.Addr.address()
		return nil, a.AddAppPassword(ctx, p)
	})
	on(s, "account/remove-app", rightChange, func(ctx context.Context, _ *peer, in lookup) (any, error) {
		return nil, a.RemoveAppPassword(ctx, in.Addr.address(), in.Name)
	})
}

// added is a row that is new, with the address as it was given.
type added struct {
	Addr address `json:"addr"`
	User user    `json:"user,omitzero"`
	App  app     `json:"app,omitzero"`
}

// apply makes the one change of c.
func (c change) apply(ctx context.Context, a account.Writer) error {
	addr := c.Addr.address()
	switch {
	case c.Hash != nil:
		return a.SetPassword(ctx, addr, secret.String(*c.Hash))
	case c.Held != nil:
		return a.SetHeld(ctx, addr, *c.Held)
	case c.Disabled != nil:
		return a.SetDisabled(ctx, addr, *c.Disabled)
	case c.Quota != nil:
		return a.SetQuota(ctx, addr, *c.Quota)
	case c.AllowNets != nil:
		return a.SetAllowNets(ctx, addr, *c.AllowNets)
	case c.NoLogin != nil:
		return a.SetNoLogin(ctx, addr, *c.NoLogin)
	case c.Services != nil:
		return a.SetServices(ctx, addr, *c.Services)
	case c.Expires != nil:
		return a.SetExpires(ctx, addr, *c.Expires)
	}
	return errRequest
}

// rightRoutes change what is beside users and aliases.
func (s *Server) rightRoutes(a account.Backend) {
	on(s, "account/add-grant", rightChange, func(ctx context.Context, _ *peer, in targets) (any, error) {
		return nil, each(in, func(as mailaddr.Address) error { return a.AddGrant(ctx, in.Addr.address(), as) })
	})
	on(s, "account/remove-grant", rightChange, func(ctx context.Context, _ *peer, in targets) (any, error) {
		return nil, each(in, func(as mailaddr.Address) error { return a.RemoveGrant(ctx, in.Addr.address(), as) })
	})
	on(s, "account/set-posting", rightChange, func(ctx context.Context, _ *peer, in posting) (any, error) {
		return nil, a.SetPosting(ctx, account.Posting{Addr: in.Addr.address(), Rule: in.Rule, Moderators: in.to(), Reason: in.Reason})
	})
	onAddr(s, "account/remove-posting", rightChange, func(ctx context.Context, _ *peer, addr mailaddr.Address) (any, error) {
		return nil, a.RemovePosting(ctx, addr)
	})
	on(s, "account/add-access", rightChange, func(ctx context.Context, _ *peer, in listed) (any, error) { return a.AddAccess(ctx, in.Entry) })
	on(s, "account/remove-access", rightChange, func(ctx context.Context, _ *peer, in listed) (any, error) {
		return nil, a.RemoveAccess(ctx, in.Deny, in.Name, in.Scope)
	})
	on(s, "account/set-rate", rightChange, func(ctx context.Context, _ *peer, in rate) (any, error) { return nil, a.SetRate(ctx, in.rate()) })
	on(s, "account/remove-rate", rightChange, func(ctx context.Context, _ *peer, in rate) (any, error) {
		return nil, a.RemoveRate(ctx, in.rate().Subject, in.Limit)
	})
	on(s, "account/add-to-group", rightChange, func(ctx context.Context, _ *peer, in group) (any, error) {
		return nil, a.AddToGroup(ctx, in.group())
	})
	on(s, "account/remove-from-group", rightChange, func(ctx context.Context, _ *peer, in group) (any, error) {
		return nil, a.RemoveFromGroup(ctx, in.group())
	})
}

// each calls f for every target, to the first error.
func each(t targets, f func(mailaddr.Address) error) error {
	for _, a := range t.to() {
		if err := f(a); err != nil {
			return err
		}
	}
	return nil
}
