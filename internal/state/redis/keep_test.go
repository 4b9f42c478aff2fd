package redis

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/redistest"
	"github.com/gatepost/gatepost/internal/state"
)

func mustPut(t *testing.T, s *Store, table state.Table, key, value string, life time.Duration) {
	t.Helper()
	e := state.Entry{Key: key, Value: []byte(value), Expires: time.Now().Add(life)}
	if err := s.Put(t.Context(), table, e, false); err != nil {
		t.Fatal(err)
	}
}

// fill puts something of every kind.
func fill(t *testing.T, s *Store) {
	t.Helper()
	for _, table := range state.Tables {
		for i := range 10 {
			mustPut(t, s, table, fmt.Sprint("k/", i), "value", time.Hour)
		}
	}
	mustPut(t, s, state.Limit, "rate/user/a", "10/h", 200*365*24*time.Hour)
	for i := range 20 {
		if _, err := s.Take(t.Context(), fmt.Sprint("c/", i), 1, 10, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Merge(t.Context(), "id", []state.Merged{{Key: "c/0", Max: 1, Window: time.Hour, Grants: []state.Grant{{N: 1}}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(t.Context(), "learn", []byte("x")); err != nil {
		t.Fatal(err)
	}
}

// Every key has an end and is one that we know; keys of others are not looked at.
func TestEveryKeyEnds(t *testing.T) {
	for name, start := range map[string]func(t *testing.T) *redistest.Lab{
		"single":  func(t *testing.T) *redistest.Lab { return redistest.Single(t) },
		"cluster": func(t *testing.T) *redistest.Lab { return redistest.Cluster(t) },
	} {
		t.Run(name, func(t *testing.T) {
			lab := start(t)
			s := openLab(t, lab, "ends")
			fill(t, s)
			lab.Nodes[0].Do("SET", "somebody else's", "x")
			r, err := s.Verify(t.Context())
			if err != nil || r.Faulty != 0 || r.Keys < 100 {
				t.Errorf("Verify() = %+v, %v, want no fault", r, err)
			}
			st, err := s.Stats(t.Context())
			if err != nil || st.Mode != name || st.Others != 0 || len(st.Servers) != len(lab.Nodes) {
				t.Fatalf("Stats() = %+v, %v", st, err)
			}
			for table, want := range map[string]int64{"seen": 10, "delivery": 1, "ban": 3, "limit": 13, "counter": 20, "merge": 1, "stream": 1} {
				if got := st.Tables[table]; got.Keys != want || got.Bytes <= 0 {
					t.Errorf("Stats() has %+v of %s, want %d keys", got, table, want)
				}
			}
			if v := st.Servers[0]; v.Version == "" || v.MemoryBytes == 0 || v.Policy != "noeviction" || v.Appends {
				t.Errorf("Stats() has the server %+v", v)
			}
		})
	}
}

// What is not right is found, and what is left over is swept.
func TestVerifyAndGC(t *testing.T) {
	lab := redistest.Single(t)
	s, n := openLab(t, lab, "bad"), lab.Nodes[0]
	fill(t, s)
	p := s.names.prefix
	for _, c := range [][]any{
		{"PERSIST", s.names.entries(state.Seen) + "k/1"},
		{"SET", s.names.entries(state.Seen) + "short", "x", "PX", 100000},
		{"SET", p + "{}e:nosuch:k", "12345678", "PX", 100000},
		{"SET", p + "what", "x", "PX", 100000},
		{"SET", s.names.counter("c/1"), "damaged", "PX", 100000},
		{"RPUSH", s.names.counter("list"), "x"},
		{"HDEL", s.names.part(s.shelves[0], shelfRows), "k/3"},
		{"ZREM", s.names.part(s.shelves[0], shelfEnds), "k/4"},
	} {
		if err, bad := n.Do(c...).(error); bad {
			t.Fatal(err)
		}
	}
	r, err := s.Verify(t.Context())
	if err != nil || r.Faulty != 7 {
		t.Errorf("Verify() = %+v, %v, want 7 faults", r, err)
	}
	for i, want := range []string{
		"can not be read", "is of no table", "has no end", "can not be read", "3 leftovers", "a list, not a string; it has no end", "is of no table",
	} {
		if !slices.ContainsFunc(r.Faults, func(f Fault) bool { return strings.Contains(f.Text, want) }) {
			t.Errorf("no fault %d says %q: %+v", i, want, r.Faults)
		}
	}
	for i, want := range []int{3, 0} {
		if removed, err := s.GC(t.Context()); err != nil || removed != want {
			t.Errorf("GC() %d = %d, %v, want %d", i, removed, err, want)
		}
	}
	if all, err := s.List(t.Context(), state.Ban, ""); err != nil || len(all) != 8 {
		t.Errorf("List() after GC has %d, %v, want the 8 that are whole", len(all), err)
	}
	if left, err := s.sweep(t.Context(), s.shelves[0], false); err != nil || left != 0 {
		t.Errorf("after GC there are %d leftovers, %v", left, err)
	}
}

// A shelf that is full lets go of what ends first; one whose entries ended goes.
func TestShelfIsBounded(t *testing.T) {
	s := openLab(t, redistest.Single(t), "shelf")
	s.shelves[0].entries, s.shelves[0].bytes = 10, 2000
	for i := range 15 {
		mustPut(t, s, state.Ban, fmt.Sprint(i), "v", time.Hour-time.Duration(i)*time.Minute)
	}
	all, err := s.List(t.Context(), state.Ban, "")
	if err != nil || len(all) != 10 || all[0].Key != "0" || all[9].Key != "9" {
		t.Errorf("List() = %+v, %v, want the ten that end last", all, err)
	}
	mustPut(t, s, state.Ban, "large", strings.Repeat("x", 1900), 2*time.Hour)
	all, err = s.List(t.Context(), state.Ban, "")
	if err != nil || len(all) >= 10 || all[len(all)-1].Key != "large" {
		t.Errorf("List() = %d entries, %v, want fewer, for their bytes", len(all), err)
	}
	if r, err := s.Verify(t.Context()); err != nil || r.Faulty != 0 {
		t.Errorf("Verify() = %+v, %v", r, err)
	}
	for _, e := range all {
		if err := s.Delete(t.Context(), state.Ban, e.Key); err != nil {
			t.Fatal(err)
		}
	}
	if r, err := s.Verify(t.Context()); err != nil || r.Keys != 0 {
		t.Errorf("Verify() of an empty shelf = %+v, %v, want no key left", r, err)
	}
}

// Rows of one message that have ended leave their group.
func TestGroupIsSwept(t *testing.T) {
	s := openLab(t, redistest.Single(t), "group")
	for i := range 20 {
		mustPut(t, s, state.Delivery, fmt.Sprint("q/", i), "v", 20*time.Millisecond)
	}
	until(t, "the rows to end", func() bool {
		all, err := s.List(t.Context(), state.Delivery, "q/")
		return err == nil && len(all) == 0
	})
	mustPut(t, s, state.Delivery, "q/x", "v", time.Hour)
	for i := range 20 {
		mustPut(t, s, state.Delivery, fmt.Sprint("q/", i), "v", 10*time.Millisecond)
	}
	until(t, "the rows to end", func() bool {
		mustPut(t, s, state.Delivery, "q/y", "v", time.Hour)
		n, err := s.client.HLen(t.Context(), s.names.groups(state.Delivery)+"q").Result()
		return err == nil && n <= 16
	})
	if all, err := s.List(t.Context(), state.Delivery, "q/"); err != nil || len(all) != 2 {
		t.Errorf("List() = %+v, %v, want x and y", all, err)
	}
}
