package account

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/gatepost/gatepost/internal/mailaddr"
)

// Groups lists the groups that have a member, by name.
func (l *Limits) Groups(ctx context.Context) (all []Group, err error) {
	rows, err := l.s.db.Reader.QueryContext(ctx, `SELECT g.name, u.local, d.name FROM group_members g
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

// AddToGroup adds users to a group, which need not be there. It is ErrNotFound
// when one of them is not there, and ErrExists when all were in it.
func (l *Limits) AddToGroup(ctx context.Context, g Group) error {
	name := strings.ToLower(g.Name)
	if !validGroup(name) || len(g.Users) == 0 {
		return fmt.Errorf("%w: a group has a name of 1 to %d letters, digits, \"-\", \"_\" and \".\", and users", ErrInvalid, MaxGroupBytes)
	}
	return l.s.change(ctx, "add to group "+name, func(tx *sql.Tx) error {
		var added int64
		for _, u := range g.Users {
			u = fold(u)
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
			if groups > maxStanding {
				return fmt.Errorf("%w: a user is in %d groups at most", ErrInvalid, maxStanding)
			}
		}
		if added == 0 {
			return ErrExists
		}
		return nil
	})
}

// RemoveFromGroup removes users from a group, or without any the group and its
// rates. A user who is not in it is ErrNotFound, and nothing changes.
func (l *Limits) RemoveFromGroup(ctx context.Context, g Group) error {
	name := strings.ToLower(g.Name)
	return l.s.change(ctx, "remove from group "+name, func(tx *sql.Tx) error {
		if len(g.Users) == 0 {
			n, err := affect(ctx, tx, "DELETE FROM limit_rates WHERE group_name = ?", name)
			if err != nil {
				return err
			}
			m, err := affect(ctx, tx, "DELETE FROM group_members WHERE name = ?", name)
			return some(n+m, err)
		}
		for _, u := range g.Users {
			id, err := userID(ctx, tx, fold(u))
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

// validGroup reports whether s, which is folded, can be the name of a group.
func validGroup(s string) bool {
	return s != "" && len(s) <= MaxGroupBytes && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && !strings.ContainsRune("-_.", r)
	})
}
