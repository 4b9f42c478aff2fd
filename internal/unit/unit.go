// Package unit has the value types of settings: times and sizes with units,
// modes, and rates.
package unit

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Duration is a time span that is written with its unit: "300s", "10m", "5d".
type Duration time.Duration

// UnmarshalText reads a whole number and one of s, m, h, d, w (Postfix's
// units), or ms; a sequence such as "1h30m" is right too. Negative spans and
// bare numbers are refused: a number without a unit is how limits go wrong.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := ParseDuration(string(b))
	if err != nil {
		return err
	}
	*d = Duration(v)
	return nil
}

// MarshalText writes d as UnmarshalText reads it, with the largest unit that
// loses nothing.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// String is the text of MarshalText.
func (d Duration) String() string {
	v := time.Duration(d)
	for _, u := range spans {
		if u.span != 7*24*time.Hour && v != 0 && v%u.span == 0 {
			return strconv.FormatInt(int64(v/u.span), 10) + u.name
		}
	}
	return strconv.FormatInt(v.Milliseconds(), 10) + "ms"
}

// Std returns d for the standard library.
func (d Duration) Std() time.Duration { return time.Duration(d) }

var spans = []struct {
	name string
	span time.Duration
}{
	{"w", 7 * 24 * time.Hour},
	{"d", 24 * time.Hour},
	{"h", time.Hour},
	{"m", time.Minute},
	{"s", time.Second},
	{"ms", time.Millisecond},
}

// maxDuration keeps arithmetic with any time of this century from overflowing.
const maxDuration = 100 * 365 * 24 * time.Hour

// ParseDuration reads what Duration.UnmarshalText does.
func ParseDuration(s string) (time.Duration, error) {
	rest, total := s, time.Duration(0)
	for rest != "" {
		n := 0
		for n < len(rest) && rest[n] >= '0' && rest[n] <= '9' {
			n++
		}
		u := n
		for u < len(rest) && rest[u] >= 'a' && rest[u] <= 'z' {
			u++
		}
		span := spanOf(rest[n:u])
		v, err := strconv.ParseInt(rest[:n], 10, 64)
		if err != nil || span == 0 || v > int64(maxDuration/span) || total > maxDuration-time.Duration(v)*span {
			return 0, fmt.Errorf("%q is not a time span such as 30s, 10m, 12h or 7d", s)
		}
		total += time.Duration(v) * span
		rest = rest[u:]
	}
	if s == "" {
		return 0, fmt.Errorf("a time span is missing, such as 30s, 10m, 12h or 7d")
	}
	return total, nil
}

func spanOf(name string) time.Duration {
	for _, u := range spans {
		if u.name == name {
			return u.span
		}
	}
	return 0
}

// Size is a number of bytes that is written with its unit: "25MB", "64KiB".
type Size int64

// UnmarshalText reads a whole number and one of B, KB, MB, GB, TB or KiB, MiB,
// GiB, TiB; both families are powers of 1024, as mail servers have it.
func (z *Size) UnmarshalText(b []byte) error {
	s := string(b)
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	v, err := strconv.ParseInt(s[:n], 10, 64)
	shift := sizeShift(strings.TrimPrefix(s[n:], " "))
	if err != nil || shift < 0 || v > (1<<62)>>shift {
		return fmt.Errorf("%q is not a size such as 512KB, 25MB or 2GB", s)
	}
	*z = Size(v << shift)
	return nil
}

func sizeShift(unit string) int {
	switch unit {
	case "B":
		return 0
	case "KB", "KiB":
		return 10
	case "MB", "MiB":
		return 20
	case "GB", "GiB":
		return 30
	case "TB", "TiB":
		return 40
	}
	return -1
}

// MarshalText writes z as UnmarshalText reads it.
func (z Size) MarshalText() ([]byte, error) { return []byte(z.String()), nil }

// String is the text of MarshalText.
func (z Size) String() string {
	units := []string{"B", "KB", "MB", "GB", "TB"}
	v, u := int64(z), 0
	for v != 0 && v%1024 == 0 && u < len(units)-1 {
		v /= 1024
		u++
	}
	return strconv.FormatInt(v, 10) + units[u]
}

// Mode says whether a rule, a limit or a ban bites.
type Mode string

// The modes. Observe does all of Enforce's work and journals what it would
// have done.
const (
	Off     Mode = "off"
	Observe Mode = "observe"
	Enforce Mode = "enforce"
)

// UnmarshalText accepts the three modes.
func (m *Mode) UnmarshalText(b []byte) error {
	switch v := Mode(b); v {
	case Off, Observe, Enforce:
		*m = v
		return nil
	}
	return fmt.Errorf("%q is not a mode: use off, observe or enforce", b)
}

// Rate is so many in so long: "200/1h".
type Rate struct {
	Count  int64
	Window time.Duration
}

// UnmarshalText reads "COUNT/SPAN", where SPAN is a Duration or one of second,
// minute, hour, day: "200/hour" and "200/1h" are the same.
func (r *Rate) UnmarshalText(b []byte) error {
	count, span, ok := strings.Cut(string(b), "/")
	n, err := strconv.ParseInt(strings.TrimSpace(count), 10, 64)
	span = strings.TrimSpace(span)
	if word, known := map[string]string{"second": "1s", "minute": "1m", "hour": "1h", "day": "1d"}[span]; known {
		span = word
	}
	w, werr := ParseDuration(span)
	if !ok || err != nil || werr != nil || n < 0 || w <= 0 {
		return fmt.Errorf("%q is not a rate such as 200/hour or 30/10m", b)
	}
	*r = Rate{Count: n, Window: w}
	return nil
}

// MarshalText writes r as UnmarshalText reads it.
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// String is the text of MarshalText.
func (r Rate) String() string {
	return strconv.FormatInt(r.Count, 10) + "/" + Duration(r.Window).String()
}
