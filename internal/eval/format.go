package eval

import (
	"fmt"
	"io"
	"strings"
)

// Format writes r for a person.
func (r *Result) Format(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "messages   %d: %d ham, %d spam\n", r.Messages, r.Ham, r.Spam)
	how := "feedback " + r.Feedback
	if r.Cold {
		how = "cold: rules only, nothing learned"
	}
	fmt.Fprintf(&b, "run        %s, score %s, weights %s\n", how, r.Score, r.Weights)
	fmt.Fprintf(&b, "(1-AUC)    %.4f %%\n\n", r.OneMinusAUC)
	for i, l := range Losses {
		fmt.Fprintf(&b, "%5.2f %% of ham lost: %6.2f %% of spam missed\n", l, r.Missed[i])
	}
	fmt.Fprintf(&b, "\n             ham           spam\n")
	fmt.Fprintf(&b, "marked   %6d %6.2f %% %6d %6.2f %%\n", r.HamMarked, share(r.HamMarked, r.Ham), r.SpamMarked, share(r.SpamMarked, r.Spam))
	fmt.Fprintf(&b, "rejected %6d %6.2f %% %6d %6.2f %%\n", r.HamRejected, share(r.HamRejected, r.Ham), r.SpamRejected, share(r.SpamRejected, r.Spam))
	fmt.Fprintf(&b, "\n     messages   (1-AUC) %%    ham marked    spam marked\n")
	for _, s := range r.Curve {
		auc := fmt.Sprintf("%.4f", s.OneMinusAUC)
		if s.Ham == 0 || s.Spam == 0 {
			auc = "-"
		}
		fmt.Fprintf(&b, "%13s  %10s  %5d/%-6d  %6d/%-6d\n", fmt.Sprintf("%d-%d", s.From+1, s.To), auc, s.HamMarked, s.Ham, s.SpamMarked, s.Spam)
	}
	fmt.Fprintf(&b, "\n%-28s %15s %15s\n", "rule", "ham", "spam")
	for _, h := range r.Hits {
		fmt.Fprintf(&b, "%-28s %6d %6.2f %% %6d %6.2f %%\n", h.Name, h.Ham, share(h.Ham, r.Ham), h.Spam, share(h.Spam, r.Spam))
	}
	if r.PerCPUSecond > 0 {
		fmt.Fprintf(&b, "\n%.2f ms CPU a message, %.0f messages a second\n", 1000/r.PerCPUSecond, r.PerCPUSecond)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// share returns n of all in percent.
func share(n, all int) float64 { return 100 * float64(n) / float64(max(all, 1)) }
