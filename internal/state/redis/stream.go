package redis

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/gatepost/gatepost/internal/state"
)

var _ state.Streams = (*Store)(nil)

// bounds say how much a stream keeps. Redis lets go of whole nodes of its tree,
// so it may be some items more.
type bounds struct {
	items int
	bytes int64
	age   time.Duration
}

// streamBounds are those of every stream. A host that is away for less than
// streamAge, while less than that was added, misses nothing.
var streamBounds = bounds{items: 100_000, bytes: 256 << 20, age: 30 * 24 * time.Hour}

const (
	// streamEnd is how much longer than its items the key lives.
	streamEnd = 7 * 24 * time.Hour
	// streamField is the one field of an item.
	streamField = "v"
	// A Read holds a connection for slice at a time, because nothing else ends
	// it when ctx is cancelled. Of fewer than fewConns connections it holds none:
	// it asks, and rests for rest.
	slice    = 200 * time.Millisecond
	fewConns = 4
	rest     = 100 * time.Millisecond
	// readTime is how long what was found may take to come.
	readTime = 5 * time.Second
	// maxRead bounds the items of one Read.
	maxRead = 1000
)

// appendScript adds ARGV[1] and trims. ARGV[2..4]: the most items, the most
// bytes, the age in milliseconds; ARGV[5] is the life of the key. What the
// stream takes is estimated from its first nodes.
const appendScript = `
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', '` + streamField + `', ARGV[1])
redis.call('XTRIM', KEYS[1], 'MINID', '~', string.format('%.0f-0', math.max(now - ARGV[4], 0)))
local bytes, most = redis.call('MEMORY', 'USAGE', KEYS[1], 'SAMPLES', '20'), tonumber(ARGV[3])
if bytes > most then
  local keep = math.floor(redis.call('XLEN', KEYS[1]) * most * 0.95 / bytes)
  redis.call('XTRIM', KEYS[1], 'MAXLEN', '~', math.max(keep, 1))
end
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return id`

// endsScript returns the first and the last ID without what lies there.
const endsScript = `
local first, last = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1), redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
if not first[1] then return {} end
return {first[1][1], last[1][1]}`

// scriptOf names a script as the server does.
func scriptOf(source string) *script {
	sum := sha1.Sum([]byte(source))
	return &script{source: source, sha: hex.EncodeToString(sum[:])}
}

// Append implements state.Streams. The value is at the master; how safe it is
// there say the durability settings of Redis. IDs compare as strings.
func (s *Store) Append(ctx context.Context, stream string, value []byte) (string, error) {
	return s.appendWithin(ctx, stream, value, streamBounds)
}

func (s *Store) appendWithin(ctx context.Context, stream string, value []byte, b bounds) (string, error) {
	if len(value) > state.MaxValueBytes {
		return "", fmt.Errorf("%w: value of %d bytes", state.ErrInvalid, len(value))
	}
	key, err := s.streamKey(ctx, stream)
	if err != nil {
		return "", err
	}
	id, err := s.run(ctx, scriptOf(appendScript), []string{key}, value, b.items, b.bytes, b.age.Milliseconds(), (b.age + streamEnd).Milliseconds()).Text()
	if err != nil {
		return "", s.wrap(ctx, "append to "+stream, err)
	}
	return ourID(id)
}

// Read implements state.Streams.
func (s *Store) Read(ctx context.Context, stream, after string, most int, wait time.Duration) ([]state.Item, error) {
	key, err := s.streamKey(ctx, stream)
	if err != nil {
		return nil, err
	}
	from, err := theirID(after)
	if err != nil {
		return nil, err
	}
	if most < 1 || most > maxRead {
		return nil, fmt.Errorf("%w: %d items", state.ErrInvalid, most)
	}
	args := goredis.XReadArgs{Streams: []string{key}, ID: from, Count: int64(most)}
	for end := time.Now().Add(wait); ; {
		left := max(min(time.Until(end), slice), 0).Truncate(time.Millisecond)
		args.Block = left
		if left == 0 || s.cfg.PoolSize < fewConns {
			args.Block = -1
		}
		items, err := s.readOnce(ctx, args)
		if err != nil {
			return nil, s.wrap(ctx, "read "+stream, err)
		}
		if len(items) > 0 || left == 0 || s.closed.Load() {
			return items, nil
		}
		if args.Block < 0 {
			if err := sleep(ctx, min(rest, left)); err != nil {
				return nil, err
			}
		}
	}
}

// sleep waits for d, or for the end of ctx, which is its error.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// readOnce is one XREAD.
func (s *Store) readOnce(ctx context.Context, args goredis.XReadArgs) ([]state.Item, error) {
	ctx, cancel := context.WithTimeout(ctx, max(args.Block, 0)+readTime)
	defer cancel()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	found, err := s.client.XRead(ctx, &args).Result()
	if errors.Is(err, goredis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var items []state.Item
	for _, f := range found {
		for _, m := range f.Messages {
			id, err := ourID(m.ID)
			if err != nil {
				return nil, err
			}
			v, _ := m.Values[streamField].(string) // an item that is none of ours is empty
			items = append(items, state.Item{ID: id, Value: []byte(v)})
		}
	}
	return items, nil
}

// Ends implements state.Streams.
func (s *Store) Ends(ctx context.Context, stream string) (first, last string, err error) {
	key, err := s.streamKey(ctx, stream)
	if err != nil {
		return "", "", err
	}
	ids, err := s.run(ctx, scriptOf(endsScript), []string{key}).StringSlice()
	if err != nil || len(ids) != 2 {
		return "", "", s.wrap(ctx, "ends of "+stream, err)
	}
	first, errFirst := ourID(ids[0])
	last, errLast := ourID(ids[1])
	return first, last, errors.Join(errFirst, errLast)
}

// streamKey checks what every call checks, and returns the key.
func (s *Store) streamKey(ctx context.Context, stream string) (string, error) {
	if s.closed.Load() {
		return "", state.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if stream == "" || len(stream) > state.MaxKeyBytes {
		return "", fmt.Errorf("%w: name of a stream with %d bytes", state.ErrInvalid, len(stream))
	}
	return s.names.stream(stream), nil
}

// An ID of Redis is two numbers of 64 bits; ours has them in hex, so that the
// order of the strings is that of the stream.
const idLen = 32

func ourID(id string) (string, error) {
	ms, seq, ok := strings.Cut(id, "-")
	a, errA := strconv.ParseUint(ms, 10, 64)
	b, errB := strconv.ParseUint(seq, 10, 64)
	if !ok || errA != nil || errB != nil {
		return "", fmt.Errorf("redis: %.60q is no ID of a stream", id)
	}
	return fmt.Sprintf("%016x%016x", a, b), nil
}

func theirID(id string) (string, error) {
	if id == "" {
		return "0-0", nil
	}
	if len(id) != idLen {
		return "", fmt.Errorf("%w: ID %.60q", state.ErrInvalid, id)
	}
	a, errA := strconv.ParseUint(id[:idLen/2], 16, 64)
	b, errB := strconv.ParseUint(id[idLen/2:], 16, 64)
	if errA != nil || errB != nil {
		return "", fmt.Errorf("%w: ID %.60q", state.ErrInvalid, id)
	}
	return strconv.FormatUint(a, 10) + "-" + strconv.FormatUint(b, 10), nil
}
