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
	// maxStanding bounds the rates and the groups of one user.
	maxStanding = 200
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

// Limits keeps rates of users, groups and domains, and the groups. It is beside
// Store because a store that is only read, of a foreign schema, need not have
// them. A store without answers is as with Reader: every error but ErrNotFound
// means that it is away. It is safe for concurrent use.
type Limits struct {
	s         *SQLite
	standings *cache[mailaddr.Address, Standing]
}

// NewLimits returns the Limits of s, with a cache that every change of s empties.
func NewLimits(s *SQLite) *Limits {
	return &Limits{s: s, standings: newCache[mailaddr.Address, Standing]()}
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

// Standing returns what limits have to know of a user; a user who is not there
// has only what the domain has.
func (l *Limits) Standing(ctx context.Context, user mailaddr.Address) (Standing, error) {
	user = fold(user)
	s, err := lookUp(ctx, l.s.Version(), l.standings, user, func() (s Standing, err error) {
		if s.Groups, err = l.groupsOf(ctx, user); err != nil {
			return s, err
		}
		s.Rates, err = l.rates(ctx, selectRatesOf, user.Domain, user.LocalPart, maxStanding)
		if err == nil && len(s.Groups)+len(s.Rates) == 0 {
			err = sql.ErrNoRows // as nearly always; kept as such
		}
		return s, err
	})
	return s, ignoreNotFound(err)
}

func (l *Limits) groupsOf(ctx context.Context, user mailaddr.Address) (all []string, err error) {
	rows, err := l.s.db.Reader.QueryContext(ctx, selectGroupsOf, user.Domain, user.LocalPart, maxStanding)
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

// Rates lists all rates: of users, of groups, of domains, each by name.
func (l *Limits) Rates(ctx context.Context) ([]LimitRate, error) {
	all, err := l.rates(ctx, selectRates+orderRates)
	if err != nil {
		return nil, fmt.Errorf("list rates: %w", err)
	}
	return all, nil
}

func (l *Limits) rates(ctx context.Context, query string, args ...any) (all []LimitRate, err error) {
	rows, err := l.s.db.Reader.QueryContext(ctx, query, args...)
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

// SetRate sets or replaces a rate, under the promises of Writer. A user or
// domain that is not there, and a group without members, are ErrNotFound.
func (l *Limits) SetRate(ctx context.Context, r LimitRate) error {
	r.Subject = r.Subject.folded()
	if r.Limit == "" || r.Rate == "" || len(r.Limit) > MaxRateBytes || len(r.Rate) > MaxRateBytes {
		return fmt.Errorf("%w: a limit and a rate have 1 to %d bytes", ErrInvalid, MaxRateBytes)
	}
	return l.s.change(ctx, "set rate of "+r.Subject.String(), func(tx *sql.Tx) error {
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

// RemoveRate forgets a rate; one that is not there is ErrNotFound.
func (l *Limits) RemoveRate(ctx context.Context, s Subject, limit string) error {
	s = s.folded()
	return l.s.change(ctx, "forget rate of "+s.String(), func(tx *sql.Tx) error {
		if s.Group != "" { // also that of a group that has lost its members
			return some(affect(ctx, tx, "DELETE FROM limit_rates WHERE group_name = ? AND limit_name = ?", s.Group, limit))
		}
		column, id, err := s.column(ctx, tx)
		if err != nil {
			return err
		}
		return some(affect(ctx, tx, "DELETE FROM limit_rates WHERE "+column+" = ? AND limit_name = ?", id, limit))
	})
}

// folded returns s as the store has it.
func (s Subject) folded() Subject {
	return Subject{User: fold(s.User), Group: strings.ToLower(s.Group), Domain: foldDomain(s.Domain)}
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
