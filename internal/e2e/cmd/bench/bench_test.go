package main

import (
	"bytes"
	"maps"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	for _, tc := range []struct {
		name  string
		procs int
		out   string
		want  map[string]figures
	}{
		{"usual", 2, "goos: linux\npkg: x\ncpu: y\nBenchmarkA-2   \t  1234\t    812345 ns/op\nPASS\nok  \tx\t1.2s\n",
			map[string]figures{"BenchmarkA": {NsPerOp: 812345}}},
		{"every unit, and one of its own", 2, "BenchmarkA-2 10 15.5 ns/op 46.25 MB/s 12000 msg/s 96 B/op 3 allocs/op\n",
			map[string]figures{"BenchmarkA": {15.5, 46.25, 96, 3, map[string]float64{"msg/s": 12000}}}},
		{"own unit first", 2, "BenchmarkA-2 10 1e3 req/s 5 ns/op\n", map[string]figures{"BenchmarkA": {NsPerOp: 5, Own: map[string]float64{"req/s": 1000}}}},
		{"one processor has no suffix", 1, "BenchmarkA/4KB/1-rsa 10 5 ns/op\nBenchmarkB/x-2 10 6 ns/op\n",
			map[string]figures{"BenchmarkA/4KB/1-rsa": {NsPerOp: 5}, "BenchmarkB/x-2": {NsPerOp: 6}}},
		{"suffix once", 2, "BenchmarkB/x-2-2 10 6 ns/op\n", map[string]figures{"BenchmarkB/x-2": {NsPerOp: 6}}},
		{"another number is no suffix", 2, "BenchmarkB/x-16-2 10 6 ns/op\n", map[string]figures{"BenchmarkB/x-16": {NsPerOp: 6}}},
		{"with -v", 2, "=== RUN   x\nBenchmarkA\nBenchmarkA-2 10 5 ns/op\nBenchmarkA/b\nBenchmarkA/b-2 10 6 ns/op\n",
			map[string]figures{"BenchmarkA": {NsPerOp: 5}, "BenchmarkA/b": {NsPerOp: 6}}},
		{"skipped", 2, "--- SKIP: BenchmarkA\n    a_test.go:3: not there\nPASS\n", nil},
		{"failed", 2, "BenchmarkA-2 \t--- FAIL: BenchmarkA-2\n    a_test.go:3: broken\nFAIL\n", nil},
		{"a log line in between", 2, "BenchmarkA-2   \t2026/11/20 09:00:00 INFO x\n  10\t 5 ns/op\n", nil},
		{"no time", 2, "BenchmarkA-2 10 5 B/op\n", nil},
		{"no run", 2, "BenchmarkA-2 0 5 ns/op\n", nil},
		{"no number", 2, "BenchmarkA-2 10 five ns/op\n", nil},
		{"odd words", 2, "BenchmarkA-2 10 5 ns/op 7\n", nil},
		{"last one counts", 2, "BenchmarkA-2 10 5 ns/op\nBenchmarkA-2 10 7 ns/op\n", map[string]figures{"BenchmarkA": {NsPerOp: 7}}},
		{"nothing", 2, "", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := parse(tc.out, tc.procs); !maps.EqualFunc(got, tc.want, func(a, b figures) bool { return reflect.DeepEqual(a, b) }) {
				t.Errorf("parse(%q, %d) = %v, want %v", tc.out, tc.procs, got, tc.want)
			}
		})
	}
}

func TestReason(t *testing.T) {
	for _, tc := range []struct{ name, out, want string }{
		{"skip", "goos: linux\n--- SKIP: BenchmarkA\n    a_test.go:3: not there\nPASS\nok x 0.1s\n", "--- SKIP: BenchmarkA\na_test.go:3: not there"},
		{"nothing ran", "PASS\nok  \tx\t0.1s\n", "PASS\nok  \tx\t0.1s"},
		{"build", "# x\n./a.go:3:1: syntax error\nFAIL\tx [build failed]\nFAIL\n", "FAIL\tx [build failed]"},
		{"long", strings.Repeat("line\n", 50), strings.TrimSpace(strings.Repeat("line\n", 8))},
		{"empty", "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := reason(tc.out); got != tc.want {
				t.Errorf("reason = %q, want %q", got, tc.want)
			}
		})
	}
}

func TestPattern(t *testing.T) {
	got := pattern([]string{"BenchmarkSign/4KB/1-rsa", "BenchmarkRSA", "BenchmarkRSA"})
	if want := "^BenchmarkSign$/^4KB$/^1-rsa$|^BenchmarkRSA$"; got != want {
		t.Errorf("pattern = %q, want %q", got, want)
	}
}

func TestJudge(t *testing.T) {
	round := func(ours, null float64) map[string]figures {
		return map[string]figures{"BenchmarkA": {NsPerOp: ours, AllocsPerOp: 3}, "BenchmarkN": {NsPerOp: null}}
	}
	least := work{Name: "a", Package: "x", Bench: "BenchmarkA", Null: "BenchmarkN", NullName: "bare", Least: 0.5}
	own := func(ours, null float64) []map[string]figures {
		return []map[string]figures{{"BenchmarkA": {NsPerOp: 2000, MBPerSecond: 70, Own: map[string]float64{"MB-peak": ours}},
			"BenchmarkN": {NsPerOp: 1000, Own: map[string]float64{"MB-peak": null}}}}
	}
	most := work{Name: "a", Package: "x", Bench: "BenchmarkA", Most: 2 * time.Microsecond}
	for _, tc := range []struct {
		name    string
		work    work
		rounds  []map[string]figures
		cells   string
		missing string
	}{
		{"met", least, []map[string]figures{round(2000, 1000)}, "a|500,000|2.00|–|bare|1.00|0.50|0.50–0.50|at least 0.50|yes", ""},
		{"not met", least, []map[string]figures{round(4000, 1000)}, "a|250,000|4.00|–|bare|1.00|0.25|0.25–0.25|at least 0.50|no", ""},
		{"just not met", least, []map[string]figures{round(2001, 1000)}, "a|499,750|2.00|–|bare|1.00|0.49|0.49–0.49|at least 0.50|no", ""},
		{"the ratio is of single rounds", least, []map[string]figures{round(1000, 900), round(8000, 800), round(2000, 1200)},
			"a|500,000|2.00|–|bare|0.90|0.60|0.10–0.90|at least 0.50|yes", ""},
		{"two rounds", least, []map[string]figures{round(1000, 500), round(3000, 900)}, "a|500,000|2.00|–|bare|0.70|0.40|0.30–0.50|at least 0.50|no", ""},
		{"time met", most, []map[string]figures{round(2000, 1)}, "a|500,000|2.00|–|–|–|–|–|at most 2 µs|yes", ""},
		{"time not met", most, []map[string]figures{round(2001, 1)}, "a|499,750|2.00|–|–|–|–|–|at most 2 µs|no", ""},
		{"no budget", work{Name: "a", Bench: "BenchmarkA"}, []map[string]figures{round(123456, 1)}, "a|8,100|123|–|–|–|–|–|–|–", ""},
		{"own unit met", work{Name: "a", Bench: "BenchmarkA", Unit: "MB-peak", MostOf: 100}, own(99.94, 0), "a|500,000|2.00|99.9 MB-peak|–|–|–|–|at most 100 MB-peak|yes", ""},
		{"own unit not met", work{Name: "a", Bench: "BenchmarkA", Unit: "MB-peak", MostOf: 100}, own(1234, 0), "a|500,000|2.00|1,234 MB-peak|–|–|–|–|at most 100 MB-peak|no", ""},
		{"rate not met", work{Name: "a", Bench: "BenchmarkA", Unit: "MB/s", LeastOf: 71}, own(1, 1), "a|500,000|2.00|70 MB/s|–|–|–|–|at least 71 MB/s|no", ""},
		{"ratio of own unit", work{Name: "a", Bench: "BenchmarkA", Null: "BenchmarkN", NullName: "bare", Unit: "MB-peak", Least: 0.9}, own(50, 45), "a|500,000|2.00|50 MB-peak|bare|1.00|0.90|0.90–0.90|at least 0.90|yes", ""},
		{"own unit missing", work{Name: "a", Bench: "BenchmarkA", Unit: "ms-p50"}, own(1, 1), "", "BenchmarkA with ms-p50"},
		{"null missing", least, []map[string]figures{{"BenchmarkA": {NsPerOp: 1}}}, "", "BenchmarkN"},
		{"missing in one round", least, []map[string]figures{round(1, 1), {"BenchmarkN": {NsPerOp: 1}}}, "", "BenchmarkA"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, missing := judge(tc.work, tc.rounds)
			if missing != tc.missing {
				t.Fatalf("judge misses %q, want %q", missing, tc.missing)
			}
			if missing != "" {
				return
			}
			if got := strings.Join(r.cells(), "|"); got != tc.cells {
				t.Errorf("cells = %s\n   want %s", got, tc.cells)
			}
		})
	}
}

func TestPackages(t *testing.T) {
	seen := map[string]bool{}
	n := 0
	for _, g := range packages(regexp.MustCompile("")) {
		if seen[g[0].Package] {
			t.Errorf("works of %s do not stand together", g[0].Package)
		}
		seen[g[0].Package] = true
		n += len(g)
	}
	if n != len(works) {
		t.Errorf("%d works are run, want %d", n, len(works))
	}
	if g := packages(regexp.MustCompile("^policy request, 16")); len(g) != 1 || len(g[0]) != 1 {
		t.Errorf("-work ^policy request, 16 runs %v", g)
	}
}

func TestWriters(t *testing.T) {
	m := machine{System: "Debian", CPUs: 2, Go: "go1.26", Date: "2026-11-20", Benchtime: time.Second, Rounds: 3, Load: "0.10"}
	all := []result{{Work: "a", PerSecond: 1, NsPerOp: 1e9}}
	const line = "Debian, 2 CPUs, go1.26, 2026-11-20; rounds: 3 of 1s; load 0.10 before the run."
	for name, tc := range map[string]struct {
		write func(*bytes.Buffer) error
		want  []string
	}{
		"table":    {func(b *bytes.Buffer) error { return writeTable(b, m, all) }, []string{line, "held against", "1,000,000"}},
		"markdown": {func(b *bytes.Buffer) error { return writeMarkdown(b, m, all) }, []string{line, "\n| work | per second |", "\n| a | 1 | 1,000,000 | – |"}},
		"json":     {func(b *bytes.Buffer) error { return writeJSON(b, m, all) }, []string{`"go": "go1.26"`, `"work": "a"`, `"met": false`}},
	} {
		var b bytes.Buffer
		if err := tc.write(&b); err != nil {
			t.Fatal(err)
		}
		for _, want := range tc.want {
			if !strings.Contains(b.String(), want) {
				t.Errorf("%s has no %q:\n%s", name, want, b.String())
			}
		}
	}
}

// TestPage: docs/benchmarks.md keeps a line for each work, and no other.
func TestPage(t *testing.T) {
	page, err := os.ReadFile("../../../../docs/benchmarks.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(page), "\n| "+strings.Join(head, " | ")+" |\n")
	if !ok {
		t.Fatal("docs/benchmarks.md has no table with the columns of -markdown")
	}
	var kept, want []string
	for line := range strings.Lines(table) {
		if !strings.HasPrefix(line, "| ") {
			break
		}
		if cell := strings.Split(line, " | "); !strings.HasPrefix(cell[0], "| ---") {
			kept = append(kept, strings.TrimPrefix(cell[0], "| "))
		}
	}
	for _, w := range works {
		want = append(want, w.Name)
	}
	if strings.Join(kept, "\n") != strings.Join(want, "\n") {
		t.Errorf("docs/benchmarks.md keeps\n%s\nwant\n%s", strings.Join(kept, "\n"), strings.Join(want, "\n"))
	}
}
