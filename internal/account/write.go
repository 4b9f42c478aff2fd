package account

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/secret"
	"github.com/gatepost/gatepost/internal/sqlite"
)

// change runs fn in a transaction and, once that is on disk, moves the version.
func (s *SQLite) change(ctx context.Context, what string, fn func(*sql.Tx) error) error {
	if err := sqlite.Tx(ctx, s.db.Writer, fn); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	s.version.Add(1)
	return nil
}

// AddDomain implements Writer.
func (s *SQLite) AddDomain(ctx context.Context, name string) error {
	if err := ValidDomain(name); err != nil {
		return err
	}
	name = FoldDomain(name)
	return s.change(ctx, "add domain "+name, func(tx *sql.Tx) error {
		return insert(ctx, tx, "INSERT INTO domains (name) VALUES (?)", name)
	})
}

// RemoveDomain implements Writer.
func (s *SQLite) RemoveDomain(ctx context.Context, name string, force bool) error {
	name = FoldDomain(name)
	return s.change(ctx, "remove domain "+name, func(tx *sql.Tx) error {
		id, err := domainID(ctx, tx, name)
		if errors.Is(err, ErrNoDomain) {
			return ErrNotFound
		}
		if err != nil {
			return err
		}
		for _, table := range []string{"users", "aliases"} {
			n, err := affect(ctx, tx, "DELETE FROM "+table+" WHERE domain_id = ?", id)
			if err != nil {
				return err
			}
			if n > 0 && !force {
				return ErrNotEmpty // rolls back
			}
		}
		_, err = affect(ctx, tx, "DELETE FROM domains WHERE id = ?", id)
		return err
	})
}

// AddUser implements Writer.
func (s *SQLite) AddUser(ctx context.Context, u User) error {
	u, err := u.Normal()
	if err != nil {
		return err
	}
	return s.change(ctx, "add user "+u.Addr.String(), func(tx *sql.Tx) error {
		id, err := domainID(ctx, tx, u.Addr.Domain)
		if err != nil {
			return err
		}
		return insert(ctx, tx, `INSERT INTO users (domain_id, local, password, held, disabled, quota, changed,
			allow_nets, nologin, services, expires) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			id, u.Addr.LocalPart, string(u.Password.Reveal()), u.Held, u.Disabled, u.Quota, time.Now().UnixMilli(),
			FormatNets(u.AllowNets), u.NoLogin, strings.Join(u.Services, " "), Millis(u.Expires))
	})
}

// whereUser ends a statement about one user.
const whereUser = " WHERE domain_id = (SELECT id FROM domains WHERE name = ?) AND local = ?"

// RemoveUser implements Writer.
func (s *SQLite) RemoveUser(ctx context.Context, addr mailaddr.Address) error {
	addr = Fold(addr)
	return s.change(ctx, "remove user "+addr.String(), func(tx *sql.Tx) error {
		return some(affect(ctx, tx, "DELETE FROM users"+whereUser, addr.Domain, addr.LocalPart))
	})
}

// SetPassword implements Writer.
func (s *SQLite) SetPassword(ctx context.Context, addr mailaddr.Address, password secret.Value) error {
	if err := ValidPassword(password); err != nil {
		return err
	}
	return s.set(ctx, addr, "password", string(password.Reveal()))
}

// SetHeld implements Writer.
func (s *SQLite) SetHeld(ctx context.Context, addr mailaddr.Address, held bool) error {
	return s.set(ctx, addr, "held", held)
}

// SetDisabled implements Writer.
func (s *SQLite) SetDisabled(ctx context.Context, addr mailaddr.Address, disabled bool) error {
	return s.set(ctx, addr, "disabled", disabled)
}

// SetQuota implements Writer.
func (s *SQLite) SetQuota(ctx context.Context, addr mailaddr.Address, bytes int64) error {
	if err := ValidQuota(bytes); err != nil {
		return err
	}
	return s.set(ctx, addr, "quota", bytes)
}

// set sets one column, whose name is ours, of one user.
func (s *SQLite) set(ctx context.Context, addr mailaddr.Address, column string, value any) error {
	addr = Fold(addr)
	return s.change(ctx, "set "+column+" of "+addr.String(), func(tx *sql.Tx) error {
		return some(affect(ctx, tx, "UPDATE users SET "+column+" = ?, changed = ?"+whereUser,
			value, time.Now().UnixMilli(), addr.Domain, addr.LocalPart))
	})
}

// AddAlias implements Writer.
func (s *SQLite) AddAlias(ctx context.Context, a Alias) error {
	a, err := a.Normal()
	if err != nil {
		return err
	}
	return s.change(ctx, "add alias "+AliasName(a.Addr), func(tx *sql.Tx) error {
		id, err := domainID(ctx, tx, a.Addr.Domain)
		if err != nil {
			return err
		}
		var added int64
		for _, to := range a.To {
			n, err := affect(ctx, tx, `INSERT INTO aliases (domain_id, local, target, target_key)
				VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`, id, a.Addr.LocalPart, to.String(), to.Folded().String())
			if err != nil {
				return err
			}
			added += n
		}
		if added == 0 {
			return ErrExists
		}
		var targets int
		const count = "SELECT count(*) FROM aliases WHERE domain_id = ? AND local = ?"
		if err := tx.QueryRowContext(ctx, count, id, a.Addr.LocalPart).Scan(&targets); err != nil {
			return err
		}
		if targets > MaxTargets {
			return fmt.Errorf("%w: an alias has %d targets at most", ErrInvalid, MaxTargets)
		}
		return FindLoop(ctx, loopRows{tx}, a.Addr)
	})
}

// RemoveAlias implements Writer.
func (s *SQLite) RemoveAlias(ctx context.Context, addr mailaddr.Address, to ...mailaddr.Address) error {
	addr = Fold(addr)
	return s.change(ctx, "remove alias "+AliasName(addr), func(tx *sql.Tx) error {
		if len(to) == 0 {
			return some(affect(ctx, tx, "DELETE FROM aliases"+whereUser, addr.Domain, addr.LocalPart))
		}
		for _, t := range to {
			err := some(affect(ctx, tx, "DELETE FROM aliases"+whereUser+" AND target_key = ?",
				addr.Domain, addr.LocalPart, t.Folded().String()))
			if err != nil {
				return fmt.Errorf("target %s: %w", t, err)
			}
		}
		return nil
	})
}

func domainID(ctx context.Context, tx *sql.Tx, name string) (int64, error) {
	var id int64
	err := tx.QueryRowContext(ctx, "SELECT id FROM domains WHERE name = ?", name).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, ErrNoDomain
	}
	return id, err
}

// insert is ErrExists when the row is there.
func insert(ctx context.Context, tx *sql.Tx, query string, args ...any) error {
	_, err := tx.ExecContext(ctx, query, args...)
	if sqlite.IsDuplicate(err) {
		return ErrExists
	}
	return err
}

// affect returns how many rows a statement changed.
func affect(ctx context.Context, tx *sql.Tx, query string, args ...any) (int64, error) {
	r, err := tx.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// some makes ErrNotFound of a statement that changed nothing.
func some(n int64, err error) error {
	if err == nil && n == 0 {
		return ErrNotFound
	}
	return err
}

// loopRows are the rows that a transaction sees.
type loopRows struct{ tx *sql.Tx }

// Targets implements LoopRows.
func (r loopRows) Targets(ctx context.Context, addr mailaddr.Address) ([]mailaddr.Address, error) {
	rows, err := r.tx.QueryContext(ctx, selectAlias, addr.Domain, addr.LocalPart)
	if err != nil {
		return nil, err
	}
	found, err := scanAliases(rows)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return found[0].To, nil
}

// HasUser implements LoopRows.
func (r loopRows) HasUser(ctx context.Context, addr mailaddr.Address) (bool, error) {
	_, err := userID(ctx, r.tx, addr)
	return err == nil, ignoreNotFound(err)
}
