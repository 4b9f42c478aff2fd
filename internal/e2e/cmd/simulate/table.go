//go:build linux

package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// table is one of the output. The first column is left-aligned.
type table struct {
	title string
	head  []string
	rows  [][]string
}

// tablesOf returns what was measured and what follows from it.
func tablesOf(m *measured, p plan) []table {
	return []table{m.costs(), m.answers(), p.stated(), p.atPeak(m), p.memoryTable(m), p.firstToGive(m), p.sizes(m)}
}

// costs is what one of each kind asks.
func (m *measured) costs() table {
	t := table{title: fmt.Sprintf("What one of each asks (%d of each measured; %s)", m.Each, m.Machine),
		head: []string{"one", "limits", "bans", "other", "KB", "MariaDB", "KB", "journal", "KB", "ms", "Postfix ms"}}
	number := func(v float64) string { return number(max(v, 0)) } // what is idle goes up and down
	line := func(name string, c counts) {
		t.rows = append(t.rows, []string{name, number(c.limits), number(c.bans), number(c.others + c.hot + c.stream), number(c.redisBytes / 1e3),
			number(c.selects + c.changes), number(c.mariaBytes / 1e3), number(c.records), number(c.journalBytes / 1e3),
			number(c.gatepost * 1e3), number(c.postfix * 1e3)})
	}
	for k, c := range m.Kinds {
		line(kinds[k].name, c)
	}
	line("an idle host, each second", m.Idle)
	return t
}

// answers is what the servers do on this machine, with who asks on it, too.
func (m *measured) answers() table {
	return table{title: "What a server answers here, 16 askers on the same processors", head: []string{"server", "requests a second"}, rows: [][]string{
		{"Redis: two limits counted by one EVALSHA", number(m.TakeAll)},
		{"Redis: SET and GET of 100 bytes, redis-benchmark", number(m.SetGet)},
		{"MariaDB: a user by address", number(m.Select)},
	}}
}

// stated is what is assumed.
func (p *plan) stated() table {
	t := table{title: "Assumptions, each a flag", head: []string{"flag", "value", "what"}}
	for _, a := range p.assumptions() {
		t.rows = append(t.rows, []string{"-" + a.name, exact(*a.to), a.says})
	}
	return t
}

// atPeak is what each store is asked.
func (p *plan) atPeak(m *measured) table {
	c, u := p.load(m, p.peak), p.load(m, 1)
	var messages float64
	for k, n := range p.perSecond() {
		if k != kindFirstLogin && k != kindLogin && k != kindLearn {
			messages += n * p.peak
		}
	}
	h := p.hosts
	t := table{title: fmt.Sprintf("At peak: %s messages and %s logins a second", number(messages), number(p.mailboxes*p.logins/3600*p.peak)),
		head: []string{"store", "requests/s", "MB/s", "a day", "divided by"}}
	add := func(name string, requests, bytes, perDay float64, by string) {
		t.rows = append(t.rows, []string{name, number(requests), number(bytes / 1e6), number(perDay*day/gb) + " GB", by})
	}
	add("Redis: limits", c.limits, 0, 0, "nothing: one slot")
	add("Redis: bans", c.bans, 0, 0, "nothing: one slot; each host has a copy")
	add("Redis: learn stream", c.stream, 0, 0, "nothing: one key")
	add("Redis: when the memory began", c.hot, 0, 0, "nothing: one key, in each message")
	add("Redis: all else", c.others, 0, 0, "key")
	add("Redis, all of it", c.limits+c.bans+c.stream+c.hot+c.others, c.redisBytes, u.redisBytes, "")
	add("MariaDB", c.selects+c.changes, c.mariaBytes, u.mariaBytes, "replicas: any answers")
	add("journal, each host", c.records/h, c.journalBytes/h, u.journalBytes/h, "host")
	add("classifier, each host: learns", p.perSecond()[kindLearn]*p.peak, p.perSecond()[kindLearn]*p.peak*m.RowBytes["stream"],
		p.perSecond()[kindLearn]*m.RowBytes["stream"], "nothing: each host has all")
	for _, r := range t.rows[:5] {
		r[2], r[3] = "–", "–"
	}
	return t
}

// memoryTable is what lies in Redis.
func (p *plan) memoryTable(m *measured) table {
	t := table{title: "What lies in Redis", head: []string{"table", "rows", "bytes each", "kept days", "GB"}}
	var sum float64
	for _, r := range p.rows(m) {
		sum += r.rows * r.bytes
		t.rows = append(t.rows, []string{r.table, number(r.rows), number(r.bytes), number(r.days), number(r.rows * r.bytes / gb)})
	}
	t.rows = append(t.rows, []string{"all", "", "", "", number(sum / gb)})
	return t
}

// firstToGive has the parts by their headroom.
func (p *plan) firstToGive(m *measured) table {
	t := table{title: "What gives way first", head: []string{"part", "needs at peak", "has", "headroom", "divided"}}
	parts := p.parts(m)
	slices.SortStableFunc(parts, func(a, b part) int { return cmp(a.headroom(), b.headroom()) })
	for _, q := range parts {
		t.rows = append(t.rows, []string{q.name, number(q.need) + " " + q.unit, number(q.has), number(q.headroom()) + " ×", q.shard})
	}
	return t
}

func cmp(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// sizes is what installations of three sizes need, with as many messages of a
// mailbox as the plan has.
func (p *plan) sizes(m *measured) table {
	t := table{title: "What to buy, at the same use of each mailbox", head: []string{"mailboxes", "messages/day", "peak/s",
		"processors", "Redis GB", "Redis/s", "MariaDB/s", "journal GB/day"}}
	for _, n := range []float64{1e3, 1e5, 1e6} {
		q := *p
		q.mailboxes, q.messages, q.hosts = n, p.messages/p.mailboxes*n, max(1, math.Ceil(p.hosts*n/p.mailboxes))
		c, u := q.load(m, q.peak), q.load(m, 1)
		var memory float64
		for _, r := range q.rows(m) {
			memory += r.rows * r.bytes
		}
		t.rows = append(t.rows, []string{number(n), number(q.messages), number(q.messages / day * q.peak), number(math.Ceil((c.gatepost + c.postfix) * 1.5)),
			number(memory / memoryShare / gb), number(c.limits + c.bans + c.stream + c.hot + c.others), number(c.selects + c.changes), number(u.journalBytes * day / gb)})
	}
	return t
}

// exact writes a flag's value.
func exact(v float64) string {
	if v >= 1000 && v == math.Trunc(v) {
		return number(v)
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// number writes a figure with two digits at least, and a comma before each
// three. Of millions it writes three digits.
func number(v float64) string {
	a := math.Abs(v)
	if a >= 1e6 {
		unit := math.Pow(10, math.Floor(math.Log10(a))-2)
		v = math.Round(v/unit) * unit
	}
	switch {
	case a >= 100:
		s := strconv.FormatFloat(math.Round(v), 'f', 0, 64)
		for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
			s = s[:i] + "," + s[i:]
		}
		return s
	case a >= 10 || a == math.Trunc(a):
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a >= 0.095:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case a < 0.0005:
		return "0"
	}
	return strconv.FormatFloat(v, 'g', 1, 64)
}

// textOf writes tables for a terminal.
func textOf(all []table) string {
	var b strings.Builder
	for i, t := range all {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(t.title + "\n\n")
		width := make([]int, len(t.head))
		lines := append([][]string{t.head}, t.rows...)
		for _, l := range lines {
			for c, cell := range l {
				width[c] = max(width[c], utf8.RuneCountInString(cell))
			}
		}
		for _, l := range lines {
			var line string
			for c, cell := range l {
				space := strings.Repeat(" ", width[c]-utf8.RuneCountInString(cell))
				if c == 0 || isWords(t, c) {
					line += cell + space + "  "
				} else {
					line += space + cell + "  "
				}
			}
			b.WriteString(strings.TrimRight(line, " ") + "\n")
		}
	}
	return b.String()
}

// isWords reports whether a column has words.
func isWords(t table, column int) bool {
	return column == len(t.head)-1 && slices.Contains([]string{"what", "divided by", "divided"}, t.head[column])
}

// markdownOf writes what docs/scale.md keeps.
func markdownOf(all []table) string {
	var b strings.Builder
	for i, t := range all {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "**%s**\n\n| %s |\n|", t.title, strings.Join(t.head, " | "))
		for c := range t.head {
			if c == 0 || isWords(t, c) {
				b.WriteString(" --- |")
			} else {
				b.WriteString(" --: |")
			}
		}
		b.WriteByte('\n')
		for _, r := range t.rows {
			fmt.Fprintf(&b, "| %s |\n", strings.Join(r, " | "))
		}
	}
	return b.String()
}

// The marks in docs/scale.md, between which the tables stand.
const (
	begins = "<!-- make simulate begins -->\n"
	ends   = "<!-- make simulate ends -->"
)

var errNoMarks = errors.New("the page has no two marks: " + strings.TrimSpace(begins) + " and " + ends)

// updatePage writes the tables into a page.
func updatePage(path string, all []table) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text, err := between(string(b), markdownOf(all))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

func between(page, text string) (string, error) {
	before, rest, ok1 := strings.Cut(page, begins)
	_, after, ok2 := strings.Cut(rest, ends)
	if !ok1 || !ok2 {
		return "", errNoMarks
	}
	return before + begins + "\n" + text + "\n" + ends + after, nil
}
