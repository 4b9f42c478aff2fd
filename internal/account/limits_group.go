package account

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/gatepost/gatepost/internal/mailaddr"
)

// Groups implements Standings.
func (s *SQLite) Groups(ctx context.Context) (all []Group, err error) {
	rows, err := s.db.Reader.QueryContext(ctx, `SELECT g.name, u.local, d.name FROM group_members g
		JOIN users u ON u.id = g.user_id JOIN domains d ON d.id = u.domain_id ORDER BY g.name, d.name, u.local`)
	if err != nil {
		return nil, fmt.Errorf("list groups: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var name string
		var u mailaddr.Address
		if err := rows.Scan(&name, &u.LocalPart, &u.Domain); err != nil {
			return nil, fmt.Errorf("list groups: %w", err)
		}
		if n := len(all); n == 0 || all[n-1].Name != name {
			all = append(all, Group{Name: name})
		}
		last := &all[len(all)-1]
		last.Users = append(last.Users, u)
	}
	return all, rows.Err()
}

// AddToGroup implements Standings.
func (s *SQLite) AddToGroup(ctx context.Context, g Group) error {
	g, err := g.Normal()
	if err != nil {
		return err
	}
	name := g.Name
	return s.change(ctx, "add to group "+name, func(tx *sql.Tx) error {
		var added int64
		for _, u := range g.Users {
			u = Fold(u)
			id, err := userID(ctx, tx, u)
			if err != nil {
				return fmt.Errorf("user %s: %w", u, err)
			}
			n, err := affect(ctx, tx, "INSERT INTO group_members (name, user_id) VALUES (?, ?) ON CONFLICT DO NOTHING", name, id)
			if err != nil {
				return err
			}
			added += n
			var groups int
			if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM group_members WHERE user_id = ?", id).Scan(&groups); err != nil {
				return err
			}
			if groups > MaxStanding {
				return fmt.Errorf("%w: a user is in %d groups at most", ErrInvalid, MaxStanding)
			}
		}
		if added == 0 {
			return ErrExists
		}
		return nil
	})
}

// RemoveFromGroup implements Standings.
func (s *SQLite) RemoveFromGroup(ctx context.Context, g Group) error {
	name := strings.ToLower(g.Name)
	return s.change(ctx, "remove from group "+name, func(tx *sql.Tx) error {
		if len(g.Users) == 0 {
			n, err := affect(ctx, tx, "DELETE FROM limit_rates WHERE group_name = ?", name)
			if err != nil {
				return err
			}
			m, err := affect(ctx, tx, "DELETE FROM group_members WHERE name = ?", name)
			return some(n+m, err)
		}
		for _, u := range g.Users {
			id, err := userID(ctx, tx, Fold(u))
			if err == nil {
				err = some(affect(ctx, tx, "DELETE FROM group_members WHERE name = ? AND user_id = ?", name, id))
			}
			if err != nil {
				return fmt.Errorf("user %s: %w", u, err)
			}
		}
		return nil
	})
}
