package fail2ban

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// day and the other units are fail2ban's: a month is the twelfth of a year of
// 365.25 days.
const (
	day   = 24 * time.Hour
	week  = 7 * day
	year  = 36525 * day / 100
	month = year / 12
)

// unitOf returns what a letter or word of a time stands for. "m" is a minute.
func unitOf(word string) (time.Duration, bool) {
	switch strings.ToLower(word) {
	case "s", "ss", "se", "sec", "second", "seconds":
		return time.Second, true
	case "m", "mm", "mi", "min", "minute", "minutes":
		return time.Minute, true
	case "h", "hh", "ho", "hou", "hour", "hours":
		return time.Hour, true
	case "d", "dd", "da", "day", "days":
		return day, true
	case "w", "ww", "we", "wee", "week", "weeks":
		return week, true
	case "mo", "mon", "month", "months":
		return month, true
	case "y", "yy", "ye", "yea", "year", "years":
		return year, true
	}
	return 0, false
}

// parseSeconds reads a time as fail2ban does: "600", "10m", "1d 12h", "1d12h",
// "60*60*24". A negative one, which is for ever, is -1.
func parseSeconds(s string) (time.Duration, error) {
	bad := fmt.Errorf("%.60q is not a time such as 600, 10m or 1d 12h", s)
	rest := strings.TrimSpace(s)
	if len(rest) > 200 || rest == "" {
		return 0, bad
	}
	if n, err := strconv.ParseInt(rest, 10, 64); err == nil && n < 0 {
		return -1, nil
	}
	total, sign := 0.0, 1.0
	for rest != "" {
		value, after, ok := parseTerm(rest)
		if !ok {
			return 0, bad
		}
		total += sign * value
		rest = strings.TrimSpace(after)
		sign = 1
		if rest != "" && (rest[0] == '+' || rest[0] == '-') {
			if rest[0] == '-' {
				sign = -1
			}
			if rest = strings.TrimSpace(rest[1:]); rest == "" {
				return 0, bad
			}
		}
	}
	if total < 0 || total > math.MaxInt64/1e9/2 {
		return 0, bad
	}
	return time.Duration(total * 1e9).Round(time.Second), nil
}

// parseTerm reads a number with a unit or without, and factors behind it, in
// seconds.
func parseTerm(s string) (value float64, rest string, ok bool) {
	for value = 1; ; {
		n := 0
		for n < len(s) && (s[n] >= '0' && s[n] <= '9' || s[n] == '.') {
			n++
		}
		f, err := strconv.ParseFloat(s[:n], 64)
		if err != nil {
			return 0, "", false
		}
		value *= f
		s = strings.TrimLeft(s[n:], " \t")
		if n = letters(s); n > 0 {
			u, known := unitOf(s[:n])
			if !known {
				return 0, "", false
			}
			value *= u.Seconds()
			s = strings.TrimLeft(s[n:], " \t")
		}
		if !strings.HasPrefix(s, "*") {
			return value, s, true
		}
		s = strings.TrimLeft(s[1:], " \t")
	}
}

func letters(s string) int {
	n := 0
	for n < len(s) && (s[n] >= 'a' && s[n] <= 'z' || s[n] >= 'A' && s[n] <= 'Z') {
		n++
	}
	return n
}
