package state

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/gatepost/gatepost/internal/sqlite"
)

const (
	// checkedAtOpen is the size up to which sqlite.Open has read a whole file.
	checkedAtOpen = 64 << 20
	// checkTime bounds the check of a larger one, which reads some 200 MB a second.
	checkTime = 10 * time.Minute
	// damagedSuffix is that of an empty file which says that the check of a running
	// store found damage: the next start sets the store aside.
	damagedSuffix = ".damaged"
)

// checkLater checks a file that was too large to be read before the start, and
// lets the store work meanwhile.
func (s *SQLite) checkLater(ctx context.Context) error {
	info, err := os.Stat(s.path)
	if err != nil || info.Size() <= checkedAtOpen {
		s.checked = time.Now()
		return err
	}
	s.others.Go(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkTime)
		defer cancel()
		go func() {
			defer cancel()
			select {
			case <-s.stop:
			case <-ctx.Done():
			}
		}()
		s.check(ctx)
	})
	return nil
}

// check has SQLite read every page, and notes damage for the next start: a
// running store goes on from memory, as far as the file can be written.
func (s *SQLite) check(ctx context.Context) {
	begin := time.Now()
	faults, err := s.integrity(ctx, "quick_check", 1)
	if ctx.Err() != nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, "state was not checked to its end", slog.String("path", s.path),
			slog.Duration("took", time.Since(begin)), slog.String("remedy", "run gatepost state verify at a quiet hour"))
		return
	}
	if err == nil && len(faults) > 0 {
		err = fmt.Errorf("%w: %.200q", sqlite.ErrCorrupt, faults[0])
	}
	s.mu.Lock()
	s.checked, s.damage = time.Now(), err
	s.mu.Unlock()
	if err == nil {
		return
	}
	if sqlite.IsCorrupt(err) {
		err = errors.Join(err, os.WriteFile(s.path+damagedSuffix, nil, 0o600))
	}
	s.log.LogAttrs(ctx, slog.LevelError, "state is damaged, it goes on from memory", slog.String("path", s.path), slog.Any("err", err),
		slog.String("remedy", "restart gatepost: it sets the file aside and begins a new one"))
}

// integrity runs a pragma of SQLite that looks for damage, and returns what it
// found, most findings at most.
func (s *SQLite) integrity(ctx context.Context, pragma string, most int) (faults []string, err error) {
	rows, err := s.db.Reader.QueryContext(ctx, fmt.Sprintf("PRAGMA %s(%d)", pragma, most))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var found string
		if err := rows.Scan(&found); err != nil {
			return nil, err
		}
		if found != "ok" {
			faults = append(faults, found)
		}
	}
	return faults, rows.Err()
}

// wasDamaged reports whether an earlier process found damage in the file.
func wasDamaged(path string) (bool, error) {
	_, err := os.Stat(path + damagedSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if _, err = os.Stat(path); errors.Is(err, fs.ErrNotExist) { // a person moved it
		return false, os.Remove(path + damagedSuffix)
	}
	return err == nil, err
}

// setAside moves a damaged file away.
func setAside(ctx context.Context, path string, cause error, log *slog.Logger) error {
	aside, err := sqlite.SetAside(path, time.Now())
	if err != nil {
		return errors.Join(cause, err)
	}
	if err := os.Remove(path + damagedSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(cause, err)
	}
	log.LogAttrs(ctx, slog.LevelError, "state was damaged, begins anew without bans and delivery verdicts",
		slog.String("path", path), slog.String("kept_as", aside), slog.Any("err", cause))
	return nil
}
