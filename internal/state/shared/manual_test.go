package shared

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/redistest"
	"github.com/gatepost/gatepost/internal/state"
	"github.com/gatepost/gatepost/internal/state/redis"
	"github.com/gatepost/gatepost/internal/state/statetest"
)

// TestUserOfTheManual runs everything as the user that docs/howto/redis.md sets
// up, who may do nothing else.
func TestUserOfTheManual(t *testing.T) {
	page, err := os.ReadFile("../../../docs/howto/redis.md")
	if err != nil {
		t.Fatal(err)
	}
	var rules []any
	for line := range strings.Lines(string(page)) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "user gatepost "); ok {
			rules = []any{"ACL", "SETUSER", "gatepost"}
			for _, word := range strings.Fields(rest) {
				rules = append(rules, word)
			}
		}
	}
	for _, srv := range []*redistest.Lab{redistest.Single(t), redistest.Cluster(t)} {
		for _, n := range srv.Nodes {
			if err, bad := n.Do(rules...).(error); bad {
				t.Fatalf("%v: %v", rules, err)
			}
		}
		cfg := redis.Default()
		cfg.Addresses, cfg.Username = srv.Addresses, "gatepost"
		cfg.PasswordFile = filepath.Join(t.TempDir(), "password")
		if err := os.WriteFile(cfg.PasswordFile, []byte("CHANGE-ME\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := redis.Open(t.Context(), cfg, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		checkUser(t, s)
		open := func(t *testing.T, name string) state.Store {
			s, err := redis.Open(t.Context(), cfg, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			h := openHostWith(t, patient(), filepath.Join(t.TempDir(), "state.db"), s)
			return h.Store
		}
		if len(srv.Nodes) == 1 { // a restart forgets the user
			statetest.RunWatcher(t, open, func(t *testing.T) {
				srv.Kill(srv.Nodes[0])
				srv.Restart(srv.Nodes[0])
				srv.Nodes[0].Do(rules...)
			})
		}
	}
}

// checkUser does each thing that a user of Redis must be allowed to do.
func checkUser(t *testing.T, s *redis.Store) {
	t.Helper()
	ctx := t.Context()
	later := time.Now().Add(time.Hour)
	must := func(what string, err error) {
		t.Helper()
		if err != nil && !errors.Is(err, state.ErrNotFound) {
			t.Errorf("%s: %v", what, err)
		}
	}
	must("Probe", s.Probe(ctx))
	must("Ping", s.Ping(ctx))
	for _, table := range state.Tables {
		for _, key := range []string{"a/b", "rate/x"} {
			must("Put", s.Put(ctx, table, state.Entry{Key: key, Value: []byte("v"), Expires: later}, true))
			_, err := s.Get(ctx, table, key)
			must("Get", err)
			_, err = s.List(ctx, table, "")
			must("List", err)
			must("Delete", s.Delete(ctx, table, key))
		}
	}
	u, err := s.Take(ctx, "k", 2, 10, time.Hour)
	must("Take", err)
	must("Give", s.Give(ctx, "k", 1, u.At))
	_, err = s.Counters(ctx, "")
	must("Counters", err)
	must("Merge", s.Merge(ctx, "id", []state.Merged{{Key: "k", Max: 9, Window: time.Hour, Grants: []state.Grant{{N: 1}}}}))
	must("Reset", s.Reset(ctx, "k"))
	_, err = s.Append(ctx, "learn", []byte("v"))
	must("Append", err)
	items, err := s.Read(ctx, "learn", "", 10, 10*time.Millisecond)
	must("Read", err)
	if len(items) != 1 {
		t.Errorf("Read() = %v", items)
	}
	_, _, err = s.Ends(ctx, "learn")
	must("Ends", err)
	_, err = s.Stats(ctx)
	must("Stats", err)
	_, err = s.Verify(ctx)
	must("Verify", err)
	_, err = s.GC(ctx)
	must("GC", err)
}
