package unit

import (
	"testing"
	"time"
)

func TestDuration(t *testing.T) {
	for _, tc := range []struct {
		in, out string
		want    time.Duration
	}{
		{"30s", "30s", 30 * time.Second},
		{"10m", "10m", 10 * time.Minute},
		{"1h30m", "90m", 90 * time.Minute},
		{"5d", "5d", 120 * time.Hour},
		{"1w", "7d", 168 * time.Hour},
		{"300ms", "300ms", 300 * time.Millisecond},
		{"0s", "0ms", 0},
		{"30", "", 0},
		{"-5s", "", 0},
		{"", "", 0},
		{"5 minutes", "", 0},
		{"99999999999999999h", "", 0},
	} {
		var d Duration
		err := d.UnmarshalText([]byte(tc.in))
		if (err != nil) != (tc.out == "") || d.Std() != tc.want || err == nil && d.String() != tc.out {
			t.Errorf("Duration(%q) = %v (%s), %v, want %v (%s)", tc.in, d.Std(), d, err, tc.want, tc.out)
		}
	}
}

func TestSize(t *testing.T) {
	for _, tc := range []struct {
		in, out string
		want    Size
	}{
		{"25MB", "25MB", 25 << 20},
		{"64KiB", "64KB", 64 << 10},
		{"1500B", "1500B", 1500},
		{"0B", "0B", 0},
		{"25", "", 0},
		{"25mb", "", 0},
		{"9999999999TB", "", 0},
	} {
		var z Size
		err := z.UnmarshalText([]byte(tc.in))
		if (err != nil) != (tc.out == "") || z != tc.want || err == nil && z.String() != tc.out {
			t.Errorf("Size(%q) = %d (%s), %v, want %d (%s)", tc.in, z, z, err, tc.want, tc.out)
		}
	}
}

func TestRate(t *testing.T) {
	for _, tc := range []struct {
		in, out string
	}{
		{"200/hour", "200/1h"},
		{"30/10m", "30/10m"},
		{"1000/day", "1000/1d"},
		{"200", ""},
		{"-1/hour", ""},
		{"5/0s", ""},
	} {
		var r Rate
		err := r.UnmarshalText([]byte(tc.in))
		if (err != nil) != (tc.out == "") || err == nil && r.String() != tc.out {
			t.Errorf("Rate(%q) = %s, %v, want %s", tc.in, r, err, tc.out)
		}
	}
}
