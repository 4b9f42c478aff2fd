// Command bench runs the benchmarks that have a budget, each beside a null
// server or a bare operation in the same run, and prints one table: see
// `make bench` and docs/benchmarks.md. What counts is the ratio.
//
// It fails only when a benchmark does not run: a budget that is not met is a
// line to read, because the machine may be busy with something else.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// options say how to run.
type options struct {
	goTool    string
	benchtime time.Duration
	rounds    int
	wanted    *regexp.Regexp
}

func main() {
	o := options{}
	flag.StringVar(&o.goTool, "go", "go", "the go command")
	flag.DurationVar(&o.benchtime, "benchtime", time.Second, "how long each benchmark runs in each round")
	flag.IntVar(&o.rounds, "rounds", 3, "how often each package is run; the table has medians")
	only := flag.String("work", "", "run only the works that match this expression")
	asJSON := flag.Bool("json", false, "print JSON for a script")
	markdown := flag.Bool("markdown", false, "print what docs/benchmarks.md keeps")
	flag.Parse()
	var err error
	switch o.wanted, err = regexp.Compile(*only); {
	case err != nil:
		misuse("-work: " + err.Error())
	case o.rounds < 1 || o.benchtime <= 0:
		misuse("-rounds and -benchtime have to be above zero")
	case flag.NArg() > 0:
		misuse("there are no arguments, only options")
	case *asJSON && *markdown:
		misuse("-json and -markdown are two forms of one output")
	}
	write := writeTable
	switch {
	case *asJSON:
		write = writeJSON
	case *markdown:
		write = writeMarkdown
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o, write); err != nil {
		fmt.Fprintln(os.Stderr, "bench: error:", err)
		stop()
		os.Exit(1)
	}
}

// misuse ends a call that cannot be meant.
func misuse(text string) {
	fmt.Fprintln(os.Stderr, "bench: error:", text)
	flag.Usage()
	os.Exit(2)
}

// run measures and prints. The error holds every benchmark that did not run;
// the others are printed all the same.
func run(ctx context.Context, o options, write func(io.Writer, machine, []result) error) error {
	m := thisMachine(o)
	var all []result
	var errs []error
	for _, group := range packages(o.wanted) {
		rounds, out, err := measure(ctx, o, group)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		for _, w := range group {
			r, missing := judge(w, rounds)
			switch {
			case missing == "":
				all = append(all, r)
			case err != nil:
				errs = append(errs, fmt.Errorf("%s in %s did not run: %w\n%s", missing, w.Package, err, reason(out)))
			default:
				errs = append(errs, fmt.Errorf("%s in %s did not run\n%s", missing, w.Package, reason(out)))
			}
		}
	}
	return errors.Join(append(errs, write(os.Stdout, m, all))...)
}

// packages returns the wanted works, those of one package together.
func packages(wanted *regexp.Regexp) (groups [][]work) {
	for _, w := range works {
		if !wanted.MatchString(w.Name) {
			continue
		}
		if n := len(groups) - 1; n >= 0 && groups[n][0].Package == w.Package {
			groups[n] = append(groups[n], w)
			continue
		}
		groups = append(groups, []work{w})
	}
	return groups
}

// measure runs the benchmarks of one package, o.rounds times. It returns the
// figures of each round, and on trouble the last output. One process for each
// round puts a work and what it is held against close together in time, which
// -count does not; -v makes a benchmark say why it is skipped.
func measure(ctx context.Context, o options, group []work) (rounds []map[string]figures, out string, err error) {
	var names []string
	for _, w := range group {
		names = append(names, w.benches()...)
	}
	for round := range o.rounds {
		fmt.Fprintf(os.Stderr, "bench: %s, round %d of %d\n", group[0].Package, round+1, o.rounds)
		cmd := exec.CommandContext(ctx, o.goTool, "test", "-v", "-run", "^$", "-bench", pattern(names), "-benchmem",
			"-benchtime", o.benchtime.String(), module+group[0].Package)
		b, failed := cmd.CombinedOutput()
		found := parse(string(b), runtime.GOMAXPROCS(0))
		rounds = append(rounds, found)
		if failed != nil || !complete(found, names) {
			return rounds, string(b), failed
		}
	}
	return rounds, "", nil
}

func complete(found map[string]figures, names []string) bool {
	for _, n := range names {
		if _, ok := found[n]; !ok {
			return false
		}
	}
	return true
}

// machine is where the figures come from.
type machine struct {
	System    string        `json:"system"`
	CPUs      int           `json:"cpus"`
	Processor string        `json:"processor,omitempty"`
	Go        string        `json:"go"`
	Load      string        `json:"load,omitempty"`
	Date      string        `json:"date"`
	Benchtime time.Duration `json:"benchtime_ns"`
	Rounds    int           `json:"rounds"`
}

// thisMachine describes the machine before the work begins. What it does not
// tell stays out.
func thisMachine(o options) machine {
	m := machine{System: runtime.GOOS + "/" + runtime.GOARCH, CPUs: runtime.GOMAXPROCS(0), Go: runtime.Version(),
		Date: time.Now().UTC().Format(time.DateOnly), Benchtime: o.benchtime, Rounds: o.rounds}
	if name := valueIn("/etc/os-release", "PRETTY_NAME="); name != "" {
		m.System = strings.Trim(name, `"`)
	}
	m.Processor = strings.TrimLeft(valueIn("/proc/cpuinfo", "model name"), "\t :")
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.Load, _, _ = strings.Cut(string(b), " ")
	}
	return m
}

// valueIn returns what follows prefix on the first line of a file that has it.
func valueIn(path, prefix string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, prefix); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// line tells of m in one sentence.
func (m machine) line() string {
	s := fmt.Sprintf("%s, %d CPUs", m.System, m.CPUs)
	if m.Processor != "" {
		s += " (" + m.Processor + ")"
	}
	s += fmt.Sprintf(", %s, %s; rounds: %d of %s", m.Go, m.Date, m.Rounds, m.Benchtime)
	if m.Load != "" {
		s += "; load " + m.Load + " before the run"
	}
	return s + "."
}
