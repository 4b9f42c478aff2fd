package redis

import (
	"context"
	"errors"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/gatepost/gatepost/internal/state"
)

var errSlots = errors.New("the Cluster is down, or a part of its slots is served by nobody")

// Ping asks the server, in a Cluster the master that counts limits, for a sign
// of life.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.enter(ctx, state.Limit, ""); err != nil {
		return err
	}
	return s.wrap(ctx, "ping", s.client.Exists(ctx, s.names.counter("")).Err())
}

// Probe asks each master whether it would take a write, which one that is full,
// loading, a replica, or cut off from its Cluster would not, and a Cluster
// whether all its slots are served.
func (s *Store) Probe(ctx context.Context) error {
	if err := s.enter(ctx, state.Limit, ""); err != nil {
		return err
	}
	_, cluster := s.client.(*goredis.ClusterClient)
	err := s.masters(ctx, func(ctx context.Context, c *goredis.Client) error {
		if err := s.scripts.probe.run(ctx, c, false, nil).Err(); err != nil || !cluster {
			return err
		}
		info, err := c.ClusterInfo(ctx).Result()
		if err == nil && (!strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, "cluster_slots_ok:16384")) {
			return errSlots
		}
		return err
	})
	return s.wrap(ctx, "probe", err)
}
