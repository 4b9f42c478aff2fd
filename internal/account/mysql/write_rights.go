package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/access"
	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/mailaddr"
)

// AddGrant implements account.RightsWriter.
func (s *Store) AddGrant(ctx context.Context, user, as mailaddr.Address) error {
	user = account.Fold(user)
	as, err := account.NormalGrant(as)
	if err != nil {
		return err
	}
	return s.change(ctx, "grant "+account.AliasName(as)+" to "+user.String(), func(ctx context.Context, tx *sql.Tx) error {
		id, err := s.claim(ctx, tx, user)
		if err != nil {
			return err
		}
		n, err := count(ctx, tx, s.tables.sql("SELECT count(*) FROM {grants} WHERE domain = ? AND local = ?"), user.Domain, user.LocalPart)
		if err != nil {
			return err
		}
		if n >= account.MaxGrants {
			return fmt.Errorf("%w: a user has %d grants at most", account.ErrInvalid, account.MaxGrants)
		}
		return insert(ctx, tx, s.tables.sql("INSERT INTO {grants} (domain, local, owner, as_domain, as_local) VALUES (?, ?, ?, ?, ?)"),
			user.Domain, user.LocalPart, id, as.Domain, as.LocalPart)
	})
}

// RemoveGrant implements account.RightsWriter.
func (s *Store) RemoveGrant(ctx context.Context, user, as mailaddr.Address) error {
	user, as = account.Fold(user), account.Fold(as)
	return s.change(ctx, "revoke "+account.AliasName(as)+" from "+user.String(), func(ctx context.Context, tx *sql.Tx) error {
		if _, err := s.claim(ctx, tx, user); err != nil {
			return err
		}
		return one(affect(ctx, tx, s.tables.sql("DELETE FROM {grants} WHERE domain = ? AND local = ? AND as_domain = ? AND as_local = ?"),
			user.Domain, user.LocalPart, as.Domain, as.LocalPart))
	})
}

// SetPosting implements account.RightsWriter.
func (s *Store) SetPosting(ctx context.Context, p account.Posting) error {
	p, err := p.Normal()
	if err != nil {
		return err
	}
	return s.change(ctx, "set who may write to "+p.Addr.String(), func(ctx context.Context, tx *sql.Tx) error {
		if err := s.hasDomain(ctx, tx, p.Addr.Domain); err != nil {
			return err
		}
		_, err := affect(ctx, tx, s.tables.sql(`REPLACE INTO {posting} (domain, local, rule, moderators, reason) VALUES (?, ?, ?, ?, ?)`),
			p.Addr.Domain, p.Addr.LocalPart, string(p.Rule), account.FormatModerators(p.Moderators), p.Reason)
		return err
	})
}

// RemovePosting implements account.RightsWriter.
func (s *Store) RemovePosting(ctx context.Context, addr mailaddr.Address) error {
	addr = account.Fold(addr)
	return s.change(ctx, "forget who may write to "+addr.String(), func(ctx context.Context, tx *sql.Tx) error {
		return one(affect(ctx, tx, s.tables.sql("DELETE FROM {posting} WHERE domain = ? AND local = ?"), addr.Domain, addr.LocalPart))
	})
}

// AddAccess implements account.RightsWriter.
func (s *Store) AddAccess(ctx context.Context, e access.Entry) (access.Entry, error) {
	e, err := e.Storable()
	if err != nil {
		return e, fmt.Errorf("%w: %w", account.ErrInvalid, err)
	}
	now := time.Now()
	if e.Ended(now) {
		return e, fmt.Errorf("%w: the entry would end before it begins", account.ErrInvalid)
	}
	e.Added = time.UnixMilli(now.UnixMilli())
	e.Until = account.FromMillis(account.Millis(e.Until))
	err = s.change(ctx, "add entry "+e.Name, func(ctx context.Context, tx *sql.Tx) error {
		ended := s.tables.sql("DELETE FROM {access} WHERE deny = ? AND name = ? AND scope = ? AND until BETWEEN 1 AND ?")
		if _, err := affect(ctx, tx, ended, e.Deny, e.Name, e.For, now.UnixMilli()); err != nil {
			return err
		}
		n, err := count(ctx, tx, s.tables.sql("SELECT count(*) FROM {access}"))
		if err != nil {
			return err
		}
		if n >= access.MaxEntries {
			return fmt.Errorf("%w: there are %d entries, and more are not kept", account.ErrInvalid, n)
		}
		return insert(ctx, tx, s.tables.sql("INSERT INTO {access} (deny, name, scope, reason, until, added) VALUES (?, ?, ?, ?, ?, ?)"),
			e.Deny, e.Name, e.For, e.Reason, account.Millis(e.Until), e.Added.UnixMilli())
	})
	return e, err
}

// RemoveAccess implements account.RightsWriter.
func (s *Store) RemoveAccess(ctx context.Context, deny bool, name, scope string) error {
	e, err := access.Entry{Name: name, For: scope}.Normal()
	if err != nil {
		return fmt.Errorf("%w: %w", account.ErrInvalid, err)
	}
	return s.change(ctx, "remove entry "+e.Name, func(ctx context.Context, tx *sql.Tx) error {
		return one(affect(ctx, tx, s.tables.sql("DELETE FROM {access} WHERE deny = ? AND name = ? AND scope = ?"), deny, e.Name, e.For))
	})
}

// AddAppPassword implements account.AppWriter.
func (s *Store) AddAppPassword(ctx context.Context, p account.AppPassword) error {
	p, err := p.Normal()
	if err != nil {
		return err
	}
	return s.change(ctx, "add app password "+p.Name+" of "+p.User.String(), func(ctx context.Context, tx *sql.Tx) error {
		id, err := s.claim(ctx, tx, p.User)
		if err != nil {
			return err
		}
		n, err := count(ctx, tx, s.tables.sql("SELECT count(*) FROM {app_passwords} WHERE domain = ? AND local = ?"), p.User.Domain, p.User.LocalPart)
		if err != nil {
			return err
		}
		if n >= account.MaxAppPasswords {
			return fmt.Errorf("%w: a user has %d app passwords at most: remove one", account.ErrInvalid, account.MaxAppPasswords)
		}
		return insert(ctx, tx, s.tables.sql(`INSERT INTO {app_passwords} (domain, local, owner, name, hash, services, created, expires)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?)`), p.User.Domain, p.User.LocalPart, id, p.Name, stored(p.Hash),
			strings.Join(p.Services, " "), time.Now().UnixMilli(), account.Millis(p.Expires))
	})
}

// RemoveAppPassword implements account.AppWriter.
func (s *Store) RemoveAppPassword(ctx context.Context, user mailaddr.Address, name string) error {
	user = account.Fold(user)
	return s.change(ctx, fmt.Sprintf("remove app password %q of %s", name, user), func(ctx context.Context, tx *sql.Tx) error {
		if _, err := s.claim(ctx, tx, user); err != nil {
			return err
		}
		return one(affect(ctx, tx, s.tables.sql("DELETE FROM {app_passwords} WHERE domain = ? AND local = ? AND name = ?"), user.Domain, user.LocalPart, name))
	})
}

// SetRate implements account.Standings.
func (s *Store) SetRate(ctx context.Context, l account.LimitRate) error {
	l, err := l.Normal()
	if err != nil {
		return err
	}
	return s.change(ctx, "set rate of "+l.Subject.String(), func(ctx context.Context, tx *sql.Tx) error {
		owner, err := s.subject(ctx, tx, l.Subject)
		if err != nil {
			return err
		}
		a := addressOf(l.Subject)
		_, err = affect(ctx, tx, s.tables.sql("REPLACE INTO {limit_rates} (domain, local, owner, group_name, limit_name, rate) VALUES (?, ?, ?, ?, ?, ?)"),
			a.Domain, a.LocalPart, owner, l.Subject.Group, l.Limit, l.Rate)
		return err
	})
}

// RemoveRate implements account.Standings.
func (s *Store) RemoveRate(ctx context.Context, of account.Subject, limit string) error {
	of = of.Folded()
	return s.change(ctx, "forget rate of "+of.String(), func(ctx context.Context, tx *sql.Tx) error {
		if of.Group == "" { // a group may have lost its members
			if _, err := s.subject(ctx, tx, of); err != nil {
				return err
			}
		}
		a := addressOf(of)
		return one(affect(ctx, tx, s.tables.sql("DELETE FROM {limit_rates} WHERE domain = ? AND local = ? AND group_name = ? AND limit_name = ?"),
			a.Domain, a.LocalPart, of.Group, limit))
	})
}

// addressOf is where the row of a rate stands; that of a group has none.
func addressOf(of account.Subject) mailaddr.Address {
	switch {
	case of.Group != "":
		return mailaddr.Address{}
	case of.Domain != "":
		return mailaddr.Address{Domain: of.Domain}
	}
	return of.User
}

// subject returns the owner of a rate, ErrNotFound for a subject that is not
// there.
func (s *Store) subject(ctx context.Context, tx *sql.Tx, of account.Subject) (owner int64, err error) {
	switch {
	case of.Group != "":
		n, err := count(ctx, tx, s.tables.sql("SELECT count(*) FROM {group_members} WHERE name = ?"), of.Group)
		return 0, one(n, err)
	case of.Domain != "":
		err := s.hasDomain(ctx, tx, of.Domain)
		if errors.Is(err, account.ErrNoDomain) {
			err = account.ErrNotFound
		}
		return 0, err
	}
	return s.claim(ctx, tx, of.User)
}

// AddToGroup implements account.Standings.
func (s *Store) AddToGroup(ctx context.Context, g account.Group) error {
	g, err := g.Normal()
	if err != nil {
		return err
	}
	return s.change(ctx, "add to group "+g.Name, func(ctx context.Context, tx *sql.Tx) error {
		added := 0
		for _, u := range g.Users {
			id, err := s.claim(ctx, tx, u)
			if err != nil {
				return fmt.Errorf("user %s: %w", u, err)
			}
			err = insert(ctx, tx, s.tables.sql("INSERT INTO {group_members} (name, domain, local, owner) VALUES (?, ?, ?, ?)"), g.Name, u.Domain, u.LocalPart, id)
			if errors.Is(err, account.ErrExists) {
				continue
			}
			if err != nil {
				return err
			}
			added++
			n, err := count(ctx, tx, s.tables.sql("SELECT count(*) FROM {group_members} WHERE domain = ? AND local = ?"), u.Domain, u.LocalPart)
			if err != nil {
				return err
			}
			if n > account.MaxStanding {
				return fmt.Errorf("%w: a user is in %d groups at most", account.ErrInvalid, account.MaxStanding)
			}
		}
		if added == 0 {
			return account.ErrExists
		}
		return nil
	})
}

// RemoveFromGroup implements account.Standings.
func (s *Store) RemoveFromGroup(ctx context.Context, g account.Group) error {
	name := strings.ToLower(g.Name)
	return s.change(ctx, "remove from group "+name, func(ctx context.Context, tx *sql.Tx) error {
		if len(g.Users) == 0 {
			n, err := affect(ctx, tx, s.tables.sql("DELETE FROM {limit_rates} WHERE group_name = ?"), name)
			if err != nil {
				return err
			}
			m, err := affect(ctx, tx, s.tables.sql("DELETE FROM {group_members} WHERE name = ?"), name)
			return one(n+m, err)
		}
		for _, u := range g.Users {
			u = account.Fold(u)
			_, err := s.claim(ctx, tx, u)
			if err == nil {
				err = one(affect(ctx, tx, s.tables.sql("DELETE FROM {group_members} WHERE name = ? AND domain = ? AND local = ?"), name, u.Domain, u.LocalPart))
			}
			if err != nil {
				return fmt.Errorf("user %s: %w", u, err)
			}
		}
		return nil
	})
}
