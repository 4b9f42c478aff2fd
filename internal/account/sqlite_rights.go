package account

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/gatepost/gatepost/internal/access"
	"github.com/gatepost/gatepost/internal/mailaddr"
)

const (
	selectGrants = `SELECT g.local, g.domain FROM grants g JOIN users u ON u.id = g.user_id
		JOIN domains d ON d.id = u.domain_id WHERE d.name = ? AND u.local = ? ORDER BY g.domain, g.local`
	selectGrantees = `SELECT u.local, d.name FROM grants g JOIN users u ON u.id = g.user_id
		JOIN domains d ON d.id = u.domain_id WHERE g.domain = ? AND g.local = ? ORDER BY d.name, u.local`
	postingColumns = "SELECT p.local, d.name, p.rule, p.moderators, p.reason FROM posting p JOIN domains d ON d.id = p.domain_id"
	selectPosting  = postingColumns + " WHERE d.name = ? AND p.local = ?"
	selectUserID   = "SELECT u.id FROM users u JOIN domains d ON d.id = u.domain_id WHERE d.name = ? AND u.local = ?"
)

// Grants implements Rights.
func (s *SQLite) Grants(ctx context.Context, user mailaddr.Address) ([]mailaddr.Address, error) {
	user = Fold(user)
	all, err := lookUp(ctx, s.Version(), s.grants, user, func() ([]mailaddr.Address, error) {
		return addresses(ctx, s.grant, user)
	})
	return all, ignoreNotFound(err)
}

// Grantees implements Rights.
func (s *SQLite) Grantees(ctx context.Context, as mailaddr.Address) ([]mailaddr.Address, error) {
	as = Fold(as)
	all, err := lookUp(ctx, s.Version(), s.grantees, as, func() ([]mailaddr.Address, error) {
		return addresses(ctx, s.grantee, as)
	})
	return all, ignoreNotFound(err)
}

// addresses returns the rows of a statement about one address, sql.ErrNoRows for
// none.
func addresses(ctx context.Context, stmt *sql.Stmt, of mailaddr.Address) (all []mailaddr.Address, err error) {
	rows, err := stmt.QueryContext(ctx, of.Domain, of.LocalPart)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var a mailaddr.Address
		if err := rows.Scan(&a.LocalPart, &a.Domain); err != nil {
			return nil, err
		}
		all = append(all, a)
	}
	if err := rows.Err(); err != nil || len(all) > 0 {
		return all, err
	}
	return nil, sql.ErrNoRows
}

// AddGrant implements RightsWriter.
func (s *SQLite) AddGrant(ctx context.Context, user, as mailaddr.Address) error {
	user = Fold(user)
	as, err := NormalGrant(as)
	if err != nil {
		return err
	}
	return s.change(ctx, "grant "+AliasName(as)+" to "+user.String(), func(tx *sql.Tx) error {
		id, err := userID(ctx, tx, user)
		if err != nil {
			return err
		}
		var n int
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM grants WHERE user_id = ?", id).Scan(&n); err != nil {
			return err
		}
		if n >= MaxGrants {
			return fmt.Errorf("%w: a user has %d grants at most", ErrInvalid, MaxGrants)
		}
		return insert(ctx, tx, "INSERT INTO grants (user_id, local, domain) VALUES (?, ?, ?)", id, as.LocalPart, as.Domain)
	})
}

// RemoveGrant implements RightsWriter.
func (s *SQLite) RemoveGrant(ctx context.Context, user, as mailaddr.Address) error {
	user, as = Fold(user), Fold(as)
	return s.change(ctx, "revoke "+AliasName(as)+" from "+user.String(), func(tx *sql.Tx) error {
		id, err := userID(ctx, tx, user)
		if err != nil {
			return err
		}
		return some(affect(ctx, tx, "DELETE FROM grants WHERE user_id = ? AND local = ? AND domain = ?", id, as.LocalPart, as.Domain))
	})
}

func userID(ctx context.Context, tx *sql.Tx, user mailaddr.Address) (id int64, err error) {
	err = tx.QueryRowContext(ctx, selectUserID, user.Domain, user.LocalPart).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, ErrNotFound
	}
	return id, err
}

// Posting implements Rights.
func (s *SQLite) Posting(ctx context.Context, addr mailaddr.Address) (Posting, error) {
	addr = Fold(addr)
	return lookUp(ctx, s.Version(), s.postings, addr, func() (Posting, error) {
		return scanPosting(s.posting.QueryRowContext(ctx, addr.Domain, addr.LocalPart))
	})
}

// Postings implements Rights.
func (s *SQLite) Postings(ctx context.Context, mask string) (all []Posting, err error) {
	m := NewMask(mask)
	rows, err := s.db.Reader.QueryContext(ctx, postingColumns+" WHERE ?1 = '' OR d.name = ?1 ORDER BY d.name, p.local", m.Domain)
	if err != nil {
		return nil, fmt.Errorf("list posting rules: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		p, err := scanPosting(rows)
		if err != nil {
			return nil, fmt.Errorf("list posting rules: %w", err)
		}
		if m.Match(p.Addr) {
			all = append(all, p)
		}
	}
	return all, rows.Err()
}

func scanPosting(row scanner) (Posting, error) {
	var p Posting
	var moderators string
	if err := row.Scan(&p.Addr.LocalPart, &p.Addr.Domain, &p.Rule, &moderators, &p.Reason); err != nil {
		return Posting{}, err
	}
	var err error
	if p.Moderators, err = ParseModerators(moderators); err != nil {
		return Posting{}, fmt.Errorf("posting rule of %s: %w", p.Addr, err)
	}
	return p, nil
}

// SetPosting implements RightsWriter.
func (s *SQLite) SetPosting(ctx context.Context, p Posting) error {
	p, err := p.Normal()
	if err != nil {
		return err
	}
	return s.change(ctx, "set who may write to "+p.Addr.String(), func(tx *sql.Tx) error {
		id, err := domainID(ctx, tx, p.Addr.Domain)
		if err != nil {
			return err
		}
		_, err = affect(ctx, tx, `INSERT INTO posting (domain_id, local, rule, moderators, reason) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (domain_id, local) DO UPDATE SET rule = excluded.rule, moderators = excluded.moderators, reason = excluded.reason`,
			id, p.Addr.LocalPart, string(p.Rule), FormatModerators(p.Moderators), p.Reason)
		return err
	})
}

// RemovePosting implements RightsWriter.
func (s *SQLite) RemovePosting(ctx context.Context, addr mailaddr.Address) error {
	addr = Fold(addr)
	return s.change(ctx, "forget who may write to "+addr.String(), func(tx *sql.Tx) error {
		return some(affect(ctx, tx, "DELETE FROM posting"+whereUser, addr.Domain, addr.LocalPart))
	})
}

// Access implements Rights.
func (s *SQLite) Access(ctx context.Context) (all []access.Entry, err error) {
	rows, err := s.db.Reader.QueryContext(ctx, "SELECT deny, name, scope, reason, until, added FROM access ORDER BY id")
	if err != nil {
		return nil, fmt.Errorf("list entries: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var e access.Entry
		var until, added int64
		if err := rows.Scan(&e.Deny, &e.Name, &e.For, &e.Reason, &until, &added); err != nil {
			return nil, fmt.Errorf("list entries: %w", err)
		}
		if until != 0 {
			e.Until = time.UnixMilli(until)
		}
		e.Added = time.UnixMilli(added)
		all = append(all, e)
	}
	return all, rows.Err()
}

// AddAccess implements RightsWriter.
func (s *SQLite) AddAccess(ctx context.Context, e access.Entry) (access.Entry, error) {
	e, err := e.Storable()
	if err != nil {
		return e, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	now := time.Now()
	e.Added = time.UnixMilli(now.UnixMilli())
	var until int64
	if !e.Until.IsZero() {
		if e.Ended(now) {
			return e, fmt.Errorf("%w: the entry would end before it begins", ErrInvalid)
		}
		until = e.Until.UnixMilli()
		e.Until = time.UnixMilli(until)
	}
	err = s.change(ctx, "add entry "+e.Name, func(tx *sql.Tx) error {
		const ended = "DELETE FROM access WHERE deny = ? AND name = ? AND scope = ? AND until BETWEEN 1 AND ?"
		if _, err := affect(ctx, tx, ended, e.Deny, e.Name, e.For, now.UnixMilli()); err != nil {
			return err
		}
		var n int
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM access").Scan(&n); err != nil {
			return err
		}
		if n >= access.MaxEntries {
			return fmt.Errorf("%w: there are %d entries, and more are not kept", ErrInvalid, n)
		}
		return insert(ctx, tx, "INSERT INTO access (deny, name, scope, reason, until, added) VALUES (?, ?, ?, ?, ?, ?)",
			e.Deny, e.Name, e.For, e.Reason, until, e.Added.UnixMilli())
	})
	return e, err
}

// RemoveAccess implements RightsWriter.
func (s *SQLite) RemoveAccess(ctx context.Context, deny bool, name, scope string) error {
	e, err := access.Entry{Name: name, For: scope}.Normal()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return s.change(ctx, "remove entry "+e.Name, func(tx *sql.Tx) error {
		return some(affect(ctx, tx, "DELETE FROM access WHERE deny = ? AND name = ? AND scope = ?", deny, e.Name, e.For))
	})
}
