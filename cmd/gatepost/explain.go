package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/unit"
)

func newExplain(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "explain QUEUE-ID|MESSAGE-ID | --client ADDR", Short: "What happened to a message or a client, and why",
		Long: `What happened to a message or a client, and why.

A message is named by Postfix's queue id, which stands in Postfix's log and in
the reply that the sender got, or by its Message-ID. What was refused before it
had a queue id is found by the client's address.`,
		Example: "  gatepost explain 4XyZ1b2c3dzABC\n  gatepost explain --client 203.0.113.7 --since 10m",
	}
	client := cmd.Flags().String("client", "", "address or network of a client")
	since := cmd.Flags().String("since", "1h", "how far to look back with --client")
	verbose := cmd.Flags().Bool("verbose", false, "tell in full what policyd had no objection to")
	asJSON := jsonFlag(cmd)
	cmd.Args = func(_ *cobra.Command, args []string) error {
		if (len(args) == 1) == (*client != "") || len(args) > 1 {
			return errors.New("give either one id or --client ADDR")
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *client != "" {
			return a.explainClient(cmd, *client, *since, *asJSON, *verbose)
		}
		c, done, err := a.client(cmd.Context())
		if err != nil {
			return err
		}
		defer done()
		story, err := c.Story(cmd.Context(), args[0])
		if errors.Is(err, journal.ErrNotFound) {
			return hint(fmt.Errorf("the journal has nothing of %s", args[0]),
				"what was refused before it had a queue id is found by: gatepost explain --client ADDR --since 1d")
		}
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(cmd.OutOrStdout(), story)
		}
		return story.Format(cmd.OutOrStdout(), storyLook(cmd.OutOrStdout(), *verbose))
	}
	return cmd
}

// storyLook returns how a story looks on w.
func storyLook(w io.Writer, verbose bool) journal.Look {
	o := lookOf(w)
	return journal.Look{Width: o.Width, Colour: o.Colour, Verbose: verbose}
}

func (a *app) explainClient(cmd *cobra.Command, client, since string, asJSON, verbose bool) error {
	p, err := network(client)
	if err != nil {
		return err
	}
	d, err := unit.ParseDuration(since)
	if err != nil {
		return &misuse{fmt.Errorf("--since: %w", err)}
	}
	c, done, err := a.client(cmd.Context())
	if err != nil {
		return err
	}
	defer done()
	records, err := c.Records(cmd.Context(), p, time.Now().Add(-d))
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(cmd.OutOrStdout(), list(records))
	}
	if len(records) == 0 {
		return fmt.Errorf("the journal has nothing of %s in the last %s", client, since)
	}
	return journal.FormatRecords(cmd.OutOrStdout(), records, storyLook(cmd.OutOrStdout(), verbose))
}
