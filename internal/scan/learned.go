package scan

import (
	"fmt"
	"math"
	"strings"

	"github.com/gatepost/gatepost/internal/mailauth"
	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/unit"
	"github.com/gatepost/gatepost/internal/verdict"
)

// What the learned filter may add. It never reaches most, so that it never
// refuses a message alone: with its full weight it marks one at odds of 43:1,
// gives 4.7 points at 12:1, and takes 2 off at 1:7.
const (
	mostSpam, halfSpam = 14, 5 // the limit, and the logit of half of it
	mostHam, halfHam   = -9, 6 // the same below 0
)

// Points returns what l adds to a score, not rounded. It rises with the logit
// everywhere, ever more slowly: what is surer still sorts behind what is sure.
func (l Learned) Points() float64 {
	w, x := max(0, min(l.Weight, 1)), l.Logit
	switch {
	case !(w > 0) || math.IsNaN(x):
		return 0
	case math.IsInf(x, 1):
		return w * mostSpam
	case math.IsInf(x, -1):
		return w * mostHam
	case x >= 0:
		return w * mostSpam * x / (x + halfSpam)
	}
	return w * mostHam * x / (x - halfHam)
}

// learnedRules describe the lines of the learned filter. They are no rules that
// match; what they weigh is the most that they may add.
var learnedRules = []rule{
	{Rule: Rule{Name: "LEARNED_SPAM", Group: "learned", Score: mostSpam,
		Text: "It looks like what people here called spam."}},
	{Rule: Rule{Name: "LEARNED_HAM", Group: "learned", Score: mostHam,
		Text: "It looks like mail that people here want."}},
}

// learned returns the line of what was learned; false while nothing was, or
// where the configuration switches it off.
func (c Config) learned(l Learned) (verdict.Line, bool) {
	r := &learnedRules[0]
	if l.Logit < 0 {
		r = &learnedRules[1]
	}
	mode, most := c.of(r)
	if l.Ham+l.Spam == 0 || !(l.Weight > 0) || mode == unit.Off {
		return verdict.Line{}, false
	}
	line := verdict.Line{Name: r.Name, Group: r.Group, Score: l.Points() * most / r.Score, Text: r.Text, Options: []string{
		"p=" + probability(l.Logit), fmt.Sprintf("%d ham", l.Ham), fmt.Sprintf("%d spam", l.Spam),
		fmt.Sprintf("%.0f %% of full weight", 100*min(l.Weight, 1)),
	}}
	if mode == unit.Observe {
		line = observed(line)
	}
	return line, true
}

// doubtShare is what is left of LEARNED_HAM where the sender is not who he says:
// the words of a header are learned too, and anybody can write them.
const doubtShare = 0.25

// doubted returns l as it counts for a message whose sender is denied by SPF or
// DMARC.
func doubted(l verdict.Line, r mailauth.Results) verdict.Line {
	if l.Score < 0 && (r.SPF.MailFrom.Result == authres.Fail || r.DMARC.Result == authres.Fail && r.Forwarder.Domain == "") {
		l.Score *= doubtShare
		l.Options = append(l.Options, "a quarter of it, for the sender is forged")
	}
	return l
}

// probability writes the probability of spam with as many nines, or noughts, as
// tell something.
func probability(logit float64) string {
	p := 1 / (1 + math.Exp(-logit))
	for digits := 3; digits < 6; digits++ {
		s := fmt.Sprintf("%.*f", digits, p)
		if strings.Trim(s[1:], ".0") != "" && s[0] == '0' {
			return s
		}
	}
	if logit < 0 {
		return "0.00001"
	}
	return "0.99999"
}
