package account

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/secret"
	"github.com/gatepost/gatepost/internal/sqlite"
)

var _ Rehasher = (*SQLite)(nil)

// SetAllowNets implements LoginWriter.
func (s *SQLite) SetAllowNets(ctx context.Context, addr mailaddr.Address, nets []netip.Prefix) error {
	nets, err := NormalNets(nets)
	if err != nil {
		return err
	}
	return s.set(ctx, addr, "allow_nets", FormatNets(nets))
}

// SetNoLogin implements LoginWriter.
func (s *SQLite) SetNoLogin(ctx context.Context, addr mailaddr.Address, reason string) error {
	if err := ValidReason(reason); err != nil {
		return err
	}
	return s.set(ctx, addr, "nologin", reason)
}

// SetServices implements LoginWriter.
func (s *SQLite) SetServices(ctx context.Context, addr mailaddr.Address, services []string) error {
	services, err := ParseServices(services...)
	if err != nil {
		return err
	}
	return s.set(ctx, addr, "services", strings.Join(services, " "))
}

// SetExpires implements LoginWriter.
func (s *SQLite) SetExpires(ctx context.Context, addr mailaddr.Address, end time.Time) error {
	return s.set(ctx, addr, "expires", Millis(end))
}

// Rehash implements Rehasher.
func (s *SQLite) Rehash(ctx context.Context, addr mailaddr.Address, old, hash secret.Value, verify func(secret.Value) error) error {
	if err := ValidPassword(hash); err != nil {
		return err
	}
	addr = Fold(addr)
	return s.change(ctx, "rehash the password of "+addr.String(), func(tx *sql.Tx) error {
		id, err := userID(ctx, tx, addr)
		if err != nil {
			return err
		}
		n, err := affect(ctx, tx, "UPDATE users SET password = ?, changed = ? WHERE id = ? AND password = ?",
			string(hash.Reveal()), time.Now().UnixMilli(), id, string(old.Reveal()))
		if err != nil {
			return err
		}
		if n == 0 {
			return ErrChanged
		}
		var b []byte
		if err := tx.QueryRowContext(ctx, "SELECT password FROM users WHERE id = ?", id).Scan(&b); err != nil {
			return err
		}
		again := secret.New(b)
		if !again.Equal(hash) {
			return errors.New("the hash that was read back is another one")
		}
		return verify(again)
	})
}

// ownKeyBytes is the size of a key of our own.
const ownKeyBytes = 32

// OwnKey returns a random key that the store keeps under a name of ours, made
// when it is first asked for.
func (s *SQLite) OwnKey(ctx context.Context, name string) (secret.Value, error) {
	fresh := make([]byte, ownKeyBytes)
	_, _ = rand.Read(fresh) // it never returns an error
	var key []byte
	err := sqlite.Tx(ctx, s.db.Writer, func(tx *sql.Tx) error {
		if _, err := affect(ctx, tx, "INSERT INTO own_keys (name, value) VALUES (?, ?) ON CONFLICT DO NOTHING", name, fresh); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, "SELECT value FROM own_keys WHERE name = ?", name).Scan(&key)
	})
	if err != nil {
		return secret.Value{}, fmt.Errorf("key %s of the account store: %w", name, err)
	}
	return secret.New(key), nil
}
