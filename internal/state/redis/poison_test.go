package redis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/redistest"
	"github.com/gatepost/gatepost/internal/state"
)

// TestDamagedRow: a row that can not be read hides no other, and is mended by the
// next Put.
func TestDamagedRow(t *testing.T) {
	lab := redistest.Single(t)
	s := openLab(t, lab, "damaged")
	var log strings.Builder
	s.log = slog.New(slog.NewTextHandler(&log, nil))
	tables := []state.Table{state.Ban, state.Delivery, state.Login, state.Seen}
	for _, table := range tables {
		mustPut(t, s, table, "m/good", "value", time.Hour)
	}
	lab.Nodes[0].Do("HSET", s.names.part(s.shelves[0], shelfRows), "m/bad", "x")
	lab.Nodes[0].Do("HSET", s.names.groups(state.Delivery)+"m", "/bad", "xxxxxxxxx")
	lab.Nodes[0].Do("SET", s.names.entries(state.Login)+"m/bad", "x", "PX", 100000)
	lab.Nodes[0].Do("SET", s.names.entries(state.Seen)+"m/bad", "", "PX", 100000)
	for _, table := range tables {
		for _, prefix := range []string{"", "m/"} {
			if all, err := s.List(t.Context(), table, prefix); err != nil || len(all) != 1 {
				t.Errorf("List(%s, %q) = %+v, %v, want what is right", table, prefix, all, err)
			}
		}
		if e, err := s.Get(t.Context(), table, "m/bad"); !errors.Is(err, state.ErrNotFound) {
			t.Errorf("Get(%s) of a damaged row = %+v, %v", table, e, err)
		}
	}
	if n := strings.Count(log.String(), "level=WARN"); n != 1 {
		t.Errorf("%d warnings, want one a minute:\n%s", n, log.String())
	}
	for _, table := range tables {
		mustPut(t, s, table, "m/bad", "new", time.Hour)
		if e, err := s.Get(t.Context(), table, "m/bad"); err != nil || string(e.Value) != "new" {
			t.Errorf("Get(%s) after a Put = %+v, %v", table, e, err)
		}
	}
	lab.Nodes[0].Do("SET", s.names.counter("bad"), "damaged", "PX", 100000)
	if _, err := s.Take(t.Context(), "good", 1, 1, time.Hour); err != nil {
		t.Fatal(err)
	}
	if all, err := s.Counters(t.Context(), ""); err != nil || len(all) != 1 {
		t.Errorf("Counters() = %+v, %v", all, err)
	}
}

// TestShelfWithAKeyLost: the count of a shelf's bytes outlives its rows, as under
// a policy that evicts. A ban must be taken all the same.
func TestShelfWithAKeyLost(t *testing.T) {
	lab := redistest.Single(t)
	s := openLab(t, lab, "lost")
	mustPut(t, s, state.Ban, "a", "value", time.Hour)
	keys := s.names.shelf(s.shelves[0])
	lab.Nodes[0].Do("DEL", keys[0], keys[1])
	lab.Nodes[0].Do("SET", keys[2], 1<<30, "PX", 100000)
	for i := range 3 {
		mustPut(t, s, state.Ban, fmt.Sprint("b", i), "value", time.Hour)
	}
	if all, err := s.List(t.Context(), state.Ban, ""); err != nil || len(all) != 3 {
		t.Errorf("List() = %+v, %v, want 3", all, err)
	}
	if r, err := s.Verify(t.Context()); err != nil || r.Faulty != 0 {
		t.Errorf("Verify() = %+v, %v", r, err)
	}
}

// TestDatabasesDoNotHearOfEachOther: a message is heard in all databases of a
// server, and a ban of the one is none of the other.
func TestDatabasesDoNotHearOfEachOther(t *testing.T) {
	lab := redistest.Single(t)
	one, two := Default(), Default()
	two.Database = 2
	a, b, c := openWith(t, lab, "db", one), openWith(t, lab, "db", two), openWith(t, lab, "db", two)
	heard := make(chan string, 10)
	missed := make(chan struct{}, 10)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = c.Watch(ctx, []state.Table{state.Ban}, func(ch state.Change) { heard <- ch.Entry.Key }, func() { missed <- struct{}{} })
	}()
	<-missed
	mustPut(t, a, state.Ban, "of database 0", "value", time.Hour)
	mustPut(t, b, state.Ban, "of database 2", "value", time.Hour)
	if got := <-heard; got != "of database 2" {
		t.Errorf("database 2 heard of the ban %q", got)
	}
	stop()
	<-ended
}

// TestFullCounterAfterTheClockWentBack: one that was filled while the clock was a
// year ahead is full for one window more, not for a year.
func TestFullCounterAfterTheClockWentBack(t *testing.T) {
	s := openLab(t, redistest.Single(t), "full")
	now := time.Now()
	take := func(at time.Time) state.Usage {
		t.Helper()
		s.at = func() string { return strconv.FormatInt(at.UnixMicro(), 10) }
		u, err := s.Take(t.Context(), "k", 3, 3, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	take(now.AddDate(1, 0, 0))
	if u := take(now); u.OK || !u.Ends.Equal(time.UnixMicro(now.UnixMicro()).Add(time.Minute)) {
		t.Errorf("Take() of a full one = %+v", u)
	}
	if u := take(now.Add(time.Minute)); !u.OK || u.Used != 3 {
		t.Errorf("Take() a window later = %+v", u)
	}
}
