package mysql

import (
	"fmt"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/secret"
)

// statements are those that look-ups use again and again.
type statements struct {
	version                     string
	domain, domains             string
	user, users, userID         string
	alias, aliases              string
	grants, grantees            string
	posting, postings           string
	apps                        string
	groupsOf, ratesOf, rates    string
	access, groups, marks, mark string
}

const (
	// userColumns are those of a user of our own schema, all in one row: a join
	// with the marks would cost the server half a look-up more.
	userColumns    = "id, password, quota, changed, held, disabled, allow_nets, nologin, services, expires FROM {users}"
	postingColumns = "SELECT local, domain, rule, moderators, reason FROM {posting}"
	// ofOwner is for the rows of a user: of any owner in our own schema, where they
	// go with the user, and else of that one.
	ofOwner    = " domain = ? AND local = ? AND (? OR owner = ?)"
	rateColumn = "SELECT local, domain, owner, group_name, limit_name, rate FROM {limit_rates}"
	// orderRates puts users first, then groups, then domains.
	orderRates  = " ORDER BY local = '', group_name = '', domain, local, group_name, limit_name"
	markColumns = "owner, held, disabled, allow_nets, nologin, services, expires, changed"
)

func (o ownTables) statements() statements {
	return statements{
		version:  o.sql("SELECT version FROM {version} WHERE id = 1"),
		domain:   o.sql("SELECT name FROM {domains} WHERE name = ?"),
		domains:  o.sql("SELECT name FROM {domains} ORDER BY name"),
		user:     o.sql("SELECT " + userColumns + " WHERE domain = ? AND local = ?"),
		users:    o.sql("SELECT local, domain, " + userColumns),
		userID:   o.sql("SELECT id FROM {users} WHERE domain = ? AND local = ?"),
		alias:    o.sql("SELECT local, domain, target FROM {aliases} WHERE domain = ? AND local = ? ORDER BY id"),
		aliases:  o.sql("SELECT local, domain, target FROM {aliases}"),
		grants:   o.sql("SELECT as_local, as_domain FROM {grants} WHERE" + ofOwner + " ORDER BY as_domain, as_local"),
		grantees: o.sql("SELECT local, domain, owner FROM {grants} WHERE as_domain = ? AND as_local = ? ORDER BY domain, local"),
		posting:  o.sql(postingColumns + " WHERE domain = ? AND local = ?"),
		postings: o.sql(postingColumns),
		apps: o.sql(`SELECT id, name, hash, services, created, expires, last_used, last_addr
			FROM {app_passwords} WHERE` + ofOwner + " ORDER BY name"),
		groupsOf: o.sql("SELECT name FROM {group_members} WHERE" + ofOwner + " ORDER BY name LIMIT ?"),
		ratesOf: o.sql(rateColumn + " WHERE group_name = '' AND" + ofOwner + " AND local <> '' OR group_name = '' AND domain = ? AND local = ''" +
			" OR group_name IN (SELECT name FROM {group_members} WHERE" + ofOwner + ")" + orderRates + " LIMIT ?"),
		rates:  o.sql(rateColumn + orderRates),
		access: o.sql("SELECT deny, name, scope, reason, until, added FROM {access} ORDER BY id"),
		groups: o.sql("SELECT name, local, domain, owner FROM {group_members} ORDER BY name, domain, local"),
		marks:  o.sql("SELECT local, domain, " + markColumns + " FROM {marks}"),
		mark:   o.sql("SELECT " + markColumns + " FROM {marks} WHERE domain = ? AND local = ?"),
	}
}

// scanner is what *sql.Row and *sql.Rows have in common.
type scanner interface{ Scan(dest ...any) error }

// marks are what we add to a user.
type marks struct {
	owner                   int64
	held, disabled          bool
	nets, nologin, services string
	expires, changed        int64
}

// into is where markColumns go.
func (m *marks) into() []any {
	return []any{&m.owner, &m.held, &m.disabled, &m.nets, &m.nologin, &m.services, &m.expires, &m.changed}
}

// put adds m to u.
func (m marks) put(u *account.User) (err error) {
	nets, err := account.ParseNets(m.nets)
	if err != nil {
		return fmt.Errorf("user %s: %w", u.Addr, err)
	}
	u.Held, u.Expires = m.held, account.FromMillis(m.expires)
	u.Disabled = u.Disabled || m.disabled
	allowBoth(u, account.ParseList(m.services), nets)
	if m.nologin != "" {
		u.NoLogin = m.nologin
	}
	if t := account.FromMillis(m.changed); t.After(u.Changed) {
		u.Changed = t
	}
	return nil
}

// userRow reads userColumns.
type userRow struct {
	marks
	u        account.User
	password []byte
}

func (r *userRow) row() []any {
	return []any{&r.u.ID, &r.password, &r.u.Quota, &r.changed, &r.held, &r.disabled, &r.nets, &r.nologin, &r.services, &r.expires}
}

func (r *userRow) user() (account.User, error) {
	r.u.Password = secret.New(r.password)
	err := r.put(&r.u)
	return r.u, err
}

// scanUser reads the row of one address.
func scanUser(row scanner, addr mailaddr.Address) (account.User, error) {
	r := userRow{u: account.User{Addr: addr}}
	if err := row.Scan(r.row()...); err != nil {
		return account.User{}, err
	}
	return r.user()
}

// scanListed reads a row of a list, which begins with the address.
func scanListed(row scanner) (account.User, error) {
	var r userRow
	if err := row.Scan(append([]any{&r.u.Addr.LocalPart, &r.u.Addr.Domain}, r.row()...)...); err != nil {
		return account.User{}, err
	}
	return r.user()
}
