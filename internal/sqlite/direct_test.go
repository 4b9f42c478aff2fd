package sqlite

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
)

var rowsSchema = fstest.MapFS{"0001_rows.sql": {Data: []byte("CREATE TABLE rows (n INTEGER PRIMARY KEY, t TEXT) STRICT")}}

const insertRow = "INSERT INTO rows VALUES (?, ?)"

// row returns the values of a row, in list.
func row(list []driver.NamedValue, n int64) []driver.NamedValue {
	return append(list[:0], driver.NamedValue{Ordinal: 1, Value: n}, driver.NamedValue{Ordinal: 2, Value: fmt.Sprint("row ", n)})
}

func count(t *testing.T, db *DB) (n int) {
	t.Helper()
	if err := db.Reader.QueryRow("SELECT count(*) FROM rows WHERE t = 'row ' || n").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func openRows(t *testing.T, o Options) *DB {
	t.Helper()
	o.Migrations = rowsSchema
	if o.Path == "" {
		o.Path = filepath.Join(t.TempDir(), "rows.db")
	}
	db, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func TestTxDirect(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rows.db")
	db := openRows(t, Options{Path: path})
	var list []driver.NamedValue
	insert := func(from, to int64) error {
		return db.TxDirect(t.Context(), func(d *Direct) error {
			for n := from; n < to; n++ {
				list = row(list, n)
				exec := d.Exec
				if n%2 == 0 {
					exec = d.ExecKept
				}
				if err := exec(t.Context(), insertRow, list); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := insert(0, 10); err != nil || count(t, db) != 10 {
		t.Fatalf("TxDirect() = %v, %d rows", err, count(t, db))
	}
	// An error undoes the transaction, and the connection is as good as before.
	for _, first := range []int64{5, 4} {
		if err := insert(first-20, first+1); !IsDuplicate(err) || count(t, db) != 10 {
			t.Errorf("TxDirect() with row %d twice = %v, %d rows", first, err, count(t, db))
		}
	}
	own := errors.New("own")
	err := db.TxDirect(t.Context(), func(d *Direct) error {
		if err := d.ExecKept(t.Context(), insertRow, row(nil, 99)); err != nil {
			t.Error(err)
		}
		return own
	})
	if !errors.Is(err, own) || count(t, db) != 10 {
		t.Errorf("TxDirect() = %v, %d rows", err, count(t, db))
	}
	if _, err := db.Writer.Exec(insertRow, 10, "row 10"); err != nil {
		t.Errorf("Exec() beside = %v", err)
	}
	if err := insert(11, 20); err != nil || count(t, db) != 20 {
		t.Errorf("TxDirect() = %v, %d rows", err, count(t, db))
	}
	if err := db.TxDirect(t.Context(), func(d *Direct) error { return d.ExecKept(t.Context(), "nonsense", nil) }); err == nil {
		t.Error("TxDirect() of nonsense = nil")
	}
	if err := db.Close(); err != nil {
		t.Errorf("Close() = %v", err)
	}
	// With a statement left open, SQLite would have kept the file.
	if _, err := os.Stat(path + "-wal"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the WAL file after Close: %v", err)
	}
	if err := insert(20, 21); err == nil {
		t.Error("TxDirect() after Close = nil")
	}
}

// A connection that broke is closed whole, its statements too: else it would keep
// the file.
func TestKeptOnNewConnection(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rows.db")
	db := openRows(t, Options{Path: path})
	for n := range int64(3) {
		err := db.TxDirect(t.Context(), func(d *Direct) error { return d.ExecKept(t.Context(), insertRow, row(nil, n)) })
		if err != nil || count(t, db) != int(n)+1 {
			t.Errorf("TxDirect() = %v, %d rows", err, count(t, db))
		}
		if err := db.raw(t.Context(), func(directConn) error { return driver.ErrBadConn }); !errors.Is(err, driver.ErrBadConn) {
			t.Errorf("raw() = %v", err)
		}
	}
	if err := db.Close(); err != nil {
		t.Errorf("Close() = %v", err)
	}
	if _, err := os.Stat(path + "-wal"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the WAL file after Close: %v", err)
	}
}

// A panic in a transaction does not keep the next one out.
func TestPanicInTxDirect(t *testing.T) {
	db := openRows(t, Options{})
	insert := func(n int64, then func()) error {
		return db.TxDirect(t.Context(), func(d *Direct) error {
			defer then()
			return d.ExecKept(t.Context(), insertRow, row(nil, n))
		})
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		_ = insert(1, func() { panic("of the test") })
	}()
	if err := insert(2, func() {}); err != nil || count(t, db) != 1 {
		t.Errorf("TxDirect() = %v, %d rows", err, count(t, db))
	}
	if err := db.Close(); err != nil {
		t.Errorf("Close() = %v", err)
	}
}
