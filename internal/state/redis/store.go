package redis

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/gatepost/gatepost/internal/deadline"
	"github.com/gatepost/gatepost/internal/state"
)

// maxLife bounds the life of a key, in milliseconds: longer than any, and far
// from where Redis's arithmetic ends.
const maxLife = 300 * 365 * 24 * 3600 * 1000

// Store is a state.Store, state.Watcher and state.Streams on Redis.
type Store struct {
	client  goredis.UniversalClient
	conns   *conns
	cfg     Config
	log     *slog.Logger
	names   names
	shelves []*shelf
	tables  map[state.Table]bool
	scripts scripts
	writer  string // by which Watch knows what this Store published
	closed  atomic.Bool
	told    atomic.Int64 // when the log had a damaged row, Unix seconds

	now func() time.Time // the host's clock, which a test may set wrong
	at  func() string    // the time of counters, "" for the server's: tests only
}

var (
	_ state.Store   = (*Store)(nil)
	_ state.Watcher = (*Store)(nil)
)

// Open returns the Store at cfg, which is valid and Enabled. It connects to
// nothing: that the server is away shows when it is asked. Passwords and the
// ca_file are read here.
func Open(ctx context.Context, cfg Config, log *slog.Logger) (*Store, error) {
	client, all, err := connect(&cfg)
	if err != nil {
		return nil, err
	}
	s := &Store{
		client: client, conns: all, cfg: cfg, log: log, names: namesFor(cfg.KeyPrefix, cfg.Database), shelves: shelves(),
		tables: map[state.Table]bool{}, writer: rand.Text()[:writerLen],
		now: time.Now, at: func() string { return "" },
	}
	for _, t := range state.Tables {
		s.tables[t] = true
	}
	if s.scripts, err = loadScripts(); err != nil {
		return nil, errors.Join(err, client.Close())
	}
	return s, nil
}

// Close implements state.Store. All that was put is at the server already.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	return s.client.Close()
}

// enter checks what every call checks.
func (s *Store) enter(ctx context.Context, t state.Table, key string) error {
	if s.closed.Load() {
		return state.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if !s.tables[t] {
		return fmt.Errorf("%w: table %q", state.ErrInvalid, t)
	}
	if len(key) > state.MaxKeyBytes {
		return fmt.Errorf("%w: a key of %d bytes", state.ErrInvalid, len(key))
	}
	return nil
}

// wrap says what was tried, and makes the client's errors ours. A Cluster's map
// is asked for anew when a connection failed: the master may be another.
func (s *Store) wrap(ctx context.Context, what string, err error) error {
	if err == nil {
		return nil
	}
	if ended := deadline.Passed(ctx); ended != nil && !errors.Is(err, ended) {
		err = errors.Join(ended, err)
	}
	if errors.Is(err, goredis.ErrClosed) {
		return state.ErrClosed
	}
	var broken net.Error
	if c, ok := s.client.(*goredis.ClusterClient); ok && (errors.As(err, &broken) || errors.Is(err, io.EOF)) {
		c.ReloadState(ctx)
	}
	if strings.HasPrefix(err.Error(), "MOVED ") {
		err = fmt.Errorf("%w (the server is part of a Cluster: name two of its nodes or more in addresses)", err)
	}
	return fmt.Errorf("redis: %s: %w", what, err)
}

// Get implements state.Store.
func (s *Store) Get(ctx context.Context, t state.Table, key string) (state.Entry, error) {
	if err := s.enter(ctx, t, key); err != nil {
		return state.Entry{}, err
	}
	at := s.place(t, key)
	if at.key == "" || at.group {
		return s.getField(ctx, t, key, at)
	}
	b, err := s.client.Get(ctx, at.key).Bytes()
	if errors.Is(err, goredis.Nil) {
		return state.Entry{}, state.ErrNotFound
	}
	if err != nil {
		return state.Entry{}, s.wrap(ctx, "get "+string(t), err)
	}
	e, err := parseRow(key, b)
	if err != nil {
		return state.Entry{}, s.damaged(ctx, t)
	}
	return e, nil
}

// damaged tells of a row that can not be read, once a minute, and returns
// ErrNotFound: nobody can do anything with it, the next Put mends it, and the
// rows beside it are right.
func (s *Store) damaged(ctx context.Context, t state.Table) error {
	now, told := time.Now().Unix(), s.told.Load()
	if now-told >= 60 && s.told.CompareAndSwap(told, now) {
		s.log.LogAttrs(ctx, slog.LevelWarn, "row can not be read and is taken for none", slog.String("table", string(t)),
			slog.String("remedy", "gatepost state verify names it"))
	}
	return state.ErrNotFound
}

// life returns for how long a key is to be kept, in milliseconds; 0 for not at
// all. Both times are by the clock of this host, so it may be wrong.
func (s *Store) life(e *state.Entry) int64 {
	return min(max(e.Expires.UnixMilli()-s.now().UnixMilli(), 0), maxLife)
}

// Put implements state.Store. With sync or without, it returns when the server
// has acknowledged.
func (s *Store) Put(ctx context.Context, t state.Table, e state.Entry, sync bool) error {
	if e.Key == "" || len(e.Value) > state.MaxValueBytes || e.Expires.IsZero() {
		return fmt.Errorf("%w: entry with a key of %d bytes, a value of %d, expires %v",
			state.ErrInvalid, len(e.Key), len(e.Value), e.Expires)
	}
	if err := s.enter(ctx, t, e.Key); err != nil {
		return err
	}
	life := s.life(&e)
	if life == 0 {
		return s.delete(ctx, t, e.Key)
	}
	at, row := s.place(t, e.Key), appendRow(make([]byte, 0, rowHead+len(e.Value)), &e)
	var err error
	switch {
	case at.shelf != nil:
		err = s.putShelf(ctx, at, life, row, s.notice(opPut, t, e.Key))
	case at.group:
		err = s.run(ctx, &s.scripts.group, []string{at.key}, at.field, life, row).Err()
	case watched(t):
		err = s.run(ctx, &s.scripts.put, []string{at.key}, life, row, s.names.channel(), s.notice(opPut, t, e.Key)).Err()
	default:
		err = s.client.Set(ctx, at.key, row, time.Duration(life)*time.Millisecond).Err()
	}
	return s.wrap(ctx, "put "+string(t), err)
}

// Delete implements state.Store.
func (s *Store) Delete(ctx context.Context, t state.Table, key string) error {
	if err := s.enter(ctx, t, key); err != nil {
		return err
	}
	return s.delete(ctx, t, key)
}

func (s *Store) delete(ctx context.Context, t state.Table, key string) error {
	at := s.place(t, key)
	var err error
	switch {
	case at.shelf != nil:
		err = s.putShelf(ctx, at, 0, nil, s.notice(opDelete, t, key))
	case at.group:
		err = s.run(ctx, &s.scripts.group, []string{at.key}, at.field, 0, "").Err()
	case watched(t):
		err = s.run(ctx, &s.scripts.put, []string{at.key}, 0, "", s.names.channel(), s.notice(opDelete, t, key)).Err()
	default:
		err = s.client.Del(ctx, at.key).Err()
	}
	return s.wrap(ctx, "delete from "+string(t), err)
}

// notice returns what others are told, but for the row.
func (s *Store) notice(op byte, t state.Table, key string) []byte {
	return appendNotice(nil, s.writer, op, t, key)
}
