package header

import (
	"errors"
	"strings"
	"time"
)

// ErrDate is the error of ParseDate.
var ErrDate = errors.New("not a date")

// dateLayouts are the forms of RFC 5322 §3.3, with and without seconds, and
// with a year of two digits (§4.3); the day of the week is gone by then.
var dateLayouts = []string{
	"2 Jan 2006 15:04:05 -0700",
	"2 Jan 2006 15:04 -0700",
	"2 Jan 06 15:04:05 -0700",
	"2 Jan 06 15:04 -0700",
}

// zones are the obsolete names of RFC 5322 §4.3.
var zones = map[string]string{
	"UT": "+0000", "UTC": "+0000", "GMT": "+0000", "Z": "+0000",
	"EST": "-0500", "EDT": "-0400", "CST": "-0600", "CDT": "-0500",
	"MST": "-0700", "MDT": "-0600", "PST": "-0800", "PDT": "-0700",
}

// ParseDate reads the unfolded value of a Date field (RFC 5322 §3.3 and the
// obsolete forms of §4.3). A comment at its end is passed over. A zone of
// letters that §4.3 does not name is -0000, as it asks.
func ParseDate(s string) (time.Time, error) {
	if len(s) > 200 {
		return time.Time{}, ErrDate
	}
	s, _, _ = strings.Cut(s, "(")
	if day, rest, ok := strings.Cut(s, ","); ok {
		if strings.ContainsAny(day, "0123456789") {
			return time.Time{}, ErrDate
		}
		s = rest
	}
	words := strings.Fields(s)
	if len(words) < 4 {
		return time.Time{}, ErrDate
	}
	switch zone := words[len(words)-1]; {
	case strings.Contains(zone, ":"): // none at all
		return time.Time{}, ErrDate
	case zone[0] != '+' && zone[0] != '-':
		offset, ok := zones[strings.ToUpper(zone)]
		if !ok {
			offset = "+0000"
		}
		words[len(words)-1] = offset
	}
	s = strings.Join(words, " ")
	for _, layout := range dateLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, ErrDate
}
