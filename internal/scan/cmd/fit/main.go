// Command fit finds the scores of the built-in rules from the corpora of
// development, and writes them down together with what each rule hits: see
// `make rules-report` and docs/rules.md.
//
// Each set of weights but the shipped one is fitted without a group of corpora
// and judged by it, which is what a new server may hope for; the same figure in
// the sample stands beside it.
package main

import (
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/gatepost/gatepost/internal/fit"
	"github.com/gatepost/gatepost/internal/scan"
)

// groups of corpora that are independent of each other.
var groups = []struct {
	name, without string
	corpora       []string
}{
	{"old", scan.WithoutOld, []string{"spamassassin", "spamassassin-hard_ham_2", "csdmc2010"}},
	{"modern", scan.WithoutModern, []string{"modern-lists-dev"}},
}

func main() {
	dir := flag.String("corpora", "", "directory of the corpora")
	mask := flag.String("mask", "", "file with the names of header fields that give the label away")
	weights := flag.String("weights", "", "file to write the weights to, as Go")
	report := flag.String("report", "", "file to write the report to, as Markdown")
	o := fit.Options{Mark: scan.Default().Mark}
	flag.Float64Var(&o.Ham, "ham", 20, "how many missed spams a lost ham is worth")
	flag.Float64Var(&o.Pull, "pull", 400, "how many examples a guess is worth")
	examples := flag.String("examples", "internal/scan/testdata/rules", "directory of the rules' examples")
	scale := flag.Float64("scale", 1.3, "what guesses are multiplied with")
	flag.IntVar(&o.Rounds, "rounds", 1500, "steps of the fit")
	flag.Parse()
	if *dir == "" || *mask == "" || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "fit: error: -corpora and -mask are needed")
		os.Exit(2)
	}
	if err := run(*dir, *mask, *weights, *report, *examples, *scale, o); err != nil {
		fmt.Fprintln(os.Stderr, "fit: error:", err)
		os.Exit(1)
	}
}

func run(dir, mask, weights, report, examples string, scale float64, o fit.Options) error {
	corpora, err := read(dir, mask)
	if err != nil {
		return err
	}
	t, err := newTask(corpora, scale, examples)
	if err != nil {
		return err
	}
	sets := map[string][]float64{scan.Shipped: t.fit(o, "")}
	var figures []figure
	for _, g := range groups {
		sets[g.without] = t.fit(o, g.name)
		figures = append(figures,
			judge("guessed by a person", g.name, t.priors(), t.of(g.name)),
			judge("fitted without it", g.name, sets[g.without], t.of(g.name)),
			judge("fitted with it", g.name, sets[scan.Shipped], t.of(g.name)))
	}
	for _, f := range figures {
		fmt.Println(f)
	}
	if weights != "" {
		if err := writeWeights(weights, t, sets); err != nil {
			return err
		}
	}
	if report != "" {
		return writeReport(report, t, sets[scan.Shipped], figures)
	}
	return nil
}

// task is what is fitted.
type task struct {
	rules   []scan.Rule
	guesses map[string]float64
	corpora []corpus
	scale   float64
	// seen says of each rule whether it hits anything, facts whether it is about
	// more than the message.
	seen, facts []bool
}

func newTask(corpora []corpus, scale float64, examples string) (*task, error) {
	t := &task{rules: scan.Rules(), guesses: scan.Guesses(), corpora: corpora, scale: scale}
	t.seen = make([]bool, len(t.rules))
	for _, r := range t.rules {
		facts, err := needsFacts(examples, r.Name)
		if err != nil {
			return nil, err
		}
		t.facts = append(t.facts, facts)
	}
	for _, c := range corpora {
		for _, m := range c.messages {
			for _, h := range m.Hits {
				t.seen[h.Rule] = true
			}
		}
	}
	return t, nil
}

// beyond are the groups of rules that are all about facts which no corpus holds:
// the session, authentication, memory.
var beyond = map[string]bool{
	"test": true, "session": true, "auth": true, "known": true, "bounce": true, "scan": true, "list": true,
}

// unfitted reports whether the score of rule i stays a person's, because no
// corpus can hold what it is about. Outside of those groups its example tells:
// it has to say such a fact (which domains are ours, the envelope) to be hit.
func (t *task) unfitted(i int) bool { return beyond[t.rules[i].Group] || !t.seen[i] && t.facts[i] }

// needsFacts reports whether the example of a rule tells more than a message,
// the time of its arrival aside.
func needsFacts(examples, rule string) (bool, error) {
	b, err := os.ReadFile(filepath.Join(examples, rule+".hit.eml"))
	if err != nil {
		return false, err
	}
	for line := range strings.Lines(string(b)) {
		key, told := strings.CutPrefix(line, "# ")
		if !told {
			return false, nil
		}
		if !strings.HasPrefix(key, "now:") {
			return true, nil
		}
	}
	return false, nil
}

const (
	// most bounds one rule: none refuses alone, nor with one other.
	most = 7
	// mostUnseen bounds a rule that hit nothing at all.
	mostUnseen = 0.5
	// mostHam bounds what a message can gain by what it says of itself.
	mostHam = 1
)

// limits returns the rules as the fit wants them.
func (t *task) limits() []fit.Rule {
	out := make([]fit.Rule, len(t.rules))
	for i, r := range t.rules {
		g := t.guesses[r.Name]
		out[i] = fit.Rule{Prior: g * t.scale, Limit: most}
		switch {
		case t.unfitted(i):
			out[i].Limit = math.Abs(g)
		case !t.seen[i]:
			out[i].Limit = mostUnseen
		case g < 0:
			out[i].Limit = mostHam
		}
	}
	return out
}

func (t *task) priors() []float64 {
	out := make([]float64, len(t.rules))
	for i, r := range t.rules {
		out[i] = t.guesses[r.Name]
	}
	return out
}

// of returns the messages of a group.
func (t *task) of(group string) []fit.Example {
	var out []fit.Example
	for _, c := range t.corpora {
		if c.group == group {
			out = append(out, c.messages...)
		}
	}
	return out
}

// fit returns the weights without a group of corpora, "" for none. Each group
// counts alike, and in it ham and spam do.
func (t *task) fit(o fit.Options, without string) []float64 {
	var examples []fit.Example
	for _, g := range groups {
		if g.name == without {
			continue
		}
		all := t.of(g.name)
		var n [2]float64
		for _, e := range all {
			n[class(e.Spam)]++
		}
		for _, e := range all {
			e.Weight = float64(len(all)) / (2 * n[class(e.Spam)]) / float64(len(all)) * 4000
			examples = append(examples, e)
		}
	}
	w := fit.Weights(t.limits(), examples, o)
	for i, r := range t.rules {
		if t.unfitted(i) {
			w[i] = t.guesses[r.Name]
		}
		w[i] = math.Round(w[i]*100)/100 + 0
	}
	return w
}

func class(spam bool) int {
	if spam {
		return 1
	}
	return 0
}
