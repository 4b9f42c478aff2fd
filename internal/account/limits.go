package account

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/gatepost/gatepost/internal/mailaddr"
)

// Bounds of groups and rates.
const (
	// MaxGroupBytes bounds the name of a group.
	MaxGroupBytes = 64
	// MaxRateBytes bounds a rate, and the name of a limit.
	MaxRateBytes = 200
	// MaxStanding bounds the rates and the groups of one user.
	MaxStanding = 200
)

// Subject is whom a rate is for: exactly one field is set.
type Subject struct {
	User   mailaddr.Address `json:"user,omitzero"`
	Group  string           `json:"group,omitempty"`
	Domain string           `json:"domain,omitempty"`
}

// LimitRate is another rate of a limit for somebody.
type LimitRate struct {
	Subject Subject `json:"subject"`
	// Limit is the limit's name, Rate as package limit reads it; neither is looked
	// at here.
	Limit string `json:"limit"`
	Rate  string `json:"rate"`
}

// Group is a group and its members, by domain and local part.
type Group struct {
	Name  string             `json:"name"`
	Users []mailaddr.Address `json:"users"`
}

// Standing is what limits have to know of a user.
type Standing struct {
	// Groups are those the user is in, by name.
	Groups []string
	// Rates are the nearest first: those of the user, of the groups by name, of
	// the domain.
	Rates []LimitRate
}

const (
	selectGroupsOf = `SELECT g.name FROM group_members g JOIN users u ON u.id = g.user_id JOIN domains d ON d.id = u.domain_id
		WHERE d.name = ?1 AND u.local = ?2 ORDER BY g.name LIMIT ?3`
	selectRates = `SELECT coalesce(u.local, ''), coalesce(ud.name, ''), coalesce(r.group_name, ''), coalesce(d.name, ''), r.limit_name, r.rate
		FROM limit_rates r LEFT JOIN users u ON u.id = r.user_id LEFT JOIN domains ud ON ud.id = u.domain_id
		LEFT JOIN domains d ON d.id = r.domain_id`
	// Users first, then groups, then domains.
	orderRates    = " ORDER BY r.user_id IS NULL, r.group_name IS NULL, ud.name, u.local, r.group_name, d.name, r.limit_name"
	selectRatesOf = selectRates + ` WHERE ud.name = ?1 AND u.local = ?2 OR d.name = ?1
		OR r.group_name IN (SELECT g.name FROM group_members g JOIN users m ON m.id = g.user_id JOIN domains md ON md.id = m.domain_id
			WHERE md.name = ?1 AND m.local = ?2)` + orderRates + " LIMIT ?3"
)

// Standing implements Standings.
func (s *SQLite) Standing(ctx context.Context, user mailaddr.Address) (Standing, error) {
	user = Fold(user)
	found, err := lookUp(ctx, s.Version(), s.standings, user, func() (st Standing, err error) {
		if st.Groups, err = s.groupsOf(ctx, user); err != nil {
			return st, err
		}
		st.Rates, err = s.rates(ctx, selectRatesOf, user.Domain, user.LocalPart, MaxStanding)
		if err == nil && len(st.Groups)+len(st.Rates) == 0 {
			err = sql.ErrNoRows // as nearly always; kept as such
		}
		return st, err
	})
	return found, ignoreNotFound(err)
}

func (s *SQLite) groupsOf(ctx context.Context, user mailaddr.Address) (all []string, err error) {
	rows, err := s.db.Reader.QueryContext(ctx, selectGroupsOf, user.Domain, user.LocalPart, MaxStanding)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		all = append(all, name)
	}
	return all, rows.Err()
}

// Rates implements Standings.
func (s *SQLite) Rates(ctx context.Context) ([]LimitRate, error) {
	all, err := s.rates(ctx, selectRates+orderRates)
	if err != nil {
		return nil, fmt.Errorf("list rates: %w", err)
	}
	return all, nil
}

func (s *SQLite) rates(ctx context.Context, query string, args ...any) (all []LimitRate, err error) {
	rows, err := s.db.Reader.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var r LimitRate
		u := &r.Subject.User
		if err := rows.Scan(&u.LocalPart, &u.Domain, &r.Subject.Group, &r.Subject.Domain, &r.Limit, &r.Rate); err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, rows.Err()
}

// SetRate implements Standings.
func (s *SQLite) SetRate(ctx context.Context, r LimitRate) error {
	r, err := r.Normal()
	if err != nil {
		return err
	}
	return s.change(ctx, "set rate of "+r.Subject.String(), func(tx *sql.Tx) error {
		column, id, err := r.Subject.column(ctx, tx)
		if err != nil {
			return err
		}
		if _, err := affect(ctx, tx, "DELETE FROM limit_rates WHERE "+column+" = ? AND limit_name = ?", id, r.Limit); err != nil {
			return err
		}
		_, err = affect(ctx, tx, "INSERT INTO limit_rates ("+column+", limit_name, rate) VALUES (?, ?, ?)", id, r.Limit, r.Rate)
		return err
	})
}

// RemoveRate implements Standings.
func (s *SQLite) RemoveRate(ctx context.Context, of Subject, limit string) error {
	of = of.Folded()
	return s.change(ctx, "forget rate of "+of.String(), func(tx *sql.Tx) error {
		if of.Group != "" { // also that of a group that has lost its members
			return some(affect(ctx, tx, "DELETE FROM limit_rates WHERE group_name = ? AND limit_name = ?", of.Group, limit))
		}
		column, id, err := of.column(ctx, tx)
		if err != nil {
			return err
		}
		return some(affect(ctx, tx, "DELETE FROM limit_rates WHERE "+column+" = ? AND limit_name = ?", id, limit))
	})
}

// Folded returns s as the store has it.
func (s Subject) Folded() Subject {
	return Subject{User: Fold(s.User), Group: strings.ToLower(s.Group), Domain: FoldDomain(s.Domain)}
}

// String names s as "gatepost limit set" does.
func (s Subject) String() string {
	switch {
	case s.Group != "":
		return "group:" + s.Group
	case s.Domain != "":
		return "@" + s.Domain
	}
	return s.User.String()
}

// column returns the column of limit_rates that s, which is folded, is in, and
// its value.
func (s Subject) column(ctx context.Context, tx *sql.Tx) (string, any, error) {
	switch {
	case s.Group != "":
		var n int
		err := tx.QueryRowContext(ctx, "SELECT count(*) FROM group_members WHERE name = ?", s.Group).Scan(&n)
		if err == nil && n == 0 {
			err = ErrNotFound
		}
		return "group_name", s.Group, err
	case s.Domain != "":
		id, err := domainID(ctx, tx, s.Domain)
		if errors.Is(err, ErrNoDomain) {
			err = ErrNotFound
		}
		return "domain_id", id, err
	}
	id, err := userID(ctx, tx, s.User)
	return "user_id", id, err
}
