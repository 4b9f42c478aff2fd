// Package sqlite opens the SQLite files of Gatepost: one way to set the
// pragmas, to migrate, to notice a broken file, and to say what mends it.
//
// A file is made with mode 0600 in a directory that has to exist. It is in WAL
// mode, with foreign keys on and full sync unless Options says otherwise. One
// process has it open. Two processes may, but the packages above keep copies in
// memory that the other one does not know of.
//
// Before a file whose schema is older is migrated, all of it is checked and
// copied to FILE.before-N, N being the first step that comes (Options.NoCopy
// says for which files that is not worth the room). The last two copies are
// kept. Each step is a transaction, so a kill leaves the file before or after
// it, and the next Open goes on from there.
//
// A file that is open must not be opened beside SQLite by the same process, not
// even to read it: the kernel drops SQLite's locks when that descriptor is
// closed (POSIX advisory locks). Snap copies it through SQLite.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
	driver "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

var (
	// ErrCorrupt means that the file is damaged, or no database.
	ErrCorrupt = errors.New("database file is damaged")
	// ErrNewer means that a newer program has written the file.
	ErrNewer = errors.New("database was written by a newer version of gatepost")
	// ErrForeign means that the file is a database, but not the expected one.
	ErrForeign = errors.New("file is another database")
)

// maxCheckBytes is the size up to which Open checks a whole file: above it the
// check would hold up the start for seconds.
const maxCheckBytes = 64 << 20

// busyTimeout is how long a statement waits for another process, such as a
// backup, before it fails.
const busyTimeout = 5 * time.Second

// Options says how to open a file.
type Options struct {
	// Path is the file. It is not a URI.
	Path string
	// Migrations holds NNNN_name.sql, from 0001 on without a gap.
	Migrations fs.FS
	// Readers is how many connections may read at once; 0 means 1.
	Readers int
	// Relaxed leaves the last commits to the kernel: a power cut may lose them,
	// but damages nothing (PRAGMA synchronous=NORMAL).
	Relaxed bool
	// Shrink makes a new file such that freed pages can be given back by
	// PRAGMA incremental_vacuum.
	Shrink bool
	// NoCopy migrates without a copy before: for a file that may begin anew.
	NoCopy bool
	// Log hears of a file that others can read, and of one that OpenOrRenew set
	// aside, for which it is needed.
	Log *slog.Logger
}

// DB is an open file. Writer has one connection, whose transactions begin
// IMMEDIATE; Reader's connections can not write.
type DB struct {
	Writer, Reader *sql.DB

	kept map[string]kept // by query; of TxDirect and Close alone
}

// Open opens or makes the file and brings its schema up to date.
func Open(ctx context.Context, o Options) (*DB, error) {
	if err := create(ctx, o); err != nil {
		return nil, err
	}
	db := &DB{}
	var err error
	if db.Writer, err = o.connect(1, false); err != nil {
		return nil, err
	}
	if db.Reader, err = o.connect(max(o.Readers, 1), true); err != nil {
		return nil, errors.Join(err, db.Writer.Close())
	}
	if err := o.prepare(ctx, db.Writer); err != nil {
		return nil, errors.Join(o.explain(err), db.Close())
	}
	return db, nil
}

// Close closes both; the last connection folds the WAL file into the database.
func (db *DB) Close() error {
	return errors.Join(db.Reader.Close(), db.closeKept(), db.Writer.Close())
}

// Tx runs fn in a transaction, which it commits if fn returns nil.
func Tx(ctx context.Context, db *sql.DB, fn func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := fn(tx); err != nil {
		if back := tx.Rollback(); back != nil && !errors.Is(back, sql.ErrTxDone) {
			return errors.Join(err, back)
		}
		return err
	}
	return tx.Commit()
}

// create makes the file, because SQLite would make it readable by all. The
// files of the WAL take its mode.
func create(ctx context.Context, o Options) error {
	f, err := os.OpenFile(o.Path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		return f.Close()
	}
	if !errors.Is(err, fs.ErrExist) {
		return o.explain(err)
	}
	info, err := os.Stat(o.Path)
	if err != nil {
		return o.explain(err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("open database %s: it is no regular file", o.Path)
	}
	if info.Mode().Perm()&0o077 != 0 && o.Log != nil {
		o.Log.LogAttrs(ctx, slog.LevelWarn, "database file is open to other users",
			slog.String("path", o.Path), slog.String("mode", info.Mode().Perm().String()),
			slog.String("remedy", "chmod 600 "+o.Path))
	}
	return nil
}

func (o Options) connect(conns int, readOnly bool) (*sql.DB, error) {
	sync := "FULL"
	if o.Relaxed {
		sync = "NORMAL"
	}
	q := url.Values{}
	q.Set("_busy_timeout", strconv.FormatInt(busyTimeout.Milliseconds(), 10))
	q.Set("_dqs", "0")
	q.Set("_defensive", "1")
	q.Set("_error_rc", "1")
	q.Set("_foreign_keys", "1")
	q.Set("_synchronous", sync)
	// Eighteen connections are open in a process, each with pages of its own; the
	// pages that matter are in the kernel's cache too.
	q.Add("_pragma", "cache_size(-256)")
	if readOnly {
		q.Set("_query_only", "1")
	} else {
		if o.Shrink {
			q.Set("_auto_vacuum", "INCREMENTAL")
		}
		q.Set("_journal_mode", "WAL")
		q.Set("_txlock", "immediate")
	}
	dsn := url.URL{Scheme: "file", Opaque: (&url.URL{Path: o.Path}).EscapedPath(), RawQuery: q.Encode()}
	c, err := driver.NewConnector(dsn.String())
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", o.Path, err)
	}
	db := sql.OpenDB(c)
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db, nil
}

// prepare checks the file and migrates it.
func (o Options) prepare(ctx context.Context, db *sql.DB) error {
	info, err := os.Stat(o.Path)
	if err != nil {
		return err
	}
	if info.Size() <= maxCheckBytes {
		if err := check(ctx, db); err != nil {
			return err
		}
	}
	return migrate(ctx, db, o.Migrations, func(first int) error {
		if o.NoCopy {
			return nil
		}
		return copyBefore(ctx, db, o.Path, first)
	})
}

// querier is a *sql.DB or a *sql.Conn.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// check has SQLite read every page. It reports what it finds as ErrCorrupt.
func check(ctx context.Context, db querier) error { return checkWith(ctx, db, "quick_check") }

// checkWith is check by quick_check, or by integrity_check, which compares the
// indexes with their tables, too.
func checkWith(ctx context.Context, db querier, pragma string) error {
	var found string
	if err := db.QueryRowContext(ctx, "PRAGMA "+pragma+"(1)").Scan(&found); err != nil {
		return err
	}
	if found != "ok" {
		return fmt.Errorf("%w: %.200q", ErrCorrupt, found)
	}
	return nil
}

// IsCorrupt reports whether err says that the file is damaged.
func IsCorrupt(err error) bool {
	if errors.Is(err, ErrCorrupt) {
		return true
	}
	code := resultCode(err)
	return code == lib.SQLITE_CORRUPT || code == lib.SQLITE_NOTADB
}

// IsDuplicate reports whether err says that a row breaks a UNIQUE constraint.
func IsDuplicate(err error) bool {
	var e *driver.Error
	return errors.As(err, &e) &&
		(e.Code() == lib.SQLITE_CONSTRAINT_UNIQUE || e.Code() == lib.SQLITE_CONSTRAINT_PRIMARYKEY)
}

// resultCode returns the primary result code of err, or 0.
func resultCode(err error) int {
	var e *driver.Error
	if errors.As(err, &e) {
		return e.Code() & 0xff
	}
	return 0
}

// explain adds the path to an error of opening, and what mends it.
func (o Options) explain(err error) error {
	dir, remedy := filepath.Dir(o.Path), ""
	switch code := resultCode(err); {
	case IsCorrupt(err):
		if !errors.Is(err, ErrCorrupt) {
			err = fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
		remedy = "restore it from a backup, or move it and its -wal file aside to begin anew"
	case errors.Is(err, ErrNewer):
		remedy = "install that version again, or restore a backup from before the upgrade"
	case errors.Is(err, ErrForeign):
		remedy = "name the right file"
	case errors.Is(err, fs.ErrNotExist):
		remedy = "make its directory, owned by the user that gatepost runs as: install -d -m 700 -o vmail -g vmail " + dir
	case errors.Is(err, fs.ErrPermission), code == lib.SQLITE_READONLY, code == lib.SQLITE_PERM,
		code == lib.SQLITE_CANTOPEN, code == lib.SQLITE_AUTH:
		remedy = "run as the owner of the file, or give it and " + dir + " to the user that gatepost runs as (ls -ld shows who owns them)"
	case code == lib.SQLITE_BUSY, code == lib.SQLITE_LOCKED:
		remedy = "another process holds it: stop that process (fuser shows it)"
	case code == lib.SQLITE_FULL, errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		remedy = "make room on its disk"
	}
	err = fmt.Errorf("open database %s: %w", o.Path, err)
	if remedy != "" {
		err = fmt.Errorf("%w; to mend it, %s", err, remedy)
	}
	return err
}

// OpenOrRenew opens the file as Open does. A damaged one is set aside, with an
// error in the log, and a new one begins: for what mail can do without.
func OpenOrRenew(ctx context.Context, o Options) (*DB, error) {
	db, err := Open(ctx, o)
	if err == nil || !IsCorrupt(err) {
		return db, err
	}
	aside, moveErr := SetAside(o.Path, time.Now())
	if moveErr != nil {
		return nil, errors.Join(err, moveErr)
	}
	o.Log.LogAttrs(ctx, slog.LevelError, "database was damaged, a new one begins",
		slog.String("path", o.Path), slog.String("kept_as", aside), slog.Any("err", err))
	return Open(ctx, o)
}

// SetAside renames the file and what belongs to it to NAME.corrupt-TIME, and
// returns the new name. The database must not be open.
func SetAside(path string, now time.Time) (string, error) {
	aside := path + ".corrupt-" + now.UTC().Format("20060102T150405.000Z")
	if err := os.Rename(path, aside); err != nil {
		return "", fmt.Errorf("set the damaged database aside: %w", err)
	}
	for _, suffix := range []string{"-wal", "-shm"} {
		if err := os.Rename(path+suffix, aside+suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("set the damaged database aside: %w", err)
		}
	}
	return aside, nil
}
