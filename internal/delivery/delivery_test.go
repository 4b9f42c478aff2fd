package delivery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/mailerr"
	"github.com/gatepost/gatepost/internal/state"
	"github.com/gatepost/gatepost/internal/verdict"
)

func openState(t *testing.T, path string) *state.SQLite {
	t.Helper()
	s, err := state.OpenSQLite(t.Context(), path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestFind(t *testing.T) {
	at := time.Now().Add(-2 * time.Hour).Truncate(time.Second)
	v := New(openState(t, filepath.Join(t.TempDir(), "state.db")))
	rows := []Row{
		{QueueID: "6F5FC9BA7FA", Arrived: at, Score: 7.25, Verdict: verdict.Mark, ByRcpt: map[string]verdict.Verdict{"a@b.test": verdict.Accept}},
		{QueueID: "6F5FC9BA7FA", Arrived: at.Add(90 * time.Minute), Score: 1, Verdict: verdict.Accept},
		{QueueID: "6F5FC9BA7F", Arrived: at, Verdict: verdict.Reject},
		{QueueID: "3xVb4g0Nmcz1Lr", Arrived: at.Add(time.Millisecond), Score: -2},
	}
	for _, r := range rows {
		if err := v.Put(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		name, id string
		received time.Time
		want     int // of rows, -1 for none
	}{
		{"the second", "6F5FC9BA7FA", at, 0},
		{"an hour before", "6F5FC9BA7FA", at.Add(-time.Hour), 0},
		{"more than an hour before", "6F5FC9BA7FA", at.Add(-time.Hour - time.Second), -1},
		{"nearer to the first", "6F5FC9BA7FA", at.Add(44 * time.Minute), 0},
		{"nearer to the second", "6F5FC9BA7FA", at.Add(46 * time.Minute), 1},
		{"a reused queue id with another arrival time", "6F5FC9BA7FA", at.Add(4 * time.Hour), -1},
		{"a shorter id is another", "6F5FC9BA7F", at, 2},
		{"long id, other zone", "3xVb4g0Nmcz1Lr", at.In(time.FixedZone("", 7200)), 3},
		{"case counts", "3XVB4G0NMCZ1LR", at, -1},
		{"unknown", "ABC", at, -1},
		{"no queue id", "", at, -1},
		{"a prefix with a slash", "6F5FC9BA7FA/", at, -1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, ok, err := v.Find(t.Context(), tc.id, tc.received)
			if err != nil || ok != (tc.want >= 0) {
				t.Fatalf("Find = %+v, %t, %v", got, ok, err)
			}
			if ok && (fmt.Sprint(got.ByRcpt) != fmt.Sprint(rows[tc.want].ByRcpt) || got.QueueID != tc.id || !got.Arrived.Equal(rows[tc.want].Arrived) ||
				got.Score != rows[tc.want].Score || got.Verdict != rows[tc.want].Verdict) {
				t.Errorf("Find = %+v, want %+v", got, rows[tc.want])
			}
		})
	}
	if got := rows[0].For("A@B.test"); got != verdict.Accept {
		t.Errorf("For = %v", got)
	}
	if got := rows[0].For("c@b.test"); got != verdict.Mark {
		t.Errorf("For = %v", got)
	}
	if err := v.Put(t.Context(), Row{QueueID: "a/b", Arrived: at}); mailerr.ClassOf(err) != mailerr.Permanent {
		t.Errorf("Put of an odd queue id = %v", err)
	}
}

// fakeStore records how entries are put.
type fakeStore struct {
	entries []state.Entry
	synced  []bool
	err     error
}

func (f *fakeStore) Put(_ context.Context, t state.Table, e state.Entry, sync bool) error {
	if t != state.Delivery {
		return errors.New("wrong table")
	}
	f.entries, f.synced = append(f.entries, e), append(f.synced, sync)
	return f.err
}

func (f *fakeStore) List(context.Context, state.Table, string) ([]state.Entry, error) {
	return f.entries, f.err
}

func TestPutIsDurableFromMarkOn(t *testing.T) {
	at := time.Date(2026, 11, 20, 7, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		row  Row
		want bool
	}{
		{Row{QueueID: "A", Arrived: at}, false},
		{Row{QueueID: "A", Arrived: at, Verdict: verdict.Mark}, true},
		{Row{QueueID: "A", Arrived: at, Verdict: verdict.Quarantine}, true},
		{Row{QueueID: "A", Arrived: at, Verdict: verdict.Reject}, true},
		{Row{QueueID: "A", Arrived: at, ByRcpt: map[string]verdict.Verdict{"a@b": verdict.Mark}}, true},
	} {
		f := &fakeStore{}
		if err := New(f).Put(t.Context(), tc.row); err != nil || f.synced[0] != tc.want {
			t.Errorf("Put(%+v) sync = %t, %v", tc.row, f.synced[0], err)
		}
		if kept := f.entries[0].Expires.Sub(at); kept < 5*24*time.Hour {
			t.Errorf("kept for %v", kept)
		}
	}
}

func TestErrorsAreTransient(t *testing.T) {
	f := &fakeStore{err: errors.New("disk")}
	v := New(f)
	if err := v.Put(t.Context(), Row{QueueID: "A"}); mailerr.ClassOf(err) != mailerr.Transient {
		t.Errorf("Put = %v", err)
	}
	if _, ok, err := v.Find(t.Context(), "A", time.Now()); ok || mailerr.ClassOf(err) != mailerr.Transient {
		t.Errorf("Find = %t, %v", ok, err)
	}
	f.err, f.entries = nil, []state.Entry{{Value: []byte("{broken")}}
	if _, ok, err := v.Find(t.Context(), "A", time.Now()); ok || err == nil {
		t.Errorf("Find of a damaged row = %t, %v", ok, err)
	}
}

// A row that is Mark is in the file before Put returns: a copy of the files of
// a store that was never closed has it.
func TestMarkSurvivesACrash(t *testing.T) {
	dir, after := t.TempDir(), t.TempDir()
	at := time.Now().Truncate(time.Second)
	v := New(openState(t, filepath.Join(dir, "state.db")))
	if err := v.Put(t.Context(), Row{QueueID: "AB12", Arrived: at, Verdict: verdict.Mark, Score: 8}); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(after, filepath.Base(f)), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r, ok, err := New(openState(t, filepath.Join(after, "state.db"))).Find(t.Context(), "AB12", at)
	if err != nil || !ok || r.Verdict != verdict.Mark || r.Score != 8 {
		t.Errorf("after the crash: %+v, %t, %v", r, ok, err)
	}
}
