package state

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"
)

// A merge is tried again after its commit failed: the counters are as durable as
// the id then.
func TestMergeAfterFailedCommit(t *testing.T) {
	s, err := OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "state.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	counts := []Merged{{Key: "k", Max: 9, Window: time.Hour, Grants: []Grant{{N: 1}}}}
	seen := Entry{Key: mergePrefix + "id", Value: []byte{}, Expires: time.Now().Add(time.Hour)}
	s.mu.Lock() // as a commit leaves them that failed
	s.mergeOne(t.Context(), &counts[0], time.Now())
	err = s.put(t.Context(), s.tables[Limit], rowID{Limit, seen.Key}, &seen)
	s.mu.Unlock()
	if err == nil {
		err = s.Merge(t.Context(), "id", counts)
	}
	s.mu.Lock()
	_, waits := s.dirty[rowID{counterTable, "k"}]
	s.mu.Unlock()
	if err != nil || waits {
		t.Errorf("Merge() = %v; the counter is unwritten: %t", err, waits)
	}
}
