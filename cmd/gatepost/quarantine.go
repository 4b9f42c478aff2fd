package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/gatepost/gatepost/internal/admin"
	"github.com/gatepost/gatepost/internal/lmtp"
	"github.com/gatepost/gatepost/internal/quarantine"
	"github.com/gatepost/gatepost/internal/quarantine/release"
	"github.com/gatepost/gatepost/internal/unit"
	"github.com/gatepost/gatepost/internal/verdict/table"
)

func newQuarantine(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "quarantine", Short: "Messages that were kept and delivered to nobody: look, release, delete",
		Long: `Messages that were kept and delivered to nobody: look, release, delete.

A message is named by its ID in the list, or by Postfix's queue id. It goes when
its time is over (quarantine.keep, quarantine.keep_discarded).`,
		Example: "  gatepost quarantine list --to alice@example.org\n  gatepost quarantine release 20261120-065535-k3f9x2"}
	cmd.AddCommand(newQuarantineList(a), newQuarantineShow(a), newQuarantineRelease(a), newQuarantineDelete(a))
	return cmd
}

func newQuarantineList(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List the messages, the newest first", Args: cobra.NoArgs,
		Example: "  gatepost quarantine list --since 2d\n  gatepost quarantine list --from shop.example --json"}
	var f quarantine.Filter
	cmd.Flags().StringVar(&f.From, "from", "", "only what has this in the envelope sender or the header From")
	cmd.Flags().StringVar(&f.To, "to", "", "only what has this in a recipient")
	since := cmd.Flags().String("since", "", "only what arrived in this time, such as 12h or 7d")
	cmd.Flags().IntVar(&f.Limit, "limit", 50, "how many at most")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *since != "" {
			d, err := unit.ParseDuration(*since)
			if err != nil {
				return &misuse{fmt.Errorf("--since: %w", err)}
			}
			f.Since = time.Now().Add(-d)
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
		all, err := c.Quarantined(cmd.Context(), one)
		if err != nil {
			return err
		}
		more := len(all) > f.Limit
		all = all[:min(len(all), f.Limit)]
		switch {
		case *asJSON:
			err = printJSON(cmd.OutOrStdout(), list(all))
		case len(all) == 0:
			fmt.Fprintln(cmd.ErrOrStderr(), "no such message is in quarantine")
		default:
			err = printTable(cmd.OutOrStdout(), quarantineHead, quarantineRows(all, width(cmd.OutOrStdout())))
		}
		if err == nil && more {
			warn(cmd.ErrOrStderr(), "there are more than %d; --limit, --from, --to and --since choose others", f.Limit)
		}
		return err
	}
	return cmd
}

var quarantineHead = []string{"ID", "STATE", "POINTS", "FROM", "TO", "SUBJECT"}

// quarantineRows returns a line for each message that fits a terminal of so many
// columns, or is not cut at all for 0.
func quarantineRows(all []quarantine.Item, columns int) [][]string {
	const fixed = 22 + 2 + 8 + 2 + 6 + 2 + 2 + 2 // ID, STATE, POINTS and the gaps
	each := 0
	if columns > 0 {
		each = max(8, (columns-fixed)/3)
	}
	rows := make([][]string, 0, len(all))
	for _, it := range all {
		from := it.MailFrom
		if from == "" {
			from = "<>"
		}
		to, more := "", ""
		if len(it.RcptTo) > 0 {
			to = it.RcptTo[0]
		}
		if n := it.Recipients - 1; n > 0 {
			more = fmt.Sprintf(" +%d", n)
		}
		rows = append(rows, []string{it.ID, stateWord(it), points(it.Score), clip(from, each),
			clip(to, each-len(more)) + more, clip(it.Header.Subject, each)})
	}
	return rows
}

// stateWord is the state; a message that nobody has yet tells whether a rule
// discarded it.
func stateWord(it quarantine.Item) string {
	if it.State == quarantine.Held && it.Discard {
		return "discard"
	}
	return string(it.State)
}

// clip cuts s to so many columns of a terminal, and shows that; below 1 it is
// left whole.
func clip(s string, columns int) string {
	s = strings.ReplaceAll(printable(s), "\n", " ")
	if columns < 1 {
		return s
	}
	at, last := 0, 0 // the width, and where s is cut if it is too wide
	for i, r := range s {
		if at < columns {
			last = i
		}
		at++
		if r >= 0x1100 { // where the wide scripts begin
			at++
		}
		if at > columns {
			return s[:last] + "…"
		}
	}
	return s
}

// width returns the columns of the terminal that w is, 0 if it is none.
func width(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	n, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return n
}

func newQuarantineShow(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "show ID", Short: "Show a message: envelope, reasons and header", Args: cobra.ExactArgs(1),
		Example: "  gatepost quarantine show 20261120-065535-k3f9x2\n  gatepost quarantine show 4XyZ1b2c3dzABC --raw > message.eml"}
	raw := cmd.Flags().Bool("raw", false, "print the whole message as it came, byte for byte")
	asJSON := jsonFlag(cmd)
	cmd.MarkFlagsMutuallyExclusive("raw", "json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, done, err := a.client(cmd.Context())
		if err != nil {
			return err
		}
		defer done()
		id := args[0]
		if *raw {
			if width(cmd.OutOrStdout()) > 0 {
				return &misuse{hint(errors.New("a message may hold what a terminal would act on"), "> message.eml at the end of the command writes it into a file")}
			}
			return quarantineHint(id, c.QuarantineRaw(cmd.Context(), id, cmd.OutOrStdout()))
		}
		d, err := c.QuarantineShow(cmd.Context(), id)
		if err != nil {
			return quarantineHint(id, err)
		}
		if *asJSON {
			return printJSON(cmd.OutOrStdout(), d)
		}
		return printQuarantined(cmd.OutOrStdout(), d)
	}
	return cmd
}

// printQuarantined writes all of a message but its body.
func printQuarantined(w io.Writer, d admin.QuarantineDetail) error {
	line := func(label, value string) {
		if value != "" {
			fmt.Fprintf(w, "%-10s %s\n", label, strings.ReplaceAll(printable(value), "\n", " "))
		}
	}
	utc := func(t time.Time) string { return t.UTC().Format(time.DateTime) + " UTC" }
	line("id", d.ID)
	line("state", string(d.State)+", "+d.Verdict+", until "+utc(d.Expires))
	line("queue id", d.QueueID)
	line("arrived", utc(d.Arrived))
	client := d.Client.Name
	if d.Client.Addr.IsValid() {
		client = strings.TrimSpace(client + " [" + d.Client.Addr.String() + "]")
	}
	if d.Client.Helo != "" {
		client += ", helo " + d.Client.Helo
	}
	line("client", client)
	line("from", "<"+d.MailFrom+">")
	for _, to := range d.RcptTo {
		line("to", "<"+to+">")
	}
	line("size", fmt.Sprint(d.Size))
	for _, g := range d.Delivered {
		line("released", "to "+g.To+", "+utc(g.At)+", as "+g.ID)
	}
	fmt.Fprintln(w)
	if err := table.Write(w, table.Verdict{Lines: d.Lines, Score: d.Score, Word: d.Verdict}, lookOf(w)); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%s", printable(strings.ReplaceAll(d.Fields, "\r\n", "\n")))
	return err
}

func newQuarantineRelease(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "release ID...", Short: "Deliver messages to the inboxes of their recipients, and learn them as ham",
		Long: `Deliver messages to the inboxes of their recipients, and learn them as ham.

Who has a message already does not get it again, so that a release can be
repeated: after a fault it delivers to those who are missing. With --to somebody
else gets a copy, and the message stays for its recipients.`,
		Example: "  gatepost quarantine release 20261120-065535-k3f9x2\n  gatepost quarantine release 4XyZ1b2c3dzABC --to postmaster@example.org --no-learn",
		Args:    cobra.MinimumNArgs(1)}
	to := cmd.Flags().String("to", "", "who gets it instead of its recipients")
	noLearn := cmd.Flags().Bool("no-learn", false, "do not learn it as ham")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		q := release.Request{NoLearn: *noLearn}
		if *to != "" {
			addr, err := address(*to)
			if err != nil {
				return err
			}
			q.To = addr
		}
		c, done, err := a.client(cmd.Context())
		if err != nil {
			return err
		}
		defer done()
		var outs []release.Outcome
		failed := eachID(cmd, args, func(ctx context.Context, id string) error {
			q.ID = id
			out, err := c.QuarantineRelease(ctx, q)
			if err != nil {
				return quarantineHint(id, err)
			}
			outs = append(outs, out)
			if !*asJSON {
				printReleased(cmd.OutOrStdout(), out)
			}
			if len(out.Refused) > 0 {
				return &saidNo{}
			}
			return nil
		})
		if *asJSON {
			return errors.Join(printJSON(cmd.OutOrStdout(), list(outs)), failed)
		}
		return failed
	}
	return cmd
}

// printReleased tells what became of a release, a line for each address.
func printReleased(w io.Writer, out release.Outcome) {
	tell := func(format string, args ...any) {
		fmt.Fprintf(w, "%s: %s\n", out.ID, strings.ReplaceAll(printable(fmt.Sprintf(format, args...)), "\n", " "))
	}
	for _, d := range out.Delivered {
		tell("delivered to %s", d.To)
	}
	for _, b := range out.Before {
		tell("%s had it already", b)
	}
	for _, f := range out.Refused {
		tell("not delivered to %s: %s", f.To, f.Why)
	}
	if out.Deleted {
		tell("deleted, as quarantine.delete_released has it")
	}
}

func newQuarantineDelete(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "delete ID...", Short: "Delete messages for good", Args: cobra.MinimumNArgs(1),
		Example: "  gatepost quarantine delete --dry-run 20261120-065535-k3f9x2\n  gatepost quarantine delete 20261120-065535-k3f9x2"}
	dry := cmd.Flags().Bool("dry-run", false, "only show what would go")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, done, err := a.client(cmd.Context())
		if err != nil {
			return err
		}
		defer done()
		return eachID(cmd, args, func(ctx context.Context, id string) error {
			if !*dry {
				return quarantineHint(id, c.QuarantineDelete(ctx, id))
			}
			d, err := c.QuarantineShow(ctx, id)
			if err != nil {
				return quarantineHint(id, err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s from <%s>: %s\n", d.ID, clip(d.MailFrom, 0), clip(d.Header.Subject, 0))
			return nil
		})
	}
	return cmd
}

// eachID does something with each message. One that fails is told and keeps none
// of the others from it.
func eachID(cmd *cobra.Command, ids []string, do func(ctx context.Context, id string) error) error {
	var failed error
	for _, id := range ids {
		err := do(cmd.Context(), id)
		var said *saidNo
		if err != nil && !errors.As(err, &said) && len(ids) > 1 {
			printError(err)
			err = &saidNo{}
		}
		if err != nil {
			failed = err
		}
		if cmd.Context().Err() != nil {
			break
		}
	}
	return failed
}

// quarantineHint adds to an error which message it is about, and what helps.
func quarantineHint(id string, err error) error {
	if err == nil {
		return nil
	}
	var e *admin.Error
	refused := errors.As(err, &e)
	err = fmt.Errorf("%s: %w", id, err)
	switch {
	case errors.Is(err, quarantine.ErrNotFound):
		return hint(err, "gatepost quarantine list shows the messages and their IDs")
	case errors.Is(err, quarantine.ErrDamaged):
		return hint(err, "the file is cut or changed: gatepost quarantine delete removes it")
	case errors.Is(err, quarantine.ErrAmbiguous):
		return hint(err, "name the message by its ID")
	case errors.Is(err, lmtp.ErrAway):
		return hint(err, "systemctl status gatepost; gatepost has to serve lmtpd")
	case refused && e.Hint != "":
		return hint(err, "%s", e.Hint)
	}
	return err
}
