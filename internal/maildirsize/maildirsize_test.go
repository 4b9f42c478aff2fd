package maildirsize

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, tc := range []struct {
		name, file string
		want       Usage
		over       bool
	}{
		{"both limits", "20480S,50C\n0 0\n234 1\n", Usage{234, 1, 20480, 50}, false},
		{"padded", "20480S,50C\n        1048           1\n   -48  0  \n", Usage{1000, 1, 20480, 50}, false},
		{"bytes only", "1000S\n999 70\n", Usage{999, 70, 1000, 0}, false},
		{"messages only", "50C\n999999 49\n", Usage{999999, 49, 0, 50}, false},
		{"the other order", "50C,1000S\n1 1\n", Usage{1, 1, 1000, 50}, false},
		{"nothing counted", "1000S\n", Usage{0, 0, 1000, 0}, false},
		{"0 is no limit", "0S,0C\n99999 999\n", Usage{99999, 999, 0, 0}, false},
		{"exactly full", "1000S\n600 1\n400 1\n", Usage{1000, 2, 1000, 0}, true},
		{"a byte below", "1000S\n600 1\n399 1\n", Usage{999, 2, 1000, 0}, false},
		{"above", "1000S\n1001 1\n", Usage{1001, 1, 1000, 0}, true},
		{"full of messages", "1000S,2C\n10 2\n", Usage{10, 2, 1000, 2}, true},
		{"emptied again", "1000S\n1001 3\n-901 -2\n", Usage{100, 1, 1000, 0}, false},
		{"below zero on the way", "1000S\n-5 -1\n10 2\n", Usage{5, 1, 1000, 0}, false},
	} {
		got, err := Parse([]byte(tc.file))
		if err != nil || got != tc.want || got.Over() != tc.over {
			t.Errorf("%s: Parse(%q) = %+v, %v, over %t, want %+v, %t", tc.name, tc.file, got, err, got.Over(), tc.want, tc.over)
		}
	}
}

func TestParseBroken(t *testing.T) {
	for name, file := range map[string]string{
		"empty":               "",
		"empty line":          "\n",
		"no limit":            "0 0\n234 1\n",
		"old limit":           "20480\n0 0\n",
		"limit twice":         "20480S,1S\n0 0\n",
		"limit below zero":    "-1S\n0 0\n",
		"limit of a sign":     "+1S\n0 0\n",
		"limit unheard of":    "20480S,5X\n0 0\n",
		"limit too long":      "99999999999999999999S\n",
		"comma at the end":    "20480S,\n",
		"CR":                  "20480S\r\n1 1 1\r\n",
		"torn line":           "20480S\n30000",
		"torn in the number":  "20480S\n30000 1",
		"one number":          "20480S\n30000\n",
		"three numbers":       "20480S\n30000 1 1\n",
		"empty line between":  "20480S\n\n30000 1\n",
		"no number":           "20480S\n0x99 1\n",
		"NUL":                 "20480S\n\x00\x00 1\n",
		"sum below zero":      "20480S\n-1 0\n",
		"messages below zero": "20480S\n30000 1\n0 -2\n",
		"overflow":            "20480S\n9223372036854775807 1\n1 1\n",
		"underflow":           "20480S\n-9223372036854775807 1\n-2 1\n",
		"longer than 5120":    "1S\n" + strings.Repeat("1 1\n", 1280),
	} {
		if got, err := Parse([]byte(file)); !errors.Is(err, ErrBroken) || got != (Usage{}) {
			t.Errorf("%s: Parse() = %+v, %v, want ErrBroken", name, got, err)
		}
	}
}

// FuzzParse: whatever is in the file, no panic and no count below zero, and what
// was understood means the same when it is written in one line.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"20480S,50C\n0 0\n234 1\n", "5C\n  9   9 \n-4 -4\n", "1S\n9223372036854775807 1\n1 1\n", "\n", "0S"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		u, err := Parse(b)
		if err != nil {
			return
		}
		if u.Bytes < 0 || u.Messages < 0 || u.MaxBytes < 0 || u.MaxMessages < 0 || len(b) > MaxBytes {
			t.Fatalf("Parse(%q) = %+v", b, u)
		}
		short := fmt.Sprintf("%dS,%dC\n%d %d\n", u.MaxBytes, u.MaxMessages, u.Bytes, u.Messages)
		if again, err := Parse([]byte(short)); err != nil || again != u {
			t.Errorf("Parse(%q) = %+v, %v, want %+v", short, again, err, u)
		}
	})
}

func TestFits(t *testing.T) {
	for _, tc := range []struct {
		name string
		u    Usage
		size int64
		want bool
	}{
		{"no limit", Usage{Bytes: 1 << 40}, 1 << 30, true},
		{"exactly", Usage{MaxBytes: 1000, Bytes: 900}, 100, true},
		{"within the grace", Usage{MaxBytes: 1000, Bytes: 900}, 200, true},
		{"above the grace", Usage{MaxBytes: 1000, Bytes: 900}, 201, false},
		{"full", Usage{MaxBytes: 1000, Bytes: 1000}, 1, false},
		{"messages", Usage{MaxMessages: 5, Messages: 4}, 1, true},
		{"too many messages", Usage{MaxMessages: 5, Messages: 5}, 1, false},
		{"huge", Usage{MaxBytes: 1000}, 1<<63 - 1, false},
	} {
		if got := tc.u.Fits(tc.size); got != tc.want {
			t.Errorf("%s: %+v.Fits(%d) = %t", tc.name, tc.u, tc.size, got)
		}
	}
}

// What File writes Parse reads, with the changes that were appended.
func TestFileAndChange(t *testing.T) {
	for _, u := range []Usage{
		{MaxBytes: 20480, MaxMessages: 50, Bytes: 9312, Messages: 12},
		{MaxBytes: 1},
		{MaxMessages: 7, Messages: 3},
	} {
		got, err := Parse(append(u.File(), Change(5, 1)...))
		want := u
		want.Bytes, want.Messages = u.Bytes+5, u.Messages+1
		if err != nil || got != want {
			t.Errorf("Parse(%q) = %+v, %v, want %+v", u.File(), got, err, want)
		}
		if l, ok := Limits(u.File()); !ok || l.MaxBytes != u.MaxBytes || l.MaxMessages != u.MaxMessages || l.Bytes != 0 {
			t.Errorf("Limits(%q) = %+v, %t", u.File(), l, ok)
		}
	}
	if (Usage{Bytes: 5}).File() != nil {
		t.Error("a file without a limit")
	}
	if _, ok := Limits([]byte("20S")); ok {
		t.Error("half a line is a limit")
	}
}

func TestFileSize(t *testing.T) {
	for name, want := range map[string]int64{
		"1.M2P3.h,S=251,W=263": 251, "1.M2P3.h,S=251,W=263:2,S": 251, "1.h,W=5,S=4": 4,
		"1.h": -1, "1.h:2,S=5": -1, "1.h,S=x": -1, "1.h,S=-1": -1, "1.h,S=99999999999999999999": -1,
	} {
		got, ok := FileSize(name)
		if !ok {
			got = -1
		}
		if got != want {
			t.Errorf("FileSize(%q) = %d, want %d", name, got, want)
		}
	}
}
