package redis

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/gatepost/gatepost/internal/redistest"
	"github.com/gatepost/gatepost/internal/state"
)

func TestStreams(t *testing.T) {
	for name, lab := range map[string]func(testing.TB, ...redistest.Option) *redistest.Lab{
		"single": redistest.Single, "cluster": redistest.Cluster,
	} {
		t.Run(name, func(t *testing.T) {
			l := lab(t)
			for _, tc := range []struct {
				name string
				run  func(*testing.T, *Store, *Store)
			}{
				{"order", streamOrder}, {"waits", streamWaits}, {"ends", streamEnds}, {"bounds", streamTrim}, {"refusals", streamRefusals},
			} {
				t.Run(tc.name, func(t *testing.T) {
					prefix := strings.ReplaceAll(t.Name(), "/", "-") + ":"
					tc.run(t, openStream(t, l, prefix), openStream(t, l, prefix))
				})
			}
		})
	}
}

// openStream returns a Store whose keys have the prefix.
func openStream(t *testing.T, lab *redistest.Lab, prefix string) *Store {
	t.Helper()
	s := openLab(t, lab, "stream")
	s.names = namesFor(prefix, 0)
	return s
}

func values(items []state.Item) (list []string) {
	for _, it := range items {
		list = append(list, string(it.Value))
	}
	return list
}

// streamOrder: two hosts read what both have added, in one order.
func streamOrder(t *testing.T, a, b *Store) {
	const each = 200
	var wg sync.WaitGroup
	for i, s := range []*Store{a, b} {
		wg.Go(func() {
			for n := range each {
				if _, err := s.Append(t.Context(), "learn", fmt.Appendf(nil, "%d %d", i, n)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	all := func(s *Store, most int) (list []state.Item) {
		for after := ""; ; {
			items, err := s.Read(t.Context(), "learn", after, most, 0)
			if err != nil {
				t.Fatal(err)
			}
			if len(items) == 0 {
				return list
			}
			list, after = append(list, items...), items[len(items)-1].ID
		}
	}
	one, two := all(a, 7), all(b, 1000)
	if len(one) != 2*each || !slices.Equal(values(one), values(two)) {
		t.Fatalf("%d and %d items, want the same %d", len(one), len(two), 2*each)
	}
	next := [2]int{}
	for i, it := range one {
		if i > 0 && it.ID <= one[i-1].ID {
			t.Fatalf("item %d has ID %s, the one before %s", i, it.ID, one[i-1].ID)
		}
		var host, n int
		if _, err := fmt.Sscan(string(it.Value), &host, &n); err != nil || n != next[host] {
			t.Fatalf("item %d is %q, want the %d. of its host, %v", i, it.Value, next[host], err)
		}
		next[host]++
	}
}

// streamWaits: a Read hears at once what another host adds, returns nothing when
// its time is over, and ends soon with its context.
func streamWaits(t *testing.T, a, b *Store) {
	for _, pool := range []int{b.cfg.PoolSize, 1} {
		b.cfg.PoolSize = pool
		after, err := a.Append(t.Context(), "learn", []byte("before"))
		if err != nil {
			t.Fatal(err)
		}
		heard := make(chan []state.Item, 1)
		go func() {
			items, err := b.Read(t.Context(), "learn", after, 10, 20*time.Second)
			if err != nil {
				t.Error(err)
			}
			heard <- items
		}()
		if _, err := a.Append(t.Context(), "learn", []byte("news")); err != nil {
			t.Fatal(err)
		}
		items := <-heard
		if !slices.Equal(values(items), []string{"news"}) {
			t.Fatalf("heard %q", values(items))
		}
		began := time.Now()
		none, err := b.Read(t.Context(), "learn", items[0].ID, 10, 50*time.Millisecond)
		if took := time.Since(began); err != nil || len(none) > 0 || took < 40*time.Millisecond || took > 2*time.Second {
			t.Errorf("Read of nothing = %q, %v after %v", values(none), err, took)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := b.Read(ctx, "learn", items[0].ID, 10, time.Minute); !errors.Is(err, context.Canceled) {
			t.Errorf("Read with an ended context = %v", err)
		}
	}
}

func streamEnds(t *testing.T, a, b *Store) {
	if first, last, err := a.Ends(t.Context(), "none"); first != "" || last != "" || err != nil {
		t.Errorf("Ends of no stream = %q, %q, %v", first, last, err)
	}
	var ids []string
	for range 3 {
		id, err := a.Append(t.Context(), "learn", nil)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if first, last, err := b.Ends(t.Context(), "learn"); first != ids[0] || last != ids[2] || err != nil {
		t.Errorf("Ends = %q, %q, %v, want %q, %q", first, last, err, ids[0], ids[2])
	}
	items, err := b.Read(t.Context(), "learn", ids[1], 10, 0)
	if err != nil || len(items) != 1 || items[0].ID != ids[2] || len(items[0].Value) != 0 {
		t.Errorf("Read = %+v, %v", items, err)
	}
	life, err := a.client.PTTL(t.Context(), a.names.stream("learn")).Result()
	if want := streamBounds.age + streamEnd; err != nil || life > want || life < want-time.Minute {
		t.Errorf("the key lives for %v, %v, want %v", life, err, want)
	}
}

// streamTrim: number, bytes and age bound what is kept, and the newest stays.
func streamTrim(t *testing.T, a, _ *Store) {
	large := bytes.Repeat([]byte("x"), 20_000)
	for _, tc := range []struct {
		name      string
		b         bounds
		value     []byte
		add       int
		most, few int
	}{
		{"items", bounds{items: 50, bytes: 1 << 30, age: time.Hour}, large, 300, 60, 50},
		{"bytes", bounds{items: 1e6, bytes: 1 << 20, age: time.Hour}, large, 300, 53, 30},
		{"one is larger than all", bounds{items: 1e6, bytes: 1 << 10, age: time.Hour}, large, 20, 2, 1},
	} {
		for n := range tc.add {
			if _, err := a.appendWithin(t.Context(), tc.name, append([]byte(fmt.Sprint(n, " ")), tc.value...), tc.b); err != nil {
				t.Fatal(err)
			}
		}
		items, err := a.Read(t.Context(), tc.name, "", 1000, 0)
		if err != nil || len(items) > tc.most || len(items) < tc.few {
			t.Errorf("%s: %d items are kept, %v, want %d to %d", tc.name, len(items), err, tc.few, tc.most)
		}
		if last := values(items)[len(items)-1]; !strings.HasPrefix(last, fmt.Sprint(tc.add-1, " ")) {
			t.Errorf("%s: the last is %.10q", tc.name, last)
		}
	}
	key := a.names.stream("age") // items of an hour ago
	server, err := a.client.Time(t.Context()).Result()
	if err != nil {
		t.Fatal(err)
	}
	for n := range 10 {
		id := fmt.Sprintf("%d-%d", server.Add(-time.Hour).UnixMilli(), n+1)
		if err := a.client.XAdd(t.Context(), &goredis.XAddArgs{Stream: key, ID: id, Values: []any{streamField, large}}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	id, err := a.appendWithin(t.Context(), "age", []byte("new"), bounds{items: 1e6, bytes: 1 << 30, age: time.Minute})
	if first, last, errEnds := a.Ends(t.Context(), "age"); err != nil || errEnds != nil || first != id || last != id {
		t.Errorf("after an hour %q to %q are kept, %v, %v, want %q", first, last, err, errEnds, id)
	}
}

func streamRefusals(t *testing.T, a, b *Store) {
	if _, err := a.Append(t.Context(), "learn", make([]byte, state.MaxValueBytes+1)); !errors.Is(err, state.ErrInvalid) {
		t.Errorf("too large a value = %v", err)
	}
	largest := bytes.Repeat([]byte{0, 0xff, '\r', '\n'}, state.MaxValueBytes/4)
	id, err := a.Append(t.Context(), "learn", largest)
	if err != nil {
		t.Fatal(err)
	}
	if items, err := b.Read(t.Context(), "learn", "", 1, 0); err != nil || len(items) != 1 || items[0].ID != id || !bytes.Equal(items[0].Value, largest) {
		t.Errorf("the largest value = %d items, %v", len(items), err)
	}
	for _, after := range []string{"0", "1-1", strings.Repeat("x", idLen), id + "0"} {
		if _, err := a.Read(t.Context(), "learn", after, 1, 0); !errors.Is(err, state.ErrInvalid) {
			t.Errorf("Read after %q = %v", after, err)
		}
	}
	for _, most := range []int{0, maxRead + 1} {
		if _, err := a.Read(t.Context(), "learn", "", most, 0); !errors.Is(err, state.ErrInvalid) {
			t.Errorf("Read of %d = %v", most, err)
		}
	}
	if _, err := a.Append(t.Context(), "", nil); !errors.Is(err, state.ErrInvalid) {
		t.Errorf("a stream without a name = %v", err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Read(t.Context(), "learn", "", 1, 0); !errors.Is(err, state.ErrClosed) {
		t.Errorf("Read when closed = %v", err)
	}
}

func FuzzStreamID(f *testing.F) {
	for _, id := range []string{"0-0", "1700000000000-12", "18446744073709551615-18446744073709551615", "1", "-", "a-b"} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		ours, err := ourID(id)
		if err != nil {
			return
		}
		theirs, err := theirID(ours)
		if err != nil {
			t.Fatalf("theirID(%q) = %v", ours, err)
		}
		if again, err := ourID(theirs); err != nil || again != ours {
			t.Errorf("ourID(theirID(%q)) = %q, %v", ours, again, err)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	s := openLab(b, redistest.Single(b), "bench")
	value := bytes.Repeat([]byte("x"), 16<<10)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Append(b.Context(), "learn", value); err != nil {
			b.Fatal(err)
		}
	}
}
