package main

import (
	"strconv"
	"strings"
)

// figures are what one benchmark printed, in the units of go test.
type figures struct {
	NsPerOp     float64
	MBPerSecond float64
	BytesPerOp  float64
	AllocsPerOp float64
	// Own has the units of the benchmark's own, nil for none.
	Own map[string]float64
}

// of returns the figure of a unit: one of the benchmark's own, MB/s, or the
// time of one operation for "".
func (f figures) of(unit string) (v float64, ok bool) {
	switch unit {
	case "":
		return f.NsPerOp, true
	case "MB/s":
		return f.MBPerSecond, f.MBPerSecond > 0
	}
	v, ok = f.Own[unit]
	return v, ok
}

// parse reads the output of go test -bench and returns the figures by the whole
// name of the benchmark. procs is GOMAXPROCS of the run, which go test puts
// behind each name unless it is 1. Lines of any other form are passed over: a
// benchmark without a line did not run.
func parse(out string, procs int) map[string]figures {
	found := map[string]figures{}
	for line := range strings.Lines(out) {
		word := strings.Fields(line)
		if len(word) < 4 || len(word)%2 != 0 || !strings.HasPrefix(word[0], "Benchmark") {
			continue
		}
		if n, err := strconv.ParseInt(word[1], 10, 64); err != nil || n < 1 {
			continue
		}
		f, ok := parseFigures(word[2:])
		if !ok {
			continue
		}
		name := word[0]
		if procs > 1 {
			name = strings.TrimSuffix(name, "-"+strconv.Itoa(procs))
		}
		found[name] = f
	}
	return found
}

// parseFigures reads pairs of a number and its unit. A time is needed.
func parseFigures(pairs []string) (f figures, ok bool) {
	for i := 0; i+1 < len(pairs); i += 2 {
		v, err := strconv.ParseFloat(pairs[i], 64)
		if err != nil {
			return figures{}, false
		}
		switch pairs[i+1] {
		case "ns/op":
			f.NsPerOp = v
		case "MB/s":
			f.MBPerSecond = v
		case "B/op":
			f.BytesPerOp = v
		case "allocs/op":
			f.AllocsPerOp = v
		default:
			if f.Own == nil {
				f.Own = map[string]float64{}
			}
			f.Own[pairs[i+1]] = v
		}
	}
	return f, f.NsPerOp > 0
}

// reason returns what go test says about a benchmark that has no figures: the
// lines on skips, failures and panics, or else the last ones.
func reason(out string) string {
	var said, last []string
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		last = append(last, line)
		for _, mark := range []string{"--- SKIP", "--- FAIL", "panic:", "_test.go:", "no test files", "[build failed]", "no such file"} {
			if strings.Contains(line, mark) {
				said = append(said, line)
				break
			}
		}
	}
	const most = 8
	if len(said) == 0 {
		said = last[max(0, len(last)-most):]
	}
	return strings.Join(said[:min(len(said), most)], "\n")
}
