package policyd

import (
	"strconv"
	"time"

	"github.com/gatepost/gatepost/internal/limit"
	"github.com/gatepost/gatepost/internal/unit"
)

// decideLimits refuses by the first limit that does not allow.
func decideLimits(v *Verdict, f *Facts) {
	for i := range f.Limits {
		r := &f.Limits[i]
		if r.Allowed {
			continue
		}
		mode := unit.Observe
		if r.Limit.Enforced() {
			mode = unit.Enforce
		}
		code := 450
		if r.Never() && f.before(r) == 0 {
			code = 550 // trying again would not help
		}
		v.set(mode, "limit "+r.Limit.Name, refusal(code, "7.1", LimitText(r, f.before(r))))
	}
}

// before returns how much of what r asked for was passed at RCPT before, and is
// not counted.
func (f *Facts) before(r *limit.Result) int64 {
	if !f.Predicted {
		return 0
	}
	switch r.Limit.Counts() {
	case limit.Recipients, limit.DistinctRecipients, limit.NewRecipients:
		return max(r.Asked-1, 0)
	}
	return 0
}

// LimitText names the limit and what was used of it; of one that does not allow
// also whose it is and when it ends. mine is how many recipients the mail in hand
// had before, uncounted.
func LimitText(r *limit.Result, mine int64) string {
	return string(appendLimitText(make([]byte, 0, 192), r, mine))
}

// appendLimitText appends LimitText.
func appendLimitText(b []byte, r *limit.Result, mine int64) []byte {
	b = append(b, "limit "...)
	b = append(b, r.Limit.Name...)
	b = append(b, ": "...)
	b = appendAmount(b, r, r.Used)
	b = append(b, " of "...)
	b = appendAmount(b, r, r.Rate.Count)
	b = append(b, limitWord(r.Limit.Counts())...)
	b = append(b, " in "...)
	b = append(b, r.Span...)
	if r.Allowed {
		return b
	}
	b = append(b, " used by "...)
	b = append(b, shown(r.Key)...)
	switch {
	case mine > 0:
		b = append(b, " and "...)
		b = appendAmount(b, r, mine)
		b = append(b, " by this mail"...)
	case r.Asked > 1:
		b = append(b, ", this mail has "...)
		b = appendAmount(b, r, r.Asked)
	}
	if !r.Ends.IsZero() {
		b = append(b, "; ends "...)
		b = appendMinuteAfter(b, r.Ends)
	}
	return b
}

// limitWord is what a limit counts, after a number.
func limitWord(of limit.Of) string {
	switch of {
	case limit.Bytes:
		return "" // a size has its unit
	case limit.DistinctRecipients:
		return " distinct recipients"
	case limit.NewRecipients:
		return " new recipients"
	case limit.Messages:
		return " messages"
	case limit.Bounces:
		return " bounces"
	}
	return " recipients"
}

// appendAmount writes n, as a size where bytes are counted: rounded down to a
// unit of which there are ten or more.
func appendAmount(b []byte, r *limit.Result, n int64) []byte {
	if r.Limit.Counts() != limit.Bytes {
		return strconv.AppendInt(b, n, 10)
	}
	shift := 0
	for n>>shift >= 10<<10 && shift < 40 {
		shift += 10
	}
	return append(b, unit.Size(n>>shift<<shift).String()...)
}

// minuteAfter is appendMinuteAfter's text.
func minuteAfter(t time.Time) string { return string(appendMinuteAfter(nil, t)) }

// appendMinuteAfter writes t in UTC, rounded up: who tries again at that minute
// is not too early.
func appendMinuteAfter(b []byte, t time.Time) []byte {
	if rounded := t.Truncate(time.Minute); rounded.Before(t) {
		t = rounded.Add(time.Minute)
	}
	return t.UTC().AppendFormat(b, "2006-01-02 15:04 UTC")
}
