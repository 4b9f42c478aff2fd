package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatepost/gatepost/internal/admin"
	"github.com/gatepost/gatepost/internal/learn"
	"github.com/gatepost/gatepost/internal/unit"
)

func newLearn(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "learn", Short: "Teach the filter what is spam and what is ham",
		Long: `Teach the filter what is spam and what is ham.

A message counts once, however often it is given; given as the other class it
is corrected. Each learn can be taken back. Users teach the filter by themselves,
by moving messages into and out of Junk.`,
		Example: "  gatepost learn spam ~/Maildir/.Junk\n  gatepost learn ham archive.mbox\n  gatepost learn status"}
	cmd.AddCommand(newLearnClass(a, true), newLearnClass(a, false), newLearnUndo(a), newLearnList(a), newLearnStatus(a),
		newLearnApprove(a), newLearnDrop(a))
	return cmd
}

// learned is what "learn spam" and "learn ham" did.
type learned struct {
	New       int      `json:"new"`
	Already   int      `json:"already"`
	Corrected int      `json:"corrected"`
	Refused   int      `json:"refused"`
	Queued    int      `json:"queued"`
	Failed    int      `json:"failed"`
	Problems  []string `json:"problems"`
}

func newLearnClass(a *app, spam bool) *cobra.Command {
	class := learn.Class(spam)
	cmd := &cobra.Command{Use: class + " FILE|DIR|-...", Short: "Learn messages as " + class,
		Long: `Learn messages as ` + class + `.

A FILE is one message or an mbox. Of a Maildir, cur and new are read, of another
DIR its files. "-" is a message or an mbox on stdin. Fields that this server has
put on top of a delivered message are not learned.`,
		Example: "  gatepost learn " + class + " message.eml\n  gatepost learn " + class + " - < folder.mbox\n  gatepost learn " +
			class + " /var/vmail/example.org/alice/Maildir/" + map[string]string{"spam": ".Junk", "ham": ".Archive"}[class],
		Args: cobra.MinimumNArgs(1)}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, err := a.load()
		if err != nil {
			return err
		}
		src, err := openMail(cmd.InOrStdin(), args) // before root becomes another user
		if err != nil {
			return err
		}
		defer src.close()
		c, done, err := a.client(cmd.Context())
		if err != nil {
			return err
		}
		defer done()
		t := teacher{client: c, spam: spam, err: cmd.ErrOrStderr(), terminal: width(cmd.ErrOrStderr()) > 0, began: time.Now(), cfg: cfg.trace()}
		if err := errors.Join(src.each(t.cfg.ScanBytes+moreThanScanned, func(name string, msg []byte, err error) error {
			return t.take(cmd.Context(), name, msg, err)
		}), t.send(cmd.Context())); err != nil {
			t.progress(true)
			return err
		}
		t.progress(true)
		return t.result(cmd.OutOrStdout(), *asJSON)
	}
	return cmd
}

// result prints what was done, and is an error if something was not.
func (t *teacher) result(w io.Writer, asJSON bool) error {
	t.done.Problems = list(t.done.Problems)
	if asJSON {
		if err := printJSON(w, t.done); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(w, "%d new, %d already learned, %d corrected, %d refused\n", t.done.New, t.done.Already, t.done.Corrected, t.done.Refused)
		if t.done.Queued > 0 {
			fmt.Fprintf(w, "%d wait for the learn stream and are learned when it is back\n", t.done.Queued)
		}
	}
	if t.done.Failed+t.done.Refused > 0 {
		return &saidNo{}
	}
	return nil
}

// chosen adds the flags that choose learns.
func chosen(cmd *cobra.Command) func(args []string) (learn.Choice, error) {
	message := cmd.Flags().String("message", "", "those of a message, by Message-ID, queue id or key")
	user := cmd.Flags().String("user", "", "those of a mailbox")
	since := cmd.Flags().String("since", "", "those of the last time, such as 2d or 6h")
	return func(args []string) (learn.Choice, error) {
		c := learn.Choice{Message: *message}
		if *user != "" {
			addr, err := address(*user)
			if err != nil {
				return c, err
			}
			c.User = addr.String()
		}
		if *since != "" {
			d, err := unit.ParseDuration(*since)
			if err != nil {
				return c, &misuse{fmt.Errorf("--since: %w", err)}
			}
			c.Since = time.Now().Add(-d)
		}
		if len(args) > 0 {
			id, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil || id < 1 {
				return c, &misuse{hint(fmt.Errorf("%q is not the number of a learn", args[0]), "gatepost learn list shows the numbers")}
			}
			c.ID = id
		}
		return c, nil
	}
}

func newLearnUndo(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "undo [ID]", Short: "Take learns back, of a number, a message, a mailbox or a time",
		Example: "  gatepost learn undo 1234\n  gatepost learn undo --user alice@example.org --since 7d --dry-run", Args: cobra.MaximumNArgs(1)}
	choose := chosen(cmd)
	dry := cmd.Flags().Bool("dry-run", false, "list what would be taken back")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := choose(args)
		if err != nil {
			return err
		}
		if c.ID == 0 && c.Message == "" && c.User == "" && c.Since.IsZero() {
			return &misuse{learn.ErrChoice}
		}
		return a.withClient(cmd.Context(), func(ctx context.Context, cl *admin.Client) error {
			if *dry {
				c.Limit = 10_000
				return printLearns(ctx, cmd, cl, c, *asJSON, func(e learn.Entry) bool { return e.State == "learned" || e.State == "waiting" })
			}
			u, err := cl.Unlearn(ctx, c)
			if err != nil {
				return hint(err, "gatepost learn list shows what was learned; what is undone there cannot be undone again")
			}
			if *asJSON {
				return printJSON(cmd.OutOrStdout(), u)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%d taken back, %d dropped that had waited, %d too old\n", u.Undone, u.Dropped, u.TooOld)
			if u.Queued > 0 {
				fmt.Fprintf(cmd.OutOrStdout(), "%d are taken back when the learn stream is back\n", u.Queued)
			}
			if u.TooOld > 0 {
				warn(cmd.ErrOrStderr(), "of a learn that is too old the features are no longer kept; learn the message as the other class to correct it")
			}
			return nil
		})
	}
	return cmd
}

// withClient runs f with a client.
func (a *app) withClient(ctx context.Context, f func(context.Context, *admin.Client) error) error {
	c, done, err := a.client(ctx)
	if err != nil {
		return err
	}
	defer done()
	return f(ctx, c)
}

func newLearnList(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List what was learned, the newest first", Args: cobra.NoArgs,
		Example: "  gatepost learn list --user alice@example.org --since 7d\n  gatepost learn list --message 4XyZ1b2c3dzABC"}
	choose := chosen(cmd)
	limit := cmd.Flags().Int("limit", 100, "how many, at most 10000")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := choose(args)
		if err != nil {
			return err
		}
		if c.Limit = *limit; c.Limit < 1 {
			return &misuse{errors.New("--limit: it has to be 1 or more")}
		}
		return a.withClient(cmd.Context(), func(ctx context.Context, cl *admin.Client) error {
			return printLearns(ctx, cmd, cl, c, *asJSON, func(learn.Entry) bool { return true })
		})
	}
	return cmd
}

func printLearns(ctx context.Context, cmd *cobra.Command, cl *admin.Client, c learn.Choice, asJSON bool, want func(learn.Entry) bool) error {
	all, err := cl.Learns(ctx, c)
	if err != nil {
		return err
	}
	kept := all[:0]
	for _, e := range all {
		if want(e) {
			kept = append(kept, e)
		}
	}
	if asJSON {
		return printJSON(cmd.OutOrStdout(), list(kept))
	}
	var rows [][]string
	for _, e := range kept {
		state := e.State
		if e.Reason != "" {
			state += ": " + e.Reason
		}
		rows = append(rows, []string{strconv.FormatInt(e.ID, 10), e.Time.UTC().Format(time.DateTime), e.Class, string(e.Source),
			e.User, strconv.FormatFloat(e.Share, 'f', 2, 64), e.QueueID, e.MessageID, state})
	}
	head := []string{"ID", "TIME (UTC)", "CLASS", "BY", "USER", "SHARE", "QUEUE ID", "MESSAGE-ID", "STATE"}
	fit(head, rows, 7, width(cmd.OutOrStdout()))
	return printTable(cmd.OutOrStdout(), head, rows)
}

func newLearnStatus(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "status", Short: "How much the filter has learned, and what waits for you", Args: cobra.NoArgs,
		Example: "  gatepost learn status"}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.withClient(cmd.Context(), func(ctx context.Context, cl *admin.Client) error {
			s, err := cl.LearnStatus(ctx)
			if err != nil {
				return err
			}
			if *asJSON {
				return printJSON(cmd.OutOrStdout(), s)
			}
			printLearnStatus(cmd.OutOrStdout(), s)
			return nil
		})
	}
	return cmd
}

func printLearnStatus(w io.Writer, s learn.Status) {
	fmt.Fprintf(w, "%d ham, %d spam; carries %.0f %% of its full weight\n", s.Ham, s.Spam, 100*s.Weight)
	fmt.Fprintf(w, "learned: %d by administrators, %d by moves, %d read and kept; %d taken back, %d refused\n",
		s.BySource[learn.CLI]+s.BySource[learn.Release]+s.BySource[learn.Trap], s.BySource[learn.Move], s.BySource[learn.Weak], s.Undone, s.Refused)
	fmt.Fprintf(w, "kept: features of %d messages, %v\n", s.Kept.Rows, unit.Size(s.Kept.Bytes))
	if s.Watch.Mailboxes > 0 {
		fmt.Fprintf(w, "mailboxes: %d, %d of them watched\n", s.Watch.Mailboxes, s.Watch.Watched)
	}
	if s.Watch.Problem != "" {
		fmt.Fprintf(w, "problem: %s\n", printable(s.Watch.Problem))
	}
	printStream(w, s.Stream)
	for _, p := range s.Waiting {
		fmt.Fprintf(w, "waiting: %s moved %d messages at once since %s UTC, as %s; \"gatepost learn approve %s\" learns them, \"learn drop\" does not\n",
			printable(p.User), p.Count, p.Since.UTC().Format(time.DateTime), p.Class, printable(p.User))
	}
}

// printStream tells of the stream by which hosts learn as one.
func printStream(w io.Writer, st *learn.StreamStatus) {
	if st == nil {
		return
	}
	fmt.Fprintf(w, "stream: %d events of all hosts learned since the start, %d wait here\n", st.Applied, st.Outbox)
	if st.Away {
		fmt.Fprintln(w, "problem: the learn stream stands still; what is learned waits")
	}
	if st.Gaps+st.Skipped > 0 {
		fmt.Fprintf(w, "problem: events were missed %d times and skipped %d times, so this model is not that of the other hosts; copy theirs with gatepost backup and restore\n", st.Gaps, st.Skipped)
	}
}

func newLearnApprove(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "approve ADDRESS", Short: "Learn what a mailbox moved at once", Args: cobra.ExactArgs(1),
		Example: "  gatepost learn approve alice@example.org", ValidArgsFunction: a.complete(1, userNames)}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		addr, err := address(args[0])
		if err != nil {
			return err
		}
		return a.withClient(cmd.Context(), func(ctx context.Context, cl *admin.Client) error {
			r, err := cl.ApproveLearns(ctx, addr.String())
			if err != nil {
				return nothingWaits(addr.String(), err)
			}
			t := teacher{}
			t.count(r)
			return t.result(cmd.OutOrStdout(), *asJSON)
		})
	}
	return cmd
}

func newLearnDrop(a *app) *cobra.Command {
	return &cobra.Command{Use: "drop ADDRESS", Short: "Forget what a mailbox moved at once", Args: cobra.ExactArgs(1),
		Example: "  gatepost learn drop alice@example.org", ValidArgsFunction: a.complete(1, userNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			addr, err := address(args[0])
			if err != nil {
				return err
			}
			return a.withClient(cmd.Context(), func(ctx context.Context, cl *admin.Client) error {
				n, err := cl.DropLearns(ctx, addr.String())
				if err != nil {
					return nothingWaits(addr.String(), err)
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%d dropped\n", n)
				return nil
			})
		}}
}

func nothingWaits(user string, err error) error {
	return hint(fmt.Errorf("waiting learns of %s: %w", user, err), "gatepost learn status shows what waits")
}
