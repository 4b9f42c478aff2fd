package redis

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/gatepost/gatepost/internal/state"
)

// counterTime is the time of counters in microseconds.
func (s *Store) counterTime(server int64) int64 {
	if at, err := strconv.ParseInt(s.at(), 10, 64); err == nil {
		return at
	}
	return server
}

// Take implements state.Store.
func (s *Store) Take(ctx context.Context, key string, n, max int64, window time.Duration) (state.Usage, error) {
	u, err := s.TakeAll(ctx, []state.Claim{{Key: key, N: n, Max: max, Window: window}}, false)
	if err != nil {
		return state.Usage{}, err
	}
	return u[0], nil
}

// TakeAll implements state.Store, in one EVALSHA. At and Ends are by the
// server's clock. After an error, other than ErrInvalid and ErrClosed, it may
// have been counted.
func (s *Store) TakeAll(ctx context.Context, claims []state.Claim, ask bool) ([]state.Usage, error) {
	keys, packed := make([]string, len(claims)), make([]byte, 0, len(claims)*claimLen)
	for i := range claims {
		if err := claims[i].Valid(); err != nil {
			return nil, err
		}
		keys[i] = s.names.counter(claims[i].Key)
		packed = appendClaim(packed, &claims[i])
	}
	if err := s.enter(ctx, state.Limit, ""); err != nil || len(claims) == 0 {
		return nil, err
	}
	only := "0"
	if ask {
		only = "1"
	}
	answer, err := s.scripts.take.run(ctx, s.client, !ask, keys, packed, only, s.at()).Text()
	if err != nil {
		return nil, s.wrap(ctx, "count", err)
	}
	all, err := parseAnswers(answer, len(claims))
	return all, s.wrap(ctx, "count", err)
}

// Give implements state.Store. at is the At of this store.
func (s *Store) Give(ctx context.Context, key string, n int64, at time.Time) error {
	if key == "" || n < 0 || n > state.MaxCount {
		return fmt.Errorf("%w: %d given back", state.ErrInvalid, n)
	}
	if err := s.enter(ctx, state.Limit, key); err != nil || n == 0 {
		return err
	}
	err := s.scripts.give.run(ctx, s.client, true, []string{s.names.counter(key)}, n, at.UnixMicro(), s.at()).Err()
	return s.wrap(ctx, "give back", err)
}

// Reset implements state.Store.
func (s *Store) Reset(ctx context.Context, key string) error {
	if err := s.enter(ctx, state.Limit, key); err != nil {
		return err
	}
	return s.wrap(ctx, "reset counter", s.client.Del(ctx, s.names.counter(key)).Err())
}
