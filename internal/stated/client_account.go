package stated

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/gatepost/gatepost/internal/access"
	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/secret"
)

// Accounts are those of the other process. While Follow runs, names are answered
// from memory, and for as long as the other process is away those that somebody
// had lately.
type Accounts struct {
	fresh
	version atomic.Uint64
	live    atomic.Bool // Follow hears of changes
	calls   atomic.Uint64
	cache   *cache
}

var (
	_ account.Backend = (*Accounts)(nil)
	_ account.AppUses = fresh{}
)

func newAccounts(c *Client) *Accounts {
	a := &Accounts{cache: newCache()}
	a.fresh = fresh{c, a}
	return a
}

// Follow hears of changes until ctx ends.
func (a *Accounts) Follow(ctx context.Context) error {
	err := a.c.follow(ctx, nil, true, func(e event) {
		if e.Missed || e.Version != 0 {
			a.version.Add(1)
			a.live.Store(true)
		}
	}, func() {
		a.live.Store(false)
		a.version.Add(1)
	})
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// Version implements account.Reader. While nobody says what changes, it moves
// each time, so that who keeps answers asks again.
func (a *Accounts) Version() uint64 {
	if !a.live.Load() {
		return a.version.Add(1)
	}
	return a.version.Load()
}

// Close implements account.Store: the store is the other process's.
func (a *Accounts) Close() error { return nil }

// Fresh implements account.Backend.
func (a *Accounts) Fresh() account.Reader {
	if a.rehashes() {
		return rehasher{a.fresh}
	}
	return a.fresh
}

// rehasher is fresh where hashes may be replaced.
type rehasher struct{ fresh }

// Rehash implements account.Rehasher.
func (r rehasher) Rehash(ctx context.Context, addr mailaddr.Address, old, hash secret.Value, verify func(secret.Value) error) error {
	return r.a.Rehash(ctx, addr, old, hash, verify)
}

// rehashes asks once whether passwords may be hashed anew; away is no.
func (a *Accounts) rehashes() bool {
	var ok bool
	err := a.c.ask(context.Background(), question{name: "login/rehashes", in: struct{}{}, again: true}, &ok)
	return err == nil && ok
}

// remember answers from memory, or asks and keeps the answer. addr is what n is
// about. While the other process is away "there is none" is an answer about a name
// that has something else only: nobody is told that a mailbox is not there.
func remember[T any](ctx context.Context, a *Accounts, n name, addr mailaddr.Address, ask func(context.Context) (T, error)) (T, error) {
	version, live := a.version.Load(), a.live.Load()
	k, have := a.cache.get(n)
	if have && live && k.version == version && ctx.Err() == nil {
		return typed[T](k)
	}
	v, err := ask(ctx)
	switch {
	case err == nil:
		a.cache.put(n, known{v, version, time.Now()})
	case errors.Is(err, account.ErrNotFound):
		a.cache.put(n, known{nil, version, time.Now()})
	case have && ctx.Err() == nil && !answered(err) && k.lasts() && (k.v != nil || a.knows(addr)):
		return typed[T](k)
	}
	return v, err
}

// about is what is asked about an address.
func about(call string, addr mailaddr.Address) name { return name{call, account.Fold(addr).String()} }

// knows reports whether somebody has a name: as a user, as an alias, or, of the
// address that takes what nobody has, as a domain.
func (a *Accounts) knows(addr mailaddr.Address) bool {
	for _, n := range []name{about("user", addr), about("alias", addr), {"domain", account.FoldDomain(addr.Domain)}} {
		if k, have := a.cache.get(n); have && k.v != nil && k.lasts() && (n.call != "domain" || addr.LocalPart == "") {
			return true
		}
	}
	return false
}

// answered reports whether the other process said it, and is not away.
func answered(err error) bool {
	var r *remote
	return errors.As(err, &r)
}

// typed is a known answer with its type.
func typed[T any](k known) (v T, err error) {
	v, ok := k.v.(T)
	if !ok {
		return v, account.ErrNotFound
	}
	return v, nil
}

// Domain implements account.Reader.
func (a *Accounts) Domain(ctx context.Context, of string) (account.Domain, error) {
	return remember(ctx, a, name{"domain", account.FoldDomain(of)}, mailaddr.Address{LocalPart: "-"}, func(ctx context.Context) (account.Domain, error) { return a.fresh.Domain(ctx, of) })
}

// User implements account.Reader.
func (a *Accounts) User(ctx context.Context, addr mailaddr.Address) (account.User, error) {
	return remember(ctx, a, about("user", addr), addr, func(ctx context.Context) (account.User, error) { return a.names().User(ctx, addr) })
}

// Alias implements account.Reader.
func (a *Accounts) Alias(ctx context.Context, addr mailaddr.Address) (account.Alias, error) {
	return remember(ctx, a, about("alias", addr), addr, func(ctx context.Context) (account.Alias, error) { return a.fresh.Alias(ctx, addr) })
}

// Grants implements account.Rights.
func (a *Accounts) Grants(ctx context.Context, user mailaddr.Address) ([]mailaddr.Address, error) {
	return remember(ctx, a, about("grants", user), user, func(ctx context.Context) ([]mailaddr.Address, error) { return a.fresh.Grants(ctx, user) })
}

// Posting implements account.Rights.
func (a *Accounts) Posting(ctx context.Context, addr mailaddr.Address) (account.Posting, error) {
	return remember(ctx, a, about("posting", addr), addr, func(ctx context.Context) (account.Posting, error) { return a.fresh.Posting(ctx, addr) })
}

// Standing implements account.Standings.
func (a *Accounts) Standing(ctx context.Context, user mailaddr.Address) (account.Standing, error) {
	return remember(ctx, a, about("standing", user), user, func(ctx context.Context) (account.Standing, error) { return a.fresh.Standing(ctx, user) })
}

// names is fresh without the hashes.
func (a *Accounts) names() names { return names{a.fresh} }

// names asks for users as the store has them now, by the call that everybody may.
type names struct{ fresh }

// User asks without the right to the hash.
func (n names) User(ctx context.Context, addr mailaddr.Address) (account.User, error) {
	var u user
	err := n.read(ctx, "account/user", lookup{Addr: addressOf(addr)}, &u)
	return u.user(), err
}

// fresh is the store as it is: it asks each time.
type fresh struct {
	c *Client
	a *Accounts
}

func (f fresh) read(ctx context.Context, call string, in, out any) error {
	return f.c.ask(ctx, question{name: call, in: in, again: true}, out)
}

// list is read for what may be long.
func (f fresh) list(ctx context.Context, call, mask string, out any) error {
	return f.c.ask(ctx, question{name: call, in: lookup{Name: mask}, again: true, within: listTime}, out)
}

func (f fresh) Domain(ctx context.Context, of string) (d account.Domain, err error) {
	err = f.read(ctx, "account/domain", lookup{Name: of}, &d)
	return d, err
}

func (f fresh) Domains(ctx context.Context) (all []account.Domain, err error) {
	err = f.list(ctx, "account/domains", "", &all)
	return all, err
}

func (f fresh) User(ctx context.Context, addr mailaddr.Address) (account.User, error) {
	var u user
	err := f.read(ctx, "login/user", lookup{Addr: addressOf(addr)}, &u)
	return u.user(), err
}

func (f fresh) Users(ctx context.Context, mask string) ([]account.User, error) {
	var all []user
	if err := f.list(ctx, "account/users", mask, &all); err != nil {
		return nil, err
	}
	out := make([]account.User, len(all))
	for i, u := range all {
		out[i] = u.user()
	}
	return out, nil
}

func (f fresh) Alias(ctx context.Context, addr mailaddr.Address) (a account.Alias, err error) {
	err = f.read(ctx, "account/alias", lookup{Addr: addressOf(addr)}, &a)
	return a, err
}

func (f fresh) Aliases(ctx context.Context, mask string) (all []account.Alias, err error) {
	err = f.list(ctx, "account/aliases", mask, &all)
	return all, err
}

func (f fresh) Grants(ctx context.Context, user mailaddr.Address) (all []mailaddr.Address, err error) {
	err = f.read(ctx, "account/grants", lookup{Addr: addressOf(user)}, &all)
	return all, err
}

func (f fresh) Grantees(ctx context.Context, as mailaddr.Address) (all []mailaddr.Address, err error) {
	err = f.read(ctx, "account/grantees", lookup{Addr: addressOf(as)}, &all)
	return all, err
}

func (f fresh) Posting(ctx context.Context, addr mailaddr.Address) (p account.Posting, err error) {
	err = f.read(ctx, "account/posting", lookup{Addr: addressOf(addr)}, &p)
	return p, err
}

func (f fresh) Postings(ctx context.Context, mask string) (all []account.Posting, err error) {
	err = f.list(ctx, "account/postings", mask, &all)
	return all, err
}

func (f fresh) Access(ctx context.Context) (all []access.Entry, err error) {
	err = f.list(ctx, "account/access", "", &all)
	return all, err
}

func (f fresh) AppPasswords(ctx context.Context, user mailaddr.Address) ([]account.AppPassword, error) {
	var all []app
	if err := f.read(ctx, "login/apps", lookup{Addr: addressOf(user)}, &all); err != nil {
		return nil, err
	}
	out := make([]account.AppPassword, len(all))
	for i, p := range all {
		out[i] = p.app()
	}
	return out, nil
}

func (f fresh) Standing(ctx context.Context, user mailaddr.Address) (s account.Standing, err error) {
	err = f.read(ctx, "account/standing", lookup{Addr: addressOf(user)}, &s)
	return s, err
}

// Version moves each time: nobody keeps what fresh answers.
func (f fresh) Version() uint64 { return f.a.calls.Add(1) }

// UsedAppPassword implements account.AppUses.
func (f fresh) UsedAppPassword(p account.AppPassword, when time.Time, from netip.Addr) {
	f.c.events.tell("used", used{App: app{AppPassword: p}, When: when, From: from})
}

// OwnKey implements account.Backend.
func (a *Accounts) OwnKey(ctx context.Context, of string) (secret.Value, error) {
	var key []byte
	if err := a.read(ctx, "login/key", lookup{Name: of}, &key); err != nil {
		return secret.Value{}, fmt.Errorf("key %s: %w", of, err)
	}
	return secret.String(string(key)), nil
}

// Writable implements account.Backend.
func (a *Accounts) Writable(ctx context.Context) error {
	return a.read(ctx, "account/writable", struct{}{}, nil)
}
