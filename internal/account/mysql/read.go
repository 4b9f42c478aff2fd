package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/account/memo"
	"github.com/gatepost/gatepost/internal/mailaddr"
)

const (
	// freshFor and namesFor are how long ago the version must have been found to
	// be current, so that what is remembered of it may be told.
	freshFor = time.Second
	namesFor = 3 * time.Second
)

// reader is a view of a store: that of names, or the fresh one.
type reader struct {
	*core
	fresh bool
	// ours says that the rows are ours, whatever the schema is.
	ours bool
	// sure says that only the host for changes is believed that a row is not
	// there.
	sure bool
}

var _ account.Reader = reader{}

// Version implements account.Reader.
func (r reader) Version() uint64 { return r.clock.epoch.Load() }

// remembers returns from when on an answer may be told without asking.
func (r reader) remembers() (since int64, ok bool) {
	switch {
	case r.versioned() && r.fresh:
		return 0, r.proved(freshFor)
	case r.versioned():
		return 0, r.proved(namesFor)
	case r.fresh || r.cfg.CacheTime == 0:
		return 0, false
	}
	return r.clock.now() - int64(r.cfg.CacheTime.Std()), true
}

// lookUp answers from c, or else by query. When no server answers, the view of
// names tells what was known at last, if known says that the name was.
func lookUp[K comparable, V any](ctx context.Context, r reader, c *memo.Cache[K, V], key K, extra uint64,
	known func() bool, query func(ctx context.Context, db *sql.DB) (V, error),
) (V, error) {
	var v V
	if err := ctx.Err(); err != nil {
		return v, err
	}
	epoch, version := r.clock.version()
	if since, ok := r.remembers(); ok {
		// Of a foreign schema "no such row" is asked each time: a mailbox that was
		// made just now must not be refused.
		if v, found, ok := c.Get(epoch+extra, key, since); ok && found {
			return v, nil
		} else if ok && r.versioned() {
			return v, account.ErrNotFound
		}
	}
	began := r.clock.now()
	err := r.ask(ctx, version, false, func(ctx context.Context, db *sql.DB) (err error) {
		v, err = query(ctx, db)
		return err
	})
	switch {
	case err == nil:
		c.Put(epoch+extra, key, v, true, began)
		return v, nil
	case errors.Is(err, sql.ErrNoRows):
		var none V
		c.Put(epoch+extra, key, none, false, began)
		return none, account.ErrNotFound
	case ctx.Err() == nil && !r.fresh && r.cfg.LastGood && isOut(err) && known():
		if v, found, ok := c.Last(key); ok && found {
			return v, nil
		} else if ok {
			return v, account.ErrNotFound
		}
	}
	var none V
	return none, fmt.Errorf("look up account: %w", err)
}

// isOut reports whether no server answered.
func isOut(err error) bool { return errors.Is(err, errAway) || errors.Is(err, errNotReady) }

// ask calls fn with the connections to a host that has all changes up to a
// version.
func (r reader) ask(ctx context.Context, version uint64, list bool, fn func(ctx context.Context, db *sql.DB) error) error {
	if !r.ready.Load() {
		return errNotReady
	}
	return r.hosts.ask(ctx, r.demand(version), func(h *host) error {
		db, limit := h.db, r.cfg.MaxStatementTime.Std()
		if list {
			db, limit = h.lists, listTimes*limit
		}
		bounded, cancel := context.WithTimeout(ctx, limit+2*slack)
		defer cancel()
		return fn(bounded, db)
	})
}

// demand returns what a look-up of this view wants. Of our rows another host is as
// good as the one for changes while that proves which version is current; after
// that it may have been cut off from changes that others go on to make. How far
// behind it is with rows of a foreign schema is never known.
func (r reader) demand(version uint64) demand {
	return demand{
		version: version,
		current: r.fresh && !r.proved(freshFor),
		doubt:   !r.proved(namesFor),
		sure:    r.sure,
	}
}

// versioned reports whether the rows are ours, which the version is of.
func (r reader) versioned() bool { return r.own || r.ours }

// proved reports whether the version that is known of the rows was current a
// while ago at most.
func (r reader) proved(d time.Duration) bool {
	return r.versioned() && !r.hosts.write.down.Load() && r.clock.provedWithin(d)
}

// list runs a query whose rows fn reads one by one.
func (r reader) list(ctx context.Context, what, query string, args []any, fn func(rows *sql.Rows) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	_, version := r.clock.version()
	err := r.ask(ctx, version, true, func(ctx context.Context, db *sql.DB) error {
		rows, err := db.QueryContext(ctx, query, args...)
		if err != nil {
			return err
		}
		begun := false
		err = each(rows, func(rows *sql.Rows) error {
			begun = true
			return fn(rows)
		})
		return whole(begun, err)
	})
	if err != nil {
		return fmt.Errorf("list %s: %w", what, err)
	}
	return nil
}

// partError is an error in the middle of a list. It hides its cause, so that no
// other host is asked for what has been read in part.
type partError struct{ err error }

func (e partError) Error() string { return e.err.Error() }

func whole(begun bool, err error) error {
	if err != nil && begun {
		return partError{err}
	}
	return err
}

// each reads rows, and closes them.
func each(rows *sql.Rows, fn func(rows *sql.Rows) error) (err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := fn(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// knownName reports whether a user or an alias of that address was there when it
// was asked for, or with an empty LocalPart that domain.
func (r reader) knownName(addr mailaddr.Address) bool {
	if addr.LocalPart == "" {
		_, found, ok := r.domains.Last(addr.Domain)
		return ok && found
	}
	if _, found, ok := r.users.Last(addr); ok && found {
		return true
	}
	_, found, ok := r.aliases.Last(addr)
	return ok && found
}

// Domain implements account.Reader.
func (r reader) Domain(ctx context.Context, name string) (account.Domain, error) {
	name = account.FoldDomain(name)
	// Domains come seldom, and that one is not ours is asked for all mail to others:
	// once the host for changes was heard, another one is believed.
	r.sure = !r.clock.heard()
	known := func() bool { return r.knownName(mailaddr.Address{Domain: name}) }
	return lookUp(ctx, r, r.domains, name, 0, known, func(ctx context.Context, db *sql.DB) (d account.Domain, err error) {
		if !r.own {
			return r.theirs.domainOf(ctx, db, name)
		}
		err = db.QueryRowContext(ctx, r.look.domain, name).Scan(&d.Name)
		return d, err
	})
}

// User implements account.Reader. While no server answers, a known user has no
// password.
func (r reader) User(ctx context.Context, addr mailaddr.Address) (account.User, error) {
	addr = account.Fold(addr)
	asks := r
	asks.sure = true // or mail for a mailbox that was just made would be refused
	stale := false
	known := func() bool {
		stale = r.knownName(addr)
		return stale
	}
	u, err := lookUp(ctx, asks, r.users, addr, 0, known, func(ctx context.Context, db *sql.DB) (account.User, error) {
		if !r.own {
			return r.theirUser(ctx, db, addr)
		}
		return scanUser(db.QueryRowContext(ctx, r.look.user, addr.Domain, addr.LocalPart), addr)
	})
	if stale {
		u.Password = account.User{}.Password
	}
	if err != nil || r.own {
		return u, err
	}
	return r.addMarks(ctx, u)
}

// Alias implements account.Reader.
func (r reader) Alias(ctx context.Context, addr mailaddr.Address) (account.Alias, error) {
	addr = account.Fold(addr)
	known := func() bool { return r.knownName(addr) }
	return lookUp(ctx, r, r.aliases, addr, 0, known, func(ctx context.Context, db *sql.DB) (account.Alias, error) {
		if !r.own {
			return r.theirs.aliasOf(ctx, db, addr)
		}
		rows, err := db.QueryContext(ctx, r.look.alias, addr.Domain, addr.LocalPart)
		if err != nil {
			return account.Alias{}, err
		}
		return oneAlias(rows)
	})
}

// oneAlias returns the first alias of rows, sql.ErrNoRows without one.
func oneAlias(rows *sql.Rows) (account.Alias, error) {
	var found []account.Alias
	err := each(rows, func(rows *sql.Rows) (err error) {
		found, err = addTarget(found, rows)
		return err
	})
	if err == nil && len(found) == 0 {
		err = sql.ErrNoRows
	}
	if err != nil {
		return account.Alias{}, err
	}
	return found[0], nil
}

// addTarget adds a row to the last alias of all, or begins another one.
func addTarget(all []account.Alias, rows *sql.Rows) ([]account.Alias, error) {
	var addr mailaddr.Address
	var target string
	if err := rows.Scan(&addr.LocalPart, &addr.Domain, &target); err != nil {
		return nil, err
	}
	to, err := account.ParseTarget(target)
	if err != nil {
		return nil, fmt.Errorf("alias %s has target %q: %w", account.AliasName(addr), target, err)
	}
	if n := len(all); n == 0 || all[n-1].Addr != addr {
		all = append(all, account.Alias{Addr: addr})
	}
	last := &all[len(all)-1]
	last.To = append(last.To, to)
	return all, nil
}

// Domains implements account.Reader.
func (r reader) Domains(ctx context.Context) (all []account.Domain, err error) {
	if !r.own {
		return r.theirDomains(ctx)
	}
	err = r.list(ctx, "domains", r.look.domains, nil, func(rows *sql.Rows) error {
		var d account.Domain
		err := rows.Scan(&d.Name)
		all = append(all, d)
		return err
	})
	return all, err
}

// Users implements account.Reader.
func (r reader) Users(ctx context.Context, mask string) (all []account.User, err error) {
	m := account.NewMask(mask)
	if !r.own {
		return r.theirUsers(ctx, m)
	}
	where, args := ofDomain("domain", m)
	err = r.list(ctx, "users", r.look.users+where+" ORDER BY domain, local", args, func(rows *sql.Rows) error {
		u, err := scanListed(rows)
		if err == nil && m.Match(u.Addr) {
			all = append(all, u)
		}
		return err
	})
	return all, err
}

// Aliases implements account.Reader.
func (r reader) Aliases(ctx context.Context, mask string) ([]account.Alias, error) {
	m := account.NewMask(mask)
	if !r.own {
		return r.theirAliases(ctx, m)
	}
	var all []account.Alias
	where, args := ofDomain("domain", m)
	err := r.list(ctx, "aliases", r.look.aliases+where+" ORDER BY domain, local, id", args, func(rows *sql.Rows) (err error) {
		all, err = addTarget(all, rows)
		return err
	})
	if err != nil {
		return nil, err
	}
	out := all[:0]
	for _, a := range all {
		if m.Match(a.Addr) {
			out = append(out, a)
		}
	}
	return out, nil
}

// ofDomain is the condition for a mask with a domain.
func ofDomain(column string, m account.Mask) (string, []any) {
	if m.Domain == "" {
		return "", nil
	}
	return " WHERE " + column + " = ?", []any{m.Domain}
}

// ignoreNotFound is nil for what is not there.
func ignoreNotFound(err error) error {
	if errors.Is(err, account.ErrNotFound) {
		return nil
	}
	return err
}
