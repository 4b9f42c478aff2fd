package kept

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

const (
	// filedDays is how long it is known where a delivery put a file: until the
	// watcher has surely looked there.
	filedDays = 7
	// maxFiled bounds what waits to be written.
	maxFiled = 10_000
)

// NoteFiled notes that our delivery made the file with that base name, in Junk
// or elsewhere. It never blocks; of a thing that cannot be noted nothing is
// learned.
func (s *Store) NoteFiled(base string, junk bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.filed) < maxFiled && !s.closed.Load() {
		s.filed[baseName(base)] = junk
	}
}

// Filed reports whether our delivery put the file into Junk; ok is false where
// it is not known.
func (s *Store) Filed(ctx context.Context, base string) (junk, ok bool) {
	name := baseName(base)
	s.mu.Lock()
	junk, ok = s.filed[name]
	s.mu.Unlock()
	if ok {
		return junk, true
	}
	err := s.db.Load().Reader.QueryRowContext(ctx, "SELECT junk FROM filed WHERE name = ?", name).Scan(&junk)
	return junk, err == nil
}

func baseName(base string) int64 {
	sum := sha256.Sum256([]byte(base))
	return int64(binary.BigEndian.Uint64(sum[:8]))
}

// insertFiled writes what waits, in a transaction of its own.
func (w *writer) insertFiled() error {
	w.mu.Lock()
	list := w.filed
	if len(list) > 0 {
		w.filed = map[int64]bool{}
	}
	w.mu.Unlock()
	if len(list) == 0 {
		return nil
	}
	ctx, now := context.Background(), time.Now().Unix()
	tx, err := w.db.Load().Writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	for name, junk := range list {
		if _, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO filed (name, time, junk) VALUES (?, ?, ?)", name, now, junk); err != nil {
			if back := tx.Rollback(); back != nil && !errors.Is(back, sql.ErrTxDone) {
				err = errors.Join(err, back)
			}
			return fmt.Errorf("note deliveries: %w", err)
		}
	}
	return tx.Commit()
}
