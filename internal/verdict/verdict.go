// Package verdict has the words in which a decision about a message is told:
// the ranks of a verdict, the lines that led to it, and their sum.
package verdict

import (
	"fmt"
	"math"
)

// Verdict is what is to happen to a message, by rank: a later one is worse for
// the sender. Discard is no rank, see Result.Discard.
type Verdict int

const (
	// Accept delivers to the inbox.
	Accept Verdict = iota
	// Mark delivers to Junk, with X-Spam: Yes.
	Mark
	// Quarantine keeps the message with us, recoverable.
	Quarantine
	// Defer asks the sender to try again: a 4yz reply.
	Defer
	// Reject refuses for good: a 5yz reply.
	Reject
)

var names = [...]string{"accept", "mark", "quarantine", "defer", "reject"}

// String returns the verdict's word.
func (v Verdict) String() string {
	if v < 0 || int(v) >= len(names) {
		return fmt.Sprintf("verdict(%d)", int(v))
	}
	return names[v]
}

// MarshalText returns the verdict's word.
func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads the verdict's word.
func (v *Verdict) UnmarshalText(b []byte) error {
	for i, n := range names {
		if n == string(b) {
			*v = Verdict(i)
			return nil
		}
	}
	return fmt.Errorf("%q is not a verdict", b)
}

// Line is one reason: a rule that matched, or a fact worth telling (Score 0).
type Line struct {
	// Name is the rule's name in capitals, for example MISSING_DATE.
	Name string `json:"name"`
	// Group is the rule's theme, for example "header".
	Group string `json:"group,omitempty"`
	// Score is what the line adds, in points; it may be negative.
	Score float64 `json:"score"`
	// Text is one sentence for a person.
	Text string `json:"text,omitempty"`
	// Options are short facts that the rule saw, for example a host name. They
	// are what a stranger typed: an encoder has to escape them.
	Options []string `json:"options,omitempty"`
}

// Sum returns the score of lines, rounded to a hundredth of a point.
func Sum(lines []Line) float64 {
	var s float64
	for _, l := range lines {
		s += l.Score
	}
	return Round(s)
}

// Round rounds a score to a hundredth of a point, never to minus zero.
func Round(s float64) float64 { return math.Round(s*100)/100 + 0 }
