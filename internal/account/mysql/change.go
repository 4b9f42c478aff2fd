package mysql

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/secret"
)

const (
	// changeTime bounds a change, with what it waits for others'.
	changeTime = 15 * time.Second
	// maxTries bounds how often a change is begun anew because it met another one.
	maxTries = 5
)

// transact runs fn in a transaction on the host for changes, and returns the
// version that the change makes. It takes the row of the version first, so that
// changes come one after the other: what fn reads stays true until the commit.
func (c *core) transact(ctx context.Context, fn func(context.Context, *sql.Tx) error) (version uint64, err error) {
	err = c.tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, c.tables.sql("UPDATE {version} SET version = LAST_INSERT_ID(version + 1) WHERE id = 1"))
		if err != nil {
			return err
		}
		id, err := r.LastInsertId()
		if err == nil && id == 0 {
			err = errors.New("the row of gatepost_version is gone: restore it with id 1 and a version above the last one")
		}
		if err != nil {
			return err
		}
		version = uint64(id)
		return fn(ctx, tx)
	})
	return version, err
}

// tx runs fn in a transaction, again when it met another one. fn may run more
// than once.
func (c *core) tx(ctx context.Context, fn func(context.Context, *sql.Tx) error) error {
	if !c.ready.Load() {
		return errNotReady
	}
	bounded, cancel := context.WithTimeout(ctx, changeTime)
	defer cancel()
	for try := 1; ; try++ {
		err := c.txOnce(bounded, fn)
		if err == nil {
			c.hosts.up(c.hosts.write)
		} else if isAway(ctx, err) && !errors.Is(err, context.DeadlineExceeded) { // which may be fn's own
			c.hosts.fell(ctx, c.hosts.write, err)
		}
		if err == nil || !isBusy(err) || try == maxTries || bounded.Err() != nil {
			return err
		}
	}
}

func (c *core) txOnce(ctx context.Context, fn func(context.Context, *sql.Tx) error) error {
	tx, err := c.hosts.write.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := fn(ctx, tx); err != nil {
		// After an error of the connection nothing is left to take back.
		_ = tx.Rollback()
		return err
	}
	if err := tx.Commit(); err != nil {
		c.clock.doubt() // it may have been done all the same
		return fmt.Errorf("whether it was done is not known: %w", err)
	}
	return nil
}

// change runs fn in a transaction and, once that is done, moves the version.
func (s *Store) change(ctx context.Context, what string, fn func(context.Context, *sql.Tx) error) error {
	version, err := s.transact(ctx, fn)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	s.clock.changed(version)
	return nil
}

// ours is ErrReadOnly for a change of what is another program's.
func (s *Store) ours(what string) error {
	if !s.own {
		return fmt.Errorf("%s: %w (mysql.schema is %s): change it there", what, account.ErrReadOnly, s.cfg.Schema)
	}
	return nil
}

// insert is ErrExists when the row is there.
func insert(ctx context.Context, tx *sql.Tx, query string, args ...any) error {
	_, err := tx.ExecContext(ctx, query, args...)
	if numberOf(err) == duplicateEntry {
		return account.ErrExists
	}
	return err
}

// affect returns how many rows a statement found.
func affect(ctx context.Context, tx *sql.Tx, query string, args ...any) (int64, error) {
	r, err := tx.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// one makes ErrNotFound of a statement that found nothing.
func one(n int64, err error) error {
	if err == nil && n == 0 {
		return account.ErrNotFound
	}
	return err
}

// count returns the number that a query finds.
func count(ctx context.Context, tx *sql.Tx, query string, args ...any) (n int64, err error) {
	err = tx.QueryRowContext(ctx, query, args...).Scan(&n)
	return n, err
}

// hasDomain is ErrNoDomain for a domain that is not there.
func (c *core) hasDomain(ctx context.Context, tx *sql.Tx, name string) error {
	var err error
	if c.own {
		var found string
		err = tx.QueryRowContext(ctx, c.look.domain, name).Scan(&found)
	} else {
		_, err = c.theirs.domainOf(ctx, tx, name)
	}
	if errors.Is(err, sql.ErrNoRows) {
		return account.ErrNoDomain
	}
	return err
}

// userID returns the id of a user, ErrNotFound for one who is not there.
func (c *core) userID(ctx context.Context, tx *sql.Tx, addr mailaddr.Address) (id int64, err error) {
	if c.own {
		err = tx.QueryRowContext(ctx, c.look.userID, addr.Domain, addr.LocalPart).Scan(&id)
	} else {
		var u account.User
		u, err = c.theirUser(ctx, tx, addr)
		id = u.ID
	}
	if errors.Is(err, sql.ErrNoRows) {
		return 0, account.ErrNotFound
	}
	return id, err
}

// userTables are those with rows of a user.
func userTables() []string {
	return []string{"marks", "app_passwords", "grants", "group_members", "limit_rates"}
}

// claim returns the id of a user, and removes what we added to earlier users of
// that address, of whose end a foreign schema does not tell.
func (c *core) claim(ctx context.Context, tx *sql.Tx, addr mailaddr.Address) (int64, error) {
	id, err := c.userID(ctx, tx, addr)
	if err != nil || c.own {
		return id, err
	}
	for _, table := range userTables() {
		query := c.tables.sql("DELETE FROM {" + table + "} WHERE domain = ? AND local = ? AND owner <> ?")
		if _, err := affect(ctx, tx, query, addr.Domain, addr.LocalPart, id); err != nil {
			return 0, err
		}
	}
	return id, nil
}

// ownKeyBytes is the size of a key of our own.
const ownKeyBytes = 32

func (s *Store) ownKey(ctx context.Context, name string) (key []byte, err error) {
	fresh := make([]byte, ownKeyBytes)
	_, _ = rand.Read(fresh) // it never returns an error
	err = s.tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if _, err := affect(ctx, tx, s.tables.sql("INSERT IGNORE INTO {own_keys} (name, value) VALUES (?, ?)"), name, fresh); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, s.tables.sql("SELECT value FROM {own_keys} WHERE name = ?"), name).Scan(&key)
	})
	return key, err
}

// stored is a secret as a value of a statement: never NULL.
func stored(v secret.Value) []byte { return append([]byte{}, v.Reveal()...) }
