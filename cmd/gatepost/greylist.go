package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatepost/gatepost/internal/greylist"
	"github.com/gatepost/gatepost/internal/unit"
)

func newGreylist(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "greylist", Short: "Who was asked to come back, and who need not",
		Long: `Who was asked to come back, and who need not.

The first mail of a suspicious stranger is deferred for some minutes; see
docs/howto/greylist.md. A client is a network (/24 or /64), or the organization
that SPF proves.`,
		Example: "  gatepost greylist list --recipient alice@example.org\n  gatepost greylist release --recipient alice@example.org"}
	cmd.AddCommand(newGreylistList(a), newGreylistRelease(a), newGreylistAllow(a), newGreylistForget(a), newGreylistImport())
	return cmd
}

// greylistFlags adds the flags that choose items.
func greylistFlags(cmd *cobra.Command, f *greylist.Filter) {
	cmd.Flags().StringVar(&f.Client, "client", "", "only clients with this in the name, or the network of an address")
	cmd.Flags().StringVar(&f.MailFrom, "sender", "", "only senders with this in the address")
	cmd.Flags().StringVar(&f.RcptTo, "recipient", "", "only recipients with this in the address")
}

func newGreylistList(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List who waits, who passed, and who is let in", Args: cobra.NoArgs,
		Long: `List who waits, who passed, and who is let in.

A sender is remembered without what changes with each mail: "#" stands for words
with numbers. Filters take a whole address as well as a part of it.`,
		Example: "  gatepost greylist list --state waiting\n  gatepost greylist list --sender shop.example --json"}
	var f greylist.Filter
	greylistFlags(cmd, &f)
	state := cmd.Flags().String("state", "", "only one of waiting, passed, counted, allowed, opted-out")
	cmd.Flags().IntVar(&f.Limit, "limit", 50, "how many at most")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var err error
		if f.State, err = greylistState(*state); err != nil {
			return err
		}
		if f.Limit < 1 {
			return &misuse{errors.New("--limit: it has to be 1 or more")}
		}
		c, done, err := a.client(cmd.Context())
		if err != nil {
			return err
		}
		defer done()
		one := f
		one.Limit++ // tells whether there are more
		all, err := c.Greylist(cmd.Context(), one)
		if err != nil {
			return err
		}
		more := len(all) > f.Limit
		if err := printGreylist(cmd.OutOrStdout(), all[:min(len(all), f.Limit)], *asJSON); err != nil {
			return err
		}
		if more {
			warn(cmd.ErrOrStderr(), "there are more than %d; --limit, --state, --client, --sender and --recipient choose others", f.Limit)
		}
		return nil
	}
	return cmd
}

func greylistState(s string) (greylist.State, error) {
	for _, known := range greylist.States {
		if s == string(known) {
			return known, nil
		}
	}
	if s != "" {
		return "", &misuse{fmt.Errorf("--state: %q is none of %v", s, greylist.States)}
	}
	return "", nil
}

func printGreylist(w io.Writer, all []greylist.Item, asJSON bool) error {
	if asJSON {
		return printJSON(w, list(all))
	}
	return printTable(w, []string{"STATE", "CLIENT", "FROM", "TO", "NOTE"}, greylistRows(all, width(w)))
}

// greylistRows returns a line for each item that fits a terminal of so many
// columns, or is not cut at all for 0.
func greylistRows(all []greylist.Item, columns int) [][]string {
	const fixed = 9 + 2 + 20 + 2 + 2 + 2 // STATE, NOTE and the gaps
	each := 0
	if columns > 0 {
		each = max(8, (columns-fixed)/3)
	}
	rows := make([][]string, 0, len(all))
	for _, it := range all {
		rows = append(rows, []string{string(it.State), clip(it.Client, each), clip(it.MailFrom, each), clip(it.RcptTo, each), greylistNote(it)})
	}
	return rows
}

// greylistNote says in at most 20 columns what comes next. Times are UTC.
func greylistNote(it greylist.Item) string {
	const short = "01-02 15:04Z"
	switch {
	case it.State == greylist.Waiting:
		return "back " + it.Back.UTC().Format("01-02 15:04:05Z")
	case it.State == greylist.Passed:
		return "passed " + it.Passed.UTC().Format(short)
	case it.State == greylist.Counted, it.Passes > 0:
		return fmt.Sprintf("%d passed", it.Passes)
	case it.Expires.IsZero():
		return "for good"
	}
	return "until " + it.Expires.UTC().Format(short)
}

func newGreylistRelease(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "release", Short: "Let what waits pass with its next try", Args: cobra.NoArgs,
		Long: `Let what waits pass with its next try.

When that comes is for the sender's server to say: mostly within a few minutes. A
mail that comes for the first time can not be released; "gatepost greylist allow
--user" takes the delay off a recipient beforehand.`,
		Example: "  gatepost greylist release --recipient alice@example.org\n  gatepost greylist release --sender shop.example"}
	var f greylist.Filter
	greylistFlags(cmd, &f)
	everything := cmd.Flags().Bool("all", false, "release all that waits")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := needsChoice(f, *everything); err != nil {
			return err
		}
		c, done, err := a.client(cmd.Context())
		if err != nil {
			return err
		}
		defer done()
		out, err := c.GreylistRelease(cmd.Context(), f, *everything)
		if err != nil {
			return err
		}
		if err := printGreylist(cmd.OutOrStdout(), out, *asJSON); err != nil || len(out) > 0 {
			return err
		}
		return notGreylisted(cmd, "nothing like that waits")
	}
	return cmd
}

// needsChoice refuses an empty filter.
func needsChoice(f greylist.Filter, everything bool) error {
	if f.IsZero() != everything {
		return &misuse{hint(errors.New("one of --client, --sender, --recipient is needed, or --all alone"), "gatepost greylist list shows what there is")}
	}
	return nil
}

func notGreylisted(cmd *cobra.Command, text string) error {
	warn(cmd.ErrOrStderr(), "%s; gatepost greylist list shows what there is", text)
	return &saidNo{}
}

func newGreylistAllow(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "allow [CLIENT...]", Short: "Let clients in without a delay, or take it off a recipient",
		Long: `Let clients in without a delay, or take it off a recipient.

A CLIENT is an address or a network (/24 or /64), or a domain that SPF proves.
--user takes the address of a mailbox, whose aliases are meant, too, or a domain.
Larger networks belong into greylist.clients of the configuration; what should
outlast the loss of the state, into greylist.clients and greylist.opt_out.`,
		Example: "  gatepost greylist allow --user alice@example.org --for 15m   # she waits for a code\n" +
			"  gatepost greylist allow --user example.org\n  gatepost greylist allow 192.0.2.7 shop.example"}
	users := cmd.Flags().StringArray("user", nil, "an address or a domain of recipients who want no delay")
	span := cmd.Flags().String("for", "", "how long, such as 15m or 7d; else until gatepost greylist forget")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var life time.Duration
		if *span != "" {
			d, err := unit.ParseDuration(*span)
			if err != nil || d < time.Second {
				return &misuse{fmt.Errorf("--for: %q is not a time span of at least 1s", *span)}
			}
			life = d
		}
		var asked []greylist.Allowance
		for _, s := range args {
			asked = append(asked, greylist.Allowance{Client: s, For: life})
		}
		for _, s := range *users {
			asked = append(asked, greylist.Allowance{RcptTo: s, For: life})
		}
		if len(asked) == 0 {
			return &misuse{errors.New("a client, or --user with an address or a domain, is needed")}
		}
		c, done, err := a.client(cmd.Context())
		if err != nil {
			return err
		}
		defer done()
		var out []greylist.Item
		var failed error
		for _, one := range asked {
			it, err := c.GreylistAllow(cmd.Context(), one)
			if err != nil {
				failed = err
				break
			}
			out = append(out, it)
		}
		return errors.Join(printGreylist(cmd.OutOrStdout(), out, *asJSON), failed)
	}
	return cmd
}

func newGreylistForget(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "forget", Short: "Forget who passed, who waits and who was let in", Args: cobra.NoArgs,
		Long: `Forget who passed, who waits and who was let in: they begin anew.`,
		Example: "  gatepost greylist forget --dry-run --client 192.0.2.7\n  gatepost greylist forget --client 192.0.2.7\n" +
			"  gatepost greylist forget --state opted-out --recipient alice@example.org"}
	var f greylist.Filter
	greylistFlags(cmd, &f)
	state := cmd.Flags().String("state", "", "only one of waiting, passed, counted, allowed, opted-out")
	everything := cmd.Flags().Bool("all", false, "forget all, or all of --state")
	dry := cmd.Flags().Bool("dry-run", false, "only show what would go")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var err error
		if f.State, err = greylistState(*state); err != nil {
			return err
		}
		if err := needsChoice(f, *everything); err != nil {
			return err
		}
		c, done, err := a.client(cmd.Context())
		if err != nil {
			return err
		}
		defer done()
		out, err := c.GreylistForget(cmd.Context(), f, *everything, *dry)
		if err != nil {
			return err
		}
		if err := printGreylist(cmd.OutOrStdout(), out, *asJSON); err != nil || len(out) > 0 {
			return err
		}
		return notGreylisted(cmd, "nothing like that is remembered")
	}
	return cmd
}
