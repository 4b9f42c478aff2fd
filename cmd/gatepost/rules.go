package main

import (
	"fmt"
	"io"
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
says so. With a name, that rule alone, and how to change it.`,
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
		if len(args) == 1 {
			if all, err = rulesNamed(all, args[0]); err != nil {
				return err
			}
		}
		w := cmd.OutOrStdout()
		switch {
		case *asJSON:
			return printJSON(w, listed(all))
		case len(args) == 1:
			return printRule(w, all[0])
		}
		return printRules(w, all)
	}
	return cmd
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

// listedRule is a rule without counts: this process has judged nothing.
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
}

func listed(all []scan.State) []listedRule {
	out := make([]listedRule, len(all))
	for i, r := range all {
		out[i] = listedRule{r.Name, r.Group, r.Score, r.Usual, r.Mode, r.Text, r.When, r.Verdict, r.Tag}
	}
	return out
}

func printRules(w io.Writer, all []scan.State) error {
	rows := make([][]string, len(all))
	for i, r := range all {
		rows[i] = []string{rulePoints(r), r.Name, r.Group, ruleMode(r), r.Text}
	}
	return printTable(w, []string{"POINTS", "RULE", "GROUP", "MODE", "SAYS"}, rows)
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
func printRule(w io.Writer, r scan.State) error {
	rows := [][]string{{"rule", r.Name}, {"group", r.Group}, {"says", r.Text}, {"points", rulePoints(r)}}
	if r.Usual != r.Score {
		rows = append(rows, []string{"usually", strconv.FormatFloat(r.Usual, 'f', -1, 64)})
	}
	rows = append(rows, []string{"mode", string(r.Mode)})
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
