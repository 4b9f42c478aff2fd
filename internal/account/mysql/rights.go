package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/gatepost/gatepost/internal/access"
	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/account/use"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/secret"
)

// owner returns which user of an address rows of ours have to be of; whoever is true
// in our own schema, where they go with the user. It is ErrNotFound for a user
// who is not there in a foreign one.
func (r reader) owner(ctx context.Context, addr mailaddr.Address) (id int64, whoever bool, err error) {
	if r.own {
		return 0, true, nil
	}
	u, err := r.User(ctx, addr)
	return u.ID, false, err
}

// isOwner reports whether that user is still there.
func (r reader) isOwner(ctx context.Context, addr mailaddr.Address, owner int64) (bool, error) {
	id, whoever, err := r.owner(ctx, addr)
	return err == nil && (whoever || id == owner), ignoreNotFound(err)
}

// Grants implements account.Rights.
func (r reader) Grants(ctx context.Context, user mailaddr.Address) ([]mailaddr.Address, error) {
	user = account.Fold(user)
	id, whoever, err := r.owner(ctx, user)
	if err != nil {
		return nil, ignoreNotFound(err)
	}
	known := func() bool { return r.knownName(user) }
	all, err := lookUp(ctx, r, r.grants, user, 0, known, func(ctx context.Context, db *sql.DB) (all []mailaddr.Address, err error) {
		rows, err := db.QueryContext(ctx, r.look.grants, user.Domain, user.LocalPart, whoever, id)
		if err != nil {
			return nil, err
		}
		err = each(rows, func(rows *sql.Rows) error {
			var a mailaddr.Address
			err := rows.Scan(&a.LocalPart, &a.Domain)
			all = append(all, a)
			return err
		})
		return some(all, err)
	})
	return all, ignoreNotFound(err)
}

// some makes sql.ErrNoRows of nothing.
func some[T any](all []T, err error) ([]T, error) {
	if err == nil && len(all) == 0 {
		err = sql.ErrNoRows
	}
	return all, err
}

// owned is an address with the user that a row is of.
type owned struct {
	addr  mailaddr.Address
	owner int64
}

// Grantees implements account.Rights.
func (r reader) Grantees(ctx context.Context, as mailaddr.Address) ([]mailaddr.Address, error) {
	as = account.Fold(as)
	known := func() bool { return r.knownName(as) }
	all, err := lookUp(ctx, r, r.grantees, as, 0, known, func(ctx context.Context, db *sql.DB) ([]mailaddr.Address, error) {
		rows, err := db.QueryContext(ctx, r.look.grantees, as.Domain, as.LocalPart)
		if err != nil {
			return nil, err
		}
		var found []owned
		err = each(rows, func(rows *sql.Rows) error {
			var o owned
			err := rows.Scan(&o.addr.LocalPart, &o.addr.Domain, &o.owner)
			found = append(found, o)
			return err
		})
		if err != nil {
			return nil, err
		}
		return some(r.still(ctx, found))
	})
	return all, ignoreNotFound(err)
}

// still returns the addresses whose user is still that of the row.
func (r reader) still(ctx context.Context, found []owned) (all []mailaddr.Address, err error) {
	for _, o := range found {
		yes, err := r.isOwner(ctx, o.addr, o.owner)
		if err != nil {
			return nil, err
		}
		if yes {
			all = append(all, o.addr)
		}
	}
	return all, nil
}

// Posting implements account.Rights.
func (r reader) Posting(ctx context.Context, addr mailaddr.Address) (account.Posting, error) {
	addr = account.Fold(addr)
	known := func() bool { return r.knownName(addr) }
	return lookUp(ctx, r, r.postings, addr, 0, known, func(ctx context.Context, db *sql.DB) (account.Posting, error) {
		return scanPosting(db.QueryRowContext(ctx, r.look.posting, addr.Domain, addr.LocalPart))
	})
}

// Postings implements account.Rights.
func (r reader) Postings(ctx context.Context, mask string) (all []account.Posting, err error) {
	m := account.NewMask(mask)
	where, args := ofDomain("domain", m)
	err = r.list(ctx, "posting rules", r.look.postings+where+" ORDER BY domain, local", args, func(rows *sql.Rows) error {
		p, err := scanPosting(rows)
		if err == nil && m.Match(p.Addr) {
			all = append(all, p)
		}
		return err
	})
	return all, err
}

func scanPosting(row scanner) (account.Posting, error) {
	var p account.Posting
	var moderators string
	err := row.Scan(&p.Addr.LocalPart, &p.Addr.Domain, &p.Rule, &moderators, &p.Reason)
	if err != nil {
		return account.Posting{}, err
	}
	if p.Moderators, err = account.ParseModerators(moderators); err != nil {
		return account.Posting{}, fmt.Errorf("posting rule of %s: %w", p.Addr, err)
	}
	return p, nil
}

// Access implements account.Rights.
func (r reader) Access(ctx context.Context) (all []access.Entry, err error) {
	err = r.list(ctx, "entries", r.look.access, nil, func(rows *sql.Rows) error {
		var e access.Entry
		var until, added int64
		err := rows.Scan(&e.Deny, &e.Name, &e.For, &e.Reason, &until, &added)
		e.Until, e.Added = account.FromMillis(until), time.UnixMilli(added)
		all = append(all, e)
		return err
	})
	return all, err
}

// AppPasswords implements account.AppReader. It has no last answer: while no server
// does, it is an error once what is remembered has run out.
func (r reader) AppPasswords(ctx context.Context, user mailaddr.Address) ([]account.AppPassword, error) {
	user = account.Fold(user)
	id, whoever, err := r.owner(ctx, user)
	if err != nil {
		return nil, ignoreNotFound(err)
	}
	never := func() bool { return false }
	// The epoch of uses is part of the version of these rows: it moves when uses
	// forgets what they do not have.
	all, err := lookUp(ctx, r, r.apps, user, r.uses.Epoch(), never, func(ctx context.Context, db *sql.DB) ([]account.AppPassword, error) {
		rows, err := db.QueryContext(ctx, r.look.apps, user.Domain, user.LocalPart, whoever, id)
		if err != nil {
			return nil, err
		}
		return some(scanApps(rows, user))
	})
	if err = ignoreNotFound(err); err != nil {
		return nil, err
	}
	return account.ShowUses(all, r.uses.Last), nil
}

func scanApps(rows *sql.Rows, user mailaddr.Address) (all []account.AppPassword, err error) {
	err = each(rows, func(rows *sql.Rows) error {
		p := account.AppPassword{User: user}
		var hash []byte
		var services, from string
		var created, expires, used int64
		if err := rows.Scan(&p.ID, &p.Name, &hash, &services, &created, &expires, &used, &from); err != nil {
			return err
		}
		p.Hash, p.Services = secret.New(hash), account.ParseList(services)
		p.Created, p.Expires, p.LastUsed = account.FromMillis(created), account.FromMillis(expires), account.FromMillis(used)
		p.LastAddr, _ = netip.ParseAddr(from) // empty is no address
		all = append(all, p)
		return nil
	})
	return all, err
}

// UsedAppPassword implements account.AppUses.
func (r reader) UsedAppPassword(p account.AppPassword, when time.Time, from netip.Addr) {
	r.uses.Note(p.ID, use.Use{When: when, From: from.Unmap()})
}

// usesAtOnce bounds the uses that one change writes: its time is bounded.
const usesAtOnce = 500

// writeUses writes the uses that no server has. Another process may have noted a
// later one.
func (c *core) writeUses(ctx context.Context) error {
	due := c.uses.Due()
	for ids := range slices.Chunk(slices.Sorted(maps.Keys(due)), usesAtOnce) {
		part := make(map[int64]use.Use, len(ids))
		for _, id := range ids {
			part[id] = due[id]
		}
		if err := c.tx(ctx, func(ctx context.Context, tx *sql.Tx) error { return c.putUses(ctx, tx, part) }); err != nil {
			return fmt.Errorf("write the last use of app passwords: %w", err)
		}
		c.uses.Written(part)
	}
	return nil
}

func (c *core) putUses(ctx context.Context, tx *sql.Tx, due map[int64]use.Use) error {
	for id, u := range due {
		from := ""
		if u.From.IsValid() {
			from = u.From.String()
		}
		_, err := affect(ctx, tx, c.tables.sql("UPDATE {app_passwords} SET last_used = ?, last_addr = ? WHERE id = ? AND last_used < ?"),
			u.When.UnixMilli(), from, id, u.When.UnixMilli())
		if err != nil {
			return err
		}
	}
	return nil
}

// Standing implements account.Standings.
func (r reader) Standing(ctx context.Context, user mailaddr.Address) (account.Standing, error) {
	user = account.Fold(user)
	id, whoever, err := r.owner(ctx, user)
	if ignoreNotFound(err) != nil {
		return account.Standing{}, err
	}
	known := func() bool { return r.knownName(user) }
	s, err := lookUp(ctx, r, r.standings, user, 0, known, func(ctx context.Context, db *sql.DB) (s account.Standing, err error) {
		of := []any{user.Domain, user.LocalPart, whoever, id}
		rows, err := db.QueryContext(ctx, r.look.groupsOf, append(of, account.MaxStanding)...)
		if err != nil {
			return s, err
		}
		err = each(rows, func(rows *sql.Rows) error {
			var name string
			err := rows.Scan(&name)
			s.Groups = append(s.Groups, name)
			return err
		})
		if err != nil {
			return s, err
		}
		args := append(append(append([]any{}, of...), user.Domain), append(of, account.MaxStanding)...)
		if rows, err = db.QueryContext(ctx, r.look.ratesOf, args...); err != nil {
			return s, err
		}
		err = each(rows, func(rows *sql.Rows) error {
			rate, _, err := scanRate(rows)
			s.Rates = append(s.Rates, rate)
			return err
		})
		if err == nil && len(s.Groups)+len(s.Rates) == 0 {
			err = sql.ErrNoRows // as nearly always; kept as such
		}
		return s, err
	})
	return s, ignoreNotFound(err)
}

// scanRate reads rateColumn. Which field of the subject is set shows what it is.
func scanRate(rows *sql.Rows) (l account.LimitRate, owner int64, err error) {
	var a mailaddr.Address
	err = rows.Scan(&a.LocalPart, &a.Domain, &owner, &l.Subject.Group, &l.Limit, &l.Rate)
	switch {
	case l.Subject.Group != "":
	case a.LocalPart == "":
		l.Subject.Domain = a.Domain
	default:
		l.Subject.User = a
	}
	return l, owner, err
}

// Rates implements account.Standings.
func (r reader) Rates(ctx context.Context) ([]account.LimitRate, error) {
	var all []account.LimitRate
	owners := map[mailaddr.Address]int64{}
	err := r.list(ctx, "rates", r.look.rates, nil, func(rows *sql.Rows) error {
		l, owner, err := scanRate(rows)
		owners[l.Subject.User] = owner
		all = append(all, l)
		return err
	})
	if err != nil || r.own {
		return all, err
	}
	out := all[:0]
	for _, l := range all {
		yes := l.Subject.User.IsNull()
		if !yes {
			yes, err = r.isOwner(ctx, l.Subject.User, owners[l.Subject.User])
		}
		if err != nil {
			return nil, err
		}
		if yes {
			out = append(out, l)
		}
	}
	return out, nil
}

// Groups implements account.Standings.
func (r reader) Groups(ctx context.Context) (all []account.Group, err error) {
	type member struct {
		group string
		owned
	}
	var found []member
	err = r.list(ctx, "groups", r.look.groups, nil, func(rows *sql.Rows) error {
		var m member
		err := rows.Scan(&m.group, &m.addr.LocalPart, &m.addr.Domain, &m.owner)
		found = append(found, m)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, m := range found {
		yes, err := r.isOwner(ctx, m.addr, m.owner)
		if err != nil {
			return nil, err
		}
		if !yes {
			continue
		}
		if n := len(all); n == 0 || all[n-1].Name != m.group {
			all = append(all, account.Group{Name: m.group})
		}
		last := &all[len(all)-1]
		last.Users = append(last.Users, m.addr)
	}
	return all, nil
}

// OwnKey implements account.Backend.
func (s *Store) OwnKey(ctx context.Context, name string) (secret.Value, error) {
	key, err := s.ownKey(ctx, name)
	if err != nil {
		return secret.Value{}, fmt.Errorf("key %s of the account store: %w", name, err)
	}
	return secret.New(key), nil
}
