package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/scan"
	"github.com/gatepost/gatepost/internal/unit"
)

func newRules(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "rules [NAME]", Short: "All rules of the filter, with what they count",
		Long: `All rules of the filter, with what they count.

The points are those of the configuration. A rule that is off or only observed
says so. While Gatepost runs, HITS counts the messages that a rule hit since it
was started; a rule that is observed is counted too. With a name, that rule alone,
and how to change it.`,
		Example: "  gatepost rules\n  gatepost rules SPF_FAIL\n  gatepost rules --json", Args: cobra.MaximumNArgs(1),
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, err := a.load()
		if err != nil {
			return err
		}
		e, err := scan.New(cfg.Scan, scan.Deps{})
		if err != nil {
			return err
		}
		all := e.Rules()
		counted := a.countHits(cmd.Context(), cfg, all)
		if len(args) == 1 {
			if all, err = rulesNamed(all, args[0]); err != nil {
				return err
			}
		}
		w := cmd.OutOrStdout()
		switch {
		case *asJSON:
			return printJSON(w, listed(all, counted))
		case len(args) == 1:
			return printRule(w, all[0], counted)
		}
		return printRules(w, all, counted)
	}
	return cmd
}

// countHits fills in what the rules of the process that runs have hit, and
// reports whether there is one that tells.
func (a *app) countHits(ctx context.Context, cfg Config, all []scan.State) bool {
	c, err := running(ctx, cfg)
	if err != nil {
		return false
	}
	live, err := c.Rules(ctx)
	if err != nil {
		return false
	}
	byName := make(map[string]scan.State, len(live))
	for _, r := range live {
		byName[r.Name] = r
	}
	for i := range all {
		r := byName[all[i].Name]
		all[i].Hits, all[i].Failed = r.Hits, r.Failed
	}
	return true
}

// rulesNamed returns the one rule of that name, in whatever case.
func rulesNamed(all []scan.State, name string) ([]scan.State, error) {
	names := make([]string, len(all))
	for i, r := range all {
		names[i] = r.Name
		if strings.EqualFold(r.Name, name) {
			return all[i : i+1], nil
		}
	}
	return nil, hint(fmt.Errorf("there is no rule %s%s", printable(name), config.Suggest(strings.ToUpper(name), names)),
		"gatepost rules lists all of them; those of DNS lists are not among them")
}

// listedRule is a rule; its counts are nil where none were told.
type listedRule struct {
	Name    string    `json:"name"`
	Group   string    `json:"group"`
	Score   float64   `json:"score"`
	Usual   float64   `json:"usual"`
	Mode    unit.Mode `json:"mode"`
	Text    string    `json:"text"`
	When    string    `json:"when,omitempty"`
	Verdict string    `json:"verdict,omitempty"`
	Tag     string    `json:"tag,omitempty"`
	Hits    *int64    `json:"hits,omitempty"`
	Failed  *int64    `json:"failed,omitempty"`
}

func listed(all []scan.State, counted bool) []listedRule {
	out := make([]listedRule, len(all))
	for i, r := range all {
		out[i] = listedRule{Name: r.Name, Group: r.Group, Score: r.Score, Usual: r.Usual, Mode: r.Mode, Text: r.Text, When: r.When, Verdict: r.Verdict, Tag: r.Tag}
		if counted {
			out[i].Hits, out[i].Failed = &r.Hits, &r.Failed
		}
	}
	return out
}

func printRules(w io.Writer, all []scan.State, counted bool) error {
	head := []string{"POINTS", "RULE", "GROUP", "MODE", "SAYS"}
	if counted {
		head = slices.Insert(head, 4, "HITS")
	}
	rows := make([][]string, len(all))
	for i, r := range all {
		rows[i] = []string{rulePoints(r), r.Name, r.Group, ruleMode(r), r.Text}
		if counted {
			rows[i] = slices.Insert(rows[i], 4, ruleHits(r))
		}
	}
	fit(head, rows, len(head)-1, width(w))
	return printTable(w, head, rows)
}

// ruleHits tells how many messages a rule hit, and at how many it failed.
func ruleHits(r scan.State) string {
	s := strconv.FormatInt(r.Hits, 10)
	if r.Failed > 0 {
		s += fmt.Sprintf(", %d failed", r.Failed)
	}
	return s
}

// rulePoints is a rule's score, or its verdict where it names one.
func rulePoints(r scan.State) string {
	s := strconv.FormatFloat(r.Score, 'f', -1, 64)
	if r.Verdict != "" {
		s += " " + r.Verdict
	}
	return s
}

// ruleMode is "" for a rule that counts.
func ruleMode(r scan.State) string {
	if r.Mode == unit.Enforce {
		return ""
	}
	return string(r.Mode)
}

// printRule tells of one rule, and what changes it.
func printRule(w io.Writer, r scan.State, counted bool) error {
	rows := [][]string{{"rule", r.Name}, {"group", r.Group}, {"says", r.Text}, {"points", rulePoints(r)}}
	if r.Usual != r.Score {
		rows = append(rows, []string{"usually", strconv.FormatFloat(r.Usual, 'f', -1, 64)})
	}
	rows = append(rows, []string{"mode", string(r.Mode)})
	if counted {
		rows = append(rows, []string{"hits", ruleHits(r) + ", since the start"})
	}
	for _, more := range [][]string{{"when", r.When}, {"tag", r.Tag}} {
		if more[1] != "" {
			rows = append(rows, more)
		}
	}
	for _, row := range rows {
		fmt.Fprintf(w, "%-8s %s\n", row[0], strings.ReplaceAll(printable(row[1]), "\n", "\n         "))
	}
	if r.Group == "admin" {
		_, err := fmt.Fprintln(w, "\nIt stands under scan.admin_rules in the configuration.")
		return err
	}
	_, err := fmt.Fprintf(w, "\nTo change it in the configuration:\n\n  scan:\n    rules:\n      %s:\n        score: %s     # or another number\n        mode: %-8s # off, observe or enforce\n",
		r.Name, strconv.FormatFloat(r.Score, 'f', -1, 64), r.Mode)
	return err
}
