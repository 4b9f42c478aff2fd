package state

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"github.com/gatepost/gatepost/internal/sqlite"
)

//go:embed migrations/*.sql
var migrations embed.FS

// SQLite is a Store in memory, in front of one SQLite file.
type SQLite struct {
	path       string
	db         *sqlite.DB
	statements statements
	log        *slog.Logger

	mu       sync.Mutex // guards the fields below
	tables   map[Table]*memory
	counters *memory
	dirty    map[rowID]struct{} // to be written
	inFlight map[rowID]struct{} // being written
	group    *group             // the sync Puts that wait for the next commit
	closed   bool
	failing  bool // the last commit failed
	// checked is when the whole file was read, damage what was found.
	checked time.Time
	damage  error

	wake chan struct{} // has room for one
	stop chan struct{}
	done chan struct{} // closed when the flusher has ended
	last error         // of the final flush; set before done is closed

	others sync.WaitGroup // goroutines beside the flusher
}

var _ Store = (*SQLite)(nil)

// counterTable is the name of the counters among row names.
const counterTable Table = "counter"

// rowID names a row of the file. Its content is what memory has at the time of
// writing; memory without it means that the row goes.
type rowID struct {
	t   Table
	key string
}

// group is the sync Puts that share a commit. err is set before done is closed.
type group struct {
	rows []rowID
	done chan struct{}
	err  error
}

// OpenSQLite opens or makes the file at path and reads it into memory. A
// damaged one is set aside, with an error in the log.
func OpenSQLite(ctx context.Context, path string, log *slog.Logger) (*SQLite, error) {
	damaged, err := wasDamaged(path)
	if damaged {
		err = setAside(ctx, path, fmt.Errorf("%w: found while it ran", sqlite.ErrCorrupt), log)
	}
	if err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	s, err := open(ctx, path, log)
	if err != nil && sqlite.IsCorrupt(err) {
		if err := setAside(ctx, path, err, log); err != nil {
			return nil, err
		}
		s, err = open(ctx, path, log)
	}
	if err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	if err := s.checkLater(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("state: %w", err), s.db.Close())
	}
	go s.flush()
	return s, nil
}

func open(ctx context.Context, path string, log *slog.Logger) (*SQLite, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	db, err := sqlite.Open(ctx, sqlite.Options{Path: path, Migrations: files, Readers: 3, Shrink: true, Log: log})
	if err != nil {
		return nil, err
	}
	s := empty(db, log)
	s.path = path
	err = s.load(ctx)
	if err == nil {
		err = s.prepare(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read %s: %w", path, err), db.Close())
	}
	return s, nil
}

// empty returns a store with nothing in memory, whose goroutine is not begun.
func empty(db *sqlite.DB, log *slog.Logger) *SQLite {
	s := &SQLite{
		db: db, log: log,
		tables:   make(map[Table]*memory, len(bounds)),
		counters: newMemory(counterBound),
		dirty:    map[rowID]struct{}{},
		inFlight: map[rowID]struct{}{},
		wake:     make(chan struct{}, 1),
		stop:     make(chan struct{}),
		done:     make(chan struct{}),
	}
	for t, b := range bounds {
		s.tables[t] = newMemory(b)
	}
	return s
}

// Close implements Store. It returns what kept it from writing all.
func (s *SQLite) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	close(s.stop)
	<-s.done
	s.others.Wait()
	return errors.Join(s.last, s.db.Close())
}

// enter locks s for a call on table t, whose key and context it has checked.
func (s *SQLite) enter(ctx context.Context, t Table, key string) (*memory, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m := s.counters
	if t != counterTable {
		m = s.tables[t]
	}
	if m == nil {
		return nil, fmt.Errorf("%w: table %q", ErrInvalid, t)
	}
	if longest := maxKeyBytes(t); len(key) > longest {
		return nil, fmt.Errorf("%w: a key of %d bytes", ErrInvalid, len(key))
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, ErrClosed
	}
	return m, nil
}

// Get implements Store.
func (s *SQLite) Get(ctx context.Context, t Table, key string) (Entry, error) {
	now := time.Now()
	m, err := s.enter(ctx, t, key)
	if err != nil {
		return Entry{}, err
	}
	it, known := m.get(key, now), m.rows[key] != nil
	onDisk := !known && m.onDisk && !s.pending(rowID{t, key})
	s.mu.Unlock()
	if onDisk {
		return s.readEntry(ctx, t, key, now)
	}
	if it == nil {
		return Entry{}, ErrNotFound
	}
	return it.(*Entry).copy(), nil
}

// copy gives the caller a value of its own. Entries in memory never change.
func (e *Entry) copy() Entry {
	return Entry{Key: e.Key, Value: bytes.Clone(e.Value), Expires: e.Expires}
}

// pending reports whether memory knows better than the file. It needs s.mu.
func (s *SQLite) pending(id rowID) bool {
	_, dirty := s.dirty[id]
	_, flying := s.inFlight[id]
	return dirty || flying
}

// maxKeyBytes bounds a key of a table: those of the Outbox hold another key.
func maxKeyBytes(t Table) int {
	if t == Outbox {
		return MaxKeyBytes + 64
	}
	return MaxKeyBytes
}

// own checks e and returns a copy that the caller can not change.
func (e *Entry) own() (*Entry, error) {
	if e.Key == "" || len(e.Value) > MaxValueBytes || e.Expires.IsZero() {
		return nil, fmt.Errorf("%w: entry with a key of %d bytes, a value of %d, expires %v",
			ErrInvalid, len(e.Key), len(e.Value), e.Expires)
	}
	kept := e.copy()
	kept.Expires = time.UnixMilli(e.Expires.UnixMilli())
	if kept.Value == nil {
		kept.Value = []byte{}
	}
	return &kept, nil
}

// Put implements Store.
func (s *SQLite) Put(ctx context.Context, t Table, e Entry, sync bool) error {
	kept, err := e.own()
	if err != nil {
		return err
	}
	m, err := s.enter(ctx, t, e.Key)
	if err != nil {
		return err
	}
	id := rowID{t, e.Key}
	if err := s.put(ctx, m, id, kept); err != nil || !sync {
		s.mu.Unlock()
		return err
	}
	g := s.join(id)
	s.mu.Unlock()
	return s.wait(ctx, g)
}

// put puts an entry of its own into a table. It needs s.mu.
func (s *SQLite) put(ctx context.Context, m *memory, id rowID, e *Entry) error {
	if m.onDisk && m.overflows() {
		return fmt.Errorf("put %s: the disk can not be written, and memory is full", id.t)
	}
	m.put(e)
	s.dirty[id] = struct{}{}
	s.evict(ctx, id.t, m)
	return nil
}

// join has a row written with the next commit. It needs s.mu.
func (s *SQLite) join(id rowID) *group {
	if s.group == nil {
		s.group = &group{done: make(chan struct{})}
	}
	s.group.rows = append(s.group.rows, id)
	return s.group
}

// wait waits for the commit of g.
func (s *SQLite) wait(ctx context.Context, g *group) error {
	select {
	case s.wake <- struct{}{}:
	default: // it is awake already
	}
	select {
	case <-g.done:
		return g.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// evict makes room in a table that is full. It needs s.mu.
func (s *SQLite) evict(ctx context.Context, t Table, m *memory) {
	for m.full() {
		id := rowID{t, m.oldest().item.name()}
		if m.onDisk {
			if s.pending(id) {
				return // it is written within a second
			}
			m.remove(id.key)
			continue
		}
		m.remove(id.key)
		s.dirty[id] = struct{}{}
		m.evicted++
		if now := time.Now(); now.Sub(m.warned) >= time.Hour {
			m.warned = now
			s.log.LogAttrs(ctx, slog.LevelWarn, "state table is full, what ends first goes first",
				slog.String("table", string(t)), slog.Int("entries", len(m.rows)),
				slog.Int64("bytes", m.bytes), slog.Uint64("evicted", m.evicted))
		}
	}
}

// Delete implements Store.
func (s *SQLite) Delete(ctx context.Context, t Table, key string) error {
	m, err := s.enter(ctx, t, key)
	if err != nil {
		return err
	}
	defer s.mu.Unlock()
	s.remove(m, rowID{t, key})
	return nil
}

// remove removes an entry or a counter. It needs s.mu.
func (s *SQLite) remove(m *memory, id rowID) {
	if m.remove(id.key) || m.onDisk {
		s.dirty[id] = struct{}{}
	}
}

// List implements Store.
func (s *SQLite) List(ctx context.Context, t Table, prefix string) ([]Entry, error) {
	now := time.Now()
	m, err := s.enter(ctx, t, prefix)
	if err != nil {
		return nil, err
	}
	if m.onDisk {
		s.mu.Unlock()
		return s.listDisk(ctx, t, prefix, now)
	}
	items := m.list(prefix, now)
	s.mu.Unlock()
	all := make([]Entry, len(items))
	for i, it := range items {
		all[i] = it.(*Entry).copy()
	}
	return all, nil
}

// Stats tells how full the store is.
type Stats struct {
	Tables map[Table]TableStats
	// Behind is how many rows wait to be written.
	Behind int
	// Failing says that the last write failed.
	Failing bool
}

// TableStats tells how full a table is in memory. Table "counter" has the counters.
type TableStats struct {
	Entries int
	Bytes   int64
	// Evicted counts what went before its time since the start.
	Evicted uint64
}

// Stats returns what a metric may show.
func (s *SQLite) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Stats{Tables: map[Table]TableStats{}, Behind: len(s.dirty) + len(s.inFlight), Failing: s.failing}
	for t, m := range s.tables {
		st.Tables[t] = TableStats{len(m.rows), m.bytes, m.evicted}
	}
	st.Tables[counterTable] = TableStats{len(s.counters.rows), s.counters.bytes, s.counters.evicted}
	return st
}
