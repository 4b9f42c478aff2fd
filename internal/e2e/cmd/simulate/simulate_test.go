//go:build linux

package main

import (
	"flag"
	"math"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// usual is the plan of the flags' defaults.
func usual(t *testing.T, args ...string) plan {
	t.Helper()
	var p plan
	f := flag.NewFlagSet("", flag.ContinueOnError)
	p.flags(f)
	if err := f.Parse(args); err != nil {
		t.Fatal(err)
	}
	return p
}

// some is what might have been measured.
func some() *measured {
	m := &measured{Each: 200, Machine: "2 CPUs (a processor with a long name), 2026-11-20", TakeAll: 20_000, SetGet: 40_000, Select: 20_000,
		Life:     map[string]time.Duration{messageIDs: 90 * 24 * time.Hour, pairs: 90 * 24 * time.Hour, "delivery": 121 * time.Hour, "counter": time.Hour, "stream": 720 * time.Hour},
		RowBytes: map[string]float64{messageIDs: 209, pairs: 170, "delivery": 415, "counter": 224, "stream": 7381}}
	for k := range m.Kinds {
		m.Kinds[k] = counts{limits: 2, bans: 0.01, stream: 0.02, others: 12.3, redisBytes: 4321, selects: 7, changes: 0.2, mariaBytes: 3210,
			records: 5, journalBytes: 4200, gatepost: 0.0066, postfix: 0.0045}
	}
	m.Rows[kindSent] = map[string]float64{messageIDs: 1, pairs: 1, "counter": 1}
	m.Rows[kindAccepted] = map[string]float64{"delivery": 1}
	m.Idle = counts{others: 6, selects: 2, gatepost: 0.006}
	return m
}

func TestPerSecond(t *testing.T) {
	for _, tc := range []struct {
		name string
		args []string
		want [numKinds]float64 // a day
	}{
		{"as it is", nil, [numKinds]float64{kindAccepted: 42.5e6, kindRefused: 17e6, kindWaits: 5.1e6, kindUnknown: 20.4e6,
			kindFirstLogin: 1.92e6, kindLogin: 94.08e6, kindSent: 15e6, kindLearn: 20e3}},
		{"all is spam", []string{"-spam=1", "-out=0", "-early=0", "-logins=0", "-learns=0"}, [numKinds]float64{kindRefused: 1e8}},
		{"all is sent", []string{"-out=1", "-logins=0", "-learns=0"}, [numKinds]float64{kindSent: 1e8}},
	} {
		p := usual(t, tc.args...)
		for k, got := range p.perSecond() {
			if math.Abs(got*day-tc.want[k]) > 1 {
				t.Errorf("%s: %s: %v a day, want %v", tc.name, kinds[k].name, got*day, tc.want[k])
			}
		}
	}
}

func TestValidate(t *testing.T) {
	for _, tc := range []struct{ arg, fault string }{
		{"-hosts=10", ""}, {"-hosts=0", "-hosts"}, {"-spam=1.1", "-spam"}, {"-spam=-0.1", "-spam"}, {"-peak=NaN", "-peak"}, {"-mailboxes=Inf", "-mailboxes"},
	} {
		p := usual(t, tc.arg)
		if err := p.validate(); (err == nil) != (tc.fault == "") || err != nil && !strings.Contains(err.Error(), tc.fault) {
			t.Errorf("%s: %v, want a fault of %q", tc.arg, err, tc.fault)
		}
	}
}

func TestLoad(t *testing.T) {
	m, p := some(), usual(t, "-out=1", "-logins=0", "-learns=0", "-messages=86400")
	if got := p.load(m, 3); got.limits != 6 || math.Abs(got.others-(3*12.3+10*6)) > 1e-9 || math.Abs(got.selects-(3*7+10*2)) > 1e-9 {
		t.Errorf("one message a second, three at peak, ten hosts: %+v", got)
	}
	p = usual(t, "-messages=1", "-learns=0.0864", "-logins=0")
	if got := p.load(m, 1).gatepost; math.Abs(got-(0.0066*10+10*0.006)) > 1e-3 {
		t.Errorf("one learn a second on ten hosts takes %v s, want it on each host", got)
	}
}

func TestRows(t *testing.T) {
	m, p := some(), usual(t)
	for _, r := range p.rows(m) {
		want := map[string]float64{messageIDs: 15e6 * 90, pairs: 1e8, "delivery": 42.5e6 * 121 / 24, "counter": 15e6 / 24, "stream": 100_000}[r.table]
		if math.Abs(r.rows-want) > 1 {
			t.Errorf("%s: %v rows, want %v", r.table, r.rows, want)
		}
	}
}

func TestHeadroom(t *testing.T) {
	m := some()
	find := func(p plan, name string) part {
		for _, q := range p.parts(m) {
			if q.name == name {
				return q
			}
		}
		t.Fatal("there is no " + name)
		return part{}
	}
	one, four := usual(t), usual(t, "-redis-masters=4", "-replicas=4")
	if a, b := find(one, "Redis: memory").headroom(), find(four, "Redis: memory").headroom(); math.Abs(b/a-4) > 1e-9 {
		t.Errorf("four masters have %v times the memory, want 4", b/a)
	}
	if a, b := find(one, "MariaDB: look-ups").headroom(), find(four, "MariaDB: look-ups").headroom(); math.Abs(b/a-2) > 1e-9 {
		t.Errorf("four servers in place of two answer %v times as much, want 2", b/a)
	}
	many := usual(t, "-redis-masters=1000000")
	c := many.load(m, many.peak)
	limits := c.limits/m.TakeAll + c.hot/m.SetGet
	if got := find(many, "Redis: the master of the limits").need; math.Abs(got-limits) > 0.01 {
		t.Errorf("with many masters that of the limits needs %v, want %v, which no Cluster divides", got, limits)
	}
}

func TestRequest(t *testing.T) {
	for line, want := range map[string]counts{
		`1.1 [0 127.0.0.1:5] "evalsha" "abc" "1" "gp1:{l}c:x"`:       {limits: 1},
		`1.1 [0 lua] "SET" "gp1:{l}c:x" "y"`:                         {},
		`1.1 [0 127.0.0.1:5] "get" "gp1:{}e:sent:x"`:                 {others: 1},
		`1.1 [0 127.0.0.1:5] "xread" "streams" "gp1:{}s:learn" "0"`:  {stream: 1},
		`1.1 [0 127.0.0.1:5] "evalsha" "abc" "3" "gp1:{ban}h"`:       {bans: 1},
		`1.1 [0 127.0.0.1:5] "info" "stats"`:                         {},
		`1.1 [0 127.0.0.1:5] "ping"`:                                 {},
		"+OK":                                                        {},
		`1.1 [0 127.0.0.1:5] "set" "gp1:{}e:author:] \"x" "lua] \n"`: {others: 1},
	} {
		var got counts
		got.request(line + "\r\n")
		if got != want {
			t.Errorf("%s counts as %+v, want %+v", line, got, want)
		}
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.0001: "0", 0.007: "0.007", 0.15: "0.1", 1: "1", 1.25: "1.2", 12.6: "13", 123456: "123,456", 1e8: "100,000,000", 289_894_799: "290,000,000", 999_999_999: "1,000,000,000", -1234: "-1,234"} {
		if got := number(v); got != want {
			t.Errorf("number(%v) = %q, want %q", v, got, want)
		}
	}
}

// TestText: no line is wider than a terminal of 100 columns.
func TestText(t *testing.T) {
	for line := range strings.Lines(textOf(tablesOf(some(), usual(t)))) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 100 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

func TestBetween(t *testing.T) {
	for _, tc := range []struct{ page, want string }{
		{"a\n" + begins + "old\n" + ends + "\nb\n", "a\n" + begins + "\nnew\n\n" + ends + "\nb\n"},
		{"a\n" + begins, ""},
		{"a\n" + ends, ""},
		{"a\n", ""},
	} {
		got, err := between(tc.page, "new\n")
		if got != tc.want || (err == nil) != (tc.want != "") {
			t.Errorf("between(%q) = %q, %v, want %q", tc.page, got, err, tc.want)
		}
	}
}

// TestPage: docs/scale.md keeps the tables that the tool writes.
func TestPage(t *testing.T) {
	b, err := os.ReadFile("../../../../docs/scale.md")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := between(string(b), ""); err != nil {
		t.Fatal(err)
	}
	for _, tab := range tablesOf(some(), usual(t)) {
		if head := "| " + strings.Join(tab.head, " | ") + " |\n"; !strings.Contains(string(b), head) {
			t.Errorf("docs/scale.md has no table %s", head)
		}
		if tab.title == "Assumptions, each a flag" {
			for _, r := range tab.rows {
				if !strings.Contains(string(b), "| "+strings.Join(r, " | ")+" |") {
					t.Errorf("docs/scale.md keeps another assumption than %v", r)
				}
			}
		}
	}
}
