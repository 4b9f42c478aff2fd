package account

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/account/use"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/secret"
	"github.com/gatepost/gatepost/internal/sqlite"
)

var _ AppUses = (*SQLite)(nil)

const selectApps = `SELECT a.id, a.name, a.hash, a.services, a.created, a.expires, a.last_used, a.last_addr
	FROM app_passwords a JOIN users u ON u.id = a.user_id JOIN domains d ON d.id = u.domain_id
	WHERE d.name = ? AND u.local = ? ORDER BY a.name`

// AppPasswords implements AppReader.
func (s *SQLite) AppPasswords(ctx context.Context, user mailaddr.Address) ([]AppPassword, error) {
	user = Fold(user)
	// The epoch is part of the version of these rows: it moves when uses forgets
	// what they do not have.
	version := s.Version() + s.uses.Epoch()
	all, err := lookUp(ctx, version, s.apps, user, func() ([]AppPassword, error) {
		return s.queryApps(ctx, user)
	})
	if err = ignoreNotFound(err); err != nil {
		return nil, err
	}
	return ShowUses(all, s.uses.Last), nil
}

func (s *SQLite) queryApps(ctx context.Context, user mailaddr.Address) (all []AppPassword, err error) {
	rows, err := s.app.QueryContext(ctx, user.Domain, user.LocalPart)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		p := AppPassword{User: user}
		var hash []byte
		var services, from string
		var created, expires, used int64
		if err := rows.Scan(&p.ID, &p.Name, &hash, &services, &created, &expires, &used, &from); err != nil {
			return nil, err
		}
		p.Hash, p.Services = secret.New(hash), ParseList(services)
		p.Created, p.Expires, p.LastUsed = FromMillis(created), FromMillis(expires), FromMillis(used)
		p.LastAddr, _ = netip.ParseAddr(from) // empty is no address
		all = append(all, p)
	}
	if err := rows.Err(); err != nil || len(all) > 0 {
		return all, err
	}
	return nil, sql.ErrNoRows
}

// AddAppPassword implements AppWriter.
func (s *SQLite) AddAppPassword(ctx context.Context, p AppPassword) error {
	p, err := p.Normal()
	if err != nil {
		return err
	}
	return s.change(ctx, "add app password "+p.Name+" of "+p.User.String(), func(tx *sql.Tx) error {
		id, err := userID(ctx, tx, p.User)
		if err != nil {
			return err
		}
		var n int
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM app_passwords WHERE user_id = ?", id).Scan(&n); err != nil {
			return err
		}
		if n >= MaxAppPasswords {
			return fmt.Errorf("%w: a user has %d app passwords at most: remove one", ErrInvalid, MaxAppPasswords)
		}
		return insert(ctx, tx, "INSERT INTO app_passwords (user_id, name, hash, services, created, expires) VALUES (?, ?, ?, ?, ?, ?)",
			id, p.Name, string(p.Hash.Reveal()), strings.Join(p.Services, " "), time.Now().UnixMilli(), Millis(p.Expires))
	})
}

// RemoveAppPassword implements AppWriter.
func (s *SQLite) RemoveAppPassword(ctx context.Context, user mailaddr.Address, name string) error {
	user = Fold(user)
	return s.change(ctx, fmt.Sprintf("remove app password %q of %s", name, user), func(tx *sql.Tx) error {
		id, err := userID(ctx, tx, user)
		if err != nil {
			return err
		}
		return some(affect(ctx, tx, "DELETE FROM app_passwords WHERE user_id = ? AND name = ?", id, name))
	})
}

// UsedAppPassword implements AppUses.
func (s *SQLite) UsedAppPassword(p AppPassword, when time.Time, from netip.Addr) {
	s.uses.Note(p.ID, use.Use{When: when, From: from.Unmap()})
}

// writeUses writes the uses that are not on disk. What can not be written stays
// for the next time.
func (s *SQLite) writeUses(ctx context.Context) error {
	due := s.uses.Due()
	if len(due) > 0 {
		// Not by change: a use is no reason to read every account again.
		err := sqlite.Tx(ctx, s.db.Writer, func(tx *sql.Tx) error {
			for id, u := range due {
				from := ""
				if u.From.IsValid() {
					from = u.From.String()
				}
				const query = "UPDATE app_passwords SET last_used = ?, last_addr = ? WHERE id = ?"
				if _, err := affect(ctx, tx, query, u.When.UnixMilli(), from, id); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("write the last use of app passwords: %w", err)
		}
	}
	s.uses.Written(due)
	return nil
}
