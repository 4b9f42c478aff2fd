package redis

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/gatepost/gatepost/internal/state"
)

// scanAtOnce is how much of a hash or of all keys one step looks at.
const scanAtOnce = 1000

// watched reports whether others are told of changes to t.
func watched(t state.Table) bool { return slices.Contains(state.Watched, t) }

// putShelf puts a row on its shelf, or takes it away for life 0.
func (s *Store) putShelf(ctx context.Context, at place, life int64, row, notice []byte) error {
	channel := ""
	if watched(at.shelf.table) {
		channel = s.names.channel()
	}
	early, err := s.run(ctx, &s.scripts.shelf, s.names.shelf(at.shelf),
		at.field, life, row, at.shelf.entries, at.shelf.bytes, channel, notice).Int64()
	if err == nil && early > 0 {
		s.log.LogAttrs(ctx, slog.LevelWarn, "state table is full, what ends first goes first",
			slog.String("table", string(at.shelf.table)), slog.Int64("evicted", early))
	}
	return err
}

// hash is the key of the hash that has at.
func (s *Store) hash(at place) string {
	if at.shelf != nil {
		return s.names.part(at.shelf, shelfRows)
	}
	return at.key
}

// getField returns an entry of a hash.
func (s *Store) getField(ctx context.Context, t state.Table, key string, at place) (state.Entry, error) {
	got, now, err := s.read(ctx, s.hash(at), "HGET", at.field)
	if err != nil {
		return state.Entry{}, s.wrap(ctx, "get "+string(t), err)
	}
	b, ok := got.(string)
	if !ok {
		return state.Entry{}, state.ErrNotFound
	}
	e, end, err := parseField(key, []byte(b))
	if err != nil {
		return state.Entry{}, s.damaged(ctx, t)
	}
	if end <= now/1000 {
		return state.Entry{}, state.ErrNotFound
	}
	return e, nil
}

// read asks the server that has key something of it, and for the time in
// microseconds. The answer is nil if there is none.
func (s *Store) read(ctx context.Context, key, command string, args ...any) (got any, now int64, err error) {
	answer, err := s.run(ctx, &s.scripts.read, []string{key}, append([]any{command}, args...)...).Slice()
	if err != nil {
		return nil, 0, err
	}
	if len(answer) == 0 {
		return nil, 0, errDamaged
	}
	now, ok := answer[0].(int64)
	if !ok {
		return nil, 0, errDamaged
	}
	if len(answer) > 1 {
		got = answer[1]
	}
	return got, now, nil
}

// listHash calls add for the entries of a hash whose field has the prefix, and bad
// for those that can not be read. Their keys are the fields after lead.
func (s *Store) listHash(ctx context.Context, key, lead, prefix string, add func(state.Entry) error, bad func() error) error {
	cursor := "0"
	for {
		got, now, err := s.read(ctx, key, "HSCAN", cursor, "COUNT", scanAtOnce)
		if err != nil {
			return err
		}
		page, ok := got.([]any)
		if !ok || len(page) != 2 {
			return errDamaged
		}
		if err := eachField(page[1], func(field, row string) error {
			if !strings.HasPrefix(field, prefix) {
				return nil
			}
			e, end, err := parseField(lead+field, []byte(row))
			switch {
			case err != nil:
				return bad()
			case end <= now/1000:
				return nil
			}
			return add(e)
		}); err != nil {
			return err
		}
		if cursor, ok = page[0].(string); !ok || cursor == "0" {
			return nil
		}
	}
}

// eachField calls do for the fields and values of an answer.
func eachField(answer any, do func(field, value string) error) error {
	list, ok := answer.([]any)
	if !ok {
		return errDamaged
	}
	for ; len(list) >= 2; list = list[2:] {
		field, isText := list[0].(string)
		value, isTextToo := list[1].(string)
		if !isText || !isTextToo {
			return errDamaged
		}
		if err := do(field, value); err != nil {
			return err
		}
	}
	return nil
}

// isMissing reports whether err is the client's word for no value.
func isMissing(err error) bool { return errors.Is(err, goredis.Nil) }
