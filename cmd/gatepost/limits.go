package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatepost/gatepost/internal/admin"
	"github.com/gatepost/gatepost/internal/limit"
	"github.com/gatepost/gatepost/internal/unit"
)

func newLimit(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "limit", Short: "Who has used how much of which limit",
		Long: `Who has used how much of which limit.

A key is whose count it is, as "gatepost limit show" has it: a user's address, a
domain, a network, or several with commas. The limits are in policyd.limits.

Of several rates the first of these holds: one that was set for the key with
--for; one that was set for the user, for a group of the user, for all of the
domain; an override in the configuration; the limit's own.`,
		Example: "  gatepost limit show\n  gatepost limit set news@example.org outgoing 5000/day --for 7d\n" +
			"  gatepost limit set group:staff outgoing 500/hour"}
	cmd.AddCommand(newLimitShow(a), newLimitReset(a), newLimitSet(a))
	return cmd
}

func newLimitShow(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "show", Short: "Show what has been used of each limit, and when it ends",
		Example: "  gatepost limit show --json\n  gatepost limit show --rates", Args: cobra.NoArgs}
	asJSON := jsonFlag(cmd)
	rates := cmd.Flags().Bool("rates", false, "the rates that were set with \"limit set\"")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, done, err := a.client(cmd.Context())
		if err != nil {
			return err
		}
		defer done()
		if *rates {
			return showRates(cmd, c, *asJSON)
		}
		all, err := c.Limits(cmd.Context())
		if err != nil {
			return err
		}
		warnUncounted(cmd.Context(), c)
		if *asJSON {
			return printJSON(cmd.OutOrStdout(), list(all))
		}
		var rows [][]string
		for _, u := range all {
			rows = append(rows, []string{u.Limit, short(u.Key), limitAmount(u.Counts, u.Used), limitAmount(u.Counts, u.Of),
				u.Window.String(), string(u.Mode), u.Ends.UTC().Format(endsLayout)})
		}
		return printTable(cmd.OutOrStdout(), []string{"LIMIT", "KEY", "USED", "OF", "IN", "MODE", "ENDS (UTC)"}, rows)
	}
	return cmd
}

// endsLayout is short enough for a table that fits a terminal.
const endsLayout = "Jan 02 15:04"

// warnUncounted says what passed without being counted, if the Gatepost that
// answers knows of it.
func warnUncounted(ctx context.Context, c *admin.Client) {
	all, err := c.Uncounted(ctx)
	if err != nil {
		return // the list is worth showing without it
	}
	for _, u := range all {
		warn(os.Stderr, "%d messages since %s were not counted, the last is %s: %s",
			u.Count, u.Since.UTC().Format(time.DateTime), u.QueueID, u.Remedy)
	}
}

func showRates(cmd *cobra.Command, c *admin.Client, asJSON bool) error {
	all, err := c.Rates(cmd.Context())
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(cmd.OutOrStdout(), list(all))
	}
	var rows [][]string
	for _, h := range all {
		ends := "never"
		if !h.Ends.IsZero() {
			ends = h.Ends.UTC().Format(time.DateTime)
		}
		rows = append(rows, []string{h.Limit, short(h.Key), h.Rate.String(), ends})
	}
	return printTable(cmd.OutOrStdout(), []string{"LIMIT", "KEY", "RATE", "ENDS (UTC)"}, rows)
}

func newLimitReset(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "reset KEY [LIMIT]", Short: "Forget what was counted for a key, on one limit or on all",
		Example: "  gatepost limit reset alice@example.org\n  gatepost limit reset 192.0.2.0/24 network", Args: cobra.RangeArgs(1, 2)}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, done, err := a.client(cmd.Context())
		if err != nil {
			return err
		}
		defer done()
		name := ""
		if len(args) == 2 {
			name = args[1]
		}
		n, err := c.ResetLimit(cmd.Context(), name, args[0])
		if err != nil {
			return err
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "%d counters of %s begin anew\n", n, printable(args[0]))
		return nil
	}
	return cmd
}

// defaultRate takes a rate back that was set.
const defaultRate = "default"

func newLimitSet(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "set WHO LIMIT RATE", Short: "Set another rate for somebody, or default to take it back",
		Long: `Set another rate for somebody, or default to take it back.

WHO is a user's address, @DOMAIN for each user of a domain by himself, or
group:NAME for each member of a group ("gatepost group add"): such a rate is kept
with the accounts, and for limits that count by user. Any other key, as "gatepost
limit show" has it, has a rate of its own, too.

With --for the rate is only for the key that is named, and goes before all
others until the time is over. A rate has as many windows as it names, and holds
at once and over restarts.`,
		Example: "  gatepost limit set news@example.org outgoing \"500/hour, 5000/day\" --for 7d\n" +
			"  gatepost limit set @example.org outgoing 100/hour\n" +
			"  gatepost limit set group:staff outgoing 1000/hour\n" +
			"  gatepost limit set news@example.org outgoing default",
		Args: cobra.ExactArgs(3)}
	span := cmd.Flags().String("for", "", "how long, such as 7d; without it for ever")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		h := limit.ByHand{Key: args[0], Limit: args[1]}
		if args[2] != defaultRate {
			var err error
			if h.Rate, err = limit.ParseRates(args[2]); err != nil {
				return &misuse{err}
			}
		}
		if *span != "" {
			d, err := unit.ParseDuration(*span)
			if err != nil {
				return &misuse{err}
			}
			h.Ends = time.Now().Add(d)
		}
		c, done, err := a.client(cmd.Context())
		if err != nil {
			return err
		}
		defer done()
		if args[2] == defaultRate {
			return c.UnsetRate(cmd.Context(), h.Limit, h.Key)
		}
		return c.SetRate(cmd.Context(), h)
	}
	return cmd
}

// short cuts a key for a table that fits a terminal; --json has it whole.
func short(key string) string {
	const most = 28
	r := []rune(key)
	if len(r) <= most {
		return key
	}
	return string(r[:most-3]) + "..."
}

// limitAmount writes n as what a limit counts.
func limitAmount(of limit.Of, n int64) string {
	if of != limit.Bytes {
		return strconv.FormatInt(n, 10)
	}
	shift := 0
	for n>>shift >= 10<<10 && shift < 40 {
		shift += 10
	}
	return unit.Size(n >> shift << shift).String()
}
