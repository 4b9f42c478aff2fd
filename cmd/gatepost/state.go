package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatepost/gatepost/internal/admin"
	"github.com/gatepost/gatepost/internal/limit"
	"github.com/gatepost/gatepost/internal/state"
)

func newState(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "state", Short: "What is remembered: how full it is, and whether it is whole",
		Long: `What is remembered: how full it is, and whether it is whole.

Limits, bans, the greylist, delivery verdicts and what users' scripts remember lie
in the data directory, or with "redis:" in the configuration in Redis or Valkey
for several hosts. See docs/howto/redis.md.`,
		Example: "  gatepost state stats\n  gatepost state verify"}
	cmd.AddCommand(newStateStats(a), newStateVerify(a), newStateGC(a))
	return cmd
}

func newStateStats(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "stats", Short: "Tell how full each table is", Args: cobra.NoArgs,
		Long: `Tell how full each table is.

USED is the fuller of entries and bytes, of what memory may hold; what ends first
goes first when a table is full. ON DISK AT ONCE says which rows survive a power
cut from the moment on; all others are on the disk within a second.`,
		Example: "  gatepost state stats\n  gatepost state stats --json"}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, done, err := a.client(cmd.Context())
		if err != nil {
			return err
		}
		defer done()
		st, err := c.State(cmd.Context())
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(cmd.OutOrStdout(), st)
		}
		return printState(cmd.OutOrStdout(), &st)
	}
	return cmd
}

func printState(w io.Writer, st *admin.State) error {
	o := &st.Embedded
	fmt.Fprintf(w, "%s: %v, log %v, free %v\n", printable(o.Path), roughly(o.FileBytes), roughly(o.WALBytes), roughly(o.FreeBytes))
	switch {
	case o.Damage != "":
		fmt.Fprintf(w, "damaged: %s\n", printable(o.Damage))
	case !o.Checked.IsZero():
		fmt.Fprintf(w, "whole when it was read at %s\n", o.Checked.UTC().Format(time.RFC3339))
	default:
		fmt.Fprintln(w, "it is being read whole, because it is large")
	}
	if o.Failing {
		fmt.Fprintf(w, "the disk can not be written: %d rows are in memory only\n", o.Behind)
	}
	rows := make([][]string, 0, len(o.Tables))
	for _, t := range o.Tables {
		rows = append(rows, []string{string(t.Table), fmt.Sprint(t.Entries), fmt.Sprint(t.Rows), roughly(t.RowBytes),
			used(&t), fmt.Sprint(t.Evicted), t.Durable})
	}
	if err := printTable(w, []string{"TABLE", "IN MEMORY", "ROWS", "SIZE", "USED", "EVICTED", "ON DISK AT ONCE"}, rows); err != nil {
		return err
	}
	if st.Shared != nil {
		printShared(w, st)
	}
	if st.Redis == nil {
		return nil
	}
	return printRedis(w, st.Redis)
}

// used is how full a table is, in percent of the bound that it meets first.
func used(t *state.TableOverview) string {
	if t.MaxEntries == 0 || t.MaxBytes == 0 {
		return "-"
	}
	return fmt.Sprintf("%d%%", max(int64(t.Entries)*100/int64(t.MaxEntries), t.Bytes*100/t.MaxBytes))
}

// roughly writes bytes with one to four digits.
func roughly(n int64) string { return limitAmount(limit.Bytes, n) }

// printShared tells of the breaker.
func printShared(w io.Writer, st *admin.State) {
	s := st.Shared
	const short = "2006-01-02 15:04:05Z"
	fmt.Fprintln(w)
	switch {
	case s.Away:
		fmt.Fprintf(w, "redis: away since %s (%s), this host goes on alone\n", s.Since.UTC().Format(short), printable(s.Why))
	case s.Trips > 0:
		fmt.Fprintf(w, "redis: in use; was away %d times, last from %s\n       for %v (%s)\n", s.Trips, s.Since.UTC().Format(short),
			s.Until.Sub(s.Since).Round(time.Millisecond), printable(s.Why))
	default:
		fmt.Fprintln(w, "redis: in use, and never was away since the start")
	}
	fmt.Fprintf(w, "       counted alone: %d, perhaps twice: %d\n       merged: %d counters, %d rows\n       to be merged: %d, found no room: %d\n",
		s.Alone, s.Doubtful, s.MergedCounters, s.MergedRows, s.Pending, s.Lost)
}

// printRedis tells what lies in Redis.
func printRedis(w io.Writer, r *admin.RedisState) error {
	if r.Fault != "" {
		fmt.Fprintf(w, "       what it has is not known: %s\n", printable(r.Fault))
		return nil
	}
	for _, s := range r.Servers {
		bound, kept := "no bound", "not kept"
		if s.Max > 0 {
			bound = "of " + roughly(s.Max) + ", " + s.Policy
		}
		if s.Appends {
			kept = "kept on disk"
		}
		fmt.Fprintf(w, "       %s, %s\n       %v, %s; %s; %d evicted\n", printable(s.Address), printable(s.Software),
			roughly(s.Used), printable(bound), kept, s.Evicted)
	}
	rows := make([][]string, 0, len(r.Tables))
	for _, t := range r.Tables {
		rows = append(rows, []string{t.Table, fmt.Sprint(t.Keys), roughly(t.Bytes)})
	}
	return printTable(w, []string{"IN REDIS", "KEYS", "SIZE"}, rows)
}

func newStateVerify(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "verify", Short: "Read all of it, and say what is wrong", Args: cobra.NoArgs,
		Long: `Read all of it, and say what is wrong.

The exit code is 1 if something is. Gatepost may run meanwhile; it reads some
hundred MB a second.`,
		Example: "  gatepost state verify\n  gatepost state verify --json"}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, done, err := a.client(cmd.Context())
		if err != nil {
			return err
		}
		defer done()
		r, err := c.VerifyState(cmd.Context())
		if err != nil {
			return err
		}
		if *asJSON {
			err = printJSON(cmd.OutOrStdout(), r)
		} else {
			printVerified(cmd.OutOrStdout(), &r)
		}
		if err == nil && (len(r.Embedded.Faults) > 0 || r.Redis != nil && len(r.Redis.Faults) > 0) {
			err = &saidNo{}
		}
		return err
	}
	return cmd
}

func printVerified(w io.Writer, r *admin.StateReport) {
	print := func(what string, r *state.Report) {
		for _, f := range r.Faults {
			fmt.Fprintf(w, "%s: %s\n", what, printable(f))
		}
		verdict := "all are right"
		if n := len(r.Faults); n > 0 {
			verdict = fmt.Sprintf("%d faults", n)
		}
		fmt.Fprintf(w, "%s: %d rows read in %v, %s\n", what, r.Checked, r.Took.Round(time.Millisecond), verdict)
	}
	print("embedded", &r.Embedded)
	if r.Redis != nil {
		print("redis", r.Redis)
	}
}

func newStateGC(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "gc", Short: "Remove what is over, and give its room back", Args: cobra.NoArgs,
		Long: `Remove what is over, and give its room back.

What is over is never used, and goes by itself within minutes; so this is needed
only to have the room at once. Nothing that still counts is removed.`,
		Example: "  gatepost state gc"}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, done, err := a.client(cmd.Context())
		if err != nil {
			return err
		}
		defer done()
		got, err := c.CollectState(cmd.Context())
		if err != nil {
			return err
		}
		w := cmd.OutOrStdout()
		if *asJSON {
			return printJSON(w, got)
		}
		fmt.Fprintf(w, "embedded: %d rows removed, %v given back\n", got.Embedded.Removed, roughly(max(got.Embedded.Freed, 0)))
		if got.Redis != nil {
			fmt.Fprintf(w, "redis: %d keys removed\n", got.Redis.Removed)
		}
		return nil
	}
	return cmd
}
