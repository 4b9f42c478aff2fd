package redis

import (
	"context"
	"strconv"
	"strings"
	"sync"

	goredis "github.com/redis/go-redis/v9"

	"github.com/gatepost/gatepost/internal/state"
)

// Stats tells what there is on the servers.
type Stats struct {
	// Mode is "single", "sentinel" or "cluster".
	Mode string `json:"mode"`
	// Servers are the masters.
	Servers []ServerStats `json:"servers"`
	// Tables has the tables of state, and "counter", "merge" (that a merge was
	// done) and "stream".
	Tables map[string]TableStats `json:"tables"`
	// Others counts keys of the same version that are none of ours.
	Others int64 `json:"others,omitempty"`
}

// ServerStats is what a server says of itself.
type ServerStats struct {
	Address string `json:"address"`
	// Software is "redis" or "valkey", Version its number.
	Software string `json:"software"`
	Version  string `json:"version"`
	// MemoryBytes is what is used, of MaxMemoryBytes; 0 means no limit.
	MemoryBytes    int64 `json:"memory_bytes"`
	MaxMemoryBytes int64 `json:"max_memory_bytes"`
	// Policy is what the server does when memory is full.
	Policy string `json:"maxmemory_policy"`
	// Appends says that the server keeps its data over a restart.
	Appends bool `json:"appendonly"`
	// Evicted counts keys that went before their time since the start.
	Evicted int64 `json:"evicted"`
}

// TableStats is what a table takes, as the servers count it.
type TableStats struct {
	Keys  int64 `json:"keys"`
	Bytes int64 `json:"bytes"`
}

// mode says how the servers stand together.
func (s *Store) mode() string {
	switch {
	case s.cfg.MasterName != "":
		return "sentinel"
	case s.cfg.cluster():
		return "cluster"
	}
	return "single"
}

// Stats looks at every key of ours. Entries of a shelf or group count as one
// key for each of the keys that hold them.
func (s *Store) Stats(ctx context.Context) (Stats, error) {
	if err := s.enter(ctx, state.Limit, ""); err != nil {
		return Stats{}, err
	}
	st := Stats{Mode: s.mode(), Tables: map[string]TableStats{}}
	var mu sync.Mutex // guards st
	err := s.masters(ctx, func(ctx context.Context, c *goredis.Client) error {
		one, err := serverStats(ctx, c)
		if err != nil {
			return err
		}
		mu.Lock()
		st.Servers = append(st.Servers, one)
		mu.Unlock()
		return scan(ctx, c, s.names.prefix, func(keys []string) error {
			sizes, err := memoryOf(ctx, c, keys)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			for i, key := range keys {
				s.count(&st, key, sizes[i])
			}
			return nil
		})
	})
	return st, s.wrap(ctx, "stats", err)
}

func (s *Store) count(st *Stats, key string, bytes int64) {
	k, ok := s.parse(key)
	if !ok {
		st.Others++
		return
	}
	t := st.Tables[k.table]
	t.Keys++
	t.Bytes += bytes
	st.Tables[k.table] = t
}

// memoryOf returns how much each key takes; 0 for one that has gone.
func memoryOf(ctx context.Context, c *goredis.Client, keys []string) ([]int64, error) {
	pipe := c.Pipeline()
	all := make([]*goredis.IntCmd, len(keys))
	for i, key := range keys {
		all[i] = pipe.MemoryUsage(ctx, key)
	}
	_, _ = pipe.Exec(ctx) // each command has its error
	sizes := make([]int64, len(keys))
	for i, cmd := range all {
		n, err := cmd.Result()
		if err != nil && !isMissing(err) && !moved(err) {
			return nil, err
		}
		sizes[i] = n
	}
	return sizes, nil
}

// serverStats asks a server for its INFO.
func serverStats(ctx context.Context, c *goredis.Client) (ServerStats, error) {
	text, err := c.Info(ctx, "server", "memory", "stats", "persistence").Result()
	if err != nil {
		return ServerStats{}, err
	}
	info := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":"); ok {
			info[name] = value
		}
	}
	number := func(name string) int64 {
		n, _ := strconv.ParseInt(info[name], 10, 64) // 0 for what it does not say
		return n
	}
	st := ServerStats{
		Address: c.Options().Addr, Software: "redis", Version: info["redis_version"],
		MemoryBytes: number("used_memory"), MaxMemoryBytes: number("maxmemory"), Policy: info["maxmemory_policy"],
		Appends: info["aof_enabled"] == "1", Evicted: number("evicted_keys"),
	}
	if v := info["valkey_version"]; v != "" {
		st.Software, st.Version = "valkey", v
	}
	return st, nil
}
