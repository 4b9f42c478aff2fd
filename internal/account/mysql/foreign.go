package mysql

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/secret"
)

// theirQueries are those of a foreign schema, compiled. The zero value is for
// our own.
type theirQueries struct {
	schema                                       Schema
	domain, domains, user, users, alias, aliases query
}

func newTheirQueries(s Schema) (t theirQueries, err error) {
	t.schema = s
	into := []*query{&t.domain, &t.domains, &t.user, &t.users, &t.alias, &t.aliases}
	for i, q := range s.named() {
		if *into[i], err = compile(q.text); err != nil {
			return t, fmt.Errorf("query %q of schema %q: %w", q.name, s.Name, err)
		}
	}
	return t, nil
}

// check runs each query for nobody and looks at its columns.
func (t theirQueries) check(ctx context.Context, db *sql.DB) error {
	if t.schema.Name == "" {
		return nil
	}
	all := []query{t.domain, t.domains, t.user, t.users, t.alias, t.aliases}
	for i, named := range t.schema.named() {
		// "[" is in no domain, and is not the empty one that asks for all.
		rows, err := db.QueryContext(ctx, all[i].text, all[i].args(mailaddr.Address{LocalPart: "[", Domain: "["})...)
		if err != nil {
			return fmt.Errorf("query %q of schema %q: %w", named.name, t.schema.Name, err)
		}
		columns, err := rows.Columns()
		if err = errors.Join(err, rows.Close()); err == nil {
			err = named.columns(columns)
		}
		if err != nil {
			return fmt.Errorf("schema %q: %w", t.schema.Name, err)
		}
	}
	return nil
}

// record is a row by the names of its columns. NULL is empty.
type record struct {
	columns []string
	values  []sql.RawBytes
}

func (r record) text(name string) string {
	if i := slices.Index(r.columns, name); i >= 0 {
		return string(r.values[i])
	}
	return ""
}

// number reads a number, also one with decimals; what is none is 0.
func (r record) number(name string) int64 {
	whole, _, _ := strings.Cut(r.text(name), ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// records calls fn with each row.
func records(rows *sql.Rows, fn func(r record) error) error {
	columns, err := rows.Columns()
	if err != nil {
		return errors.Join(err, rows.Close())
	}
	r := record{columns, make([]sql.RawBytes, len(columns))}
	into := make([]any, len(columns))
	for i := range into {
		into[i] = &r.values[i]
	}
	return each(rows, func(rows *sql.Rows) error {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		return fn(r)
	})
}

// queryer is what *sql.DB and *sql.Tx have in common.
type queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// run calls fn with each row of q for an address.
func (q query) run(ctx context.Context, db queryer, addr mailaddr.Address, fn func(r record) error) error {
	rows, err := db.QueryContext(ctx, q.text, q.args(addr)...)
	if err == nil {
		err = records(rows, fn)
	}
	if canNotHold(err) && !isASCII(addr.LocalPart+addr.Domain) {
		return nil
	}
	return err
}

// canNotHold reports whether err says that a value has characters which the
// charset of a column does not have, so that it is in no row. MariaDB calls it a
// mix of collations, as does MySQL, or a conversion that is impossible.
func canNotHold(err error) bool {
	return slices.Contains([]uint16{illegalMix, illegalMixOfThree, illegalMixOfMany, canNotConvert, impossibleConversion}, numberOf(err))
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf })
}

// theirAddress reads an address as other programs write it: without quotation
// marks, and "@domain" or the domain alone for a catch-all.
func theirAddress(s string) mailaddr.Address {
	i := strings.LastIndexByte(s, '@')
	if i < 0 {
		return mailaddr.Address{Domain: account.FoldDomain(s)}
	}
	return account.Fold(mailaddr.Address{LocalPart: s[:i], Domain: s[i+1:]})
}

// domainOf finds a domain.
func (t theirQueries) domainOf(ctx context.Context, db queryer, name string) (account.Domain, error) {
	found := false
	err := t.domain.run(ctx, db, mailaddr.Address{Domain: name}, func(r record) error {
		found = found || account.FoldDomain(r.text("domain")) == name
		return nil
	})
	if err == nil && !found {
		err = sql.ErrNoRows
	}
	return account.Domain{Name: name}, err
}

// maxTheirTargets bounds the targets of a foreign alias.
const maxTheirTargets = 10 * account.MaxTargets

// aliasOf finds an alias. A destination that is no address is an error: to leave
// it out would lose its mail.
func (t theirQueries) aliasOf(ctx context.Context, db queryer, addr mailaddr.Address) (account.Alias, error) {
	a := account.Alias{Addr: addr}
	err := t.alias.run(ctx, db, addr, func(r record) error {
		if theirAddress(r.text("address")) != addr {
			return nil
		}
		to, err := targets(r.text("destinations"))
		if err != nil {
			return fmt.Errorf("alias %s: %w", account.AliasName(addr), err)
		}
		if a.To = append(a.To, to...); len(a.To) > maxTheirTargets {
			return fmt.Errorf("alias %s has more than %d destinations", account.AliasName(addr), maxTheirTargets)
		}
		return nil
	})
	if err == nil && len(a.To) == 0 {
		err = sql.ErrNoRows
	}
	return a, err
}

// theirUser finds a user, without our marks.
func (c *core) theirUser(ctx context.Context, db queryer, addr mailaddr.Address) (u account.User, err error) {
	found := false
	err = c.theirs.user.run(ctx, db, addr, func(r record) error {
		if theirAddress(r.text("address")) == addr && !found {
			found, u = true, c.userOf(r)
		}
		return nil
	})
	if err == nil && !found {
		err = sql.ErrNoRows
	}
	return u, err
}

// addMarks adds what we say of a user of theirs. Those rows are ours: what is
// remembered of them is good until the version moves, for logins too.
func (r reader) addMarks(ctx context.Context, u account.User) (account.User, error) {
	ours := r
	ours.ours = true
	known := func() bool { return r.knownName(u.Addr) }
	m, err := lookUp(ctx, ours, r.marked, u.Addr, 0, known, func(ctx context.Context, db *sql.DB) (m marks, err error) {
		err = db.QueryRowContext(ctx, r.look.mark, u.Addr.Domain, u.Addr.LocalPart).Scan(m.into()...)
		return m, err
	})
	if errors.Is(err, account.ErrNotFound) || err == nil && m.owner != u.ID {
		return u, nil // none, or those of an earlier user
	}
	if err != nil {
		return account.User{}, err
	}
	err = m.put(&u)
	return u, err
}

// unreadable is why a user may not log in whose password is none that can be
// stored. The mailbox takes mail all the same.
const unreadable = "the password in the table can not be read"

// userOf reads a row of the query user.
func (c *core) userOf(r record) account.User {
	u := account.User{Addr: theirAddress(r.text("address")), Quota: min(max(r.number("quota"), 0), account.MaxQuota)}
	u.ID = theirID(u.Addr, r.text("id"))
	u.Disabled = slices.Contains(r.columns, "enabled") && r.number("enabled") == 0
	if u.NoLogin = r.text("nologin"); account.ValidReason(u.NoLogin) != nil {
		u.NoLogin = "not allowed"
	}
	hash := r.text("password")
	if hash != "" && !strings.HasPrefix(hash, "{") && c.cfg.DefaultPassScheme != "" {
		hash = "{" + c.cfg.DefaultPassScheme + "}" + hash
	}
	if u.Password = secret.String(hash); account.ValidPassword(u.Password) != nil {
		u.Password, u.NoLogin = secret.Value{}, unreadable
	}
	restrict(&u, r.text("services"), r.text("allow_nets"))
	if at := r.number("changed"); at > 0 {
		u.Changed = time.Unix(at, 0)
	}
	return u
}

// theirID is a number of 63 bits for a user of a foreign schema, never 0. Two
// have the same one only by a collision of SHA-256 in them, or if they have the
// same address one after the other and no column tells them apart.
func theirID(addr mailaddr.Address, id string) int64 {
	sum := sha256.Sum256([]byte(addr.LocalPart + "@" + addr.Domain + "\x00" + id))
	return int64(binary.BigEndian.Uint64(sum[:8])>>1) | 1
}

// theirDomains lists domains, sorted, each once.
func (r reader) theirDomains(ctx context.Context) (all []account.Domain, err error) {
	q := r.theirs.domains
	err = r.list(ctx, "domains", q.text, q.args(mailaddr.Address{}), func(rows *sql.Rows) error {
		var name string
		err := rows.Scan(&name)
		all = append(all, account.Domain{Name: account.FoldDomain(name)})
		return err
	})
	slices.SortFunc(all, func(a, b account.Domain) int { return strings.Compare(a.Name, b.Name) })
	return slices.Compact(all), err
}

// theirUsers lists users, with our marks.
func (r reader) theirUsers(ctx context.Context, m account.Mask) (all []account.User, err error) {
	marked, err := r.listMarks(ctx, m)
	if err != nil {
		return nil, err
	}
	err = r.theirRows(ctx, "users", r.theirs.users, m, func(row record) error {
		addr := theirAddress(row.text("address"))
		if !m.Match(addr) || !listable(addr) {
			return nil
		}
		u := r.userOf(row)
		if mark, ok := marked[addr]; ok && mark.owner == u.ID {
			if err := mark.put(&u); err != nil {
				return err
			}
		}
		all = append(all, u)
		return nil
	})
	slices.SortFunc(all, func(a, b account.User) int { return compare(a.Addr, b.Addr) })
	return slices.CompactFunc(all, func(a, b account.User) bool { return a.Addr == b.Addr }), err
}

// theirAliases lists aliases. One with a destination that is no address is left
// out, and told of.
func (r reader) theirAliases(ctx context.Context, m account.Mask) (all []account.Alias, err error) {
	err = r.theirRows(ctx, "aliases", r.theirs.aliases, m, func(row record) error {
		addr := theirAddress(row.text("address"))
		if !m.Match(addr) || addr.Domain == "" {
			return nil
		}
		to, err := targets(row.text("destinations"))
		if err != nil {
			r.log.LogAttrs(ctx, slog.LevelWarn, "alias left out of a list", slog.String("rcpt_to", account.AliasName(addr)), slog.Any("err", err))
			return nil
		}
		if len(to) > 0 {
			all = append(all, account.Alias{Addr: addr, To: to})
		}
		return nil
	})
	slices.SortStableFunc(all, func(a, b account.Alias) int { return compare(a.Addr, b.Addr) })
	merged := all[:0]
	for _, a := range all {
		if n := len(merged); n > 0 && merged[n-1].Addr == a.Addr {
			merged[n-1].To = append(merged[n-1].To, a.To...)
			continue
		}
		merged = append(merged, a)
	}
	return merged, err
}

// theirRows runs a list of a foreign schema.
func (r reader) theirRows(ctx context.Context, what string, q query, m account.Mask, fn func(row record) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	_, version := r.clock.version()
	err := r.ask(ctx, version, true, func(ctx context.Context, db *sql.DB) error {
		begun := false
		err := q.run(ctx, db, mailaddr.Address{Domain: m.Domain}, func(row record) error {
			begun = true
			return fn(row)
		})
		return whole(begun, err)
	})
	if err != nil {
		return fmt.Errorf("list %s: %w", what, err)
	}
	return nil
}

// listMarks reads what we add to users.
func (r reader) listMarks(ctx context.Context, m account.Mask) (map[mailaddr.Address]marks, error) {
	all := map[mailaddr.Address]marks{}
	where, args := ofDomain("domain", m)
	err := r.list(ctx, "marks of users", r.look.marks+where, args, func(rows *sql.Rows) error {
		var a mailaddr.Address
		var k marks
		err := rows.Scan(append([]any{&a.LocalPart, &a.Domain}, k.into()...)...)
		all[a] = k
		return err
	})
	return all, err
}

// listable reports whether a is the address of a mailbox.
func listable(a mailaddr.Address) bool { return a.LocalPart != "" && a.Domain != "" }

// compare orders addresses by domain and local part.
func compare(a, b mailaddr.Address) int {
	if c := strings.Compare(a.Domain, b.Domain); c != 0 {
		return c
	}
	return strings.Compare(a.LocalPart, b.LocalPart)
}
