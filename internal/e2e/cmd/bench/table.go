package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// result is one line of the table. The figures are medians over the rounds; the
// ratio is the median of the ratios of the single rounds, each within one run.
type result struct {
	Work        string  `json:"work"`
	PerSecond   float64 `json:"per_second"`
	NsPerOp     float64 `json:"ns_per_op"`
	MBPerSecond float64 `json:"mb_per_second,omitempty"`
	BytesPerOp  float64 `json:"bytes_per_op"`
	AllocsPerOp float64 `json:"allocs_per_op"`
	// Figure is what counts instead of the time, in Unit.
	Figure float64 `json:"figure,omitempty"`
	Unit   string  `json:"unit,omitempty"`

	// Null, NullNsPerOp and Ratio are zero where nothing bare does the same.
	Null        string  `json:"null,omitempty"`
	NullNsPerOp float64 `json:"null_ns_per_op,omitempty"`
	// Ratio is the rate in parts of Null's rate; Ratios has each round's.
	Ratio  float64   `json:"ratio,omitempty"`
	Ratios []float64 `json:"ratios,omitempty"`

	// Budget is empty where there is none, and Met false then.
	Budget string `json:"budget,omitempty"`
	Met    bool   `json:"met"`
}

// judge makes the line of w from the figures of each round. It returns the
// benchmark that is missing from a round, or "".
func judge(w work, rounds []map[string]figures) (r result, missing string) {
	r = result{Work: w.Name, Null: w.NullName, Unit: w.Unit}
	var ns, null, mb, bytes, allocs, own []float64
	for _, found := range rounds {
		for _, name := range w.benches() {
			if _, ok := found[name]; !ok {
				return result{}, name
			}
		}
		f := found[w.Bench]
		ns, mb = append(ns, f.NsPerOp), append(mb, f.MBPerSecond)
		bytes, allocs = append(bytes, f.BytesPerOp), append(allocs, f.AllocsPerOp)
		v, ok := f.of(w.Unit)
		if !ok {
			return result{}, w.Bench + " with " + w.Unit
		}
		own = append(own, v)
		if w.Null != "" {
			n, ok := found[w.Null].of(w.Unit)
			if !ok {
				return result{}, w.Null + " with " + w.Unit
			}
			null, r.Ratios = append(null, found[w.Null].NsPerOp), append(r.Ratios, n/v)
		}
	}
	r.NsPerOp, r.MBPerSecond = median(ns), median(mb)
	r.BytesPerOp, r.AllocsPerOp = median(bytes), median(allocs)
	r.PerSecond = float64(time.Second) / r.NsPerOp
	if w.Unit != "" {
		r.Figure = median(own)
	}
	if w.Null != "" {
		r.NullNsPerOp, r.Ratio = median(null), median(r.Ratios)
	}
	switch {
	case w.Least > 0:
		r.Budget, r.Met = fmt.Sprintf("at least %.2f", w.Least), r.Ratio >= w.Least
	case w.MostOf > 0:
		r.Budget, r.Met = "at most "+number(w.MostOf)+" "+w.Unit, r.Figure <= w.MostOf
	case w.LeastOf > 0:
		r.Budget, r.Met = "at least "+number(w.LeastOf)+" "+w.Unit, r.Figure >= w.LeastOf
	case w.Most > 0:
		r.Budget, r.Met = fmt.Sprintf("at most %s µs", group(float64(w.Most.Microseconds()))), r.NsPerOp <= float64(w.Most)
	}
	return r, ""
}

// median returns the middle one of v, or the mean of the middle two; 0 for none.
func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(v))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// head is the first line of the table.
var head = []string{"work", "per second", "µs each", "what counts", "held against", "its µs", "ratio", "rounds", "budget", "met"}

// cells returns r as the cells under head.
func (r result) cells() []string {
	c := []string{r.Work, group(r.PerSecond), micro(r.NsPerOp), "–", "–", "–", "–", "–", "–", "–"}
	if r.Unit != "" {
		c[3] = number(r.Figure) + " " + r.Unit
	}
	if r.Ratio > 0 {
		least, most := slices.Min(r.Ratios), slices.Max(r.Ratios)
		c[4], c[5], c[6] = r.Null, micro(r.NullNsPerOp), part(r.Ratio)
		c[7] = part(least) + "–" + part(most)
	}
	if r.Budget != "" {
		c[8], c[9] = r.Budget, "no"
		if r.Met {
			c[9] = "yes"
		}
	}
	return c
}

// part writes a ratio rounded down, so that one that misses its budget never
// looks as if it met it.
func part(ratio float64) string {
	return strconv.FormatFloat(math.Floor(ratio*100+1e-9)/100, 'f', 2, 64)
}

// micro writes nanoseconds as microseconds, with three digits at least.
func micro(ns float64) string {
	us := ns / 1000
	switch {
	case us >= 100:
		return group(us)
	case us >= 10:
		return strconv.FormatFloat(us, 'f', 1, 64)
	}
	return strconv.FormatFloat(us, 'f', 2, 64)
}

// number writes a figure with three digits at least.
func number(v float64) string {
	if v >= 100 || v == math.Trunc(v) {
		return group(v)
	}
	if v < 10 {
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return strconv.FormatFloat(v, 'f', 1, 64)
}

// group writes a number without fraction, with a comma before each three digits.
func group(v float64) string {
	s := strconv.FormatInt(int64(math.Round(v)), 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// writeTable writes results for a terminal.
func writeTable(w io.Writer, m machine, all []result) error {
	fmt.Fprintln(w, m.line())
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, strings.Join(head, "\t"))
	for _, r := range all {
		fmt.Fprintln(t, strings.Join(r.cells(), "\t"))
	}
	return t.Flush()
}

// writeMarkdown writes what docs/benchmarks.md keeps.
func writeMarkdown(w io.Writer, m machine, all []result) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", m.line())
	fmt.Fprintf(&b, "| %s |\n", strings.Join(head, " | "))
	fmt.Fprintf(&b, "| --- | --: | --: | --: | --- | --: | --: | --- | --- | --- |\n")
	for _, r := range all {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(r.cells(), " | "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeJSON writes all that is known, for a script.
func writeJSON(w io.Writer, m machine, all []result) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(struct {
		Machine machine  `json:"machine"`
		Results []result `json:"results"`
	}{m, all})
}
