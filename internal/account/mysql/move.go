package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/gatepost/gatepost/internal/access"
	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/secret"
)

var _ account.Mover = (*Store)(nil)

// OwnKeys implements account.Mover.
func (s *Store) OwnKeys(ctx context.Context) (all []account.OwnKey, err error) {
	err = s.list(ctx, "own keys", s.tables.sql("SELECT name, value FROM {own_keys} ORDER BY name"), nil, func(rows *sql.Rows) error {
		var name string
		var value []byte
		err := rows.Scan(&name, &value)
		all = append(all, account.OwnKey{Name: name, Value: secret.New(value)})
		return err
	})
	return all, err
}

// PutOwnKey implements account.Mover.
func (s *Store) PutOwnKey(ctx context.Context, k account.OwnKey) error {
	if err := k.Valid(); err != nil {
		return err
	}
	return s.change(ctx, "put own key "+k.Name, func(ctx context.Context, tx *sql.Tx) error {
		_, err := affect(ctx, tx, s.tables.sql("INSERT INTO {own_keys} (name, value) VALUES (?, ?) ON DUPLICATE KEY UPDATE value = VALUES(value)"),
			k.Name, k.Value.Reveal())
		return err
	})
}

// PutAppPassword implements account.Mover.
func (s *Store) PutAppPassword(ctx context.Context, p account.AppPassword) error {
	p, err := p.Normal()
	if err != nil {
		return err
	}
	from := ""
	if p.LastAddr.IsValid() {
		from = p.LastAddr.String()
	}
	return s.change(ctx, "put app password "+p.Name+" of "+p.User.String(), func(ctx context.Context, tx *sql.Tx) error {
		id, err := s.claim(ctx, tx, p.User)
		if err != nil {
			return err
		}
		n, err := count(ctx, tx, s.tables.sql("SELECT count(*) FROM {app_passwords} WHERE domain = ? AND local = ?"), p.User.Domain, p.User.LocalPart)
		if err != nil {
			return err
		}
		if n >= account.MaxAppPasswords {
			return fmt.Errorf("%w: a user has %d app passwords at most", account.ErrInvalid, account.MaxAppPasswords)
		}
		return insert(ctx, tx, s.tables.sql(`INSERT INTO {app_passwords}
			(domain, local, owner, name, hash, services, created, expires, last_used, last_addr) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`),
			p.User.Domain, p.User.LocalPart, id, p.Name, p.Hash.Reveal(), strings.Join(p.Services, " "),
			account.Millis(p.Created), account.Millis(p.Expires), account.Millis(p.LastUsed), from)
	})
}

// PutAccess implements account.Mover.
func (s *Store) PutAccess(ctx context.Context, e access.Entry) error {
	e, err := e.Storable()
	if err != nil {
		return fmt.Errorf("%w: %w", account.ErrInvalid, err)
	}
	return s.change(ctx, "put entry "+e.Name, func(ctx context.Context, tx *sql.Tx) error {
		n, err := count(ctx, tx, s.tables.sql("SELECT count(*) FROM {access}"))
		if err != nil {
			return err
		}
		if n >= access.MaxEntries {
			return fmt.Errorf("%w: there are %d entries, and more are not kept", account.ErrInvalid, n)
		}
		return insert(ctx, tx, s.tables.sql("INSERT INTO {access} (deny, name, scope, reason, until, added) VALUES (?, ?, ?, ?, ?, ?)"),
			e.Deny, e.Name, e.For, e.Reason, account.Millis(e.Until), account.Millis(e.Added))
	})
}
