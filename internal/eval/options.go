package eval

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/gatepost/gatepost/internal/scan"
)

// Feedback says which labels are told, and when. The zero Feedback tells each
// at once.
type Feedback struct {
	// Errors tells only those of messages whose verdict was wrong: spam that was
	// not marked, ham that was.
	Errors bool
	// Delay tells a label this many messages later.
	Delay int
}

// maxDelay bounds Feedback.Delay: what waits is kept in memory.
const maxDelay = 100_000

// ParseFeedback reads "full", "errors" or "delayed=N".
func ParseFeedback(s string) (Feedback, error) {
	switch {
	case s == "full":
		return Feedback{}, nil
	case s == "errors":
		return Feedback{Errors: true}, nil
	}
	if n, ok := strings.CutPrefix(s, "delayed="); ok {
		if d, err := strconv.Atoi(n); err == nil && d >= 1 && d <= maxDelay {
			return Feedback{Delay: d}, nil
		}
	}
	return Feedback{}, fmt.Errorf("%q is neither full nor errors nor delayed=N with N from 1 to %d", s, maxDelay)
}

// String returns what ParseFeedback reads.
func (f Feedback) String() string {
	switch {
	case f.Errors:
		return "errors"
	case f.Delay > 0:
		return "delayed=" + strconv.Itoa(f.Delay)
	}
	return "full"
}

// WeightsFor returns the set of rule weights that was fitted without the group
// of the corpus at path, which its directory names; the shipped set where that
// is none of the corpora of development.
func WeightsFor(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	for _, dir := range strings.Split(filepath.ToSlash(path), "/") {
		switch dir {
		case "spamassassin", "spamassassin-hard_ham_2", "csdmc2010":
			return scan.WithoutOld
		case "modern-lists-dev":
			return scan.WithoutModern
		}
	}
	return scan.Shipped
}

// Config returns the default configuration with a set of weights. Where the
// set was not made yet it is the shipped one, as used says.
func Config(set string) (cfg scan.Config, used string, err error) {
	cfg = scan.Default()
	switch set {
	case scan.Shipped:
		return cfg, set, nil
	case scan.WithoutOld, scan.WithoutModern:
	default:
		return cfg, "", fmt.Errorf("%q is no set of weights: use %s, %s or %s", set, scan.Shipped, scan.WithoutOld, scan.WithoutModern)
	}
	weights := scan.Weights(set)
	if weights == nil {
		return cfg, scan.Shipped, nil
	}
	cfg.Rules = make(map[string]scan.RuleConfig, len(weights))
	for name, w := range weights {
		cfg.Rules[name] = scan.RuleConfig{Score: &w}
	}
	return cfg, set, nil
}
