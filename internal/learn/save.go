package learn

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/gatepost/gatepost/internal/classify"
	"github.com/gatepost/gatepost/internal/sqlite"
)

// keptSaves is how many files of weights the journal knows: a backup may be
// some weeks old.
const keptSaves = 10_000

// Save writes the weights, if anything changed since the last time.
func (l *Learner) Save(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead != nil {
		return nil
	}
	return l.save(ctx)
}

// save needs l.mu. What Undo needs of each learn is durable before the weights
// are that hold it, and so is the note what is in them: the file that lies in
// its place is always one that the journal knows.
func (l *Learner) save(ctx context.Context) error {
	if l.seq == l.saved {
		return nil
	}
	path := filepath.Join(l.dir, weightsFile)
	next := path + ".next"
	if err := l.model.Save(next); err != nil {
		return err
	}
	if err := l.at("written"); err != nil {
		return err
	}
	sum, err := sumOf(next)
	if err != nil {
		return err
	}
	if err := l.note(ctx, sum, l.seq); err != nil {
		return fmt.Errorf("note the weights in the learn journal: %w", err)
	}
	if err := l.at("noted"); err != nil {
		return err
	}
	if err := os.Rename(next, path); err != nil {
		return err
	}
	if err := l.at("renamed"); err != nil {
		return err
	}
	l.saved = l.seq
	clear(l.steps)
	return syncDir(l.dir)
}

// note stores steps and the checksum in one transaction.
func (l *Learner) note(ctx context.Context, sum []byte, mark int64) error {
	return sqlite.Tx(ctx, l.db.Writer, func(tx *sql.Tx) error {
		for id, step := range l.steps {
			if _, err := tx.ExecContext(ctx, "UPDATE learns SET step = ? WHERE id = ?", step, id); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO saves (sum, mark, time) VALUES (?, ?, ?)", sum, mark, time.Now().UnixMilli()); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "DELETE FROM saves WHERE mark <= ?", mark-keptSaves)
		return err
	})
}

// sumOf returns the SHA-256 of a file, nil where there is none.
func sumOf(path string) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return h.Sum(nil), nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// catchUp makes the changes that the model does not have, and counts what each
// mailbox has taught.
func (l *Learner) catchUp(ctx context.Context) error {
	if err := l.db.Reader.QueryRowContext(ctx, "SELECT max(ifnull(max(applied), 0), ifnull(max(undone), 0)) FROM learns").Scan(&l.seq); err != nil {
		return fmt.Errorf("read learn journal: %w", err)
	}
	if err := l.count(ctx); err != nil {
		return err
	}
	mark, err := l.mark(ctx)
	if err != nil {
		return err
	}
	l.seq = max(l.seq, mark)
	l.saved = mark
	return l.again(ctx, mark)
}

// mark returns the last change that the file of weights has.
func (l *Learner) mark(ctx context.Context) (mark int64, err error) {
	sum, err := sumOf(filepath.Join(l.dir, weightsFile))
	if err != nil || sum == nil {
		return 0, err
	}
	err = l.db.Reader.QueryRowContext(ctx, "SELECT mark FROM saves WHERE sum = ?", sum).Scan(&mark)
	if errors.Is(err, sql.ErrNoRows) {
		l.log.LogAttrs(ctx, slog.LevelWarn, "the learn journal does not know these weights; they are taken as they are",
			slog.String("path", filepath.Join(l.dir, weightsFile)),
			slog.String("remedy", "to build them anew from what was learned in the last weeks, move the file away and restart"))
		return l.seq, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read learn journal: %w", err)
	}
	return mark, nil
}

// change is a learn, or its undoing, in the order of the model.
type change struct {
	seq, id  int64
	undo     bool
	spam     bool
	share    float64
	features []byte
	step     []byte
}

// again makes the changes behind mark.
func (l *Learner) again(ctx context.Context, mark int64) error {
	const query = `SELECT applied AS seq, id, 0, spam, share, features, step FROM learns WHERE applied > ?1
		UNION ALL SELECT undone, id, 1, spam, share, features, step FROM learns WHERE undone > ?1
		ORDER BY seq LIMIT 500`
	lost := 0
	for at := mark; ; {
		list, err := l.changes(ctx, query, at)
		if err != nil {
			return fmt.Errorf("read learn journal: %w", err)
		}
		if len(list) == 0 {
			break
		}
		for _, c := range list {
			at = c.seq
			if !l.apply(c) {
				lost++
			}
			l.replay++
		}
	}
	if lost > 0 {
		l.log.LogAttrs(ctx, slog.LevelWarn, "some learns could not be made again: their features are no longer kept", slog.Int("learns", lost))
	}
	return nil
}

func (l *Learner) changes(ctx context.Context, query string, args ...any) (list []change, err error) {
	rows, err := l.db.Reader.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var c change
		if err := rows.Scan(&c.seq, &c.id, &c.undo, &c.spam, &c.share, &c.features, &c.step); err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, rows.Err()
}

// apply changes the model, and reports whether it could. It needs l.mu, or that
// nobody else has l.
func (l *Learner) apply(c change) bool {
	var f classify.Features
	if len(c.features) == 0 || f.UnmarshalBinary(c.features) != nil {
		return false
	}
	if !c.undo {
		step, err := l.model.Learn(&f, c.spam, c.share).AppendBinary(nil)
		if err != nil {
			return false
		}
		l.steps[c.id] = step
		return true
	}
	b, ok := l.steps[c.id]
	if !ok {
		b = c.step
	}
	var step classify.Step
	if step.UnmarshalBinary(b) != nil {
		return false
	}
	l.model.Undo(&f, step)
	return true
}

// count fills the tally from the journal.
func (l *Learner) count(ctx context.Context) (err error) {
	l.tally = tally{own: map[string]float64{}}
	rows, err := l.db.Reader.QueryContext(ctx, "SELECT user, sum(round(share * ?)) / ? FROM learns WHERE state = ? GROUP BY user", parts, parts, stateLearned)
	if err != nil {
		return fmt.Errorf("count what was learned: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var user string
		var share float64
		if err := rows.Scan(&user, &share); err != nil {
			return fmt.Errorf("count what was learned: %w", err)
		}
		l.tally.add(user, share)
	}
	return rows.Err()
}
