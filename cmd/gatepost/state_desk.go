package main

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/gatepost/gatepost/internal/admin"
	"github.com/gatepost/gatepost/internal/state"
	"github.com/gatepost/gatepost/internal/state/redis"
	"github.com/gatepost/gatepost/internal/state/shared"
)

// stateDesk does for the admin socket what can be done about the state. shared
// and redis are nil where one host has it for itself.
type stateDesk struct {
	local  *state.SQLite
	shared *shared.Store
	redis  *redis.Store
}

// walkTime bounds a walk through all keys of Redis, below the time of a request.
const walkTime = 50 * time.Second

var errStateAway = errors.New("it is away")

// walk asks Redis for what takes long, unless it is away.
func walk[T any](ctx context.Context, d stateDesk, f func(*redis.Store, context.Context) (T, error)) (T, error) {
	if d.shared.Stats().Away {
		var none T
		return none, errStateAway
	}
	ctx, cancel := context.WithTimeout(ctx, walkTime)
	defer cancel()
	return f(d.redis, ctx)
}

// State tells how full it is.
func (d stateDesk) State(ctx context.Context) (st admin.State, err error) {
	if st.Embedded, err = d.local.Overview(ctx); err != nil || d.shared == nil {
		return st, err
	}
	s := d.shared.Stats()
	st.Shared, st.Redis = &s, &admin.RedisState{Tables: []admin.RedisTable{}, Servers: []admin.RedisServer{}}
	r, err := walk(ctx, d, (*redis.Store).Stats)
	if err != nil {
		st.Redis.Fault = err.Error()
		return st, nil
	}
	st.Redis.Mode = r.Mode
	for _, t := range slices.Sorted(maps.Keys(r.Tables)) {
		st.Redis.Tables = append(st.Redis.Tables, admin.RedisTable{Table: t, Keys: r.Tables[t].Keys, Bytes: r.Tables[t].Bytes})
	}
	for _, m := range r.Servers {
		st.Redis.Servers = append(st.Redis.Servers, admin.RedisServer{
			Address: m.Address, Software: m.Software + " " + m.Version, Used: m.MemoryBytes, Max: m.MaxMemoryBytes,
			Policy: m.Policy, Appends: m.Appends, Evicted: m.Evicted,
		})
	}
	return st, nil
}

// Verify reads all of it.
func (d stateDesk) Verify(ctx context.Context) (out admin.StateReport, err error) {
	if out.Embedded, err = d.local.Verify(ctx); err != nil || d.shared == nil {
		return out, err
	}
	begin := time.Now()
	out.Redis = &state.Report{Faults: []string{}}
	r, err := walk(ctx, d, (*redis.Store).Verify)
	if err != nil {
		out.Redis.Faults = append(out.Redis.Faults, err.Error())
		return out, nil
	}
	for _, f := range r.Faults {
		out.Redis.Faults = append(out.Redis.Faults, f.Key+": "+f.Text)
	}
	out.Redis.Checked, out.Redis.Took = int(r.Keys), time.Since(begin)
	return out, nil
}

// GC removes what is over.
func (d stateDesk) GC(ctx context.Context) (out admin.StateCollected, err error) {
	if out.Embedded, err = d.local.GC(ctx); err != nil || d.shared == nil {
		return out, err
	}
	n, err := walk(ctx, d, (*redis.Store).GC)
	if err != nil {
		return out, err
	}
	out.Redis = &state.Collected{Removed: n}
	return out, nil
}
