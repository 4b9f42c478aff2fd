package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// beforeMark stands between the name of a file and the number of the step
	// that its copy was made before.
	beforeMark = ".before-"
	// keptCopies is how many copies of a file are kept.
	keptCopies = 2
	// spareBytes stay free on the disk beside a copy and the migration itself,
	// which may write the file once more: mail needs room, too.
	spareBytes = 4 << 20
)

// copyBefore checks the whole file and copies it to PATH.before-N, durably. One
// that is there already is replaced: a step that fails leaves nothing, so that
// the file is as it was then, or newer.
func copyBefore(ctx context.Context, db *sql.DB, path string, first int) error {
	if err := checkWith(ctx, db, "integrity_check"); err != nil {
		return fmt.Errorf("check before migration: %w", err)
	}
	to := path + beforeMark + strconv.Itoa(first)
	if err := copyTo(ctx, path, to); err != nil {
		return fmt.Errorf("copy to %s before migration, which was not begun: %w", to, err)
	}
	return dropCopies(path)
}

// copyTo makes a copy that is whole or not there.
func copyTo(ctx context.Context, path, to string) error {
	s, err := Snap(ctx, path)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := room(filepath.Dir(to), s.Size()); err != nil {
		return err
	}
	next := to + ".next"
	if err := gone(os.Remove(next)); err != nil { // of a process that was killed
		return err
	}
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = s.Copy(ctx, f)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(next, to)
	}
	if err != nil {
		return errors.Join(err, gone(os.Remove(next)))
	}
	return syncDir(filepath.Dir(to))
}

// room returns ENOSPC where dir's disk has no room for so many bytes.
func room(dir string, bytes int64) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return err
	}
	need := 2*bytes + spareBytes
	if free := int64(st.Bavail) * st.Bsize; free < need {
		return fmt.Errorf("%d MB are needed and %d MB are free: %w", need>>20, free>>20, unix.ENOSPC)
	}
	return nil
}

// dropCopies removes all copies of a file but those before its latest steps.
func dropCopies(path string) error {
	all, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return err
	}
	var steps []int
	for _, e := range all {
		number, ok := strings.CutPrefix(e.Name(), filepath.Base(path)+beforeMark)
		if n, err := strconv.Atoi(number); ok && err == nil && n > 0 && strconv.Itoa(n) == number {
			steps = append(steps, n)
		}
	}
	slices.Sort(steps)
	for _, n := range steps[:max(0, len(steps)-keptCopies)] {
		if err := gone(os.Remove(path + beforeMark + strconv.Itoa(n))); err != nil {
			return err
		}
	}
	return nil
}

// gone returns err unless it says that there is no such file.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
