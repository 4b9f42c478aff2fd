package state_test

import (
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatepost/gatepost/internal/state"
	"github.com/gatepost/gatepost/internal/state/statetest"
)

// TestMerge: what was counted elsewhere counts from when it was, once for each id,
// also over a restart.
func TestMerge(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s := openStore(t, path)
	if _, err := s.Take(t.Context(), "k", 2, 10, time.Hour); err != nil {
		t.Fatal(err)
	}
	counts := []state.Merged{
		{Key: "k", Max: 10, Window: time.Hour, Grants: []state.Grant{{Ago: time.Minute, N: 4}, {Ago: 30 * time.Minute, N: 3}, {Ago: 2 * time.Hour, N: 50}}},
		{Key: "new", Max: 5, Window: time.Hour, Grants: []state.Grant{{N: 1}}},
		{Key: "over", Max: 5, Window: time.Minute, Grants: []state.Grant{{Ago: time.Hour, N: 1}}},
	}
	for range 2 {
		if err := s.Merge(t.Context(), "id", counts); err != nil {
			t.Fatal(err)
		}
	}
	if k, n, o := statetest.Used(t, s, "k"), statetest.Used(t, s, "new"), statetest.Used(t, s, "over"); k != 9 || n != 1 || o != 0 {
		t.Errorf("after two merges with one id k has %d, new %d, over %d; want 9, 1, 0", k, n, o)
	}
	u, err := s.Take(t.Context(), "k", 2, 10, time.Hour)
	if left := time.Until(u.Ends); err != nil || u.OK || left < 29*time.Minute || left > 30*time.Minute {
		t.Errorf("Take of 2 more of 10 = %+v, %v; want it to fit in 30 minutes", u, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, path)
	defer s.Close()
	if err := s.Merge(t.Context(), "id", counts); err != nil || statetest.Used(t, s, "k") != 9 {
		t.Errorf("Merge after a restart = %v, k has %d", err, statetest.Used(t, s, "k"))
	}
	if err := s.Merge(t.Context(), "other", counts); err != nil || statetest.Used(t, s, "k") != 16 {
		t.Errorf("Merge of another id = %v, k has %d", err, statetest.Used(t, s, "k"))
	}
}

// TestMergeLarge: the largest counts are kept, and can be read by the next start.
func TestMergeLarge(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s := openStore(t, path)
	m := state.Merged{Key: "k", Max: state.MaxCount, Window: time.Hour}
	for i := range state.MaxGrants {
		m.Grants = append(m.Grants, state.Grant{Ago: time.Duration(i) * time.Second, N: state.MaxCount})
	}
	for _, id := range []string{"1", "2"} {
		if err := s.Merge(t.Context(), id, []state.Merged{m}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, path)
	defer s.Close()
	if got := statetest.Used(t, s, "k"); got != state.MaxCount {
		t.Errorf("the counter has %d, want %d", got, int64(state.MaxCount))
	}
}

func TestMergeRefuses(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "state.db"))
	defer s.Close()
	one := func(m state.Merged) []state.Merged { return []state.Merged{m} }
	good := []state.Grant{{N: 1}}
	for name, tc := range map[string]struct {
		id     string
		counts []state.Merged
	}{
		"no id":         {"", one(state.Merged{Key: "k", Window: time.Hour, Grants: good})},
		"no key":        {"id", one(state.Merged{Window: time.Hour, Grants: good})},
		"no window":     {"id", one(state.Merged{Key: "k", Grants: good})},
		"nothing":       {"id", one(state.Merged{Key: "k", Window: time.Hour, Grants: []state.Grant{{}}})},
		"less":          {"id", one(state.Merged{Key: "k", Window: time.Hour, Grants: []state.Grant{{N: -1}}})},
		"many grants":   {"id", one(state.Merged{Key: "k", Window: time.Hour, Grants: make([]state.Grant, state.MaxGrants+1)})},
		"many counters": {"id", make([]state.Merged, state.MaxMerged+1)},
	} {
		if err := s.Merge(t.Context(), tc.id, tc.counts); !errors.Is(err, state.ErrInvalid) {
			t.Errorf("%s: Merge() = %v, want ErrInvalid", name, err)
		}
	}
}

// kept is a store whose Close does nothing: what is in memory only is there for who
// opens it again.
type kept struct{ *state.SQLite }

func (kept) Close() error { return nil }

func TestMemoryContract(t *testing.T) {
	all := map[string]kept{}
	statetest.Run(t, func(t *testing.T, name string) state.Store {
		if name == "closed" {
			return state.OpenMemory(slog.New(slog.DiscardHandler))
		}
		if _, ok := all[name]; !ok {
			all[name] = kept{state.OpenMemory(slog.New(slog.DiscardHandler))}
			t.Cleanup(func() {
				if err := all[name].SQLite.Close(); err != nil {
					t.Errorf("Close() = %v", err)
				}
			})
		}
		return all[name]
	})
}

// TestMemoryIsBounded: what ends first goes first, Delivery included, and nothing
// that is over stays.
func TestMemoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := state.OpenMemory(slog.New(slog.DiscardHandler))
		defer s.Close()
		value := make([]byte, 1<<20)
		for i := range 40 {
			e := state.Entry{Key: string(rune('a' + i)), Value: value, Expires: time.Now().Add(time.Duration(i+1) * time.Minute)}
			if err := s.Put(t.Context(), state.Delivery, e, true); err != nil {
				t.Fatal(err)
			}
		}
		st := s.Stats().Tables[state.Delivery]
		if st.Bytes > 16<<20 || st.Evicted == 0 || s.Stats().Behind != 0 {
			t.Errorf("Stats() = %+v", s.Stats())
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := s.Stats().Tables[state.Delivery].Entries; n != 0 {
			t.Errorf("%d entries are there after their time", n)
		}
	})
}
