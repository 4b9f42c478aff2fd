package main

import (
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

func newLimit(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "limit", Short: "Who has used how much of which limit", Example: "  gatepost limit show"}
	show := &cobra.Command{Use: "show", Short: "Show what has been used of each limit, and when it ends",
		Example: "  gatepost limit show --json", Args: cobra.NoArgs}
	asJSON := jsonFlag(show)
	show.RunE = func(cmd *cobra.Command, _ []string) error {
		c, done, err := a.client(cmd.Context())
		if err != nil {
			return err
		}
		defer done()
		all, err := c.Limits(cmd.Context())
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(cmd.OutOrStdout(), list(all))
		}
		var rows [][]string
		for _, u := range all {
			rows = append(rows, []string{u.Limit, u.Key, strconv.FormatInt(u.Used, 10), strconv.FormatInt(u.Of, 10),
				string(u.Mode), u.Ends.UTC().Format(time.DateTime)})
		}
		return printTable(cmd.OutOrStdout(), []string{"LIMIT", "WHO", "USED", "OF", "MODE", "ENDS (UTC)"}, rows)
	}
	cmd.AddCommand(show)
	return cmd
}
