package learn

import (
	"context"
	"fmt"
	"time"
)

const (
	// maxRows bounds the journal; the oldest rows go first.
	maxRows = 1_000_000
	// trimRows are changed at a time.
	trimRows = 500
)

// trim lets go of features that are too old or too many, of what waited too
// long, and of rows beyond maxRows. Changes that the file of weights does not
// have keep theirs.
func (l *Learner) trim(ctx context.Context, now time.Time) error {
	cfg := *l.cfg.Load()
	l.mu.Lock()
	saved := l.saved
	l.mu.Unlock()
	days := cfg.KeepDays
	if l.shared != nil {
		days++ // other hosts may still name it, see batch.undo
	}
	old := now.AddDate(0, 0, -days).UnixMilli()
	exec := func(query string, args ...any) (int64, error) {
		res, err := l.db.Writer.ExecContext(ctx, query, args...)
		if err != nil {
			return 0, fmt.Errorf("trim learn journal: %w", err)
		}
		return res.RowsAffected()
	}
	const forget = `UPDATE learns SET features = NULL, state = CASE state WHEN 0 THEN 4 ELSE state END
		WHERE id IN (SELECT id FROM learns WHERE features IS NOT NULL AND time < ? AND ifnull(applied, 0) <= ? AND ifnull(undone, 0) <= ?
		ORDER BY id LIMIT ?)`
	for {
		n, err := exec(forget, old, saved, saved, trimRows)
		if err != nil {
			return err
		}
		if n < trimRows {
			break
		}
	}
	for {
		used, err := l.used(ctx)
		if err != nil {
			return err
		}
		if used <= int64(cfg.KeepBytes) {
			break
		}
		if n, err := exec(forget, now.UnixMilli(), saved, saved, trimRows); err != nil || n == 0 {
			return err
		}
	}
	if err := l.forgetRuns(ctx, now); err != nil {
		return err
	}
	if _, err := exec(`DELETE FROM learns WHERE id <= (SELECT id FROM learns ORDER BY id DESC LIMIT 1 OFFSET ?)
		AND ifnull(applied, 0) <= ? AND ifnull(undone, 0) <= ?`, maxRows, saved, saved); err != nil {
		return err
	}
	_, err := exec("PRAGMA incremental_vacuum(2000)")
	return err
}

// used returns the bytes of the pages in use.
func (l *Learner) used(ctx context.Context) (n int64, err error) {
	err = l.db.Writer.QueryRowContext(ctx, `SELECT (page_count - freelist_count) * page_size
		FROM pragma_page_count, pragma_freelist_count, pragma_page_size`).Scan(&n)
	return n, err
}
