package journal

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatepost/gatepost/internal/sqlite"
)

//go:embed migrations/*.sql
var migrations embed.FS

var (
	// ErrNotFound means that the journal has nothing by that id.
	ErrNotFound = errors.New("nothing in the journal")
	// ErrClosed means that the journal was closed.
	ErrClosed = errors.New("journal is closed")
)

const (
	// queueRecords and queueBytes bound what waits to be written.
	queueRecords = 8192
	queueBytes   = 16 << 20
	// hurryAt is how many records the writer is woken for.
	hurryAt = queueRecords / 8
	// writerCache is the memory for pages while a batch is written.
	writerCache = 2 << 20
	// reserve is the part of both that only refusals and bans may use.
	reserve = 4 // a quarter
)

// queued is a record that waits, and the bytes that it was counted with.
type queued struct {
	*Record
	size int64
}

// Journal keeps records in a SQLite file. It is safe for concurrent use.
type Journal struct {
	path string
	log  *slog.Logger
	cfg  atomic.Pointer[Config]
	db   atomic.Pointer[sqlite.DB] // replaced by the writer when the file turns out damaged

	queue   chan queued
	waiting atomic.Int64 // bytes in queue
	dropped atomic.Uint64
	closed  atomic.Bool
	spare   sync.Pool // of *Record that were written

	failing atomic.Pointer[error] // of the last write, nil when it succeeded

	hurry chan struct{} // the writer is not to wait for its next tick
	flush chan chan error
	stop  chan struct{}
	done  chan struct{} // closed when the writer has ended
	last  error         // of the last write; set before done is closed
}

// Open opens or makes the file at path. A damaged one is set aside, with an
// error in the log: the journal is only the story.
func Open(ctx context.Context, path string, cfg Config, log *slog.Logger) (*Journal, error) {
	j := &Journal{
		path:  path,
		log:   log,
		queue: make(chan queued, queueRecords),
		hurry: make(chan struct{}, 1),
		flush: make(chan chan error),
		stop:  make(chan struct{}),
		done:  make(chan struct{}),
	}
	j.cfg.Store(&cfg)
	db, err := openFile(ctx, path, log)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	j.db.Store(db)
	go j.write()
	return j, nil
}

// openFile opens the database, a new one if it is damaged.
func openFile(ctx context.Context, path string, log *slog.Logger) (*sqlite.DB, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	db, err := sqlite.OpenOrRenew(ctx, sqlite.Options{Path: path, Migrations: files, Readers: 2, Relaxed: true, Shrink: true, NoCopy: true, Log: log})
	if err != nil {
		return nil, err
	}
	// The pages of one transaction have to fit, else they are written and read
	// back in its middle.
	if _, err := db.Writer.ExecContext(ctx, fmt.Sprintf("PRAGMA cache_size(-%d)", writerCache>>10)); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// Reconfigure takes new bounds; they hold within a minute.
func (j *Journal) Reconfigure(cfg Config) { j.cfg.Store(&cfg) }

// Record takes a record for writing. It never blocks: when too much waits, it is
// dropped and counted, and a refusal or ban is dropped last. A zero Time
// becomes now.
func (j *Journal) Record(given Record) {
	r, ok := j.spare.Get().(*Record)
	if !ok {
		r = new(Record)
	}
	*r = given
	if r.Time.IsZero() {
		r.Time = time.Now()
	}
	size := int64(r.bound())
	records, bytes := queueRecords, int64(queueBytes)
	if !r.important() {
		records, bytes = records-records/reserve, bytes-bytes/reserve
	}
	if j.waiting.Add(size) <= bytes && len(j.queue) < records && !j.closed.Load() {
		select {
		case j.queue <- queued{r, size}:
			if len(j.queue) >= hurryAt {
				select {
				case j.hurry <- struct{}{}:
				default: // it knows
				}
			}
			return
		default: // full after all
		}
	}
	j.waiting.Add(-size)
	j.dropped.Add(1)
	*r = Record{}
	j.spare.Put(r)
}

// Dropped counts the records that were dropped since the start.
func (j *Journal) Dropped() uint64 { return j.dropped.Load() }

// Queued is how many records wait to be written.
func (j *Journal) Queued() int { return len(j.queue) }

// Failing returns the error of the last write, nil if it succeeded. What waits
// is tried again until it does.
func (j *Journal) Failing() error {
	if err := j.failing.Load(); err != nil {
		return *err
	}
	return nil
}

// Flush writes what was recorded before it was called.
func (j *Journal) Flush(ctx context.Context) error {
	answer := make(chan error, 1)
	select {
	case j.flush <- answer:
	case <-j.done:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// flushed flushes before something is read. A disk that takes no more records
// still shows the older ones, so what it says is no reason not to read.
func (j *Journal) flushed(ctx context.Context) error {
	err := j.Flush(ctx)
	if err != nil && (errors.Is(err, ErrClosed) || ctx.Err() != nil) {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// Close writes what waits and closes the file. A record that comes during or
// after it is dropped.
func (j *Journal) Close() error {
	if j.closed.Swap(true) {
		return nil
	}
	close(j.stop)
	<-j.done
	return errors.Join(j.last, j.db.Load().Close())
}
