package guard

import (
	"bytes"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/state"
)

// TestWindow: an event counts for the span and at most a fifth longer.
func TestWindow(t *testing.T) {
	for _, span := range []time.Duration{time.Second, 10 * time.Minute, 7 * day, 366 * day} {
		for start := range 50 {
			var w window
			at := time.Unix(1_800_000_000, 0).Add(span / 50 * time.Duration(start))
			w.add(3, at, span)
			if n := w.count(at.Add(span-1), span); n != 3 {
				t.Errorf("%v, start %d: %d within the span, want 3", span, start, n)
			}
			if n := w.count(at.Add(span+span/5+1), span); n != 0 {
				t.Errorf("%v, start %d: %d after it, want none", span, start, n)
			}
			w.add(1, at, span) // the clock went back
			if n := w.count(at, span); n < 1 {
				t.Errorf("%v, start %d: an event is lost when the clock goes back", span, start)
			}
		}
	}
	var w window
	for range 10 {
		w.add(100, time.Unix(1e9, 0), time.Hour)
	}
	if n := w.count(time.Unix(1e9, 0), time.Hour); n != 255 {
		t.Errorf("a full slot has %d, want 255", n)
	}
	w.take(250)
	if n := w.count(time.Unix(1e9, 0), time.Hour); n != 5 {
		t.Errorf("%d are left, want 5", n)
	}
}

// TestSketch: a count of different things is right within a tenth or so: at 250 of
// them one in twenty is off by more. The hashes are always the same here.
func TestSketch(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var s sketch
	at := time.Unix(1_800_000_000, 0)
	for i := range 300 {
		hash := r.Uint64()
		for range 3 {
			s.add(hash, at, time.Hour)
		}
		n, want := s.count(at, time.Hour), i+1
		if off := max(n-want, want-n); off > 3+want/8 {
			t.Errorf("%d things count as %d", want, n)
		}
	}
	if n := s.count(at.Add(2*time.Hour), time.Hour); n != 0 {
		t.Errorf("%d are left after two hours", n)
	}
	for range 100_000 {
		s.add(r.Uint64(), at.Add(3*time.Hour), time.Hour)
	}
	if n := s.count(at.Add(3*time.Hour), time.Hour); n < 1000 {
		t.Errorf("a full sketch counts %d", n)
	}
}

// TestTable holds a table against a map and a list.
func TestTable(t *testing.T) {
	const most = 50
	tab := newTable[int](most)
	want, order := map[uint64]int{}, []uint64{}
	del := func(key uint64) {
		delete(want, key)
		for i, k := range order {
			if k == key {
				order = append(order[:i], order[i+1:]...)
				return
			}
		}
	}
	for i := range 20_000 {
		key := uint64(i*7919%131) * 0x9e3779b97f4a7c15
		if i%5 == 4 {
			tab.remove(key)
			del(key)
			continue
		}
		v, dropped := tab.put(key)
		_, had := want[key]
		if wantDrop := !had && len(order) == most; dropped != wantDrop {
			t.Fatalf("put %d: dropped = %v, want %v", i, dropped, wantDrop)
		} else if wantDrop {
			del(order[0])
		}
		if *v != want[key] {
			t.Fatalf("put %d: value %d, want %d", i, *v, want[key])
		}
		*v = i
		del(key)
		want[key], order = i, append(order, key)
		if i == 10_000 && tab.resize(20) > 0 {
			for len(order) > 20 {
				del(order[0])
			}
			tab.resize(most)
		}
	}
	var got []uint64
	tab.each(func(key uint64, v *int) {
		if *v != want[key] {
			t.Errorf("value %d, want %d", *v, want[key])
		}
		got = append(got, key)
	})
	if fmt.Sprint(got) != fmt.Sprint(order) || tab.n != len(order) {
		t.Errorf("order %v, want %v", got, order)
	}
}

func TestKeys(t *testing.T) {
	for addr, want := range map[string][2]string{
		"203.0.113.9":   {"203.0.113.9/32", "203.0.113.0/24"},
		"2001:db8::1:2": {"2001:db8::/64", "2001:db8::/48"},
		"::1":           {"::/64", "::/48"},
		"255.0.0.255":   {"255.0.0.255/32", "255.0.0.0/24"},
	} {
		k := hostKey(netip.MustParseAddr(addr))
		if got := [2]string{networkOf(k).String(), wideNetwork(wideKey(k)).String()}; got != want {
			t.Errorf("%s is in %v, want %v", addr, got, want)
		}
	}
}

// TestForgive: an own account does not take back what was counted of others.
func TestForgive(t *testing.T) {
	w := newWorld(t, nil)
	for i := range 3 {
		w.wrong("203.0.113.9", "mine", fmt.Sprint(i))
	}
	w.right("203.0.113.9", "mine")
	for i := range 9 {
		w.wrong("203.0.113.9", fmt.Sprint("victim", i), fmt.Sprint(i))
		w.right("203.0.113.9", "mine")
	}
	if !w.wrong("203.0.113.9", "victim99", "x").Refuse {
		t.Error("ten failures at others are not counted beside one account of one's own")
	}
}

func recorded(events ...Recorded) iter.Seq2[Recorded, error] {
	return func(yield func(Recorded, error) bool) {
		for _, e := range events {
			if !yield(e, nil) {
				return
			}
		}
	}
}

func TestReplay(t *testing.T) {
	at := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	var events []Recorded
	for i := range 8 {
		events = append(events, Recorded{Time: at.Add(time.Duration(i) * time.Second), Kind: recordedWrong,
			Addr: netip.MustParseAddr("203.0.113.9"), User: "a", Mark: fmt.Sprintf("%04x", i)})
	}
	events = append(events, Recorded{Time: at.Add(9 * time.Second), Kind: recordedRight, Addr: netip.MustParseAddr("203.0.113.9"), User: "a"},
		Recorded{Time: at.Add(time.Hour), Kind: recordedWrong, Addr: netip.MustParseAddr("203.0.113.10"), User: "a"})
	r, err := Replay(t.Context(), Default(), recorded(events...))
	if err != nil || len(r.Bans) != 1 || r.Looked != 6 || r.Refused != 3 || r.Turned != 1 || r.Unmarked != 1 || !r.Bans[0].Since.Equal(at.Add(4*time.Second)) {
		t.Errorf("Replay() = %+v, %v", r, err)
	}
	cfg := Default()
	cfg.MaxFailures = 20
	if r, err = Replay(t.Context(), cfg, recorded(events...)); err != nil || len(r.Bans) != 0 || r.Turned != 0 {
		t.Errorf("Replay() with a higher line = %+v, %v", r, err)
	}
}

func TestFromJournal(t *testing.T) {
	addr := netip.MustParseAddr("203.0.113.9")
	base := journal.Record{Time: time.Unix(1e9, 0), Daemon: "authd", Event: "login", ClientAddr: addr, User: "a", Service: "imap"}
	for _, tc := range []struct {
		verdict, rule string
		facts         []journal.Fact
		kind          string
	}{
		{"ok", "", nil, recordedRight},
		{"fail", "password", []journal.Fact{{Key: FactMark, Value: "12ab"}}, recordedWrong},
		{"fail", "password", []journal.Fact{{Key: FactUnknown, Value: "yes"}}, recordedNoAccount},
		{"refused", "ban x7q2mk4a", nil, recordedRefused},
		{"refused", "disabled", nil, ""},
		{"temp", "fault", nil, ""},
	} {
		r := base
		r.Verdict, r.Rule, r.Facts = tc.verdict, tc.rule, tc.facts
		if got, ok := FromJournal(r); ok != (tc.kind != "") || ok && got.Kind != tc.kind {
			t.Errorf("FromJournal(%s %s) = %+v, %v, want %q", tc.verdict, tc.rule, got, ok, tc.kind)
		}
	}
}

func FuzzParseRecorded(f *testing.F) {
	f.Add([]byte(`{"time":"2026-11-01T00:00:00Z","kind":"wrong","addr":"203.0.113.9","user":"a@example.org","service":"imap","mark":"12ab"}`))
	f.Add([]byte(`{"time":"2026-11-01T00:00:00Z","kind":"accepted","addr":"::ffff:203.0.113.9"}`))
	f.Add([]byte(`{"kind":"wrong"}`))
	f.Add([]byte(`{"time":"9999-12-31T23:59:59Z","kind":"right","addr":"fe80::1%eth0"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := ParseRecorded(line)
		if err != nil {
			return
		}
		b, err := r.Append(nil)
		if err != nil {
			t.Fatalf("Append(%+v): %v", r, err)
		}
		again, err := ParseRecorded(bytes.TrimSuffix(b, []byte("\n")))
		if err != nil || !again.Time.Equal(r.Time) || again.Addr != r.Addr || again.User != r.User || again.Mark != r.Mark {
			t.Errorf("ParseRecorded(Append(%+v)) = %+v, %v", r, again, err)
		}
		if _, err := Replay(t.Context(), Default(), recorded(r, r)); err != nil {
			t.Errorf("Replay(%+v): %v", r, err)
		}
	})
}

// FuzzRemember: a row of the state is taken or refused, and never more.
func FuzzRemember(f *testing.F) {
	f.Add("pair/203.0.113.9/32 alice@example.org", []byte{0x60, 0, 0, 0})
	f.Add("mx/2001:db8::/64", []byte{0x60, 0, 0, 0})
	f.Add("land/alice@example.org", []byte("DE,FR"))
	f.Add("pair/", []byte{})
	w := benchGuard(f, 100)
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		w.remember(w.cfg.Load(), state.Entry{Key: key, Value: value}, time.Unix(2e9, 0))
		if w.proofs.pairs.n > maxProofs || w.senders.n > maxSenders || w.lands.n > maxLands {
			t.Error("a table grew beyond its bound")
		}
	})
}
