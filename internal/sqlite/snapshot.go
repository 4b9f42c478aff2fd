package sqlite

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"

	driver "modernc.org/sqlite"
)

// Snapshot is a database file as it was when Snap returned, however much is
// written to it meanwhile. Writers do not wait for it, but what they write stays
// in the WAL file until Close.
//
// It is a read transaction over SQLite's table of pages (sqlite_dbpage), so that
// a copy is a stream of known size and needs no second file beside the first: a
// backup must not be what fills the disk that mail comes to.
type Snapshot struct {
	db       *sql.DB
	conn     *sql.Conn
	pages    int64
	pageSize int64
}

// Snap takes a snapshot of the file at path, which has to be there.
func Snap(ctx context.Context, path string) (*Snapshot, error) {
	db, err := connectURI(path, url.Values{"mode": {"rw"}, "_query_only": {"1"}})
	if err != nil {
		return nil, err
	}
	s := &Snapshot{db: db}
	if err := s.begin(ctx); err != nil {
		return nil, errors.Join(Options{Path: path}.explain(err), s.Close())
	}
	return s, nil
}

// connectURI returns one connection to the file at path.
func connectURI(path string, q url.Values) (*sql.DB, error) {
	q.Set("_busy_timeout", strconv.FormatInt(busyTimeout.Milliseconds(), 10))
	q.Set("_error_rc", "1")
	q.Set("_defensive", "1")
	dsn := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}
	c, err := driver.NewConnector(dsn.String())
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, err)
	}
	db := sql.OpenDB(c)
	db.SetMaxOpenConns(1)
	return db, nil
}

func (s *Snapshot) begin(ctx context.Context) (err error) {
	if s.conn, err = s.db.Conn(ctx); err != nil {
		return err
	}
	if _, err := s.conn.ExecContext(ctx, "BEGIN"); err != nil {
		return err
	}
	var tables int // the first read is what takes the snapshot
	if err := s.conn.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&tables); err != nil {
		return err
	}
	if err := s.conn.QueryRowContext(ctx, "PRAGMA page_count").Scan(&s.pages); err != nil {
		return err
	}
	return s.conn.QueryRowContext(ctx, "PRAGMA page_size").Scan(&s.pageSize)
}

// Size is the length of the copy in bytes.
func (s *Snapshot) Size() int64 { return s.pages * s.pageSize }

// Copy writes the file to w: Size bytes, unless there is an error.
func (s *Snapshot) Copy(ctx context.Context, w io.Writer) (err error) {
	rows, err := s.conn.QueryContext(ctx, "SELECT pgno, data FROM sqlite_dbpage")
	if err != nil {
		return fmt.Errorf("read pages: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	out := bufio.NewWriterSize(w, 256<<10)
	var done int64
	for rows.Next() {
		var number int64
		var page sql.RawBytes
		if err := rows.Scan(&number, &page); err != nil {
			return fmt.Errorf("read pages: %w", err)
		}
		if done++; number != done || int64(len(page)) != s.pageSize {
			return fmt.Errorf("read pages: %d comes as number %d with %d bytes", number, done, len(page))
		}
		if _, err := out.Write(page); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read pages: %w", err)
	}
	if done != s.pages {
		return fmt.Errorf("read pages: %d of %d", done, s.pages)
	}
	return out.Flush()
}

// Close ends the snapshot. It may be called more than once.
func (s *Snapshot) Close() error {
	if s.conn == nil {
		return s.db.Close()
	}
	err := s.conn.Close() // of a transaction that only read
	if errors.Is(err, sql.ErrConnDone) {
		err = nil
	}
	return errors.Join(err, s.db.Close())
}

// Contents says what is in a database file.
type Contents struct {
	// Schema is the number of the last migration.
	Schema int
	// Rows counts the rows of each table of ours.
	Rows map[string]int64
}

// Inspect checks the whole file at path and counts what is in it. It changes and
// makes no file; nobody may have it open, and there is no WAL beside it.
func Inspect(ctx context.Context, path string) (c Contents, err error) {
	db, err := connectURI(path, url.Values{"mode": {"ro"}, "immutable": {"1"}})
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if c, err = inspect(ctx, db); err != nil {
		return c, Options{Path: path}.explain(err)
	}
	return c, nil
}

func inspect(ctx context.Context, db *sql.DB) (c Contents, err error) {
	if err := checkWith(ctx, db, "integrity_check"); err != nil {
		return c, err
	}
	if err := refuseForeign(ctx, db); err != nil {
		return c, err
	}
	names, err := tables(ctx, db)
	if err != nil {
		return c, err
	}
	c.Rows = make(map[string]int64, len(names))
	for _, name := range names {
		var n int64
		if err := db.QueryRowContext(ctx, `SELECT count(*) FROM "`+strings.ReplaceAll(name, `"`, `""`)+`"`).Scan(&n); err != nil {
			return c, err
		}
		c.Rows[name] = n
	}
	if _, ours := c.Rows["schema_version"]; !ours { // an empty file
		return c, nil
	}
	delete(c.Rows, "schema_version")
	return c, db.QueryRowContext(ctx, "SELECT ifnull(max(version), 0) FROM schema_version").Scan(&c.Schema)
}

// tables lists the tables of db that are no part of SQLite.
func tables(ctx context.Context, db *sql.DB) (names []string, err error) {
	rows, err := db.QueryContext(ctx, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, rows.Err()
}
