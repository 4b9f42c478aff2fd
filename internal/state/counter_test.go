package state

import (
	"math/rand/v2"
	"reflect"
	"testing"
	"time"
)

// grants is a record of what a counter granted, to count again by hand.
type grants []bucket

// most returns the most that any window (t, t+window] holds.
func (g grants) most(window time.Duration) int64 {
	var most, sum int64
	from := 0
	for _, b := range g {
		sum += b.n
		for b.at-g[from].at >= int64(window) {
			sum -= g[from].n
			from++
		}
		most = max(most, sum)
	}
	return most
}

// No window of that length ever holds more than max, and what was refused would
// not have fitted a sixtieth of a window earlier.
func TestCounterNeverOverGrants(t *testing.T) {
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		window := time.Duration(rnd.Int64N(int64(24*time.Hour)) + 1)
		limit := rnd.Int64N(300)
		mean := int64(window) / (rnd.Int64N(500) + 1)
		c := &counter{key: "k"}
		now := time.Unix(1_800_000_000, rnd.Int64N(1e9))
		var given grants
		for range 1000 {
			if rnd.IntN(20) == 0 {
				now = now.Add(time.Duration(rnd.Int64N(int64(window) + 1)))
			}
			now = now.Add(time.Duration(rnd.Int64N(2*mean + 1)))
			n := rnd.Int64N(4)
			next, u := c.take(now, n, limit, window)
			if u.OK && n > 0 {
				c = next
				given = append(given, bucket{now.UnixNano(), n})
			}
			if len(c.buckets) > maxBuckets {
				t.Fatalf("seed %d: %d buckets", seed, len(c.buckets))
			}
			if !u.OK && n <= limit {
				checkRefusal(t, c, given, now, n, limit, window, u)
			}
		}
		if most := given.most(window); most > limit {
			t.Fatalf("seed %d: a window of %v holds %d, max %d", seed, window, most, limit)
		}
	}
}

// checkRefusal wants that n did not fit, counted with a slot to spare, and that
// it fits at the time that was told.
func checkRefusal(t *testing.T, c *counter, given grants, now time.Time, n, limit int64, window time.Duration, u Usage) {
	t.Helper()
	var used int64
	for _, b := range given {
		if now.UnixNano()-b.at < int64(window)+int64(window)/slots+1 {
			used += b.n
		}
	}
	if used+n <= limit {
		t.Fatalf("take(%d of %d) refused with %d used", n, limit, used)
	}
	if _, then := c.take(u.Ends, n, limit, window); !then.OK || !u.Ends.After(now) {
		t.Fatalf("take(%d of %d) at %v was told to come at %v, and is refused then: %+v", n, limit, now, u.Ends, then)
	}
	if _, then := c.take(u.Ends.Add(-1), n, limit, window); then.OK {
		t.Fatalf("take(%d of %d) fits before %v, the time that was told", n, limit, u.Ends)
	}
}

// With few grants the time that is told is exact.
func TestCounterExactWhileFew(t *testing.T) {
	begin := time.Unix(1_800_000_000, 0)
	c := &counter{key: "k"}
	for i := range 3 {
		c, _ = c.take(begin.Add(time.Duration(i)*10*time.Second), 1, 3, time.Hour)
	}
	_, u := c.take(begin.Add(time.Minute), 1, 3, time.Hour)
	if u.OK || !u.Ends.Equal(begin.Add(time.Hour)) {
		t.Errorf("take() = %+v, want to fit at %v", u, begin.Add(time.Hour))
	}
	_, u = c.take(begin.Add(time.Minute), 2, 3, time.Hour)
	if u.OK || !u.Ends.Equal(begin.Add(time.Hour+10*time.Second)) {
		t.Errorf("take(2) = %+v, want to fit at %v", u, begin.Add(time.Hour+10*time.Second))
	}
}

// A clock that was a year ahead when it granted must not refuse for a year.
func TestCounterClockGoesBack(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	c, _ := (&counter{key: "k"}).take(now.AddDate(1, 0, 0), 3, 3, time.Hour)
	_, u := c.take(now, 1, 3, time.Hour)
	if u.OK || !u.Ends.Equal(now.Add(time.Hour)) {
		t.Errorf("take() = %+v, want to fit at %v", u, now.Add(time.Hour))
	}
}

func TestCounterTakeLeavesItsReceiver(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	c := &counter{key: "k"}
	for i := range 200 {
		c, _ = c.take(now.Add(time.Duration(i)*7*time.Second), 1, 1000, time.Hour)
	}
	before := append([]bucket(nil), c.buckets...)
	for i := range 10 {
		c.take(now.Add(time.Duration(i)*time.Hour/9), 5, 1000, time.Hour)
	}
	if !reflect.DeepEqual(c.buckets, before) {
		t.Errorf("take() changed its receiver")
	}
}

// A grant in place comes to the same as one in a copy.
func TestCounterGrant(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	now := time.Unix(1_800_000_000, 0)
	a, b := &counter{key: "k"}, &counter{key: "k"}
	for range 2000 {
		now = now.Add(time.Duration(rnd.Int64N(int64(2*time.Minute))) - 10*time.Second)
		n := rnd.Int64N(3) + 1
		if !a.look(now, n, 100, time.Hour).OK {
			continue
		}
		next, want := a.take(now, n, 100, time.Hour)
		got, u := b.grant(now, n, 100, time.Hour)
		if got != b || u != want || !reflect.DeepEqual(next.buckets, b.buckets) || next.used != b.used {
			t.Fatalf("grant(%d) = %+v, %+v, want %+v, %+v", n, got, u, next, want)
		}
		a = next
	}
	shared := *b
	b.shared = true
	if next, _ := b.grant(now.Add(time.Hour), 1, 100, time.Hour); next == b || len(b.buckets) != len(shared.buckets) {
		t.Error("grant changed a counter that is shared")
	}
}

func FuzzParseBuckets(f *testing.F) {
	f.Add([]byte{})
	f.Add(appendBuckets(nil, []bucket{{1_800_000_000_000_000_000, 1}, {1_800_000_000_000_000_001, MaxCount}}))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		buckets, used, err := parseBuckets(b)
		if err != nil {
			return
		}
		var sum int64
		for i, b := range buckets {
			sum += b.n
			if b.n <= 0 || b.at < 0 || i > 0 && b.at < buckets[i-1].at {
				t.Fatalf("parseBuckets gives %+v", buckets)
			}
		}
		again, usedAgain, err := parseBuckets(appendBuckets(nil, buckets))
		if err != nil || sum != used || usedAgain != used || !reflect.DeepEqual(again, buckets) {
			t.Fatalf("parseBuckets(appendBuckets(%+v)) = %+v, %d, %v", buckets, again, usedAgain, err)
		}
	})
}
