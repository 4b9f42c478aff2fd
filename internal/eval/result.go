package eval

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/gatepost/gatepost/internal/scan"
	"github.com/gatepost/gatepost/internal/verdict"
)

// Result is what a replay measured. All percentages are unrounded.
type Result struct {
	Messages int `json:"messages"`
	Ham      int `json:"ham"`
	Spam     int `json:"spam"`
	// OneMinusAUC is (1−AUC) in percent.
	OneMinusAUC float64 `json:"one_minus_auc_pct"`
	// Missed is the percentage of spam missed at a percentage of lost ham.
	Missed MissedSpam `json:"missed_spam_pct"`
	// PerCPUSecond counts messages: read, masked, decoded, scored, learned.
	PerCPUSecond float64 `json:"msgs_per_cpu_s"`
	// Marked and Rejected count what reached the thresholds.
	HamMarked    int `json:"ham_marked"`
	HamRejected  int `json:"ham_rejected"`
	SpamMarked   int `json:"spam_marked"`
	SpamRejected int `json:"spam_rejected"`
	// Curve is the same for one stretch of the stream after the other.
	Curve []Stretch `json:"learning_curve"`
	// Hits has the rules that matched, in the order of the rules.
	Hits []Hit `json:"rules"`
	// How the run was made; the caller sets it.
	Feedback string `json:"feedback"`
	Score    string `json:"score"`
	Weights  string `json:"weights"`
	Cold     bool   `json:"cold"`

	scores []scored
	hits   map[string]*Hit
	order  []string // of names that are no rules, as they came
	marks  []bool
}

// Stretch is a part of the stream.
type Stretch struct {
	// From and To are numbers of messages, From not included.
	From        int     `json:"from"`
	To          int     `json:"to"`
	Ham         int     `json:"ham"`
	Spam        int     `json:"spam"`
	OneMinusAUC float64 `json:"one_minus_auc_pct"`
	HamMarked   int     `json:"ham_marked"`
	SpamMarked  int     `json:"spam_marked"`
}

// Hit says how often a line came.
type Hit struct {
	Name string `json:"name"`
	Ham  int    `json:"ham"`
	Spam int    `json:"spam"`
}

// MissedSpam is a percentage for each of Losses.
type MissedSpam [len(Losses)]float64

// Losses are the percentages of lost ham at which missed spam is told.
var Losses = [...]float64{0.05, 0.1, 0.5, 1}

// MarshalJSON writes an object whose keys are Losses.
func (m MissedSpam) MarshalJSON() ([]byte, error) {
	out := make(map[string]float64, len(m))
	for i, l := range Losses {
		out[strconv.FormatFloat(l, 'g', -1, 64)] = m[i]
	}
	return json.Marshal(out)
}

func newResult() *Result { return &Result{hits: map[string]*Hit{}} }

// add takes in one message.
func (r *Result) add(spam bool, score float64, res scan.Result) {
	r.scores = append(r.scores, scored{spam, score})
	marked, rejected := res.Verdict >= verdict.Mark, res.Verdict == verdict.Reject
	r.marks = append(r.marks, marked)
	if spam {
		r.Spam++
		r.SpamMarked += number(marked)
		r.SpamRejected += number(rejected)
	} else {
		r.Ham++
		r.HamMarked += number(marked)
		r.HamRejected += number(rejected)
	}
	for _, l := range res.Lines {
		h := r.hits[l.Name]
		if h == nil {
			h = &Hit{Name: l.Name}
			r.hits[l.Name] = h
			r.order = append(r.order, l.Name)
		}
		if spam {
			h.Spam++
		} else {
			h.Ham++
		}
	}
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}

// stretches are where the parts of the learning curve end.
var stretches = []int{50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000}

// finish works out the figures.
func (r *Result) finish(used time.Duration) {
	r.rank()
	if used > 0 {
		r.PerCPUSecond = float64(r.Messages) / used.Seconds()
	}
	from := 0
	for _, to := range append(stretches[:len(stretches):len(stretches)], maxItems) {
		if to = min(to, r.Messages); to > from {
			r.Curve = append(r.Curve, r.stretch(from, to))
			from = to
		}
	}
	for _, rule := range scan.Rules() {
		if h := r.hits[rule.Name]; h != nil {
			r.Hits = append(r.Hits, *h)
			delete(r.hits, rule.Name)
		}
	}
	for _, name := range r.order {
		if h := r.hits[name]; h != nil {
			r.Hits = append(r.Hits, *h)
		}
	}
}

// rank works out what the scores alone tell.
func (r *Result) rank() {
	r.Messages = len(r.scores)
	r.OneMinusAUC = lossesAUC(r.scores)
	for i, l := range Losses {
		r.Missed[i] = missed(r.scores, l)
	}
}

func (r *Result) stretch(from, to int) Stretch {
	s := Stretch{From: from, To: to, OneMinusAUC: lossesAUC(r.scores[from:to])}
	for i := from; i < to; i++ {
		if r.scores[i].spam {
			s.Spam++
			s.SpamMarked += number(r.marks[i])
		} else {
			s.Ham++
			s.HamMarked += number(r.marks[i])
		}
	}
	return s
}
