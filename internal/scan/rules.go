package scan

import (
	"slices"

	"github.com/gatepost/gatepost/internal/verdict"
)

// Rule describes one rule for manuals and for the command line.
type Rule struct {
	// Name is what a configuration, a header and the journal call it.
	Name string
	// Group is its theme.
	Group string
	// Score is what it adds by default.
	Score float64
	// Text is one sentence for a person.
	Text string
}

// rule is a Rule with what it does.
type rule struct {
	Rule
	// inbound rules are about how strangers deliver; a mail program that
	// submits may leave those things to us (RFC 6409 §8).
	inbound bool
	// fact marks a line that is no reason: its score is always 0.
	fact bool
	// verdict and reply are for a rule that names a verdict by itself.
	verdict verdict.Verdict
	reply   string
	match   func(*facts) outcome
}

// Rules returns all rules, in the order in which they run and are shown.
func Rules() []Rule {
	out := make([]Rule, len(rules))
	for i := range rules {
		out[i] = rules[i].Rule
	}
	return out
}

// rules is the rule set. The themes and their usual weights are common
// knowledge of spam filtering; what each rule does follows the standard that
// its function cites. Scores that were fitted replace those of the tables.
var rules = fitted(guessed)

// guessed is the rule set with the scores of the tables.
var guessed = slices.Concat(
	testRules,
	senderRules,
	rcptRules,
	subjectRules,
	dateRules,
	headerRules,
	receivedRules,
	hostRules,
	bounceRules,
	bulkRules,
	knownRules,
	mimeRules,
	attachmentRules,
	htmlRules,
	linkRules,
	textRules,
	authRules,
	scanRules,
)
