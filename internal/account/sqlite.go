package account

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatepost/gatepost/internal/account/memo"
	"github.com/gatepost/gatepost/internal/account/use"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/secret"
	"github.com/gatepost/gatepost/internal/sqlite"
)

//go:embed migrations/*.sql
var migrations embed.FS

// cacheRows is how many answers of one kind a generation holds: two
// generations of 20,000 users with their hashes are some 15 MB. A flood of
// names that are not there pushes others out, and costs them one query.
const cacheRows = 20_000

// SQLite is a Backend in one SQLite file. Look-ups are served from a bounded
// cache of exact rows, of which every change makes the old ones void.
type SQLite struct {
	db *sqlite.DB

	domain, user, alias, grant, grantee, posting, app *sql.Stmt

	domains  *memo.Cache[string, Domain]
	users    *memo.Cache[mailaddr.Address, User]
	aliases  *memo.Cache[mailaddr.Address, Alias]
	grants   *memo.Cache[mailaddr.Address, []mailaddr.Address]
	grantees *memo.Cache[mailaddr.Address, []mailaddr.Address]
	postings *memo.Cache[mailaddr.Address, Posting]
	apps     *memo.Cache[mailaddr.Address, []AppPassword]

	standings *memo.Cache[mailaddr.Address, Standing]

	uses *use.Uses
	stop context.CancelFunc // ends the goroutine that writes uses
	done sync.WaitGroup

	version atomic.Uint64 // moves after the commit of a change, before it returns
}

var _ Backend = (*SQLite)(nil)

// OpenSQLite opens or makes the file at path. A damaged file is refused: an
// empty store would turn away everybody's mail for good.
func OpenSQLite(ctx context.Context, path string, log *slog.Logger) (*SQLite, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	db, err := sqlite.Open(ctx, sqlite.Options{
		Path: path, Migrations: files, Readers: runtime.GOMAXPROCS(0) + 1, Log: log,
	})
	if err != nil {
		return nil, fmt.Errorf("accounts: %w", err)
	}
	s := &SQLite{
		db:       db,
		domains:  memo.New[string, Domain](cacheRows),
		users:    memo.New[mailaddr.Address, User](cacheRows),
		aliases:  memo.New[mailaddr.Address, Alias](cacheRows),
		grants:   memo.New[mailaddr.Address, []mailaddr.Address](cacheRows),
		grantees: memo.New[mailaddr.Address, []mailaddr.Address](cacheRows),
		postings: memo.New[mailaddr.Address, Posting](cacheRows),
		apps:     memo.New[mailaddr.Address, []AppPassword](cacheRows),

		standings: memo.New[mailaddr.Address, Standing](cacheRows),
		uses:      use.New(),
	}
	for _, p := range []struct {
		stmt  **sql.Stmt
		query string
	}{
		{&s.domain, selectDomain}, {&s.user, selectUser}, {&s.alias, selectAlias},
		{&s.grant, selectGrants}, {&s.grantee, selectGrantees}, {&s.posting, selectPosting},
		{&s.app, selectApps},
	} {
		if *p.stmt, err = db.Reader.PrepareContext(ctx, p.query); err != nil {
			return nil, errors.Join(fmt.Errorf("accounts: prepare: %w", err), s.Close())
		}
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	s.done.Go(func() { s.uses.Keep(background, s.writeUses, log) })
	return s, nil
}

// Close implements Store.
func (s *SQLite) Close() error {
	if s.stop != nil {
		s.stop()
	}
	s.done.Wait()
	var errs []error
	for _, stmt := range []*sql.Stmt{s.domain, s.user, s.alias, s.grant, s.grantee, s.posting, s.app} {
		if stmt != nil {
			errs = append(errs, stmt.Close())
		}
	}
	return errors.Join(append(errs, s.db.Close())...)
}

// Fresh implements Backend: the file has one writer, so each answer is fresh.
func (s *SQLite) Fresh() Reader { return s }

// Writable implements Backend. It writes one page.
func (s *SQLite) Writable(ctx context.Context) error {
	err := sqlite.Tx(ctx, s.db.Writer, func(tx *sql.Tx) error {
		// We do not use this number; to set it is a write, also to the same.
		_, err := tx.ExecContext(ctx, "PRAGMA user_version = 0")
		return err
	})
	if err != nil {
		return fmt.Errorf("accounts can not be written: %w", err)
	}
	return nil
}

// Version implements Reader.
func (s *SQLite) Version() uint64 { return s.version.Load() }

const (
	selectDomain = "SELECT name FROM domains WHERE name = ?"
	userColumns  = "SELECT u.id, u.local, d.name, u.password, u.held, u.disabled, u.quota, u.changed, u.allow_nets, u.nologin, u.services, u.expires FROM users u JOIN domains d ON d.id = u.domain_id"
	selectUser   = userColumns + " WHERE d.name = ? AND u.local = ?"
	aliasColumns = "SELECT a.local, d.name, a.target FROM aliases a JOIN domains d ON d.id = a.domain_id"
	selectAlias  = aliasColumns + " WHERE d.name = ? AND a.local = ? ORDER BY a.id"
)

// Domain implements Reader.
func (s *SQLite) Domain(ctx context.Context, name string) (Domain, error) {
	name = FoldDomain(name)
	return lookUp(ctx, s.Version(), s.domains, name, func() (Domain, error) {
		var d Domain
		err := s.domain.QueryRowContext(ctx, name).Scan(&d.Name)
		return d, err
	})
}

// User implements Reader.
func (s *SQLite) User(ctx context.Context, addr mailaddr.Address) (User, error) {
	addr = Fold(addr)
	return lookUp(ctx, s.Version(), s.users, addr, func() (User, error) {
		return scanUser(s.user.QueryRowContext(ctx, addr.Domain, addr.LocalPart))
	})
}

// Alias implements Reader.
func (s *SQLite) Alias(ctx context.Context, addr mailaddr.Address) (Alias, error) {
	addr = Fold(addr)
	return lookUp(ctx, s.Version(), s.aliases, addr, func() (Alias, error) {
		rows, err := s.alias.QueryContext(ctx, addr.Domain, addr.LocalPart)
		if err != nil {
			return Alias{}, err
		}
		found, err := scanAliases(rows)
		if err != nil {
			return Alias{}, err
		}
		if len(found) == 0 {
			return Alias{}, sql.ErrNoRows
		}
		return found[0], nil
	})
}

// lookUp answers from c, or else by query, whose answer it keeps as that of the
// version, which the caller takes before: after a change nobody asks for it.
func lookUp[K comparable, V any](ctx context.Context, version uint64, c *memo.Cache[K, V], key K, query func() (V, error)) (V, error) {
	var none V
	if err := ctx.Err(); err != nil {
		return none, err
	}
	if v, found, ok := c.Get(version, key, 0); ok {
		if !found {
			return none, ErrNotFound
		}
		return v, nil
	}
	v, err := query()
	if errors.Is(err, sql.ErrNoRows) {
		c.Put(version, key, none, false, 0)
		return none, ErrNotFound
	}
	if err != nil {
		return none, fmt.Errorf("look up account: %w", err)
	}
	c.Put(version, key, v, true, 0)
	return v, nil
}

// scanner is what *sql.Row and *sql.Rows have in common.
type scanner interface{ Scan(dest ...any) error }

func scanUser(row scanner) (User, error) {
	var u User
	var password []byte
	var changed, expires int64
	var nets, services string
	err := row.Scan(&u.ID, &u.Addr.LocalPart, &u.Addr.Domain, &password, &u.Held, &u.Disabled, &u.Quota, &changed,
		&nets, &u.NoLogin, &services, &expires)
	if err != nil {
		return User{}, err
	}
	if u.AllowNets, err = ParseNets(nets); err != nil {
		return User{}, fmt.Errorf("user %s: %w", u.Addr, err)
	}
	u.Services, u.Expires = ParseList(services), FromMillis(expires)
	u.Password = secret.New(password)
	u.Changed = time.UnixMilli(changed)
	return u, nil
}

// scanAliases gathers the rows of one alias after another, and closes rows.
func scanAliases(rows *sql.Rows) (all []Alias, err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var addr mailaddr.Address
		var target string
		if err := rows.Scan(&addr.LocalPart, &addr.Domain, &target); err != nil {
			return nil, err
		}
		to, err := ParseTarget(target)
		if err != nil {
			return nil, fmt.Errorf("alias %s has target %q: %w", addr, target, err)
		}
		if n := len(all); n == 0 || all[n-1].Addr != addr {
			all = append(all, Alias{Addr: addr})
		}
		last := &all[len(all)-1]
		last.To = append(last.To, to)
	}
	return all, rows.Err()
}

// Domains implements Reader.
func (s *SQLite) Domains(ctx context.Context) (all []Domain, err error) {
	rows, err := s.db.Reader.QueryContext(ctx, "SELECT name FROM domains ORDER BY name")
	if err != nil {
		return nil, fmt.Errorf("list domains: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var d Domain
		if err := rows.Scan(&d.Name); err != nil {
			return nil, fmt.Errorf("list domains: %w", err)
		}
		all = append(all, d)
	}
	return all, rows.Err()
}

// Users implements Reader.
func (s *SQLite) Users(ctx context.Context, mask string) (all []User, err error) {
	m := NewMask(mask)
	rows, err := s.db.Reader.QueryContext(ctx, userColumns+" WHERE ?1 = '' OR d.name = ?1 ORDER BY d.name, u.local", m.Domain)
	if err != nil {
		return nil, fmt.Errorf("list users: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		u, err := scanUser(rows)
		if err != nil {
			return nil, fmt.Errorf("list users: %w", err)
		}
		if m.Match(u.Addr) {
			all = append(all, u)
		}
	}
	return all, rows.Err()
}

// Aliases implements Reader.
func (s *SQLite) Aliases(ctx context.Context, mask string) ([]Alias, error) {
	m := NewMask(mask)
	rows, err := s.db.Reader.QueryContext(ctx, aliasColumns+" WHERE ?1 = '' OR d.name = ?1 ORDER BY d.name, a.local, a.id", m.Domain)
	if err != nil {
		return nil, fmt.Errorf("list aliases: %w", err)
	}
	found, err := scanAliases(rows)
	if err != nil {
		return nil, fmt.Errorf("list aliases: %w", err)
	}
	all := found[:0]
	for _, a := range found {
		if m.Match(a.Addr) {
			all = append(all, a)
		}
	}
	return all, nil
}
