package journal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/gatepost/gatepost/internal/sqlite"
)

const (
	// batchRecords is how many records share a transaction at most.
	batchRecords = 1000
	// groupRecords is how many records one statement inserts: each statement
	// costs as much as two records.
	groupRecords = 50
	// batchEvery is how long a record waits for others.
	batchEvery = 200 * time.Millisecond
	// retryEvery is how long writing rests after an error.
	retryEvery = 2 * time.Second
	// trimEvery is how often old records are looked for.
	trimEvery = time.Minute
	// trimRecords is how many go in one transaction, trimRounds how many
	// transactions there are between two batches.
	trimRecords = 500
	trimRounds  = 8
	// maxFree is the part of the file that may be free pages.
	maxFree = 16 // a sixteenth
	// logEvery is how often a failing disk and drops are logged.
	logEvery = time.Minute
)

// write is the one goroutine that writes.
func (j *Journal) write() {
	defer close(j.done)
	w := writer{Journal: j, inserter: inserter{full: insertOf(groupRecords)}}
	tick := time.NewTicker(batchEvery)
	defer tick.Stop()
	for {
		hurry := j.hurry
		if !w.retry.IsZero() {
			hurry = nil // after an error the queue may well be full
		}
		select {
		case answer := <-j.flush:
			answer <- w.drain()
			continue
		case <-j.stop:
			j.last = w.drain()
			return
		case <-hurry:
			if len(j.queue) < hurryAt { // it was for records already written
				continue
			}
		case <-tick.C:
		}
		now := time.Now()
		if now.Before(w.retry) {
			continue
		}
		if err := w.drain(); err != nil {
			w.retry = now.Add(retryEvery)
			w.report(err, now)
			continue
		}
		w.retry = time.Time{}
		w.report(nil, now)
		for range trimRounds {
			if now.Sub(w.trimmed) < trimEvery {
				break
			}
			more, err := j.trim(now)
			w.report(err, now)
			if !more {
				w.trimmed = now
			}
		}
	}
}

// writer is what the goroutine of write keeps.
type writer struct {
	*Journal
	batch   []queued  // not written yet
	lost    bool      // the file is closed, and has to be opened again
	retry   time.Time // not before then, after an error; else zero
	trimmed time.Time
	logged  time.Time
	told    uint64 // drops that the log knows of

	inserter
}

// drain writes what is in the queue now. After an error the batch is kept, and
// tried again the next time, while the queue fills.
func (w *writer) drain() error {
	err := w.storeQueue()
	if err == nil {
		w.failing.Store(nil)
	} else {
		w.failing.Store(&err)
	}
	return err
}

func (w *writer) storeQueue() error {
	for left := len(w.queue); left > 0 || len(w.batch) > 0; {
		for left > 0 && len(w.batch) < batchRecords {
			w.batch = append(w.batch, <-w.queue)
			left--
		}
		if err := w.store(w.batch); err != nil {
			return err
		}
		for i, q := range w.batch {
			w.waiting.Add(-q.size)
			*q.Record = Record{}
			w.spare.Put(q.Record)
			w.batch[i] = queued{}
		}
		w.batch = w.batch[:0]
	}
	return nil
}

// store writes a batch. A file that turns out damaged is set aside.
func (w *writer) store(batch []queued) error {
	if w.lost {
		return w.reopen(batch)
	}
	err := w.insert(w.db.Load(), batch)
	if err == nil || !sqlite.IsCorrupt(err) {
		return err
	}
	ctx := context.Background() // of the journal itself
	if err := w.db.Load().Close(); err != nil {
		w.log.LogAttrs(ctx, slog.LevelWarn, "damaged journal did not close", slog.Any("err", err))
	}
	w.lost = true
	aside, moveErr := sqlite.SetAside(w.path, time.Now())
	if moveErr != nil {
		return errors.Join(err, moveErr)
	}
	w.log.LogAttrs(ctx, slog.LevelError, "journal is damaged, a new one begins",
		slog.String("path", w.path), slog.String("kept_as", aside), slog.Any("err", err))
	return w.reopen(batch)
}

// reopen opens the file after it was set aside.
func (w *writer) reopen(batch []queued) error {
	db, err := openFile(context.Background(), w.path, w.log)
	if err != nil {
		return err
	}
	w.db.Store(db)
	w.lost = false
	return w.insert(db, batch)
}

// report logs, once a minute, that writing fails or that records were dropped.
func (w *writer) report(err error, now time.Time) {
	dropped := w.dropped.Load()
	if err == nil && dropped == w.told || now.Sub(w.logged) < logEvery {
		return
	}
	w.logged = now
	ctx := context.Background()
	if err != nil {
		w.log.LogAttrs(ctx, slog.LevelError, "journal can not be written",
			slog.String("path", w.path), slog.Any("err", err), slog.Int("queued", len(w.queue)))
	}
	if dropped != w.told {
		w.log.LogAttrs(ctx, slog.LevelWarn, "journal dropped records", slog.Uint64("dropped", dropped-w.told))
		w.told = dropped
	}
}

// trim removes some records that are too old or too many, and reports whether
// there may be more.
func (j *Journal) trim(now time.Time) (more bool, err error) {
	cfg, db, ctx := *j.cfg.Load(), j.db.Load(), context.Background()
	used, free, err := fileBytes(ctx, db.Writer)
	if err != nil {
		return false, err
	}
	oldest := now.AddDate(0, 0, -cfg.Days).UnixMicro()
	if used > int64(cfg.Bytes) {
		oldest = math.MaxInt64
	}
	// Records come in roughly by time: the lowest ids are the oldest.
	r, err := db.Writer.ExecContext(ctx, `DELETE FROM records
		WHERE id IN (SELECT id FROM records ORDER BY id LIMIT ?) AND time < ?`, trimRecords, oldest)
	if err != nil {
		return false, err
	}
	n, err := r.RowsAffected()
	if err != nil || n == 0 {
		return false, err
	}
	// New records take the free pages. To give them back costs as much as to
	// remove the records, so a few stay.
	if free > used/maxFree {
		if _, err := db.Writer.ExecContext(ctx, fmt.Sprintf("PRAGMA incremental_vacuum(%d)", trimRecords)); err != nil {
			return false, err
		}
	}
	return n == trimRecords || oldest == math.MaxInt64, nil
}

// fileBytes returns the size of the pages in use, and of the free ones.
func fileBytes(ctx context.Context, db *sql.DB) (used, free int64, err error) {
	var pages, size int64
	err = db.QueryRowContext(ctx, `SELECT page_count, freelist_count, page_size
		FROM pragma_page_count, pragma_freelist_count, pragma_page_size`).Scan(&pages, &free, &size)
	return (pages - free) * size, free * size, err
}
