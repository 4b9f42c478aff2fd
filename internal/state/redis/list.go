package redis

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	goredis "github.com/redis/go-redis/v9"

	"github.com/gatepost/gatepost/internal/state"
)

// maxListed bounds what a list returns: more than the embedded store holds.
const maxListed = 500_000

// listing gathers what several servers say. One key may come twice, from SCAN
// and while a slot moves between two masters.
type listing struct {
	bad  func() error // for a row that can not be read
	mu   sync.Mutex   // guards rows
	rows map[string]state.Entry
}

func (l *listing) add(e state.Entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rows[e.Key] = e
	if len(l.rows) > maxListed {
		return fmt.Errorf("more than %d entries: ask for a longer prefix", maxListed)
	}
	return nil
}

// List implements state.Store. What lies on a shelf, and the group of a prefix
// with a slash in the table Delivery, costs what it returns; anything else costs
// a look at every key of every master.
func (s *Store) List(ctx context.Context, t state.Table, prefix string) ([]state.Entry, error) {
	if err := s.enter(ctx, t, prefix); err != nil {
		return nil, err
	}
	l := &listing{rows: map[string]state.Entry{}}
	l.bad = func() error {
		_ = s.damaged(ctx, t) // it is left out
		return nil
	}
	if err := s.list(ctx, t, prefix, l); err != nil {
		return nil, s.wrap(ctx, "list "+string(t), err)
	}
	return slices.SortedFunc(maps.Values(l.rows), func(a, b state.Entry) int { return cmp.Compare(a.Key, b.Key) }), nil
}

func (s *Store) list(ctx context.Context, t state.Table, prefix string, l *listing) error {
	for _, sh := range s.shelves {
		if sh.table != t || !strings.HasPrefix(sh.begins, prefix) && !strings.HasPrefix(prefix, sh.begins) {
			continue
		}
		if err := s.listHash(ctx, s.names.part(sh, shelfRows), "", prefix, l.add, l.bad); err != nil {
			return err
		}
		if strings.HasPrefix(prefix, sh.begins) {
			return nil // all that begins so is there
		}
	}
	if t != state.Delivery {
		return s.listKeys(ctx, s.names.entries(t), prefix, l)
	}
	if group, field := splitGroup(prefix); field != "" {
		return s.listHash(ctx, s.names.groups(t)+group, group, field, l.add, l.bad)
	}
	return s.listGroups(ctx, t, prefix, l)
}

// scan calls page with the keys of one server that have the prefix.
func scan(ctx context.Context, c *goredis.Client, prefix string, page func(keys []string) error) error {
	var cursor uint64
	for {
		keys, next, err := c.Scan(ctx, cursor, startsWith(prefix), scanAtOnce).Result()
		if err != nil {
			return err
		}
		if len(keys) > 0 {
			if err := page(keys); err != nil {
				return err
			}
		}
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}

// listKeys lists entries that are keys of their own.
func (s *Store) listKeys(ctx context.Context, lead, prefix string, l *listing) error {
	return s.masters(ctx, func(ctx context.Context, c *goredis.Client) error {
		return scan(ctx, c, lead+prefix, func(keys []string) error {
			got, err := s.values(ctx, c, keys)
			if err != nil {
				return err
			}
			for key, b := range got {
				e, err := parseRow(strings.TrimPrefix(key, lead), b)
				if err != nil {
					err = l.bad()
				} else {
					err = l.add(e)
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// values reads keys of one server; one that is gone is left out, and one that
// has moved is asked for where it is now.
func (s *Store) values(ctx context.Context, c *goredis.Client, keys []string) (map[string][]byte, error) {
	all := make([]*goredis.StringCmd, len(keys))
	pipe := c.Pipeline()
	for i, key := range keys {
		all[i] = pipe.Get(ctx, key)
	}
	_, _ = pipe.Exec(ctx) // each command has its error
	out := make(map[string][]byte, len(keys))
	for i, cmd := range all {
		b, err := cmd.Bytes()
		if moved(err) {
			b, err = s.client.Get(ctx, keys[i]).Bytes()
		}
		if isMissing(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out[keys[i]] = b
	}
	return out, nil
}

// moved reports whether a key is, or will be, on another master.
func moved(err error) bool {
	return goredis.HasErrorPrefix(err, "MOVED") || goredis.HasErrorPrefix(err, "ASK") || goredis.HasErrorPrefix(err, "TRYAGAIN")
}

// listGroups lists groups whose name has the prefix.
func (s *Store) listGroups(ctx context.Context, t state.Table, prefix string, l *listing) error {
	lead := s.names.groups(t)
	return s.masters(ctx, func(ctx context.Context, c *goredis.Client) error {
		return scan(ctx, c, lead+prefix, func(keys []string) error {
			for _, key := range keys {
				if err := s.listHash(ctx, key, strings.TrimPrefix(key, lead), "", l.add, l.bad); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// Counters implements state.Store. All keys of all masters are looked at: while
// their slot moves from one to another, both have some.
func (s *Store) Counters(ctx context.Context, prefix string) ([]state.Counter, error) {
	if err := s.enter(ctx, state.Limit, prefix); err != nil {
		return nil, err
	}
	all, err := s.listCounters(ctx, prefix)
	if err != nil {
		return nil, s.wrap(ctx, "list counters", err)
	}
	return slices.SortedFunc(maps.Values(all), func(a, b state.Counter) int { return cmp.Compare(a.Key, b.Key) }), nil
}

func (s *Store) listCounters(ctx context.Context, prefix string) (map[string]state.Counter, error) {
	lead := s.names.counter("")
	_, server, err := s.read(ctx, lead, "EXISTS")
	if err != nil {
		return nil, err
	}
	now, out := s.counterTime(server), map[string]state.Counter{}
	var mu sync.Mutex // guards out
	err = s.masters(ctx, func(ctx context.Context, c *goredis.Client) error {
		return scan(ctx, c, lead+prefix, func(keys []string) error {
			got, err := s.values(ctx, c, keys)
			mu.Lock()
			defer mu.Unlock()
			for name, b := range got {
				// A damaged one begins anew with the next count.
				if one, live, bad := parseCounter(strings.TrimPrefix(name, lead), b, now); bad == nil && live {
					out[one.Key] = one
				}
			}
			if len(out) > maxListed {
				return fmt.Errorf("more than %d counters: ask for a longer prefix", maxListed)
			}
			return err
		})
	})
	return out, err
}
