package mysql

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"
)

//go:embed migrations/*.sql
var migrations embed.FS

var (
	// ErrNewer means that a newer program has made the tables gatepost_….
	ErrNewer = errors.New("the tables gatepost_… are of a newer version of gatepost")
	// ErrChanged means that a step of the schema is not the one that was taken.
	ErrChanged = errors.New("the tables gatepost_… are other ones")
)

// step is one numbered migration.
type step struct {
	version             int
	name, sql, checksum string
}

// steps reads the migrations and wants them numbered from 1 without a gap.
func steps(files fs.FS) ([]step, error) {
	names, err := fs.Glob(files, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	var all []step
	for i, path := range names { // Glob sorts
		name := strings.TrimPrefix(path, "migrations/")
		number, _, _ := strings.Cut(name, "_")
		if v, err := strconv.Atoi(number); err != nil || v != i+1 {
			return nil, fmt.Errorf("migration %s: its number has to be %04d", name, i+1)
		}
		b, err := fs.ReadFile(files, path)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(b)
		all = append(all, step{i + 1, name, string(b), hex.EncodeToString(sum[:])})
	}
	return all, nil
}

// statements splits a step. The server takes one at a time: DDL is in no
// transaction there, so each can be made twice, by IF NOT EXISTS, after a server
// that died between two.
func (s step) statements() []string {
	var all []string
	for part := range strings.SplitSeq(s.sql, ";\n") {
		var lines []string
		for line := range strings.Lines(part) {
			if !strings.HasPrefix(line, "--") {
				lines = append(lines, line)
			}
		}
		if one := strings.TrimSpace(strings.Join(lines, "")); one != "" {
			all = append(all, one)
		}
	}
	return all
}

// lockWait is how long a process waits for another one that migrates, in
// seconds.
const lockWait = 60

// noSuchTable is the server's error for it.
const noSuchTable = 1146

// migrate brings our tables up to date: on the host for changes, by one process
// at a time.
func migrate(ctx context.Context, db *sql.DB, own ownTables) (err error) {
	all, err := steps(migrations)
	if err != nil {
		return err
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	lock := own.lock()
	var got sql.NullInt64
	if err := conn.QueryRowContext(ctx, "SELECT GET_LOCK(?, ?)", lock, lockWait).Scan(&got); err != nil {
		return fmt.Errorf("wait for another gatepost that makes the tables: %w", err)
	}
	if got.Int64 != 1 {
		return fmt.Errorf("another gatepost makes the tables of %s since %d s", own.database, lockWait)
	}
	defer func() {
		_, unlock := conn.ExecContext(context.WithoutCancel(ctx), "DO RELEASE_LOCK(?)", lock)
		err = errors.Join(err, unlock)
	}()
	done, err := applied(ctx, conn, own, all)
	if err != nil {
		return err
	}
	for _, s := range all[done:] {
		if err := s.apply(ctx, conn, own); err != nil {
			return fmt.Errorf("make the tables gatepost_… (%s): %w; to mend it, GRANT ALL ON `%s`.* to the user of mysql.user, or name in mysql.own_dbname a database where it has that", s.name, err, own.database)
		}
	}
	return nil
}

// maxLock bounds the name of a lock (MySQL 5.7 and later).
const maxLock = 64

// lock names the lock of who makes the tables.
func (o ownTables) lock() string {
	name := "gatepost_migrate." + o.database
	if len(name) > maxLock {
		sum := sha256.Sum256([]byte(name))
		return hex.EncodeToString(sum[:maxLock/2])
	}
	return name
}

// rowQuerier is what *sql.DB and *sql.Conn have in common.
type rowQuerier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// applied compares what a server has with the steps and returns how many of
// them it has.
func applied(ctx context.Context, db rowQuerier, own ownTables, all []step) (n int, err error) {
	rows, err := db.QueryContext(ctx, own.sql("SELECT version, name, checksum FROM {schema} ORDER BY version"))
	if numberOf(err) == noSuchTable {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var s step
		if err := rows.Scan(&s.version, &s.name, &s.checksum); err != nil {
			return 0, err
		}
		if n >= len(all) {
			return 0, fmt.Errorf("%w: their schema is %d, this version knows %d; install that version again", ErrNewer, s.version, len(all))
		}
		if want := all[n]; s.version != want.version || s.name != want.name || s.checksum != want.checksum {
			return 0, fmt.Errorf("%w: schema step %q with checksum %.8s, want %q with %.8s", ErrChanged, s.name, s.checksum, want.name, want.checksum)
		}
		n++
	}
	return n, rows.Err()
}

func (s step) apply(ctx context.Context, conn *sql.Conn, own ownTables) error {
	for _, one := range s.statements() {
		if _, err := conn.ExecContext(ctx, own.sql(one)); err != nil {
			return err
		}
	}
	_, err := conn.ExecContext(ctx, own.sql("INSERT INTO {schema} (version, name, checksum, applied) VALUES (?, ?, ?, ?)"),
		s.version, s.name, s.checksum, time.Now().Unix())
	return err
}

// ownTables names our tables in statements.
type ownTables struct{ database string }

// sql writes {name} as the table gatepost_name of our database.
func (o ownTables) sql(statement string) string {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(statement, "{")
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		name, after, _ := strings.Cut(rest, "}")
		b.WriteString("`" + o.database + "`.`gatepost_" + name + "`")
		statement = after
	}
}
