package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/sqlite"
)

// load reads all of the tables that memory holds whole.
func (s *SQLite) load(ctx context.Context) error {
	now := time.Now()
	for t, m := range s.tables {
		if !m.onDisk {
			entries, err := s.query(ctx, t, "", now)
			if err != nil {
				return err
			}
			for _, e := range entries {
				m.put(&e)
			}
			s.evict(ctx, t, m)
		}
	}
	if err := s.loadCounters(ctx, now); err != nil {
		return err
	}
	s.evict(ctx, counterTable, s.counters)
	return nil
}

func (s *SQLite) loadCounters(ctx context.Context, now time.Time) (err error) {
	const query = "SELECT key, max, window, buckets FROM counters WHERE expires > ?"
	rows, err := s.db.Reader.QueryContext(ctx, query, now.UnixMilli())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var c counter
		var b []byte
		if err := rows.Scan(&c.key, &c.max, &c.window, &b); err != nil {
			return err
		}
		if c.buckets, c.used, err = parseBuckets(b); err != nil {
			s.log.LogAttrs(ctx, slog.LevelWarn, "counter begins anew", slog.String("key", c.key), slog.Any("err", err))
			continue
		}
		s.counters.put(&c)
	}
	return rows.Err()
}

// query returns the entries of t in the file, by key. The prefix is matched by
// range, because LIKE folds case and has patterns.
func (s *SQLite) query(ctx context.Context, t Table, prefix string, now time.Time) (all []Entry, err error) {
	const query = `SELECT key, value, expires FROM entries
		WHERE name = ? AND key >= ? AND expires > ? ORDER BY key`
	rows, err := s.db.Reader.QueryContext(ctx, query, string(t), prefix, now.UnixMilli())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		e, err := scanEntry(rows)
		if err != nil {
			return nil, err
		}
		if !strings.HasPrefix(e.Key, prefix) {
			return all, nil
		}
		all = append(all, e)
	}
	return all, rows.Err()
}

func scanEntry(row interface{ Scan(...any) error }) (Entry, error) {
	var e Entry
	var expires int64
	err := row.Scan(&e.Key, &e.Value, &expires)
	e.Expires = time.UnixMilli(expires)
	return e, err
}

// readEntry reads one entry of a table that memory does not hold whole.
func (s *SQLite) readEntry(ctx context.Context, t Table, key string, now time.Time) (Entry, error) {
	const query = "SELECT key, value, expires FROM entries WHERE name = ? AND key = ? AND expires > ?"
	e, err := scanEntry(s.db.Reader.QueryRowContext(ctx, query, string(t), key, now.UnixMilli()))
	if errors.Is(err, sql.ErrNoRows) {
		return Entry{}, ErrNotFound
	}
	if err != nil {
		return Entry{}, fmt.Errorf("get %s: %w", t, err)
	}
	return e, nil
}

// listDisk lists a table that memory does not hold whole: the file's rows, with
// what memory knows better. Memory is looked at before and after the file, for
// a row may be written and leave memory in between.
func (s *SQLite) listDisk(ctx context.Context, t Table, prefix string, now time.Time) ([]Entry, error) {
	found := map[string]Entry{}
	s.inMemory(t, prefix, now, found)
	disk, err := s.query(ctx, t, prefix, now)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", t, err)
	}
	for _, e := range disk {
		found[e.Key] = e
	}
	s.inMemory(t, prefix, now, found)
	all := make([]Entry, 0, len(found))
	for _, e := range found {
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b Entry) int { return strings.Compare(a.Key, b.Key) })
	return all, nil
}

// inMemory brings found up to date with memory.
func (s *SQLite) inMemory(t Table, prefix string, now time.Time, found map[string]Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.tables[t]
	for _, it := range m.list(prefix, now) {
		found[it.name()] = it.(*Entry).copy()
	}
	for key := range found {
		if m.get(key, now) == nil && s.pending(rowID{t, key}) {
			delete(found, key) // deleted, or expired, and not written yet
		}
	}
}

// row is what is to be written of one rowID; item nil means that it goes.
type row struct {
	rowID
	item item
}

// statements are what write executes.
type statements struct{ putEntry, putCounter, deleteEntry, deleteCounter *sql.Stmt }

// prepare makes the statements, which db.Close closes.
func (s *SQLite) prepare(ctx context.Context) error {
	for _, p := range []struct {
		stmt  **sql.Stmt
		query string
	}{
		{&s.statements.putEntry, `INSERT INTO entries (name, key, value, expires) VALUES (?, ?, ?, ?)
			ON CONFLICT (name, key) DO UPDATE SET value = excluded.value, expires = excluded.expires`},
		{&s.statements.putCounter, `INSERT INTO counters (key, max, window, buckets, expires) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (key) DO UPDATE SET max = excluded.max, window = excluded.window,
			buckets = excluded.buckets, expires = excluded.expires`},
		{&s.statements.deleteEntry, "DELETE FROM entries WHERE name = ? AND key = ?"},
		{&s.statements.deleteCounter, "DELETE FROM counters WHERE key = ?"},
	} {
		var err error
		if *p.stmt, err = s.db.Writer.PrepareContext(ctx, p.query); err != nil {
			return err
		}
	}
	return nil
}

// write writes rows in one transaction.
func (s *SQLite) write(rows []row) error {
	ctx := context.Background() // of the store itself: no caller's context ends it
	return sqlite.Tx(ctx, s.db.Writer, func(tx *sql.Tx) error {
		st := statements{
			tx.StmtContext(ctx, s.statements.putEntry), tx.StmtContext(ctx, s.statements.putCounter),
			tx.StmtContext(ctx, s.statements.deleteEntry), tx.StmtContext(ctx, s.statements.deleteCounter),
		}
		for _, r := range rows {
			if err := st.write(ctx, r); err != nil {
				return err
			}
		}
		return nil
	})
}

func (st statements) write(ctx context.Context, r row) error {
	var err error
	switch it := r.item.(type) {
	case *Entry:
		_, err = st.putEntry.ExecContext(ctx, string(r.t), r.key, it.Value, it.Expires.UnixMilli())
	case *counter:
		_, err = st.putCounter.ExecContext(ctx, r.key, it.max, int64(it.window),
			appendBuckets(nil, it.buckets), it.expires().UnixMilli()+1) // rounded up
	default:
		if r.t == counterTable {
			_, err = st.deleteCounter.ExecContext(ctx, r.key)
		} else {
			_, err = st.deleteEntry.ExecContext(ctx, string(r.t), r.key)
		}
	}
	return err
}

// sweep removes some rows that have expired, and reports whether there may be more.
func (s *SQLite) sweep(now time.Time) (removed int, more bool, err error) {
	const most = 1000
	for _, query := range []string{
		"DELETE FROM entries WHERE id IN (SELECT id FROM entries WHERE expires <= ? LIMIT ?)",
		"DELETE FROM counters WHERE key IN (SELECT key FROM counters WHERE expires <= ? LIMIT ?)",
	} {
		r, err := s.db.Writer.ExecContext(context.Background(), query, now.UnixMilli(), most)
		if err != nil {
			return removed, false, err
		}
		n, err := r.RowsAffected()
		if err != nil {
			return removed, false, err
		}
		removed, more = removed+int(n), more || n == most
	}
	return removed, more, nil
}
