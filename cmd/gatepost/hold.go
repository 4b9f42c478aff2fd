package main

import (
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/gatepost/gatepost/internal/abuse"
	"github.com/gatepost/gatepost/internal/admin"
	"github.com/gatepost/gatepost/internal/hold"
	"github.com/gatepost/gatepost/internal/mailaddr"
)

// aboutUser is a command about one user that asks the running process.
func aboutUser(a *app, cmd *cobra.Command, run func(*cobra.Command, *admin.Client, mailaddr.Address) error) *cobra.Command {
	cmd.Args, cmd.ValidArgsFunction = cobra.ExactArgs(1), a.complete(1, userNames)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		addr, err := address(args[0])
		if err != nil {
			return err
		}
		c, done, err := a.client(cmd.Context())
		if err != nil {
			return err
		}
		defer done()
		return kinder(run(cmd, c, addr))
	}
	return cmd
}

func newUserHold(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "hold ADDRESS", Short: "Stop a user's outgoing mail; mail still comes in and is read",
		Long: `Stop a user's outgoing mail; mail still comes in and is read.

It holds at once: what is logged in cannot send either. Mail of the user that
waits in Postfix's queue is put on hold, which needs the queue helper
(gatepost-queue.socket).`,
		Example: "  gatepost user hold alice@example.org",
	}
	asJSON := jsonFlag(cmd)
	return aboutUser(a, cmd, func(cmd *cobra.Command, c *admin.Client, addr mailaddr.Address) error {
		out, err := c.HoldUser(cmd.Context(), addr)
		if err != nil {
			return err
		}
		if out.Queue != "" {
			warn(cmd.ErrOrStderr(), "mail of %s that waits in the queue goes on: %s", addr, printable(out.Queue))
		}
		return printHeld(cmd.OutOrStdout(), *asJSON, out, fmt.Sprintf("%s cannot send; %s in the queue put on hold", addr, messages(out)))
	})
}

func newUserRelease(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "release ADDRESS", Short: "Let a held user send again",
		Long: `Let a held user send again.

--queued says what becomes of the user's mail on hold:
  keep     it stays on hold
  release  it goes out, and what the user did within the last day is usual from
           now on
  delete   it is removed, and that day is forgotten: it was somebody else`,
		Example: "  gatepost user release alice@example.org --queued delete",
	}
	queued := cmd.Flags().String("queued", string(hold.Keep), "keep, release or delete")
	asJSON := jsonFlag(cmd)
	return aboutUser(a, cmd, func(cmd *cobra.Command, c *admin.Client, addr mailaddr.Address) error {
		q := hold.Queued(*queued)
		if q != hold.Keep && q != hold.Send && q != hold.Drop {
			return &misuse{fmt.Errorf("--queued: %q is not keep, release or delete", *queued)}
		}
		out, err := c.ReleaseUser(cmd.Context(), addr, q)
		if err != nil {
			return err
		}
		done := fmt.Sprintf("%s may send again; ", addr)
		switch q {
		case hold.Keep:
			done += "mail on hold stays there"
		case hold.Send:
			done += messages(out) + " on hold released"
		default:
			done += messages(out) + " on hold deleted"
		}
		return printHeld(cmd.OutOrStdout(), *asJSON, out, done)
	})
}

// messages says with how many something was done.
func messages(out hold.Outcome) string {
	if len(out.IDs) == 1 {
		return "1 message"
	}
	return strconv.Itoa(len(out.IDs)) + " messages"
}

// printHeld says what was done.
func printHeld(w io.Writer, asJSON bool, out hold.Outcome, done string) error {
	if asJSON {
		return printJSON(w, out)
	}
	_, err := fmt.Fprintln(w, printable(done))
	return err
}

func newUserSignals(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "signals ADDRESS", Short: "Show how a user's sending of the last hour compares with the last 30 days",
		Long: `Show how a user's sending of the last hour compares with the last 30 days, as
what tells of a stolen password. A signal whose source is missing is not watched;
stderr says what gives it.`,
		Example: "  gatepost user signals alice@example.org",
	}
	asJSON := jsonFlag(cmd)
	return aboutUser(a, cmd, func(cmd *cobra.Command, c *admin.Client, addr mailaddr.Address) error {
		r, err := c.UserSignals(cmd.Context(), addr)
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(cmd.OutOrStdout(), r)
		}
		for _, u := range r.Unwatched {
			warn(cmd.ErrOrStderr(), "not watched: %s", u)
		}
		return printSignals(cmd.OutOrStdout(), r)
	})
}

func printSignals(w io.Writer, r abuse.Report) error {
	var rows [][]string
	for _, s := range r.Signals {
		now, points := strconv.Itoa(int(s.Now)), strconv.FormatFloat(s.Points, 'g', -1, 64)
		if !s.Watched {
			now, points = "not watched", ""
		}
		rows = append(rows, []string{string(s.Name), now, strconv.Itoa(int(s.Usual)), strconv.Itoa(int(s.Allowed)), points})
	}
	if err := printTable(w, []string{"SIGNAL", "THIS HOUR", "USUAL", "ALLOWED", "POINTS"}, rows); err != nil {
		return err
	}
	settled := ""
	if !r.Settled {
		settled = "; habits are still learned, nobody is held"
	}
	_, err := fmt.Fprintf(w, "\n%g points, %s (warn from %g, hold from %g, mode %s%s)\n", r.Points, r.Action, r.Warn, r.Hold, r.Mode, settled)
	return err
}
