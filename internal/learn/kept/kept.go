// Package kept keeps the features of the messages that were scored, for some
// weeks, so that what is learned of a message is what was scored.
//
// Keep puts into a bounded queue and one goroutine writes to SQLite, every
// second or as soon as an eighth of the queue is full. What does not fit is
// dropped and counted: the features then come from the file. Rows go after so
// many days, and the oldest while the file is above its bound, which is looked
// at once a minute. Nothing here can be lost that matters: a damaged file is
// set aside, and the last second before a power cut may be missing.
//
// Features are numbers of hashed pieces of text. They do not tell the text, but
// who has a text can tell that it was there: the file has mode 0600.
package kept

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatepost/gatepost/internal/learn/trace"
	"github.com/gatepost/gatepost/internal/sqlite"
)

//go:embed migrations/*.sql
var migrations embed.FS

const (
	// queueRows and queueBytes bound what waits to be written.
	queueRows  = 2048
	queueBytes = 16 << 20
	hurryAt    = queueRows / 8

	writeEvery = time.Second
	trimEvery  = time.Minute
	// trimRows are removed at a time, up to trimRounds times a minute.
	trimRows   = 200
	trimRounds = 100
	logEvery   = time.Minute
	// near is how far two arrivals of one message may lie apart.
	near = time.Hour
)

// Bounds say how much is kept.
type Bounds struct {
	Days  int
	Bytes int64
}

// Stats are figures for a person.
type Stats struct {
	// Rows, and what the file takes of the disk.
	Rows  int   `json:"rows"`
	Bytes int64 `json:"bytes"`
	// Dropped counts since the start.
	Dropped uint64 `json:"dropped"`
}

type row struct {
	trace    trace.Trace
	features []byte
}

// Store keeps features. It is safe for concurrent use.
type Store struct {
	path   string
	log    *slog.Logger
	bounds atomic.Pointer[Bounds]
	db     atomic.Pointer[sqlite.DB]

	queue   chan row
	waiting atomic.Int64
	dropped atomic.Uint64
	closed  atomic.Bool

	mu    sync.Mutex // guards filed
	filed map[int64]bool

	hurry chan struct{}
	flush chan chan error
	stop  chan struct{}
	done  chan struct{}
	last  error // of the last write; set before done is closed
}

// Open opens or makes the file at path.
func Open(ctx context.Context, path string, b Bounds, log *slog.Logger) (*Store, error) {
	s := &Store{path: path, log: log, queue: make(chan row, queueRows), filed: map[int64]bool{}, hurry: make(chan struct{}, 1),
		flush: make(chan chan error), stop: make(chan struct{}), done: make(chan struct{})}
	s.bounds.Store(&b)
	db, err := openFile(ctx, path, log)
	if err != nil {
		return nil, fmt.Errorf("kept features: %w", err)
	}
	s.db.Store(db)
	go s.write()
	return s, nil
}

func openFile(ctx context.Context, path string, log *slog.Logger) (*sqlite.DB, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	return sqlite.OpenOrRenew(ctx, sqlite.Options{Path: path, Migrations: files, Readers: 2, Relaxed: true, Shrink: true, NoCopy: true, Log: log})
}

// Reconfigure takes new bounds.
func (s *Store) Reconfigure(b Bounds) { s.bounds.Store(&b) }

// Keep takes the features of a message, which become the store's. It never
// blocks: when too much waits they are dropped and counted.
func (s *Store) Keep(t trace.Trace, features []byte) {
	if t.QueueID == "" {
		return
	}
	size := int64(len(features) + 200)
	if s.waiting.Add(size) <= queueBytes && !s.closed.Load() {
		select {
		case s.queue <- row{t, features}:
			if len(s.queue) >= hurryAt {
				select {
				case s.hurry <- struct{}{}:
				default: // it knows
				}
			}
			return
		default: // full
		}
	}
	s.waiting.Add(-size)
	s.dropped.Add(1)
}

// Find returns the features of the message with that queue id whose arrival is
// nearest, and at most an hour away. The Message-ID that the milter saw has to
// be that of t: a trace comes out of a file that its owner may have written. One
// that the milter saw without may have got it from Postfix afterwards.
func (s *Store) Find(ctx context.Context, t trace.Trace) (features []byte, ok bool, err error) {
	if t.QueueID == "" {
		return nil, false, nil
	}
	if err := s.Flush(ctx); err != nil && ctx.Err() != nil {
		return nil, false, err
	}
	const query = `SELECT features FROM kept WHERE queue_id = ? AND arrived BETWEEN ? AND ?
		AND message_id IN (?, 0) ORDER BY abs(arrived - ?) LIMIT 1`
	at, id := t.Arrived.UnixMilli(), messageID(t.MessageID)
	err = s.db.Load().Reader.QueryRowContext(ctx, query, t.QueueID, at-near.Milliseconds(), at+near.Milliseconds(), id, at).Scan(&features)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, false, nil
	case err != nil:
		return nil, false, fmt.Errorf("find kept features: %w", err)
	}
	return features, true, nil
}

// messageID returns the number of a Message-ID, 0 for none.
func messageID(id string) int64 {
	if id = trace.Canonical(id); id == "" {
		return 0
	}
	sum := sha256.Sum256([]byte(id))
	return int64(binary.BigEndian.Uint64(sum[:8])) | 1
}

// Seen returns what was noted of a mailbox, nil for nothing.
func (s *Store) Seen(ctx context.Context, mailbox string) (seen []byte, err error) {
	err = s.db.Load().Reader.QueryRowContext(ctx, "SELECT seen FROM mailboxes WHERE name = ?", mailbox).Scan(&seen)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		err = fmt.Errorf("what was in %s: %w", mailbox, err)
	}
	return seen, err
}

// SetSeen notes what is in a mailbox. A power cut may lose it: what moved is
// then found once more, and was learned already.
func (s *Store) SetSeen(ctx context.Context, mailbox string, seen []byte) error {
	_, err := s.db.Load().Writer.ExecContext(ctx, "INSERT OR REPLACE INTO mailboxes (name, time, seen) VALUES (?, ?, ?)",
		mailbox, time.Now().UnixMilli(), seen)
	if err != nil {
		err = fmt.Errorf("note what is in %s: %w", mailbox, err)
	}
	return err
}

// Stats returns what is kept now.
func (s *Store) Stats(ctx context.Context) (st Stats, err error) {
	db := s.db.Load()
	st.Dropped = s.dropped.Load()
	if err := db.Reader.QueryRowContext(ctx, "SELECT count(*) FROM kept").Scan(&st.Rows); err != nil {
		return st, fmt.Errorf("count kept features: %w", err)
	}
	st.Bytes, _, err = fileBytes(ctx, db.Reader)
	return st, err
}

// Flush writes what Keep took before.
func (s *Store) Flush(ctx context.Context) error {
	answer := make(chan error, 1)
	select {
	case s.flush <- answer:
	case <-s.done:
		return nil
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

// Close writes what waits and closes the file.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	close(s.stop)
	<-s.done
	return errors.Join(s.last, s.db.Load().Close())
}
