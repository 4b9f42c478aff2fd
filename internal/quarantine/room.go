package quarantine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	// cleanEvery is how often the background looks for what goes, maxClean how
	// many entries go at once.
	cleanEvery = time.Minute
	maxClean   = 1000
	// warnEvery is how often a full quarantine is told of.
	warnEvery = time.Hour
)

// reserve finds room for a message.
func (s *Store) reserve(ctx context.Context, bytes int64) error {
	cfg := s.Config()
	if bytes > int64(cfg.MaxBytes) {
		return fmt.Errorf("%w: the message takes %d bytes; raise quarantine.max_bytes, which is %s", ErrFull, bytes, cfg.MaxBytes)
	}
	free, err := s.sys.free(s.dir)
	if err != nil {
		return fmt.Errorf("free space: %w", err)
	}
	s.mu.Lock()
	if free-s.coming-bytes < int64(cfg.MinFree) {
		s.mu.Unlock()
		return fmt.Errorf("%w: %d bytes are free and quarantine.min_free is %s; make room on the disk of %s", ErrFull, free, cfg.MinFree, s.dir)
	}
	victims := s.victims(cfg, bytes)
	s.coming += bytes
	s.mu.Unlock()
	s.evict(ctx, victims)
	return nil
}

// victims takes out of the index what has to go so that bytes more have room.
// A full quarantine loses a fiftieth at once: who goes first is a question to
// all entries. s.mu is held.
func (s *Store) victims(cfg Config, bytes int64) []item {
	most, mostBytes := s.most, int64(cfg.MaxBytes)
	count, used := len(s.index.order), s.index.bytes+s.coming+bytes
	if bytes > 0 {
		count++
	}
	if count <= most && used <= mostBytes {
		return nil
	}
	if count > most {
		most -= most / 50
	}
	if used > mostBytes {
		mostBytes -= mostBytes / 50
	}
	all := slices.Clone(s.index.order)
	slices.SortStableFunc(all, func(a, b item) int { return a.rank() - b.rank() })
	n := 0
	for ; n < len(all) && (count > most || used > mostBytes); n++ {
		count, used = count-1, used-all[n].bytes
		if all[n].rank() > 0 {
			s.stats.Evicted++
		}
	}
	s.index.drop(all[:n])
	return all[:n]
}

// evict removes the files of entries that had to go before their time, and tells
// of it once an hour.
func (s *Store) evict(ctx context.Context, victims []item) {
	lost := 0
	for _, it := range victims {
		if it.rank() > 0 {
			lost++
		}
		if err := s.unlink(it); err != nil {
			s.log.LogAttrs(ctx, slog.LevelError, "entry in quarantine not removed", slog.String("id", it.id), slog.Any("err", err))
		}
	}
	s.mu.Lock()
	now := time.Now()
	tell := lost > 0 && now.Sub(s.warned) >= warnEvery
	if tell {
		s.warned = now
	}
	s.mu.Unlock()
	if tell {
		s.log.LogAttrs(ctx, slog.LevelWarn, "quarantine is full, the oldest messages go before their time",
			slog.Int("entries", lost), slog.String("remedy", "raise quarantine.max_bytes, or lower quarantine.keep"))
	}
}

// unlink removes the files of an entry.
func (s *Store) unlink(it item) error {
	return errors.Join(gone(s.sys.remove(s.path(it.name))), gone(s.sys.remove(s.markPath(it.id))))
}

// Run removes what is over its time until ctx ends, a thousand entries a minute
// at most.
func (s *Store) Run(ctx context.Context) {
	t := time.NewTicker(cleanEvery)
	defer t.Stop()
	for {
		s.clean(ctx, time.Now())
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// clean removes up to maxClean entries whose time is over, what is too much
// after max_bytes was lowered, and the directories of days that have none left.
func (s *Store) clean(ctx context.Context, now time.Time) {
	cfg := s.Config()
	s.mu.Lock()
	var over []item
	for _, it := range s.index.order {
		if len(over) == maxClean || now.Before(it.arrived().Add(min(cfg.Keep, cfg.KeepDiscarded).Std())) {
			break // those that follow are younger
		}
		if !now.Before(it.expires(cfg)) {
			over = append(over, it)
		}
	}
	s.index.drop(over)
	victims := s.victims(cfg, 0)
	s.mu.Unlock()
	for _, it := range over {
		if err := s.unlink(it); err != nil {
			s.log.LogAttrs(ctx, slog.LevelError, "entry in quarantine not removed", slog.String("id", it.id), slog.Any("err", err))
		}
	}
	s.evict(ctx, victims)
	if len(over) > 0 {
		s.log.LogAttrs(ctx, slog.LevelInfo, "quarantine: time over", slog.Int("entries", len(over)))
		s.cleanDays(now)
	}
}

// cleanDays removes the empty directories of days that no message comes to any
// more.
func (s *Store) cleanDays(now time.Time) {
	days, err := os.ReadDir(s.dir)
	if err != nil {
		return // the next scan tells
	}
	last := now.UTC().Add(-7 * 24 * time.Hour).Format(idTime)[:dayLen]
	for _, d := range days {
		day := d.Name()
		if !d.IsDir() || len(day) != dayLen || !plain(day) || day >= last {
			continue
		}
		s.mu.Lock()
		i, _ := s.index.find(day)
		inUse := i < len(s.index.order) && s.index.order[i].id[:dayLen] == day || s.writing[day] > 0
		if !inUse && s.sys.remove(filepath.Join(s.dir, day)) == nil { // a file of somebody else keeps it
			delete(s.days, day)
		}
		s.mu.Unlock()
	}
}

// Remove deletes an entry for good.
func (s *Store) Remove(id string) error {
	it, err := s.lookUp(id)
	if err != nil {
		return err
	}
	if err := s.unlink(it); err != nil {
		return fmt.Errorf("remove %s from quarantine: %w", it.id, err)
	}
	s.mu.Lock()
	s.index.remove(it.id)
	s.mu.Unlock()
	if err := gone(s.sys.syncDir(filepath.Join(s.dir, it.id[:dayLen]))); err != nil {
		return fmt.Errorf("remove %s from quarantine: %w", it.id, err)
	}
	return nil
}
