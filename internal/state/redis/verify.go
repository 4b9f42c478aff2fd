package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/gatepost/gatepost/internal/state"
)

// maxFaults is how many faults a Report names.
const maxFaults = 100

// Report is what Verify found.
type Report struct {
	Keys int64 `json:"keys"`
	// Faulty counts keys that are not right; Faults are the first of them.
	Faulty int64   `json:"faulty"`
	Faults []Fault `json:"faults,omitempty"`
}

// Fault is one key that is not right.
type Fault struct {
	Key  string `json:"key"`
	Text string `json:"text"`
}

// Verify looks at every key of ours: that it has an end, belongs to a table that
// we know, and can be read.
func (s *Store) Verify(ctx context.Context) (Report, error) {
	if err := s.enter(ctx, state.Limit, ""); err != nil {
		return Report{}, err
	}
	var r Report
	var mu sync.Mutex // guards r
	err := s.masters(ctx, func(ctx context.Context, c *goredis.Client) error {
		return scan(ctx, c, s.names.prefix, func(keys []string) error {
			faults, err := s.verify(ctx, c, keys)
			mu.Lock()
			defer mu.Unlock()
			r.Keys += int64(len(keys))
			r.Faulty += int64(len(faults))
			r.Faults = append(r.Faults, faults[:min(len(faults), maxFaults-len(r.Faults))]...)
			return err
		})
	})
	slices.SortFunc(r.Faults, func(a, b Fault) int { return strings.Compare(a.Key, b.Key) })
	return r, s.wrap(ctx, "verify", err)
}

// verify returns what is wrong with keys of one server.
func (s *Store) verify(ctx context.Context, c *goredis.Client, keys []string) (faults []Fault, err error) {
	pipe := c.Pipeline()
	ends, kinds := make([]*goredis.DurationCmd, len(keys)), make([]*goredis.StatusCmd, len(keys))
	for i, key := range keys {
		ends[i], kinds[i] = pipe.PTTL(ctx, key), pipe.Type(ctx, key)
	}
	if _, err := pipe.Exec(ctx); err != nil && !moved(err) {
		return nil, err
	}
	for i, key := range keys {
		kind := kinds[i].Val()
		if kind == "none" || ends[i].Err() != nil {
			continue // it ended or moved meanwhile
		}
		text, err := s.fault(ctx, c, key, kind)
		if err != nil {
			return faults, err
		}
		if ends[i].Val() == -1 {
			text = strings.TrimPrefix(text+"; it has no end", "; ")
		}
		if text != "" {
			faults = append(faults, Fault{key, text})
		}
	}
	return faults, nil
}

// wantType is what TYPE says of a kind of key.
var wantType = map[string]string{
	entryKind: "string", groupKind: "hash", counterKind: "string", mergeKind: "string", streamKind: "stream",
	shelfRows: "hash", shelfEnds: "zset", shelfBytes: "string",
}

// fault says what is wrong with a key beside its end, or nothing.
func (s *Store) fault(ctx context.Context, c *goredis.Client, key, kind string) (string, error) {
	k, ok := s.parse(key)
	if !ok {
		return "it is of no table", nil
	}
	if kind != wantType[k.kind] {
		return fmt.Sprintf("it is a %s, not a %s", kind, wantType[k.kind]), nil
	}
	var err error
	switch k.kind {
	case entryKind, counterKind:
		var b []byte
		if b, err = c.Get(ctx, key).Bytes(); err != nil {
			break
		}
		if k.kind == entryKind {
			_, err = parseRow(k.key, b)
		} else {
			_, _, err = parseCounter(k.key, b, time.Now().UnixMicro())
		}
	case groupKind, shelfRows:
		err = s.listHash(ctx, key, "", "", func(state.Entry) error { return nil }, func() error { return errDamaged })
	case shelfEnds:
		return s.shelfFault(ctx, k.shelf)
	}
	if errors.Is(err, errDamaged) {
		return "it can not be read", nil
	}
	if isMissing(err) || moved(err) {
		return "", nil // it ended or moved meanwhile
	}
	return "", err
}

// shelfFault says whether the parts of a shelf disagree.
func (s *Store) shelfFault(ctx context.Context, sh *shelf) (string, error) {
	left, err := s.sweep(ctx, sh, false)
	if err != nil || left == 0 {
		return "", err
	}
	return fmt.Sprintf("%d leftovers of entries that have gone", left), nil
}

// sweep counts the rows of a shelf without an end and the ends without a row,
// and those that have ended; with remove it takes them away.
func (s *Store) sweep(ctx context.Context, sh *shelf, remove bool) (int, error) {
	do := "0"
	if remove {
		do = "1"
	}
	return s.run(ctx, &s.scripts.sweep, s.names.shelf(sh), do).Int()
}

// GC removes what indexes still have of entries that have gone. There is little
// of it: a Put sweeps, and every key ends.
func (s *Store) GC(ctx context.Context) (removed int, err error) {
	if err := s.enter(ctx, state.Limit, ""); err != nil {
		return 0, err
	}
	for _, sh := range s.shelves {
		n, err := s.sweep(ctx, sh, true)
		if err != nil {
			return removed, s.wrap(ctx, "gc", err)
		}
		removed += n
	}
	return removed, nil
}
