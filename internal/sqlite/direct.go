package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
)

// Direct is a transaction on Writer's connection itself. database/sql locks,
// converts and copies each argument of each statement, for the journal 4 % of its
// time and nearly half of its garbage. A Direct may be used until the function
// given to TxDirect returns.
type Direct struct {
	db   *DB
	conn directConn
}

// directConn is what a connection of the driver can do.
type directConn interface {
	driver.ConnBeginTx
	driver.ConnPrepareContext
}

// kept is a statement that stays prepared. It has to be closed before its
// connection, which stays open else, with its locks.
type kept struct {
	driver.Stmt
	conn directConn
}

// TxDirect is Tx for a Direct. Only one goroutine may be in it or in Close at a
// time. To begin it waits for another process up to busyTimeout, whatever ctx says.
func (db *DB) TxDirect(ctx context.Context, fn func(*Direct) error) error {
	return db.raw(ctx, func(c directConn) error {
		tx, err := c.BeginTx(ctx, driver.TxOptions{})
		if err != nil {
			return err
		}
		if err := fn(&Direct{db, c}); err != nil {
			_ = tx.Rollback() // a full disk may have ended it already
			return err
		}
		return tx.Commit()
	})
}

// raw calls fn with the connection of Writer, which nobody else uses meanwhile.
// After an error or a panic nothing stays prepared on it: database/sql may replace
// it then.
func (db *DB) raw(ctx context.Context, fn func(directConn) error) (err error) {
	conn, err := db.Writer.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	return conn.Raw(func(c any) (err error) {
		d, ok := c.(directConn)
		if !ok {
			return fmt.Errorf("driver %T can not be used directly", c)
		}
		fine := false
		defer func() {
			if !fine {
				err = errors.Join(err, db.forget(d))
			}
		}()
		if err := fn(d); err != nil {
			return err
		}
		fine = true
		return nil
	})
}

// Exec executes a statement with args, whose Ordinal counts from 1 and whose
// Value is int64, float64, bool, string, []byte or nil.
func (d *Direct) Exec(ctx context.Context, query string, args []driver.NamedValue) (err error) {
	s, err := d.conn.PrepareContext(ctx, query)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return run(ctx, s, args)
}

// ExecKept is Exec for a statement that is needed again: it stays prepared until
// the DB is closed.
func (d *Direct) ExecKept(ctx context.Context, query string, args []driver.NamedValue) error {
	s := d.db.kept[query]
	if s.conn != d.conn {
		p, err := d.conn.PrepareContext(ctx, query)
		if err != nil {
			return err
		}
		if d.db.kept == nil {
			d.db.kept = map[string]kept{}
		}
		s = kept{p, d.conn}
		d.db.kept[query] = s
	}
	return run(ctx, s.Stmt, args)
}

func run(ctx context.Context, s driver.Stmt, args []driver.NamedValue) error {
	e, ok := s.(driver.StmtExecContext)
	if !ok {
		return fmt.Errorf("statement %T can not be used directly", s)
	}
	_, err := e.ExecContext(ctx, args)
	return err
}

// closeKept closes the statements that stayed prepared: SQLite does not close a
// connection that has some, and would not fold the WAL file.
func (db *DB) closeKept() error {
	if len(db.kept) == 0 {
		return nil
	}
	return db.raw(context.Background(), db.forget)
}

// forget closes what stayed prepared on a connection.
func (db *DB) forget(c directConn) error {
	var errs []error
	for query, s := range db.kept {
		if s.conn == c {
			errs = append(errs, s.Close())
			delete(db.kept, query)
		}
	}
	return errors.Join(errs...)
}
