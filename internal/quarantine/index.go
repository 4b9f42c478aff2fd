package quarantine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// item is what the index knows of an entry.
type item struct {
	name
	at    int64 // when it arrived, in seconds
	bytes int64 // on the disk
	// released says that all have it; unlearned, that it is yet to be learned.
	released, unlearned bool
}

// newItem returns what a file of that name and length is to the index.
func newItem(n name, bytes int64) item {
	it := item{name: n, bytes: onDisk(bytes)}
	if t, err := time.Parse(idTime, n.id[:len(idTime)]); err == nil { // else it has no age, and goes first
		it.at = t.Unix()
	}
	return it
}

// arrived is the time in the id.
func (it item) arrived() time.Time { return time.Unix(it.at, 0) }

// expires returns when the entry goes.
func (it item) expires(cfg Config) time.Time {
	if it.discard {
		return it.arrived().Add(cfg.KeepDiscarded.Std())
	}
	return it.arrived().Add(cfg.Keep.Std())
}

// rank orders what goes first when there is no room.
func (it item) rank() int {
	switch {
	case it.released && !it.unlearned:
		return 0
	case it.discard:
		return 1
	}
	return 2
}

// index has the entries by id, which is by time of arrival.
type index struct {
	order []item
	bytes int64
}

func (x *index) find(id string) (int, bool) {
	return slices.BinarySearchFunc(x.order, id, func(it item, id string) int { return cmp.Compare(it.id, id) })
}

func (x *index) add(it item) {
	i, ok := x.find(it.id)
	if ok {
		return
	}
	x.order = slices.Insert(x.order, i, it)
	x.bytes += it.bytes
}

func (x *index) remove(id string) {
	if i, ok := x.find(id); ok {
		x.bytes -= x.order[i].bytes
		x.order = slices.Delete(x.order, i, i+1)
	}
}

// drop removes all items that gone holds, in one pass.
func (x *index) drop(gone []item) {
	ids := make(map[string]bool, len(gone))
	for _, it := range gone {
		ids[it.id] = true
		x.bytes -= it.bytes
	}
	x.order = slices.DeleteFunc(x.order, func(it item) bool { return ids[it.id] })
}

// lookUp returns the entry with that id, or the one with that queue id.
func (s *Store) lookUp(id string) (item, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i, ok := s.index.find(id); ok {
		return s.index.order[i], nil
	}
	var found []item
	if !ValidID(id) {
		for _, it := range s.index.order {
			if it.queueID == id && id != "" {
				found = append(found, it)
			}
		}
	}
	switch len(found) {
	case 0:
		return item{}, ErrNotFound
	case 1:
		return found[0], nil
	}
	return item{}, fmt.Errorf("%w: %s and %s", ErrAmbiguous, found[0].id, found[1].id)
}

// scan reads the directory into the index. What is in it and not ours is left
// alone and told.
func (s *Store) scan() error {
	left, err := os.ReadDir(filepath.Join(s.dir, tempDir))
	if err != nil {
		return err
	}
	for _, f := range left { // nothing was promised for these
		if err := s.sys.remove(filepath.Join(s.dir, tempDir, f.Name())); err != nil {
			return err
		}
	}
	days, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	odd := 0
	for _, d := range days {
		if !d.IsDir() || len(d.Name()) != dayLen || !plain(d.Name()) {
			continue
		}
		n, err := s.scanDay(d.Name())
		if err != nil {
			return err
		}
		odd += n
	}
	if odd > 0 {
		s.log.LogAttrs(context.Background(), slog.LevelWarn, "files in quarantine that are not ours",
			slog.String("path", s.dir), slog.Int("files", odd))
	}
	return nil
}

// scanDay reads the directory of a day and returns how many files in it are not
// ours.
func (s *Store) scanDay(day string) (odd int, err error) {
	dir := filepath.Join(s.dir, day)
	files, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	var marks []string
	for _, f := range files {
		if id, ok := strings.CutSuffix(f.Name(), sufMark); ok && ValidID(id) && id[:dayLen] == day {
			marks = append(marks, id)
			continue
		}
		n, ok := parseName(f.Name())
		info, err := f.Info()
		if !ok || err != nil || !info.Mode().IsRegular() || n.id[:dayLen] != day {
			odd++
			continue
		}
		s.index.add(newItem(n, info.Size()))
	}
	for _, id := range marks {
		i, ok := s.index.find(id)
		if !ok { // of an entry that was removed
			if err := gone(s.sys.remove(s.markPath(id))); err != nil {
				return odd, err
			}
			continue
		}
		m, err := s.readMark(id)
		if err != nil { // who has it is not known: it is held, and may be released again
			s.log.LogAttrs(context.Background(), slog.LevelWarn, "mark of an entry in quarantine not read",
				slog.String("id", id), slog.Any("err", err))
			continue
		}
		s.index.order[i].set(m)
	}
	return odd, nil
}

func (it *item) set(m Mark) { it.released, it.unlearned = m.Done, m.Learn && !m.Learned }

// maxMark bounds the file of a mark.
const maxMark = 4 << 20

// readMark returns the mark of an entry; one without is the zero Mark.
func (s *Store) readMark(id string) (m Mark, err error) {
	b, err := readAll(s.markPath(id), maxMark)
	if errors.Is(err, os.ErrNotExist) {
		return Mark{}, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	if err != nil {
		return Mark{}, fmt.Errorf("read mark of %s: %w", id, err)
	}
	return m, nil
}
