package main

import (
	"bytes"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/gatepost/gatepost/internal/admin"
	"github.com/gatepost/gatepost/internal/redistest"
	"github.com/gatepost/gatepost/internal/state"
	"github.com/gatepost/gatepost/internal/state/redis"
	"github.com/gatepost/gatepost/internal/state/shared"
)

// checkScreen has text fit a terminal and say what is wanted.
func checkScreen(t *testing.T, text string, wants ...string) {
	t.Helper()
	for line := range strings.Lines(text) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 80 {
			t.Errorf("a line has %d columns: %s", n, line)
		}
	}
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}

// openDesk opens a state that is shared over a real Redis.
func openDesk(t *testing.T, srv *redistest.Lab) stateDesk {
	t.Helper()
	discard := slog.New(slog.DiscardHandler)
	local, err := state.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "state.db"), discard)
	if err != nil {
		t.Fatal(err)
	}
	cfg := redis.Default()
	cfg.Addresses = srv.Addresses
	remote, err := redis.Open(t.Context(), cfg, discard)
	if err != nil {
		t.Fatal(err)
	}
	s, err := shared.New(t.Context(), remote, local, nil, discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return stateDesk{local: local, shared: s, redis: remote}
}

// screen is what "state stats" prints.
func screen(t *testing.T, d stateDesk) (admin.State, string) {
	t.Helper()
	st, err := d.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	st.Embedded.Path = "/var/lib/gatepost/state.db"
	var out bytes.Buffer
	if err := printState(&out, &st); err != nil {
		t.Fatal(err)
	}
	return st, out.String()
}

// TestStateDesk asks both shapes, over a real Redis that then ends.
func TestStateDesk(t *testing.T) {
	srv := redistest.Single(t, redistest.Args("--maxmemory", "64mb", "--maxmemory-policy", "noeviction"))
	d := openDesk(t, srv)
	if st, _ := screen(t, stateDesk{local: d.local}); st.Shared != nil || st.Redis != nil {
		t.Errorf("State() of one host = %+v", st)
	}
	e := state.Entry{Key: "k", Value: []byte("v"), Expires: time.Now().Add(time.Hour)}
	if err := d.shared.Put(t.Context(), state.Seen, e, true); err != nil {
		t.Fatal(err)
	}
	_, text := screen(t, d)
	checkScreen(t, text, "delivery", "mark or worse", "never was away", "of 64MB", "noeviction", "not kept", "seen")
	r, err := d.Verify(t.Context())
	if err != nil || r.Redis == nil || len(r.Redis.Faults) != 0 || r.Redis.Checked == 0 {
		t.Errorf("Verify() = %+v, %v", r, err)
	}
	var out bytes.Buffer
	printVerified(&out, &r)
	checkScreen(t, out.String(), "embedded: ", "redis: 1 rows read", "all are right")
	if g, err := d.GC(t.Context()); err != nil || g.Redis == nil {
		t.Errorf("GC() = %+v, %v", g, err)
	}
	srv.Kill(srv.Nodes[0])
	for end := time.Now().Add(10 * time.Second); !d.shared.Stats().Away && time.Now().Before(end); {
		_, _ = d.shared.Get(t.Context(), state.Seen, "k")
	}
	st, text := screen(t, d)
	if st.Redis.Fault == "" || !st.Shared.Away {
		t.Errorf("State() while it is away = %+v", st)
	}
	checkScreen(t, text, "this host goes on alone", "not known")
	if r, err = d.Verify(t.Context()); err != nil || len(r.Redis.Faults) != 1 {
		t.Errorf("Verify() while it is away = %+v, %v", r, err)
	}
	if _, err := d.GC(t.Context()); err == nil {
		t.Error("GC() while it is away is well")
	}
}

func TestPrintStateOfLargeTables(t *testing.T) {
	st := admin.State{Embedded: state.Overview{Path: "/var/lib/gatepost/state.db", FileBytes: 3 << 30, WALBytes: 100 << 20, Damage: "database file is damaged: \x1b[31m",
		Behind: 1_234_567, Failing: true}}
	for _, table := range append([]state.Table{state.Outbox, "counter"}, state.Tables...) {
		st.Embedded.Tables = append(st.Embedded.Tables, state.TableOverview{Table: table, Entries: 200_000, MaxEntries: 200_000, Bytes: 1, MaxBytes: 1,
			Rows: 12_345_678, RowBytes: 3_456_789_012, Evicted: 12_345_678, Durable: "mark or worse"})
	}
	st.Shared = &shared.Stats{Trips: 12_345, Why: "slow answers", Alone: 123_456_789, Doubtful: 12_345, MergedCounters: 1_234_567, MergedRows: 1_234_567,
		Pending: 1_234_567, Lost: 1_234_567, Since: time.Now(), Until: time.Now().Add(12345 * time.Millisecond)}
	st.Redis = &admin.RedisState{Servers: []admin.RedisServer{{Address: "[2001:db8:1234:5678:9abc:def0:1234:5678]:63790", Software: "valkey 10.11.12", Used: 123 << 30, Max: 234 << 30, Policy: "volatile-random", Evicted: 123_456_789}}}
	var out bytes.Buffer
	if err := printState(&out, &st); err != nil {
		t.Fatal(err)
	}
	checkScreen(t, out.String(), "100%", "damaged: ", `\x1b`, "in memory only")
}
