package shared

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/state"
)

// TestTallyForgetsNothingTooEarly adds and takes at random: the tally never has
// less in the window than was granted there, and at most a sixtieth more.
func TestTallyForgetsNothingTooEarly(t *testing.T) {
	const window = time.Hour
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		tl := &tally{Key: "k", Window: window}
		var truth []grant
		now := int64(1_700_000_000_000_000_000)
		for range 500 {
			now += r.Int64N(int64(5 * time.Minute))
			n := 1 + r.Int64N(9)
			tl.add(now, n)
			truth = append(truth, grant{now, n})
			if len(tl.Grants) > maxGrants {
				t.Fatalf("%d grants are kept", len(tl.Grants))
			}
			for _, ahead := range []time.Duration{0, window / 3, window - 1} {
				at := now + int64(ahead)
				sum := func(grants []grant, w time.Duration) (n int64) {
					for _, g := range grants {
						if at-g.At < int64(w) {
							n += g.N
						}
					}
					return n
				}
				got, least, most := sum(tl.Grants, window), sum(truth, window), sum(truth, window+window/slots)
				if got < least || got > most {
					t.Fatalf("seed %d: %d in the window, want %d to %d", seed, got, least, most)
				}
			}
			if err := tl.valid(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestTallyTake(t *testing.T) {
	for _, tc := range []struct {
		name  string
		at, n int64
		ok    bool
		want  []grant
	}{
		{"all of one", 10, 2, true, []grant{{20, 3}}},
		{"a part", 20, 1, true, []grant{{10, 2}, {20, 2}}},
		{"more than there is", 20, 9, true, []grant{{10, 2}}},
		{"the next that is not older", 11, 1, true, []grant{{10, 2}, {20, 2}}},
		{"too late", 21, 1, false, []grant{{10, 2}, {20, 3}}},
	} {
		tl := &tally{Grants: []grant{{10, 2}, {20, 3}}}
		if ok := tl.take(tc.at, tc.n); ok != tc.ok || !reflect.DeepEqual(tl.Grants, tc.want) {
			t.Errorf("%s: take() = %v, %v, want %v, %v", tc.name, ok, tl.Grants, tc.ok, tc.want)
		}
	}
}

func TestMergedHasAges(t *testing.T) {
	now := time.Unix(10_000, 0)
	tl := &tally{Key: "k", Max: 7, Window: time.Hour, Grants: []grant{
		{now.Add(-time.Hour).UnixNano(), 1}, {now.Add(-time.Minute).UnixNano(), 2}, {now.Add(time.Second).UnixNano(), 3}}}
	got, ok := tl.merged(now)
	want := state.Merged{Key: "k", Max: 7, Window: time.Hour, Grants: []state.Grant{{Ago: time.Minute, N: 2}, {Ago: 0, N: 3}}}
	if !ok || !reflect.DeepEqual(got, want) {
		t.Errorf("merged() = %+v, %v, want %+v", got, ok, want)
	}
	if _, ok := tl.merged(now.Add(2 * time.Hour)); ok {
		t.Error("merged() has what is over")
	}
}

func FuzzParseTally(f *testing.F) {
	tl := &tally{Key: "limit/1h/user/x", Max: 5, Window: time.Hour, Grants: []grant{{1, 2}, {3, 4}}, gen: 0x1f}
	w := tl.write()
	f.Add(w.Entry.Key, w.Entry.Value)
	f.Add("count/0/k", []byte(`{"key":"k","window":-1}`))
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		tl, err := parseTally(state.Entry{Key: key, Value: value})
		if err != nil {
			return
		}
		w := tl.write()
		again, err := parseTally(w.Entry)
		if err != nil || !reflect.DeepEqual(again, tl) {
			t.Errorf("parseTally(write(%+v)) = %+v, %v", tl, again, err)
		}
	})
}

func FuzzParseJob(f *testing.F) {
	now := time.Unix(1_700_000_000, 0)
	for _, j := range []*job{
		{seq: 1, ID: "ID", Counts: []*tally{{Key: "k", Window: time.Hour, Grants: []grant{{1, 2}}}}},
		{seq: 2, Reset: "k"}, {seq: 3, Give: "k", N: 2, At: now, Ours: true},
	} {
		w := j.write(now)
		f.Add(w.Entry.Key, w.Entry.Value)
	}
	f.Add("queue/1", []byte(`{"counts":[null]}`))
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		j, err := parseJob(state.Entry{Key: key, Value: value})
		if err != nil {
			return
		}
		w := j.write(now)
		again, err := parseJob(w.Entry)
		if err != nil {
			t.Fatalf("parseJob(write(%+v)) = %v", j, err)
		}
		a, _ := json.Marshal(again)
		if b, _ := json.Marshal(j); string(a) != string(b) || again.seq != j.seq {
			t.Errorf("parseJob(write(%+v)) = %+v", j, again)
		}
	})
}
