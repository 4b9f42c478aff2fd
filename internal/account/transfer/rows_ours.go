package transfer

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/gatepost/gatepost/internal/access"
	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/mailaddr"
)

func (r *appRow) kind() Kind { return AppPassword }
func (r *appRow) id() string { return key(r.User) + "\x00" + r.Name }

// core is without the last use, which moves on.
func (r *appRow) core() row {
	c := *r
	c.LastUsed, c.LastAddr = time.Time{}, netip.Addr{}
	return &c
}

func (r *appRow) find(ctx context.Context, d *desk) (row, error) {
	all, err := d.AppPasswords(ctx, r.User)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all, func(p account.AppPassword) bool { return p.Name == r.Name })
	if i < 0 {
		return nil, account.ErrNotFound
	}
	return appOf(all[i]), nil
}

func (r *appRow) add(ctx context.Context, d *desk) error {
	return d.PutAppPassword(ctx, account.AppPassword{
		User: r.User, Name: r.Name, Hash: r.Hash.Value, Services: r.Services,
		Created: r.Created, Expires: r.Expires, LastUsed: r.LastUsed, LastAddr: r.LastAddr,
	})
}

func (r *appRow) replace(ctx context.Context, d *desk, _ row) error {
	if err := d.RemoveAppPassword(ctx, r.User, r.Name); err != nil && !errors.Is(err, account.ErrNotFound) {
		return err
	}
	return r.add(ctx, d)
}

func (r *memberRow) kind() Kind { return Member }
func (r *memberRow) id() string { return r.Group + "\x00" + key(r.User) }
func (r *memberRow) core() row  { return r }

func (r *memberRow) find(ctx context.Context, d *desk) (row, error) {
	s, err := d.Standing(ctx, r.User)
	if err == nil && !slices.Contains(s.Groups, r.Group) {
		err = account.ErrNotFound
	}
	return r, err
}

func (r *memberRow) add(ctx context.Context, d *desk) error {
	return d.AddToGroup(ctx, account.Group{Name: r.Group, Users: []mailaddr.Address{r.User}})
}

func (r *memberRow) replace(context.Context, *desk, row) error { return nil }

func (r *rateRow) kind() Kind { return Rate }

func (r *rateRow) id() string {
	return r.Group + "\x00" + r.Domain + "\x00" + key(r.User) + "\x00" + r.Limit
}

func (r *rateRow) core() row { return r }

func (r *rateRow) find(ctx context.Context, d *desk) (row, error) {
	return d.listedRow(ctx, &d.rates, r.id())
}

func (r *rateRow) add(ctx context.Context, d *desk) error {
	return d.SetRate(ctx, account.LimitRate{
		Subject: account.Subject{User: r.User, Group: r.Group, Domain: r.Domain}, Limit: r.Limit, Rate: r.Rate,
	})
}

func (r *rateRow) replace(ctx context.Context, d *desk, _ row) error { return r.add(ctx, d) }

func (r *keyRow) kind() Kind { return Key }
func (r *keyRow) id() string { return r.Name }
func (r *keyRow) core() row  { return r }

func (r *keyRow) find(ctx context.Context, d *desk) (row, error) {
	return d.listedRow(ctx, &d.keys, r.Name)
}

func (r *keyRow) add(ctx context.Context, d *desk) error {
	return d.PutOwnKey(ctx, account.OwnKey{Name: r.Name, Value: r.Value.Value})
}

func (r *keyRow) replace(ctx context.Context, d *desk, _ row) error { return r.add(ctx, d) }

// The rows of what a store returns. Times are those that every store can keep:
// in milliseconds, without a zone.

func domainOf(d account.Domain) *domainRow { return &domainRow{Kind: Domain, Name: d.Name} }

func userOf(u account.User) *userRow {
	return &userRow{
		Kind: User, Addr: u.Addr, Password: plain{u.Password}, Held: u.Held, Disabled: u.Disabled, Quota: u.Quota,
		AllowNets: u.AllowNets, NoLogin: u.NoLogin, Services: u.Services, Expires: moment(u.Expires),
	}
}

func aliasOf(a account.Alias) *aliasRow { return &aliasRow{Kind: Alias, Addr: a.Addr, To: a.To} }

func postingOf(p account.Posting) *postingRow {
	return &postingRow{Kind: Posting, Addr: p.Addr, Rule: string(p.Rule), Moderators: p.Moderators, Reason: p.Reason}
}

func accessOf(e access.Entry) *accessRow {
	return &accessRow{
		Kind: Access, Deny: e.Deny, Name: e.Name, For: e.For, Reason: e.Reason, Until: moment(e.Until), Added: moment(e.Added),
	}
}

func appOf(p account.AppPassword) *appRow {
	return &appRow{
		Kind: AppPassword, User: p.User, Name: p.Name, Hash: plain{p.Hash}, Services: p.Services,
		Created: moment(p.Created), Expires: moment(p.Expires), LastUsed: moment(p.LastUsed), LastAddr: p.LastAddr,
	}
}

func rateOf(l account.LimitRate) *rateRow {
	return &rateRow{Kind: Rate, User: l.Subject.User, Group: l.Subject.Group, Domain: l.Subject.Domain, Limit: l.Limit, Rate: l.Rate}
}

func keyOf(k account.OwnKey) *keyRow { return &keyRow{Kind: Key, Name: k.Name, Value: plain{k.Value}} }

func moment(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.Truncate(time.Millisecond).UTC()
}
