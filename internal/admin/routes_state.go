package admin

import (
	"context"
	"net/http"

	"github.com/gatepost/gatepost/internal/state"
	"github.com/gatepost/gatepost/internal/state/shared"
)

// State is how full the state is. Shared and Redis are nil where one host has
// it for itself.
type State struct {
	Embedded state.Overview `json:"embedded"`
	Shared   *shared.Stats  `json:"shared,omitempty"`
	Redis    *RedisState    `json:"redis,omitempty"`
}

// RedisState is what lies in Redis or Valkey.
type RedisState struct {
	// Fault says why nothing is known of it; the rest is empty then.
	Fault string `json:"fault,omitempty"`
	// Mode is "single", "sentinel" or "cluster".
	Mode   string       `json:"mode,omitempty"`
	Tables []RedisTable `json:"tables"`
	// Servers are the masters.
	Servers []RedisServer `json:"servers"`
}

// RedisTable is a table, the counters, or the streams. Rows that are listed
// often share a key.
type RedisTable struct {
	Table string `json:"table"`
	Keys  int64  `json:"keys"`
	Bytes int64  `json:"bytes"`
}

// RedisServer is a master: Used bytes of Max, 0 for no bound.
type RedisServer struct {
	Address  string `json:"address"`
	Software string `json:"software"`
	Used     int64  `json:"memory_bytes"`
	Max      int64  `json:"max_memory_bytes"`
	Policy   string `json:"maxmemory_policy"`
	// Appends says that it keeps its data over a restart.
	Appends bool  `json:"appendonly"`
	Evicted int64 `json:"evicted"`
}

// StateReport is what "state verify" found.
type StateReport struct {
	Embedded state.Report `json:"embedded"`
	// Redis is nil where one host has the state for itself.
	Redis *state.Report `json:"redis,omitempty"`
}

// StateCollected is what "state gc" did.
type StateCollected struct {
	Embedded state.Collected  `json:"embedded"`
	Redis    *state.Collected `json:"redis,omitempty"`
}

// stateAdmin is what can be seen and done of the state.
type stateAdmin interface {
	State(ctx context.Context) (State, error)
	Verify(ctx context.Context) (StateReport, error)
	GC(ctx context.Context) (StateCollected, error)
}

func (s *Server) stateRoutes(a stateAdmin) {
	s.handle("GET /v1/state", func(r *http.Request) (any, error) { return a.State(r.Context()) })
	s.handle("POST /v1/state/verify", func(r *http.Request) (any, error) { return a.Verify(r.Context()) })
	s.handle("POST /v1/state/gc", func(r *http.Request) (any, error) { return a.GC(r.Context()) })
}

// State tells how full the state is.
func (c *Client) State(ctx context.Context) (State, error) {
	var out State
	err := c.do(ctx, http.MethodGet, "/v1/state", nil, &out)
	return out, err
}

// VerifyState reads all of the state and tells what is wrong with it.
func (c *Client) VerifyState(ctx context.Context) (StateReport, error) {
	var out StateReport
	err := c.do(ctx, http.MethodPost, "/v1/state/verify", nil, &out)
	return out, err
}

// CollectState removes what is over.
func (c *Client) CollectState(ctx context.Context) (StateCollected, error) {
	var out StateCollected
	err := c.do(ctx, http.MethodPost, "/v1/state/gc", nil, &out)
	return out, err
}
