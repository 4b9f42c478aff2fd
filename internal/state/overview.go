package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"
)

// durable says of each table which rows are on the disk before who writes goes
// on, and why. All others follow within a second, and what a crash loses of them
// costs what is said.
var durable = map[Table]string{
	Delivery:     "mark or worse", // else spam lies in INBOX; an accepted one goes there anyway
	Ban:          "all",           // a restart must not let an attacker in; a lift follows in a second
	Login:        "none",          // a device proves itself again
	Limit:        "set by hand",   // a person was told that it holds; who was told is told twice
	Seen:         "none",          // a stranger comes once more
	Sent:         "none",          // a correspondent is not known as one
	Author:       "none",          // likewise
	Reputation:   "none",          // a second of counting
	TLSPolicy:    "none",          // it is fetched again
	Sieve:        "sent mail",     // else a vacation or redirect goes out twice
	counterTable: "none",          // a second of counting
	Outbox:       "as its row",    // what is merged into the common store, see shared
}

// TableOverview tells of a table in memory and in the file.
type TableOverview struct {
	Table Table `json:"table"`
	// Entries and Bytes are in memory, of MaxEntries and MaxBytes; OnDisk says
	// that memory has only the newest.
	Entries    int   `json:"entries"`
	Bytes      int64 `json:"bytes"`
	MaxEntries int   `json:"max_entries"`
	MaxBytes   int64 `json:"max_bytes"`
	OnDisk     bool  `json:"on_disk"`
	// Rows and RowBytes are in the file, those included that are over and not
	// swept yet.
	Rows     int    `json:"rows"`
	RowBytes int64  `json:"row_bytes"`
	Evicted  uint64 `json:"evicted"`
	Durable  string `json:"durable"`
}

// Overview tells of an embedded store.
type Overview struct {
	Path      string          `json:"path"`
	Tables    []TableOverview `json:"tables"`
	FileBytes int64           `json:"file_bytes"`
	WALBytes  int64           `json:"wal_bytes"`
	// FreeBytes of the file hold nothing.
	FreeBytes int64 `json:"free_bytes"`
	// Behind rows wait to be written; Failing says that the last write failed.
	Behind  int  `json:"behind"`
	Failing bool `json:"failing"`
	// Checked is when the whole file was read last, Damage what was found.
	Checked time.Time `json:"checked,omitzero"`
	Damage  string    `json:"damage,omitempty"`
}

// Overview reads how full the store is. It reads the file's tables once.
func (s *SQLite) Overview(ctx context.Context) (Overview, error) {
	st := s.Stats()
	s.mu.Lock()
	o := Overview{Path: s.path, Behind: st.Behind, Failing: st.Failing, Checked: s.checked}
	if s.damage != nil {
		o.Damage = s.damage.Error()
	}
	s.mu.Unlock()
	for _, t := range slices.Concat(Tables, []Table{counterTable, Outbox}) {
		m, b := st.Tables[t], boundOf(t)
		o.Tables = append(o.Tables, TableOverview{
			Table: t, Entries: m.Entries, Bytes: m.Bytes, MaxEntries: b.entries, MaxBytes: b.bytes, OnDisk: b.onDisk,
			Evicted: m.Evicted, Durable: durable[t],
		})
	}
	for suffix, size := range map[string]*int64{"": &o.FileBytes, "-wal": &o.WALBytes} {
		info, err := os.Stat(s.path + suffix)
		if err == nil {
			*size = info.Size()
		} else if !errors.Is(err, fs.ErrNotExist) {
			return Overview{}, err
		}
	}
	if err := s.readRows(ctx, &o); err != nil {
		return Overview{}, fmt.Errorf("read %s: %w", s.path, err)
	}
	return o, nil
}

// readRows adds what the file has.
func (s *SQLite) readRows(ctx context.Context, o *Overview) (err error) {
	var pages, size int64
	if err := s.db.Reader.QueryRowContext(ctx, "PRAGMA freelist_count").Scan(&pages); err != nil {
		return err
	}
	if err := s.db.Reader.QueryRowContext(ctx, "PRAGMA page_size").Scan(&size); err != nil {
		return err
	}
	o.FreeBytes = pages * size
	rows, err := s.db.Reader.QueryContext(ctx, `SELECT name, count(*), sum(length(key) + length(value)) FROM entries GROUP BY name
		UNION ALL SELECT 'counter', count(*), coalesce(sum(length(key) + length(buckets)), 0) FROM counters`)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var t TableOverview
		if err := rows.Scan(&t.Table, &t.Rows, &t.RowBytes); err != nil {
			return err
		}
		i := slices.IndexFunc(o.Tables, func(k TableOverview) bool { return k.Table == t.Table })
		if i < 0 {
			o.Tables = append(o.Tables, t) // of another version
			continue
		}
		o.Tables[i].Rows, o.Tables[i].RowBytes = t.Rows, t.RowBytes
	}
	return rows.Err()
}

func boundOf(t Table) bound {
	if t == counterTable {
		return counterBound
	}
	return bounds[t]
}

// Report is what Verify found.
type Report struct {
	// Checked rows are in order but for Faults, of which there are maxFaults at
	// most.
	Checked int           `json:"checked"`
	Faults  []string      `json:"faults"`
	Took    time.Duration `json:"took_ns"`
}

const maxFaults = 20

// Verify has SQLite read the whole file, with its indexes, and reads each row as
// a start would. The store works meanwhile.
func (s *SQLite) Verify(ctx context.Context) (Report, error) {
	begin := time.Now()
	faults, err := s.integrity(ctx, "integrity_check", maxFaults)
	r := Report{Faults: append([]string{}, faults...)}
	if err == nil {
		err = s.verifyRows(ctx, &r)
	}
	if err != nil {
		return r, fmt.Errorf("verify %s: %w", s.path, err)
	}
	r.Took = time.Since(begin)
	s.mu.Lock()
	s.checked = time.Now()
	s.mu.Unlock()
	return r, nil
}

func (s *SQLite) verifyRows(ctx context.Context, r *Report) error {
	fault := func(format string, args ...any) {
		if len(r.Faults) < maxFaults {
			r.Faults = append(r.Faults, fmt.Sprintf(format, args...))
		}
	}
	const entries = "SELECT name, length(CAST(key AS BLOB)), length(value), expires FROM entries"
	err := s.each(ctx, entries, r, func(rows *sql.Rows) error {
		var t Table
		var key, value, expires int64
		if err := rows.Scan(&t, &key, &value, &expires); err != nil {
			return err
		}
		switch {
		case s.tables[t] == nil:
			fault("a row of table %q, which there is not", t)
		case key == 0 || key > int64(maxKeyBytes(t)) || value > MaxValueBytes || expires <= 0:
			fault("a row of %s with a key of %d bytes, a value of %d, expires %d", t, key, value, expires)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.each(ctx, "SELECT key, window, buckets FROM counters", r, func(rows *sql.Rows) error {
		var key string
		var window int64
		var b []byte
		if err := rows.Scan(&key, &window, &b); err != nil {
			return err
		}
		if _, _, err := parseBuckets(b); err != nil || window <= 0 || window > int64(MaxWindow) {
			fault("counter %.60q can not be read", key)
		}
		return nil
	})
}

// each calls do for each row of a query.
func (s *SQLite) each(ctx context.Context, query string, r *Report, do func(*sql.Rows) error) (err error) {
	rows, err := s.db.Reader.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		r.Checked++
		if err := do(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Collected is what GC did.
type Collected struct {
	// Removed rows were over; Freed bytes went back to the file system.
	Removed int   `json:"removed"`
	Freed   int64 `json:"freed"`
}

// GC removes what is over at once, which happens each minute anyway, and gives
// free pages back. A file that gatepost 0.9 or older made keeps its size: its
// pages are used again.
func (s *SQLite) GC(ctx context.Context) (Collected, error) {
	before, err := s.Overview(ctx)
	if err != nil {
		return Collected{}, err
	}
	var c Collected
	for more := true; more; {
		var n int
		if n, more, err = s.sweep(time.Now()); err != nil {
			return c, fmt.Errorf("remove what is over: %w", err)
		}
		if c.Removed += n; ctx.Err() != nil {
			return c, ctx.Err()
		}
	}
	if err := s.shrink(ctx); err != nil {
		return c, fmt.Errorf("give pages back: %w", err)
	}
	after, err := s.Overview(ctx)
	c.Freed = before.FileBytes + before.WALBytes - after.FileBytes - after.WALBytes
	return c, err
}

// shrink gives free pages back, a part at a time so that sync Puts get between.
func (s *SQLite) shrink(ctx context.Context) error {
	free := func() (n int64, err error) {
		err = s.db.Writer.QueryRowContext(ctx, "PRAGMA freelist_count").Scan(&n)
		return n, err
	}
	was, err := free()
	for err == nil && was > 0 {
		if _, err = s.db.Writer.ExecContext(ctx, "PRAGMA incremental_vacuum(1000)"); err != nil {
			return err
		}
		var now int64
		if now, err = free(); now >= was {
			break
		}
		was = now
	}
	if err != nil {
		return err
	}
	var busy, pages, moved int64 // a reader that is busy leaves it for later
	return s.db.Writer.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &pages, &moved)
}
