package shared

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gatepost/gatepost/internal/state"
)

// valid reports what no store would take, so that a fault of the caller is one
// while the common store is away, too.
func valid(t state.Table, key string) error {
	if !slices.Contains(state.Tables, t) {
		return fmt.Errorf("%w: table %q", state.ErrInvalid, t)
	}
	if len(key) > state.MaxKeyBytes {
		return fmt.Errorf("%w: a key of %d bytes", state.ErrInvalid, len(key))
	}
	return nil
}

// unknown is the error where only the common store knows.
func unknown(err error) error {
	if errors.Is(err, errFailed) {
		return err // of this one request: the log has nothing of it yet
	}
	return state.ErrAway
}

// Get implements state.Store.
func (s *Store) Get(ctx context.Context, t state.Table, key string) (state.Entry, error) {
	if err := valid(t, key); err != nil {
		return state.Entry{}, err
	}
	r := ruleOf(t, key)
	if r.merged && s.marks.has(t, key) && (r.alone || s.near.Load() != nil) {
		return s.local.Get(ctx, t, key)
	}
	e, err := do(s, ctx, func(ctx context.Context) (state.Entry, error) { return s.remote.Get(ctx, t, key) })
	switch {
	case away(err) && !r.alone:
		return state.Entry{}, unknown(err)
	case away(err), r.both && errors.Is(err, state.ErrNotFound):
		return s.local.Get(ctx, t, key)
	}
	return e, err
}

// Put implements state.Store.
func (s *Store) Put(ctx context.Context, t state.Table, e state.Entry, sync bool) error {
	if err := valid(t, e.Key); err != nil {
		return err
	}
	r := ruleOf(t, e.Key)
	if r.merged && (s.near.Load() == nil || s.marks.has(t, e.Key)) {
		return s.keep(ctx, t, e, false, sync)
	}
	var copied <-chan error
	if r.copied {
		var err error
		if copied, err = s.copy(ctx, t, e, sync); err != nil {
			return err
		}
	}
	_, err := do(s, ctx, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, s.remote.Put(ctx, t, e, sync)
	})
	switch {
	case away(err) && !r.merged:
		err = unknown(err)
	case away(err):
		err = s.keep(ctx, t, e, false, sync)
	}
	if copied != nil {
		err = errors.Join(err, <-copied)
	}
	return err
}

// copy puts e into the local store, and returns what tells when it is durable.
func (s *Store) copy(ctx context.Context, t state.Table, e state.Entry, sync bool) (<-chan error, error) {
	writes := []state.Write{{Table: t, Entry: e}}
	if err := s.local.Apply(ctx, writes, false); err != nil || !sync {
		return nil, err
	}
	if !s.begin() {
		return nil, state.ErrClosed
	}
	done := make(chan error, 1)
	go func() { // the disk and the network at once
		defer s.ended.Done()
		done <- s.local.Durable(ctx, writes)
	}()
	return done, nil
}

// Delete implements state.Store.
func (s *Store) Delete(ctx context.Context, t state.Table, key string) error {
	if err := valid(t, key); err != nil {
		return err
	}
	r := ruleOf(t, key)
	gone := state.Entry{Key: key}
	if r.merged && (s.near.Load() == nil || s.marks.has(t, key)) {
		return s.keep(ctx, t, gone, true, false)
	}
	if r.copied {
		if err := s.local.Delete(ctx, t, key); err != nil {
			return err
		}
	}
	_, err := do(s, ctx, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, s.remote.Delete(ctx, t, key)
	})
	switch {
	case away(err) && !r.merged:
		return unknown(err)
	case away(err):
		return s.keep(ctx, t, gone, true, false)
	}
	return err
}

// List implements state.Store.
func (s *Store) List(ctx context.Context, t state.Table, prefix string) ([]state.Entry, error) {
	if err := valid(t, prefix); err != nil {
		return nil, err
	}
	r := ruleOf(t, prefix)
	var before []state.Entry
	if r.copied && s.near.Load() != nil && (r.whole || r.both) {
		var err error
		if before, err = s.local.List(ctx, t, prefix); err != nil {
			return nil, err
		}
	}
	early := s.marks.under(t, prefix)
	rows, err := bulk(s, ctx, func(ctx context.Context) ([]state.Entry, error) { return s.remote.List(ctx, t, prefix) })
	switch {
	case away(err) && !r.alone:
		return nil, unknown(err)
	case away(err):
		return s.local.List(ctx, t, prefix)
	case err != nil:
		return nil, err
	}
	merging, err := s.merging(ctx, t, early, rows)
	if err != nil {
		return nil, err
	}
	if r.whole {
		s.refresh(t, before, slices.Concat(rows, merging))
	}
	if !r.both {
		before = nil
	}
	return s.overlay(ctx, t, prefix, rows, slices.Concat(before, merging))
}

// merging returns what rows lack of what was marked before they were asked for:
// it may have been merged behind the back of the list.
func (s *Store) merging(ctx context.Context, t state.Table, early []markID, rows []state.Entry) (all []state.Entry, err error) {
	if len(early) == 0 {
		return nil, nil
	}
	found := make(map[string]bool, len(rows))
	for _, e := range rows {
		found[e.Key] = true
	}
	for _, id := range early {
		if found[id.key] {
			continue
		}
		switch e, err := s.local.Get(ctx, t, id.key); {
		case err == nil:
			all = append(all, e)
		case !errors.Is(err, state.ErrNotFound):
			return nil, err
		}
	}
	return all, nil
}

// overlay returns rows with what this host knows better, and with those of more
// that rows lack, by key.
func (s *Store) overlay(ctx context.Context, t state.Table, prefix string, rows, more []state.Entry) ([]state.Entry, error) {
	marked := s.marks.under(t, prefix)
	if len(marked) == 0 && len(more) == 0 {
		return rows, nil
	}
	found := make(map[string]state.Entry, len(rows)+len(more))
	for _, e := range more {
		found[e.Key] = e
	}
	for _, e := range rows {
		found[e.Key] = e
	}
	for _, id := range marked {
		e, err := s.local.Get(ctx, t, id.key)
		if errors.Is(err, state.ErrNotFound) {
			delete(found, id.key)
			continue
		}
		if err != nil {
			return nil, err
		}
		found[e.Key] = e
	}
	all := make([]state.Entry, 0, len(found))
	for _, e := range found {
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b state.Entry) int { return strings.Compare(a.Key, b.Key) })
	return all, nil
}

// refresh makes the copy of a list what the common store has. before is the copy
// as it was before the list was asked for: what was put since is left alone.
func (s *Store) refresh(t state.Table, before, rows []state.Entry) {
	was := make(map[string]*state.Entry, len(before))
	for i := range before {
		was[before[i].Key] = &before[i]
	}
	for i := range rows {
		e := &rows[i]
		old := was[e.Key]
		delete(was, e.Key)
		if old == nil || !old.Expires.Equal(e.Expires) || !bytes.Equal(old.Value, e.Value) {
			s.heard(state.Change{Table: t, Entry: *e})
		}
	}
	for key := range was {
		s.heard(state.Change{Table: t, Entry: state.Entry{Key: key}, Deleted: true})
	}
}

// heard brings the copy up to date with what others did, except where this host
// wrote while the common store was away: that is merged yet.
func (s *Store) heard(c state.Change) {
	s.marks.mu.Lock()
	defer s.marks.mu.Unlock()
	if _, ours := s.marks.set[markID{c.Table, c.Entry.Key}]; !ours {
		s.apply(state.Write{Table: c.Table, Entry: c.Entry, Delete: c.Deleted})
	}
}
