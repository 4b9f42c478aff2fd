package sqlite

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"
)

// step is one numbered migration.
type step struct {
	version             int
	name, sql, checksum string
}

const createVersions = `CREATE TABLE IF NOT EXISTS schema_version (
	version INTEGER PRIMARY KEY,
	name TEXT NOT NULL,
	checksum TEXT NOT NULL,
	applied INTEGER NOT NULL
) STRICT`

// migrate applies the steps that db does not have yet, each in a transaction
// of its own. A step that was applied must never change afterwards: its
// checksum is compared. Where a database with rows of ours is about to change,
// before is called with the number of the first step to come.
func migrate(ctx context.Context, db *sql.DB, files fs.FS, before func(first int) error) error {
	steps, err := readSteps(files)
	if err != nil {
		return err
	}
	if err := refuseForeign(ctx, db); err != nil {
		return err
	}
	if _, err := db.ExecContext(ctx, createVersions); err != nil {
		return fmt.Errorf("create schema_version: %w", err)
	}
	done, err := checkApplied(ctx, db, steps)
	if err != nil {
		return err
	}
	if 0 < done && done < len(steps) {
		if err := before(done + 1); err != nil {
			return err
		}
	}
	for _, s := range steps[done:] {
		if err := s.apply(ctx, db); err != nil {
			return fmt.Errorf("migrate to %s: %w", s.name, err)
		}
	}
	return nil
}

// readSteps reads the migrations and wants them numbered from 1 without a gap.
func readSteps(files fs.FS) ([]step, error) {
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return nil, fmt.Errorf("list migrations: %w", err)
	}
	steps := make([]step, 0, len(names))
	for i, name := range names { // Glob sorts
		number, _, _ := strings.Cut(name, "_")
		version, err := strconv.Atoi(number)
		if err != nil || version != i+1 {
			return nil, fmt.Errorf("migration %s: its number has to be %04d", name, i+1)
		}
		b, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, fmt.Errorf("read migration %s: %w", name, err)
		}
		sum := sha256.Sum256(b)
		steps = append(steps, step{version, name, string(b), hex.EncodeToString(sum[:])})
	}
	return steps, nil
}

// refuseForeign keeps us from adding tables to somebody else's database.
func refuseForeign(ctx context.Context, db *sql.DB) error {
	var ours, tables int
	const count = `SELECT count(*) FILTER (WHERE name = 'schema_version'), count(*)
		FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'`
	if err := db.QueryRowContext(ctx, count).Scan(&ours, &tables); err != nil {
		return err
	}
	if tables > 0 && ours == 0 {
		return ErrForeign
	}
	return nil
}

// checkApplied compares what db has with steps and returns how many it has.
func checkApplied(ctx context.Context, db *sql.DB, steps []step) (n int, err error) {
	rows, err := db.QueryContext(ctx, "SELECT version, name, checksum FROM schema_version ORDER BY version")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var s step
		if err := rows.Scan(&s.version, &s.name, &s.checksum); err != nil {
			return 0, err
		}
		if n >= len(steps) {
			return 0, fmt.Errorf("%w: its schema is %d, this version knows %d", ErrNewer, s.version, len(steps))
		}
		if want := steps[n]; s.version != want.version || s.name != want.name || s.checksum != want.checksum {
			return 0, fmt.Errorf("%w: schema step %q with checksum %.8s, want %q with %.8s",
				ErrForeign, s.name, s.checksum, want.name, want.checksum)
		}
		n++
	}
	return n, rows.Err()
}

func (s step) apply(ctx context.Context, db *sql.DB) error {
	return Tx(ctx, db, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, s.sql); err != nil {
			return err
		}
		const note = "INSERT INTO schema_version (version, name, checksum, applied) VALUES (?, ?, ?, ?)"
		_, err := tx.ExecContext(ctx, note, s.version, s.name, s.checksum, time.Now().Unix())
		return err
	})
}
