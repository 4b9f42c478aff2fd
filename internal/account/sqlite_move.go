package account

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/gatepost/gatepost/internal/access"
	"github.com/gatepost/gatepost/internal/secret"
)

var _ Mover = (*SQLite)(nil)

// OwnKeys implements Mover.
func (s *SQLite) OwnKeys(ctx context.Context) (all []OwnKey, err error) {
	rows, err := s.db.Reader.QueryContext(ctx, "SELECT name, value FROM own_keys ORDER BY name")
	if err != nil {
		return nil, fmt.Errorf("list own keys: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var k OwnKey
		var value []byte
		if err := rows.Scan(&k.Name, &value); err != nil {
			return nil, fmt.Errorf("list own keys: %w", err)
		}
		k.Value = secret.New(value)
		all = append(all, k)
	}
	return all, rows.Err()
}

// PutOwnKey implements Mover.
func (s *SQLite) PutOwnKey(ctx context.Context, k OwnKey) error {
	if err := k.Valid(); err != nil {
		return err
	}
	return s.change(ctx, "put own key "+k.Name, func(tx *sql.Tx) error {
		_, err := affect(ctx, tx, `INSERT INTO own_keys (name, value) VALUES (?, ?)
			ON CONFLICT (name) DO UPDATE SET value = excluded.value`, k.Name, k.Value.Reveal())
		return err
	})
}

// PutAppPassword implements Mover.
func (s *SQLite) PutAppPassword(ctx context.Context, p AppPassword) error {
	p, err := p.Normal()
	if err != nil {
		return err
	}
	return s.change(ctx, "put app password "+p.Name+" of "+p.User.String(), func(tx *sql.Tx) error {
		id, err := userID(ctx, tx, p.User)
		if err != nil {
			return err
		}
		var n int
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM app_passwords WHERE user_id = ?", id).Scan(&n); err != nil {
			return err
		}
		if n >= MaxAppPasswords {
			return fmt.Errorf("%w: a user has %d app passwords at most", ErrInvalid, MaxAppPasswords)
		}
		from := ""
		if p.LastAddr.IsValid() {
			from = p.LastAddr.String()
		}
		return insert(ctx, tx, `INSERT INTO app_passwords (user_id, name, hash, services, created, expires, last_used, last_addr)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?)`, id, p.Name, string(p.Hash.Reveal()), strings.Join(p.Services, " "),
			Millis(p.Created), Millis(p.Expires), Millis(p.LastUsed), from)
	})
}

// PutAccess implements Mover.
func (s *SQLite) PutAccess(ctx context.Context, e access.Entry) error {
	e, err := e.Storable()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return s.change(ctx, "put entry "+e.Name, func(tx *sql.Tx) error {
		var n int
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM access").Scan(&n); err != nil {
			return err
		}
		if n >= access.MaxEntries {
			return fmt.Errorf("%w: there are %d entries, and more are not kept", ErrInvalid, n)
		}
		return insert(ctx, tx, "INSERT INTO access (deny, name, scope, reason, until, added) VALUES (?, ?, ?, ?, ?, ?)",
			e.Deny, e.Name, e.For, e.Reason, Millis(e.Until), Millis(e.Added))
	})
}
