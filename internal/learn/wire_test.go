package learn

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/state"
)

// events are some of each kind.
func events(t testing.TB) []event {
	at := time.UnixMilli(1_790_000_000_123)
	st := stamp{run: -5, seq: 7, prevRun: math.MinInt64, prevSeq: math.MaxInt64, prevTime: at.Add(-time.Hour)}
	one := item(t, letter(1, "4XyZ1b2c3dzABC"))
	one.Trace.Arrived = one.Trace.Arrived.Local()
	one.File, one.Campaign = math.MaxUint64, math.MinInt64
	named := name{run: 3, seq: 1, item: MaxItems - 1, key: [keyBytes]byte{1, 2}}
	alone := name{key: [keyBytes]byte{9}, user: alice, source: Move, spam: true, time: at}
	return []event{
		{st, act{kind: kindLearn, time: at, source: Move, user: alice, minute: 201, mailboxes: 3, daily: 100, keepDays: 30, held: true,
			items: []actItem{{Item: one, spam: true}, {Item: item(t, letter(2, ""))}}}},
		{st, act{kind: kindLearn, time: at, source: Move, user: alice, approved: true, items: []actItem{{Item: one, of: named}}}},
		{stamp{run: 1, seq: 1}, act{kind: kindUndo, time: at, source: CLI, items: []actItem{{of: named}, {Item: Item{Features: one.Features}, of: alone}}}},
		{st, act{kind: kindDrop, time: at, source: CLI, user: alice}},
	}
}

func TestEvent(t *testing.T) {
	for _, e := range events(t) {
		b, err := e.appendTo(nil)
		if err != nil {
			t.Fatalf("appendTo(%+v) = %v", e.stamp, err)
		}
		for i := range e.items {
			if len(e.items[i].Features) == 0 {
				e.items[i].Features = []byte{}
			}
		}
		got, err := parseEvent(b)
		if err != nil || !reflect.DeepEqual(got, e) {
			t.Errorf("parseEvent = %+v, %v, want %+v", got, err, e)
		}
		for n := range b {
			if _, err := parseEvent(b[:n]); err == nil {
				t.Fatalf("%d of %d bytes are an event", n, len(b))
			}
		}
		if _, err := parseEvent(append(b[:len(b):len(b)], 0)); !errors.Is(err, errWire) {
			t.Errorf("with a byte more = %v", err)
		}
		for v, want := range map[byte]error{wireVersion + 1: errNewer, wireVersion - 1: errOlder} {
			b[len(wireMagic)] = v
			if _, err := parseEvent(b); !errors.Is(err, want) {
				t.Errorf("of version %d = %v", v, err)
			}
		}
	}
}

func TestEventBounds(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*event)
	}{
		{"no run", func(e *event) { e.run = 0 }},
		{"user", func(e *event) { e.user = strings.Repeat("u", maxUser+1) }},
		{"source", func(e *event) { e.source = Source(strings.Repeat("s", maxSource+1)) }},
		{"number", func(e *event) { e.minute = -1 }},
		{"items", func(e *event) { e.items = make([]actItem, MaxItems+1) }},
		{"features", func(e *event) { e.items[0].Features = make([]byte, maxFeatures+1) }},
		{"message id", func(e *event) { e.items[0].Trace.MessageID = strings.Repeat("m", maxID+1) }},
		{"queue id", func(e *event) { e.items[0].Trace.QueueID = strings.Repeat("q", maxQueue+1) }},
		{"time", func(e *event) { e.items[0].Trace.Arrived = time.Unix(1<<40, 0) }},
		{"place", func(e *event) { e.items[0].of.item = MaxItems }},
		{"all", func(e *event) {
			for len(e.items) < 7 {
				e.items = append(e.items, actItem{Item: Item{Features: make([]byte, maxFeatures)}})
			}
		}},
	} {
		e := events(t)[0]
		tc.change(&e)
		if b, err := e.appendTo(nil); !errors.Is(err, errBound) {
			t.Errorf("%s: appendTo = %d bytes, %v", tc.name, len(b), err)
		}
	}
	if _, err := parseEvent(make([]byte, state.MaxValueBytes+1)); !errors.Is(err, errWire) {
		t.Errorf("too large an event = %v", err)
	}
}

func FuzzEvent(f *testing.F) {
	for _, e := range events(f) {
		b, err := e.appendTo(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := parseEvent(b)
		if err != nil {
			return
		}
		wire, err := e.appendTo(nil)
		if err != nil {
			t.Fatalf("appendTo(%+v) = %v", e, err)
		}
		if again, err := parseEvent(wire); err != nil || !reflect.DeepEqual(again, e) {
			t.Errorf("parseEvent(appendTo(%+v)) = %+v, %v", e, again, err)
		}
	})
}
