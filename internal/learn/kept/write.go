package kept

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/gatepost/gatepost/internal/sqlite"
)

// goneAfter is when what was seen of a mailbox is forgotten that nobody looked
// at since.
const goneAfter = 90 * 24 * time.Hour

// writer is what the goroutine of write keeps.
type writer struct {
	*Store
	batch   []row
	trimmed time.Time
	logged  time.Time
	told    uint64
}

// write is the one goroutine that writes.
func (s *Store) write() {
	defer close(s.done)
	w := writer{Store: s}
	tick := time.NewTicker(writeEvery)
	defer tick.Stop()
	for {
		select {
		case answer := <-s.flush:
			answer <- w.drain()
			continue
		case <-s.stop:
			s.last = w.drain()
			return
		case <-s.hurry:
		case <-tick.C:
		}
		now := time.Now()
		err := w.drain()
		if err == nil && now.Sub(w.trimmed) >= trimEvery {
			w.trimmed = now
			err = s.trim(now)
		}
		w.report(err, now)
	}
}

// drain writes the queue in one transaction. What cannot be written is dropped:
// it is of use only where it costs nothing.
func (w *writer) drain() error {
	w.batch = w.batch[:0]
	size := int64(0)
	for n := len(w.queue); n > 0; n-- {
		r := <-w.queue
		w.batch = append(w.batch, r)
		size += int64(len(r.features) + 200)
	}
	filed := w.insertFiled()
	if len(w.batch) == 0 {
		return filed
	}
	err := errors.Join(filed, w.insert())
	w.waiting.Add(-size)
	if err != nil {
		w.dropped.Add(uint64(len(w.batch)))
		if sqlite.IsCorrupt(err) {
			err = errors.Join(err, w.begin())
		}
	}
	clear(w.batch)
	return err
}

func (w *writer) insert() error {
	ctx := context.Background() // of the store itself
	return sqlite.Tx(ctx, w.db.Load().Writer, func(tx *sql.Tx) error {
		st, err := tx.PrepareContext(ctx, "INSERT INTO kept (arrived, queue_id, message_id, features) VALUES (?, ?, ?, ?)")
		if err != nil {
			return err
		}
		defer st.Close()
		for _, r := range w.batch {
			if _, err := st.ExecContext(ctx, r.trace.Arrived.UnixMilli(), r.trace.QueueID, messageID(r.trace.MessageID), r.features); err != nil {
				return err
			}
		}
		return nil
	})
}

// begin sets a file aside that turned out damaged, and begins a new one.
func (w *writer) begin() error {
	ctx := context.Background()
	if err := w.db.Load().Close(); err != nil {
		w.log.LogAttrs(ctx, slog.LevelDebug, "damaged file did not close", slog.Any("err", err))
	}
	if _, err := sqlite.SetAside(w.path, time.Now()); err != nil {
		return err
	}
	db, err := openFile(ctx, w.path, w.log)
	if err != nil {
		return err
	}
	w.db.Store(db)
	return nil
}

// report logs, once a minute, that writing fails or that rows were dropped.
func (w *writer) report(err error, now time.Time) {
	dropped := w.dropped.Load()
	if err == nil && dropped == w.told || now.Sub(w.logged) < logEvery {
		return
	}
	w.logged = now
	attrs := []slog.Attr{slog.String("path", w.path), slog.Uint64("dropped", dropped-w.told)}
	if err != nil {
		attrs = append(attrs, slog.Any("err", err))
	}
	w.told = dropped
	w.log.LogAttrs(context.Background(), slog.LevelWarn, "features of messages were not kept", attrs...)
}

// trim removes rows that are too old or too many.
func (s *Store) trim(now time.Time) error {
	ctx, db, b := context.Background(), s.db.Load(), *s.bounds.Load()
	oldest := now.AddDate(0, 0, -b.Days).UnixMilli()
	if _, err := db.Writer.ExecContext(ctx, "DELETE FROM mailboxes WHERE time < ?", now.Add(-goneAfter).UnixMilli()); err != nil {
		return err
	}
	if _, err := db.Writer.ExecContext(ctx, "DELETE FROM filed WHERE time < ?", now.AddDate(0, 0, -filedDays).Unix()); err != nil {
		return err
	}
	for range trimRounds {
		used, free, err := fileBytes(ctx, db.Writer)
		if err != nil {
			return err
		}
		// Rows come in roughly by time: the lowest ids are the oldest.
		query, args := "SELECT id FROM (SELECT id, arrived FROM kept ORDER BY id LIMIT ?) WHERE arrived < ?", []any{trimRows, oldest}
		if used > b.Bytes {
			query, args = "SELECT id FROM kept ORDER BY id LIMIT ?", []any{trimRows}
		}
		res, err := db.Writer.ExecContext(ctx, "DELETE FROM kept WHERE id IN ("+query+")", args...)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		if err != nil {
			return err
		}
		if free > used/16 && free > 1<<20 {
			if _, err := db.Writer.ExecContext(ctx, fmt.Sprintf("PRAGMA incremental_vacuum(%d)", 4*trimRows)); err != nil {
				return err
			}
		}
		if n == 0 {
			return nil
		}
	}
	return nil
}

// fileBytes returns the size of the pages in use, and of the free ones.
func fileBytes(ctx context.Context, db *sql.DB) (used, free int64, err error) {
	var pages, size int64
	err = db.QueryRowContext(ctx, `SELECT page_count, freelist_count, page_size
		FROM pragma_page_count, pragma_freelist_count, pragma_page_size`).Scan(&pages, &free, &size)
	return (pages - free) * size, free * size, err
}
