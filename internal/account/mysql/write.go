package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/secret"
)

// AddDomain implements account.Writer.
func (s *Store) AddDomain(ctx context.Context, name string) error {
	if err := account.ValidDomain(name); err != nil {
		return err
	}
	name = account.FoldDomain(name)
	what := "add domain " + name
	if err := s.ours(what); err != nil {
		return err
	}
	return s.change(ctx, what, func(ctx context.Context, tx *sql.Tx) error {
		return insert(ctx, tx, s.tables.sql("INSERT INTO {domains} (name) VALUES (?)"), name)
	})
}

// RemoveDomain implements account.Writer.
func (s *Store) RemoveDomain(ctx context.Context, name string, force bool) error {
	name = account.FoldDomain(name)
	what := "remove domain " + name
	if err := s.ours(what); err != nil {
		return err
	}
	return s.change(ctx, what, func(ctx context.Context, tx *sql.Tx) error {
		if err := s.hasDomain(ctx, tx, name); errors.Is(err, account.ErrNoDomain) {
			return account.ErrNotFound
		} else if err != nil {
			return err
		}
		for _, table := range []string{"users", "aliases"} {
			n, err := affect(ctx, tx, s.tables.sql("DELETE FROM {"+table+"} WHERE domain = ?"), name)
			if err != nil {
				return err
			}
			if n > 0 && !force {
				return account.ErrNotEmpty // rolls back
			}
		}
		for _, table := range append(userTables(), "posting") {
			if _, err := affect(ctx, tx, s.tables.sql("DELETE FROM {"+table+"} WHERE domain = ?"), name); err != nil {
				return err
			}
		}
		return one(affect(ctx, tx, s.tables.sql("DELETE FROM {domains} WHERE name = ?"), name))
	})
}

// AddUser implements account.Writer.
func (s *Store) AddUser(ctx context.Context, u account.User) error {
	u, err := u.Normal()
	if err != nil {
		return err
	}
	what := "add user " + u.Addr.String()
	if err := s.ours(what); err != nil {
		return err
	}
	return s.change(ctx, what, func(ctx context.Context, tx *sql.Tx) error {
		if err := s.hasDomain(ctx, tx, u.Addr.Domain); err != nil {
			return err
		}
		return insert(ctx, tx, s.tables.sql(`INSERT INTO {users}
			(domain, local, password, quota, held, disabled, allow_nets, nologin, services, expires, changed)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`), u.Addr.Domain, u.Addr.LocalPart, stored(u.Password), u.Quota, u.Held, u.Disabled,
			account.FormatNets(u.AllowNets), u.NoLogin, strings.Join(u.Services, " "), account.Millis(u.Expires), time.Now().UnixMilli())
	})
}

// RemoveUser implements account.Writer.
func (s *Store) RemoveUser(ctx context.Context, addr mailaddr.Address) error {
	addr = account.Fold(addr)
	what := "remove user " + addr.String()
	if err := s.ours(what); err != nil {
		return err
	}
	return s.change(ctx, what, func(ctx context.Context, tx *sql.Tx) error {
		const where = " WHERE domain = ? AND local = ?"
		if err := one(affect(ctx, tx, s.tables.sql("DELETE FROM {users}"+where), addr.Domain, addr.LocalPart)); err != nil {
			return err
		}
		for _, table := range userTables() {
			if _, err := affect(ctx, tx, s.tables.sql("DELETE FROM {"+table+"}"+where), addr.Domain, addr.LocalPart); err != nil {
				return err
			}
		}
		return nil
	})
}

// SetPassword implements account.Writer.
func (s *Store) SetPassword(ctx context.Context, addr mailaddr.Address, password secret.Value) error {
	if err := account.ValidPassword(password); err != nil {
		return err
	}
	return s.setUser(ctx, addr, "password", stored(password))
}

// SetQuota implements account.Writer.
func (s *Store) SetQuota(ctx context.Context, addr mailaddr.Address, bytes int64) error {
	if err := account.ValidQuota(bytes); err != nil {
		return err
	}
	return s.setUser(ctx, addr, "quota", bytes)
}

// setUser sets one column, whose name is ours, of one user of our schema.
func (s *Store) setUser(ctx context.Context, addr mailaddr.Address, column string, value any) error {
	addr = account.Fold(addr)
	what := "set " + column + " of " + addr.String()
	if err := s.ours(what); err != nil {
		return err
	}
	return s.change(ctx, what, func(ctx context.Context, tx *sql.Tx) error {
		return one(affect(ctx, tx, s.tables.sql("UPDATE {users} SET "+column+" = ?, changed = ? WHERE domain = ? AND local = ?"),
			value, time.Now().UnixMilli(), addr.Domain, addr.LocalPart))
	})
}

// SetHeld implements account.Writer.
func (s *Store) SetHeld(ctx context.Context, addr mailaddr.Address, held bool) error {
	return s.mark(ctx, addr, "held", held)
}

// SetDisabled implements account.Writer. It does not enable whom a foreign schema
// has disabled.
func (s *Store) SetDisabled(ctx context.Context, addr mailaddr.Address, disabled bool) error {
	return s.mark(ctx, addr, "disabled", disabled)
}

// SetAllowNets implements account.LoginWriter.
func (s *Store) SetAllowNets(ctx context.Context, addr mailaddr.Address, nets []netip.Prefix) error {
	nets, err := account.NormalNets(nets)
	if err != nil {
		return err
	}
	return s.mark(ctx, addr, "allow_nets", account.FormatNets(nets))
}

// SetNoLogin implements account.LoginWriter.
func (s *Store) SetNoLogin(ctx context.Context, addr mailaddr.Address, reason string) error {
	if err := account.ValidReason(reason); err != nil {
		return err
	}
	return s.mark(ctx, addr, "nologin", reason)
}

// SetServices implements account.LoginWriter.
func (s *Store) SetServices(ctx context.Context, addr mailaddr.Address, services []string) error {
	services, err := account.ParseServices(services...)
	if err != nil {
		return err
	}
	return s.mark(ctx, addr, "services", strings.Join(services, " "))
}

// SetExpires implements account.LoginWriter.
func (s *Store) SetExpires(ctx context.Context, addr mailaddr.Address, end time.Time) error {
	return s.mark(ctx, addr, "expires", account.Millis(end))
}

// mark sets one column, whose name is ours, of what we add to a user: in the
// user's row of our own schema, and else beside it.
func (s *Store) mark(ctx context.Context, addr mailaddr.Address, column string, value any) error {
	if s.own {
		return s.setUser(ctx, addr, column, value)
	}
	addr = account.Fold(addr)
	return s.change(ctx, "set "+column+" of "+addr.String(), func(ctx context.Context, tx *sql.Tx) error {
		id, err := s.claim(ctx, tx, addr)
		if err != nil {
			return err
		}
		query := "INSERT INTO {marks} (domain, local, owner, " + column + ", changed) VALUES (?, ?, ?, ?, ?) ON DUPLICATE KEY UPDATE " +
			column + " = VALUES(" + column + "), changed = VALUES(changed)"
		_, err = affect(ctx, tx, s.tables.sql(query), addr.Domain, addr.LocalPart, id, value, time.Now().UnixMilli())
		return err
	})
}

// Rehash implements account.Rehasher.
func (s *Store) Rehash(ctx context.Context, addr mailaddr.Address, old, hash secret.Value, verify func(secret.Value) error) error {
	if err := account.ValidPassword(hash); err != nil {
		return err
	}
	addr = account.Fold(addr)
	what := "rehash the password of " + addr.String()
	if err := s.ours(what); err != nil {
		return err
	}
	return s.change(ctx, what, func(ctx context.Context, tx *sql.Tx) error {
		id, err := s.userID(ctx, tx, addr)
		if err != nil {
			return err
		}
		n, err := affect(ctx, tx, s.tables.sql("UPDATE {users} SET password = ?, changed = ? WHERE id = ? AND password = ?"),
			stored(hash), time.Now().UnixMilli(), id, stored(old))
		if err != nil {
			return err
		}
		if n == 0 {
			return account.ErrChanged
		}
		var b []byte
		if err := tx.QueryRowContext(ctx, s.tables.sql("SELECT password FROM {users} WHERE id = ?"), id).Scan(&b); err != nil {
			return err
		}
		again := secret.New(b)
		if !again.Equal(hash) {
			return errors.New("the hash that was read back is another one")
		}
		return verify(again)
	})
}

// AddAlias implements account.Writer.
func (s *Store) AddAlias(ctx context.Context, a account.Alias) error {
	a, err := a.Normal()
	if err != nil {
		return err
	}
	what := "add alias " + account.AliasName(a.Addr)
	if err := s.ours(what); err != nil {
		return err
	}
	return s.change(ctx, what, func(ctx context.Context, tx *sql.Tx) error {
		if err := s.hasDomain(ctx, tx, a.Addr.Domain); err != nil {
			return err
		}
		added, err := s.addTargets(ctx, tx, a)
		if err != nil {
			return err
		}
		if added == 0 {
			return account.ErrExists
		}
		n, err := count(ctx, tx, s.tables.sql("SELECT count(*) FROM {aliases} WHERE domain = ? AND local = ?"), a.Addr.Domain, a.Addr.LocalPart)
		if err != nil {
			return err
		}
		if n > account.MaxTargets {
			return fmt.Errorf("%w: an alias has %d targets at most", account.ErrInvalid, account.MaxTargets)
		}
		return account.FindLoop(ctx, loopRows{s, tx}, a.Addr)
	})
}

// addTargets adds those that the alias has not, many with each statement.
func (s *Store) addTargets(ctx context.Context, tx *sql.Tx, a account.Alias) (added int64, err error) {
	const atOnce = 100
	for len(a.To) > 0 {
		part := a.To[:min(atOnce, len(a.To))]
		a.To = a.To[len(part):]
		var args []any
		for _, to := range part {
			args = append(args, a.Addr.Domain, a.Addr.LocalPart, to.String(), to.Folded().String())
		}
		query := "INSERT INTO {aliases} (domain, local, target, target_key) VALUES (?, ?, ?, ?)" + strings.Repeat(", (?, ?, ?, ?)", len(part)-1) +
			" ON DUPLICATE KEY UPDATE id = {aliases}.id"
		before, err := count(ctx, tx, s.tables.sql("SELECT count(*) FROM {aliases} WHERE domain = ? AND local = ?"), a.Addr.Domain, a.Addr.LocalPart)
		if err != nil {
			return added, err
		}
		if _, err := affect(ctx, tx, s.tables.sql(query), args...); err != nil {
			return added, err
		}
		after, err := count(ctx, tx, s.tables.sql("SELECT count(*) FROM {aliases} WHERE domain = ? AND local = ?"), a.Addr.Domain, a.Addr.LocalPart)
		if err != nil {
			return added, err
		}
		added += after - before
	}
	return added, nil
}

// RemoveAlias implements account.Writer.
func (s *Store) RemoveAlias(ctx context.Context, addr mailaddr.Address, to ...mailaddr.Address) error {
	addr = account.Fold(addr)
	what := "remove alias " + account.AliasName(addr)
	if err := s.ours(what); err != nil {
		return err
	}
	const remove = "DELETE FROM {aliases} WHERE domain = ? AND local = ?"
	return s.change(ctx, what, func(ctx context.Context, tx *sql.Tx) error {
		if len(to) == 0 {
			return one(affect(ctx, tx, s.tables.sql(remove), addr.Domain, addr.LocalPart))
		}
		for _, t := range to {
			err := one(affect(ctx, tx, s.tables.sql(remove+" AND target_key = ?"), addr.Domain, addr.LocalPart, t.Folded().String()))
			if err != nil {
				return fmt.Errorf("target %s: %w", t, err)
			}
		}
		return nil
	})
}

// loopRows are the rows that a transaction sees.
type loopRows struct {
	s  *Store
	tx *sql.Tx
}

// Targets implements account.LoopRows.
func (r loopRows) Targets(ctx context.Context, addr mailaddr.Address) ([]mailaddr.Address, error) {
	rows, err := r.tx.QueryContext(ctx, r.s.look.alias, addr.Domain, addr.LocalPart)
	if err != nil {
		return nil, err
	}
	a, err := oneAlias(rows)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return a.To, err
}

// HasUser implements account.LoopRows.
func (r loopRows) HasUser(ctx context.Context, addr mailaddr.Address) (bool, error) {
	_, err := r.s.userID(ctx, r.tx, addr)
	return err == nil, ignoreNotFound(err)
}
