package stated

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/gatepost/gatepost/internal/access"
	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/secret"
)

// write asks for a change. What is kept is not trusted afterwards, whatever the
// answer was.
func (a *Accounts) write(ctx context.Context, call string, in, out any) error {
	defer a.version.Add(1)
	err := a.c.ask(ctx, question{name: call, in: in, within: listTime}, out)
	if errors.Is(err, errRequest) { // an address that can not even be said
		return fmt.Errorf("%w: %w", account.ErrInvalid, err)
	}
	return err
}

// texts is account.ErrInvalid if one of them is not UTF-8, which JSON can not
// carry: it would arrive as something else.
func texts(all ...string) error {
	for _, s := range all {
		if !utf8.ValidString(s) {
			return fmt.Errorf("%w: %q is not UTF-8", account.ErrInvalid, s)
		}
	}
	return nil
}

// AddDomain implements account.Writer.
func (a *Accounts) AddDomain(ctx context.Context, name string) error {
	return a.write(ctx, "account/add-domain", lookup{Name: name}, nil)
}

// RemoveDomain implements account.Writer.
func (a *Accounts) RemoveDomain(ctx context.Context, name string, force bool) error {
	return a.write(ctx, "account/remove-domain", lookup{Name: name, Force: force}, nil)
}

// AddUser implements account.Writer.
func (a *Accounts) AddUser(ctx context.Context, u account.User) error {
	in := added{Addr: addressOf(u.Addr), User: userOf(u, true)}
	in.User.Addr = mailaddr.Address{}
	return a.write(ctx, "account/add-user", in, nil)
}

// RemoveUser implements account.Writer.
func (a *Accounts) RemoveUser(ctx context.Context, addr mailaddr.Address) error {
	return a.write(ctx, "account/remove-user", lookup{Addr: addressOf(addr)}, nil)
}

func (a *Accounts) change(ctx context.Context, addr mailaddr.Address, c change) error {
	c.Addr = addressOf(addr)
	return a.write(ctx, "account/change", c, nil)
}

// SetPassword implements account.Writer.
func (a *Accounts) SetPassword(ctx context.Context, addr mailaddr.Address, password secret.Value) error {
	hash := string(password.Reveal())
	return a.change(ctx, addr, change{Hash: &hash})
}

// SetHeld implements account.Writer.
func (a *Accounts) SetHeld(ctx context.Context, addr mailaddr.Address, held bool) error {
	return a.change(ctx, addr, change{Held: &held})
}

// SetDisabled implements account.Writer.
func (a *Accounts) SetDisabled(ctx context.Context, addr mailaddr.Address, disabled bool) error {
	return a.change(ctx, addr, change{Disabled: &disabled})
}

// SetQuota implements account.Writer.
func (a *Accounts) SetQuota(ctx context.Context, addr mailaddr.Address, bytes int64) error {
	return a.change(ctx, addr, change{Quota: &bytes})
}

// SetAllowNets implements account.LoginWriter.
func (a *Accounts) SetAllowNets(ctx context.Context, addr mailaddr.Address, nets []netip.Prefix) error {
	if nets == nil {
		nets = []netip.Prefix{}
	}
	return a.change(ctx, addr, change{AllowNets: &nets})
}

// SetNoLogin implements account.LoginWriter.
func (a *Accounts) SetNoLogin(ctx context.Context, addr mailaddr.Address, reason string) error {
	if err := texts(reason); err != nil {
		return err
	}
	return a.change(ctx, addr, change{NoLogin: &reason})
}

// SetServices implements account.LoginWriter.
func (a *Accounts) SetServices(ctx context.Context, addr mailaddr.Address, services []string) error {
	if services == nil {
		services = []string{}
	}
	return a.change(ctx, addr, change{Services: &services})
}

// SetExpires implements account.LoginWriter.
func (a *Accounts) SetExpires(ctx context.Context, addr mailaddr.Address, end time.Time) error {
	return a.change(ctx, addr, change{Expires: &end})
}

// AddAlias implements account.Writer.
func (a *Accounts) AddAlias(ctx context.Context, alias account.Alias) error {
	return a.write(ctx, "account/add-alias", targetsOf(alias.Addr, alias.To), nil)
}

// RemoveAlias implements account.Writer.
func (a *Accounts) RemoveAlias(ctx context.Context, addr mailaddr.Address, to ...mailaddr.Address) error {
	return a.write(ctx, "account/remove-alias", targetsOf(addr, to), nil)
}

// AddAppPassword implements account.AppWriter.
func (a *Accounts) AddAppPassword(ctx context.Context, p account.AppPassword) error {
	if err := texts(append(slices.Clone(p.Services), p.Name)...); err != nil {
		return err
	}
	in := added{Addr: addressOf(p.User), App: appOf(p)}
	in.App.User = mailaddr.Address{}
	return a.write(ctx, "account/add-app", in, nil)
}

// RemoveAppPassword implements account.AppWriter.
func (a *Accounts) RemoveAppPassword(ctx context.Context, user mailaddr.Address, name string) error {
	return a.write(ctx, "account/remove-app", lookup{Addr: addressOf(user), Name: name}, nil)
}

// AddGrant implements account.RightsWriter.
func (a *Accounts) AddGrant(ctx context.Context, user, as mailaddr.Address) error {
	return a.write(ctx, "account/add-grant", targetsOf(user, []mailaddr.Address{as}), nil)
}

// RemoveGrant implements account.RightsWriter.
func (a *Accounts) RemoveGrant(ctx context.Context, user, as mailaddr.Address) error {
	return a.write(ctx, "account/remove-grant", targetsOf(user, []mailaddr.Address{as}), nil)
}

// SetPosting implements account.RightsWriter.
func (a *Accounts) SetPosting(ctx context.Context, p account.Posting) error {
	if err := texts(p.Reason); err != nil {
		return err
	}
	return a.write(ctx, "account/set-posting", posting{targetsOf(p.Addr, p.Moderators), p.Rule, p.Reason}, nil)
}

// RemovePosting implements account.RightsWriter.
func (a *Accounts) RemovePosting(ctx context.Context, addr mailaddr.Address) error {
	return a.write(ctx, "account/remove-posting", lookup{Addr: addressOf(addr)}, nil)
}

// AddAccess implements account.RightsWriter.
func (a *Accounts) AddAccess(ctx context.Context, e access.Entry) (out access.Entry, err error) {
	if err := texts(e.Name, e.For, e.Reason); err != nil {
		return out, err
	}
	err = a.write(ctx, "account/add-access", listed{Entry: e}, &out)
	return out, err
}

// RemoveAccess implements account.RightsWriter.
func (a *Accounts) RemoveAccess(ctx context.Context, deny bool, name, scope string) error {
	return a.write(ctx, "account/remove-access", listed{Deny: deny, Name: name, Scope: scope}, nil)
}

// Rehash implements account.Rehasher. verify is asked before the other process
// is, about what it is to store; that what it reads back is the same, it looks
// itself.
func (a *Accounts) Rehash(ctx context.Context, addr mailaddr.Address, old, hash secret.Value, verify func(secret.Value) error) error {
	if err := verify(hash); err != nil {
		return err
	}
	return a.write(ctx, "login/rehash", rehash{addressOf(addr), string(old.Reveal()), string(hash.Reveal())}, nil)
}

// Rates implements account.Standings.
func (a *Accounts) Rates(ctx context.Context) (all []account.LimitRate, err error) {
	err = a.list(ctx, "account/rates", "", &all)
	return all, err
}

// SetRate implements account.Standings.
func (a *Accounts) SetRate(ctx context.Context, r account.LimitRate) error {
	return a.write(ctx, "account/set-rate", rateOf(r.Subject, r.Limit, r.Rate), nil)
}

// RemoveRate implements account.Standings.
func (a *Accounts) RemoveRate(ctx context.Context, s account.Subject, limit string) error {
	return a.write(ctx, "account/remove-rate", rateOf(s, limit, ""), nil)
}

// Groups implements account.Standings.
func (a *Accounts) Groups(ctx context.Context) (all []account.Group, err error) {
	err = a.list(ctx, "account/groups", "", &all)
	return all, err
}

// AddToGroup implements account.Standings.
func (a *Accounts) AddToGroup(ctx context.Context, g account.Group) error {
	return a.write(ctx, "account/add-to-group", groupOf(g), nil)
}

// RemoveFromGroup implements account.Standings.
func (a *Accounts) RemoveFromGroup(ctx context.Context, g account.Group) error {
	return a.write(ctx, "account/remove-from-group", groupOf(g), nil)
}
