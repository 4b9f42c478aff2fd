package transfer

import (
	"context"
	"errors"
	"slices"

	"github.com/gatepost/gatepost/internal/access"
	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/mailaddr"
)

// Store is what rows are taken from and put into.
type Store interface {
	account.Store
	account.Standings
	account.Mover
}

// row is one row of a store.
type row interface {
	kind() Kind
	// id names the row among its kind, and sorts it.
	id() string
	// core is the row without what may differ between two equal stores.
	core() row
	// find returns the row as the store has it, account.ErrNotFound if it has none.
	find(ctx context.Context, d *desk) (row, error)
	add(ctx context.Context, d *desk) error
	// replace puts the row in place of old, which find returned.
	replace(ctx context.Context, d *desk, old row) error
}

// key names an address so that addresses sort by domain and local part.
func key(a mailaddr.Address) string { return a.Domain + "\x00" + a.LocalPart }

// desk is a store with what is looked up in lists of it.
type desk struct {
	Store
	listed bool
	access map[string]row
	rates  map[string]row
	keys   map[string]row
}

// list reads the lists once. Rows that this run adds are not in them: a file has
// each row once.
func (d *desk) list(ctx context.Context) error {
	if d.listed {
		return nil
	}
	d.access, d.rates, d.keys = map[string]row{}, map[string]row{}, map[string]row{}
	entries, err := d.Access(ctx)
	if err != nil {
		return err
	}
	rates, err := d.Rates(ctx)
	if err != nil {
		return err
	}
	keys, err := d.OwnKeys(ctx)
	if err != nil {
		return err
	}
	for _, e := range entries {
		r := accessOf(e)
		d.access[r.id()] = r
	}
	for _, l := range rates {
		r := rateOf(l)
		d.rates[r.id()] = r
	}
	for _, k := range keys {
		d.keys[k.Name] = keyOf(k)
	}
	d.listed = true
	return nil
}

// listedRow finds a row in one of the lists.
func (d *desk) listedRow(ctx context.Context, in *map[string]row, id string) (row, error) {
	if err := d.list(ctx); err != nil {
		return nil, err
	}
	if r, ok := (*in)[id]; ok {
		return r, nil
	}
	return nil, account.ErrNotFound
}

func (r *domainRow) kind() Kind { return Domain }
func (r *domainRow) id() string { return r.Name }
func (r *domainRow) core() row  { return r }

func (r *domainRow) find(ctx context.Context, d *desk) (row, error) {
	found, err := d.Domain(ctx, r.Name)
	return domainOf(found), err
}

func (r *domainRow) add(ctx context.Context, d *desk) error { return d.AddDomain(ctx, r.Name) }

func (r *domainRow) replace(context.Context, *desk, row) error { return nil }

func (r *userRow) kind() Kind { return User }
func (r *userRow) id() string { return key(r.Addr) }
func (r *userRow) core() row  { return r }

func (r *userRow) find(ctx context.Context, d *desk) (row, error) {
	u, err := d.User(ctx, r.Addr)
	return userOf(u), err
}

func (r *userRow) add(ctx context.Context, d *desk) error {
	return d.AddUser(ctx, account.User{
		Addr: r.Addr, Password: r.Password.Value, Held: r.Held, Disabled: r.Disabled, Quota: r.Quota,
		AllowNets: r.AllowNets, NoLogin: r.NoLogin, Services: r.Services, Expires: r.Expires,
	})
}

func (r *userRow) replace(ctx context.Context, d *desk, was row) error {
	old, ok := was.(*userRow)
	if !ok {
		return account.ErrChanged
	}
	var err error
	set := func(differs bool, f func() error) {
		if differs && err == nil {
			err = f()
		}
	}
	// What restricts goes before the password, and what frees behind it: a run that
	// is cut lets nobody in by mistake, nor by the password that was.
	restrictions := func(restricts bool) {
		set(r.Held != old.Held && r.Held == restricts, func() error { return d.SetHeld(ctx, r.Addr, r.Held) })
		set(r.Disabled != old.Disabled && r.Disabled == restricts, func() error { return d.SetDisabled(ctx, r.Addr, r.Disabled) })
		set(r.NoLogin != old.NoLogin && (r.NoLogin != "") == restricts, func() error { return d.SetNoLogin(ctx, r.Addr, r.NoLogin) })
		set(!r.Expires.Equal(old.Expires) && old.Expires.IsZero() == restricts, func() error { return d.SetExpires(ctx, r.Addr, r.Expires) })
		set(!slices.Equal(r.AllowNets, old.AllowNets) && (len(old.AllowNets) == 0) == restricts,
			func() error { return d.SetAllowNets(ctx, r.Addr, r.AllowNets) })
		set(!slices.Equal(r.Services, old.Services) && (len(old.Services) == 0) == restricts,
			func() error { return d.SetServices(ctx, r.Addr, r.Services) })
	}
	restrictions(true)
	set(!r.Password.Equal(old.Password.Value), func() error { return d.SetPassword(ctx, r.Addr, r.Password.Value) })
	restrictions(false)
	set(r.Quota != old.Quota, func() error { return d.SetQuota(ctx, r.Addr, r.Quota) })
	return err
}

func (r *aliasRow) kind() Kind { return Alias }
func (r *aliasRow) id() string { return key(r.Addr) }

// core has the targets sorted and folded: neither says anything else to a store.
func (r *aliasRow) core() row {
	c := &aliasRow{Kind: r.Kind, Addr: r.Addr, To: slices.Clone(r.To)}
	for i, to := range c.To {
		c.To[i] = account.Fold(to)
	}
	slices.SortFunc(c.To, compare)
	return c
}

func compare(a, b mailaddr.Address) int {
	return slices.Compare([]string{key(a)}, []string{key(b)})
}

func (r *aliasRow) find(ctx context.Context, d *desk) (row, error) {
	a, err := d.Alias(ctx, r.Addr)
	return aliasOf(a), err
}

func (r *aliasRow) add(ctx context.Context, d *desk) error {
	return d.AddAlias(ctx, account.Alias{Addr: r.Addr, To: r.To})
}

// replace adds before it removes: the alias leads somewhere all the time.
func (r *aliasRow) replace(ctx context.Context, d *desk, was row) error {
	old, ok := was.(*aliasRow)
	if !ok {
		return account.ErrChanged
	}
	without := func(all, some []mailaddr.Address) []mailaddr.Address {
		return slices.DeleteFunc(slices.Clone(all), func(a mailaddr.Address) bool {
			return slices.ContainsFunc(some, func(b mailaddr.Address) bool { return account.Fold(a) == account.Fold(b) })
		})
	}
	if more := without(r.To, old.To); len(more) > 0 {
		if err := d.AddAlias(ctx, account.Alias{Addr: r.Addr, To: more}); err != nil {
			return err
		}
	}
	if less := without(old.To, r.To); len(less) > 0 {
		return d.RemoveAlias(ctx, r.Addr, less...)
	}
	return nil
}

func (r *grantRow) kind() Kind { return Grant }
func (r *grantRow) id() string { return key(r.User) + "\x00" + key(r.As) }
func (r *grantRow) core() row  { return r }

func (r *grantRow) find(ctx context.Context, d *desk) (row, error) {
	all, err := d.Grants(ctx, r.User)
	if err == nil && !slices.Contains(all, r.As) {
		err = account.ErrNotFound
	}
	return r, err
}

func (r *grantRow) add(ctx context.Context, d *desk) error { return d.AddGrant(ctx, r.User, r.As) }

func (r *grantRow) replace(context.Context, *desk, row) error { return nil }

func (r *postingRow) kind() Kind { return Posting }
func (r *postingRow) id() string { return key(r.Addr) }
func (r *postingRow) core() row  { return r }

func (r *postingRow) find(ctx context.Context, d *desk) (row, error) {
	p, err := d.Posting(ctx, r.Addr)
	return postingOf(p), err
}

func (r *postingRow) add(ctx context.Context, d *desk) error {
	return d.SetPosting(ctx, account.Posting{Addr: r.Addr, Rule: account.PostingRule(r.Rule), Moderators: r.Moderators, Reason: r.Reason})
}

func (r *postingRow) replace(ctx context.Context, d *desk, _ row) error { return r.add(ctx, d) }

func (r *accessRow) kind() Kind { return Access }

func (r *accessRow) id() string {
	if r.Deny {
		return "deny\x00" + r.Name + "\x00" + r.For
	}
	return "allow\x00" + r.Name + "\x00" + r.For
}

func (r *accessRow) core() row { return r }

func (r *accessRow) find(ctx context.Context, d *desk) (row, error) {
	return d.listedRow(ctx, &d.access, r.id())
}

func (r *accessRow) add(ctx context.Context, d *desk) error {
	return d.PutAccess(ctx, access.Entry{Deny: r.Deny, Name: r.Name, For: r.For, Reason: r.Reason, Until: r.Until, Added: r.Added})
}

func (r *accessRow) replace(ctx context.Context, d *desk, _ row) error {
	if err := d.RemoveAccess(ctx, r.Deny, r.Name, r.For); err != nil && !errors.Is(err, account.ErrNotFound) {
		return err
	}
	return r.add(ctx, d)
}
