package sieve

import (
	"strconv"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/header"
)

// dateParts are those of RFC 5260 §4.2.
var dateParts = map[string]func(t time.Time) string{
	"year":    func(t time.Time) string { return t.Format("2006") },
	"month":   func(t time.Time) string { return t.Format("01") },
	"day":     func(t time.Time) string { return t.Format("02") },
	"date":    func(t time.Time) string { return t.Format("2006-01-02") },
	"julian":  julian,
	"hour":    func(t time.Time) string { return t.Format("15") },
	"minute":  func(t time.Time) string { return t.Format("04") },
	"second":  func(t time.Time) string { return t.Format("05") },
	"time":    func(t time.Time) string { return t.Format("15:04:05") },
	"iso8601": func(t time.Time) string { return t.Format("2006-01-02T15:04:05-07:00") },
	"std11":   func(t time.Time) string { return t.Format("Mon, 02 Jan 2006 15:04:05 -0700") },
	"zone":    func(t time.Time) string { return t.Format("-0700") },
	"weekday": func(t time.Time) string { return strconv.Itoa(int(t.Weekday())) },
}

// julian is the Modified Julian Day of the date, in its own zone.
func julian(t time.Time) string {
	day := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
	return strconv.Itoa(int(day.Unix()/86400) + 40587)
}

// dateDefs are date and currentdate of RFC 5260.
func dateDefs() []*def {
	zone := tagDef{name: "zone", ext: "date", group: "zone", param: argString}
	return []*def{
		{name: "date", ext: "date", test: true, min: 3, pos: []position{str("header name"), str("date part"), list("key list")},
			tags: [][]tagDef{matchTags, indexTags, {zone, {name: "originalzone", ext: "date", group: "zone"}}}, build: buildDate},
		{name: "currentdate", ext: "date", test: true, min: 2, pos: []position{str("date part"), list("key list")},
			tags: [][]tagDef{matchTags, {zone}}, build: buildCurrentDate},
	}
}

type dateTest struct {
	match    *match
	field    text
	part     text
	zone     text
	zoned    bool // :zone was given
	original bool
	index    index
	current  bool
}

func buildDate(c *compiler, cl *call) any {
	t := &dateTest{match: c.match(cl, cl.pos[2]), field: c.text(cl.pos[0].text, cl.pos[0].at)}
	if !c.index(cl, &t.index) {
		return nil
	}
	return c.dateTest(t, cl, cl.pos[1])
}

func buildCurrentDate(c *compiler, cl *call) any {
	return c.dateTest(&dateTest{match: c.match(cl, cl.pos[1]), current: true}, cl, cl.pos[0])
}

func (c *compiler) dateTest(t *dateTest, cl *call, part *arg) any {
	t.part = c.text(part.text, part.at)
	if u := cl.tags["zone"]; u != nil {
		t.original = u.arg == nil
		if u.arg != nil {
			t.zoned, t.zone = true, c.text(u.arg.text, u.arg.at)
			if _, ok := parseZone(t.zone.lit); t.zone.constant() && !ok {
				c.faults.add(u.arg.at, "%s is no time zone: it is a sign and four digits, as \"+0100\"", quoteShort(t.zone.lit))
				return nil
			}
		}
	}
	if t.part.constant() && dateParts[lowerASCII(t.part.lit)] == nil {
		c.faults.add(part.at, "unknown date part %s", quoteShort(t.part.lit))
		return nil
	}
	if t.match == nil {
		return nil
	}
	return t
}

// parseZone reads "+0130".
func parseZone(s string) (*time.Location, bool) {
	if len(s) != 5 || s[0] != '+' && s[0] != '-' || strings.Trim(s[1:], "0123456789") != "" {
		return nil, false
	}
	h, _ := strconv.Atoi(s[1:3])
	mi, _ := strconv.Atoi(s[3:])
	offset := (h*60 + mi) * 60
	if s[0] == '-' {
		offset = -offset
	}
	return time.FixedZone("", offset), h < 24 && mi < 60
}

func (t *dateTest) eval(m *machine) (bool, error) {
	return t.match.run(m, func(yield func(string) bool) {
		when, ok := t.time(m)
		format := dateParts[lowerASCII(t.part.eval(m))]
		if ok && format != nil {
			yield(format(when))
		}
	})
}

// time returns the time that is looked at, in the zone that was asked for.
func (t *dateTest) time(m *machine) (time.Time, bool) {
	when := m.env.Now
	if !t.current {
		m.spend(20 + len(m.msg.head.list)>>4)
		values := t.index.pick(m.msg.head.raws(lowerASCII(t.field.eval(m))))
		if len(values) == 0 {
			return when, false
		}
		v := values[0]
		if i := strings.LastIndexByte(v, ';'); i >= 0 {
			v = v[i+1:] // Received and the like (RFC 5260 §4)
		}
		var err error
		if when, err = header.ParseDate(v); err != nil {
			return when, false
		}
		if t.original {
			return when, true
		}
		when = when.In(m.env.Now.Location())
	}
	if t.zoned {
		zone, ok := parseZone(t.zone.eval(m))
		if !ok {
			return when, false
		}
		when = when.In(zone)
	}
	return when, true
}
