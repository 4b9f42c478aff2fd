package redis

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/state"
)

func FuzzRow(f *testing.F) {
	f.Add([]byte{})
	f.Add(appendRow(nil, &state.Entry{Value: []byte("v"), Expires: time.UnixMilli(1_800_000_000_000)}))
	f.Add(bytes.Repeat([]byte{0xff}, 20))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := parseRow("k", b)
		if err != nil {
			return
		}
		if again := appendRow(nil, &e); !bytes.Equal(again, b) {
			t.Errorf("appendRow(parseRow(%x)) = %x", b, again)
		}
		if _, _, err := parseField("k", append(make([]byte, endHead), b...)); err != nil {
			t.Errorf("parseField of a row with an end: %v", err)
		}
	})
}

func FuzzNotice(f *testing.F) {
	f.Add(appendNotice(nil, "12345678", opDelete, state.Ban, "k\x00"))
	f.Add(appendRow(appendNotice(nil, "12345678", opPut, state.Login, "k"), &state.Entry{Value: []byte("v"), Expires: time.UnixMilli(1)}))
	f.Add([]byte("12345678p\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		writer, c, err := parseNotice(b)
		if err != nil {
			return
		}
		op := byte(opPut)
		if c.Deleted {
			op = opDelete
		}
		again := appendNotice(nil, writer, op, c.Table, c.Entry.Key)
		if !c.Deleted {
			again = appendRow(again, &c.Entry)
		}
		if !bytes.Equal(again, b) {
			t.Errorf("appendNotice(parseNotice(%x)) = %x", b, again)
		}
	})
}

func FuzzAnswers(f *testing.F) {
	f.Add("", 0)
	f.Add(string(make([]byte, timeLen+2*answerLen)), 2)
	f.Fuzz(func(t *testing.T, b string, n int) {
		if n < 0 || n > 100 {
			return
		}
		if all, err := parseAnswers(b, n); err == nil && len(all) != n {
			t.Errorf("parseAnswers gives %d of %d", len(all), n)
		}
	})
}

func FuzzCounter(f *testing.F) {
	one := appendUint(appendUint(appendUint(nil, 10, countLen), 3600_000_000, countLen), 3, countLen)
	one = appendUint(appendUint(one, 1_800_000_000_000_000, timeLen), 3, countLen)
	f.Add(one, int64(1_800_000_000_000_001))
	f.Add([]byte("damaged"), int64(0))
	f.Fuzz(func(t *testing.T, b []byte, now int64) {
		c, live, err := parseCounter("k", b, now)
		if err == nil && live != (c.Used > 0) {
			t.Errorf("parseCounter(%x) = %+v, %v", b, c, live)
		}
	})
}

func TestClaimRoundsUp(t *testing.T) {
	for d, want := range map[time.Duration]int64{1: 1, time.Microsecond: 1, time.Microsecond + 1: 2, state.MaxWindow: state.MaxWindow.Microseconds()} {
		if got := micros(d); got != want {
			t.Errorf("micros(%v) = %d, want %d", d, got, want)
		}
	}
	b := appendClaim(nil, &state.Claim{N: state.MaxCount, Max: 1, Window: state.MaxWindow, Soft: true})
	want := []int64{state.MaxCount, 1, state.MaxWindow.Microseconds()}
	got := []int64{readUint(b[:6]), readUint(b[6:12]), readUint(b[12:18])}
	if len(b) != claimLen || b[18] != 1 || !reflect.DeepEqual(got, want) {
		t.Errorf("appendClaim = %x, %v, want %v", b, got, want)
	}
}
