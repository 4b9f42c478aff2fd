package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/gatepost/gatepost/internal/classify"
	"github.com/gatepost/gatepost/internal/evidence"
	"github.com/gatepost/gatepost/internal/learn"
	"github.com/gatepost/gatepost/internal/lists/maps"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/message"
	"github.com/gatepost/gatepost/internal/rawmsg"
	"github.com/gatepost/gatepost/internal/scan"
	"github.com/gatepost/gatepost/internal/verdict"
	"github.com/gatepost/gatepost/internal/verdict/table"
)

func newScan(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "scan FILE...", Short: "What the filter says of a message, line by line",
		Long: `What the filter says of a message, line by line.

The file is judged with the rules, thresholds and entries of the configuration,
and, when Gatepost runs, by what it has learned. No network is asked: SPF, DKIM,
DMARC and DNS lists are not part of the score, nor is the memory. What
stands in no file is given by options: who the client was, and for whom the
message is; with --user it counts as sent by one of our own. "-" reads stdin.`,
		Example: "  gatepost scan message.eml\n" +
			"  gatepost scan --ip 192.0.2.7 --helo mail.example.net --rcpt ann@example.org message.eml\n" +
			"  gatepost scan --json ~/Maildir/.Junk/cur/*",
		Args: cobra.MinimumNArgs(1),
	}
	f := scanFlags{sender: addSenderFlags(cmd)}
	cmd.Flags().StringArrayVar(&f.rcpt, "rcpt", nil, "recipient in RCPT TO; may be given more than once")
	cmd.Flags().StringVar(&f.user, "user", "", "login of the user of ours who sends it")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, err := a.load()
		if err != nil {
			return err
		}
		session, err := f.session()
		if err != nil {
			return err
		}
		if session.Direction == scan.Inbound {
			session.learned = learnedOf(cmd.Context(), cfg)
		}
		all, err := scanFiles(cmd.Context(), cmd.InOrStdin(), cfg, session, args)
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(cmd.OutOrStdout(), all)
		}
		return printScans(cmd.OutOrStdout(), all)
	}
	return cmd
}

// scanFlags are what the options say of a message's session.
type scanFlags struct {
	sender *senderFlags
	rcpt   []string
	user   string
}

// session is what the options say. Without --from the author of each message
// stands for its envelope sender: the null one would make a bounce of it.
type session struct {
	scan.Message
	byAuthor bool
	// learned tells what the learned filter says of a file, nil where it can not
	// be asked.
	learned func(file []byte) (scan.Learned, error)
}

// learnedOf asks the learned filter of the Gatepost that runs.
func learnedOf(ctx context.Context, cfg Config) func(file []byte) (scan.Learned, error) {
	c, err := running(ctx, cfg)
	if err != nil {
		return nil
	}
	var features classify.Features
	return func(file []byte) (scan.Learned, error) {
		item, err := learn.Extract(file, cfg.trace(), &features)
		if err != nil {
			return scan.Learned{}, fmt.Errorf("ask the learned filter: %w", err)
		}
		s, err := c.LearnedScore(ctx, item.Features)
		if err != nil {
			return scan.Learned{}, fmt.Errorf("ask the learned filter: %w", err)
		}
		return scan.Learned{Logit: s.Logit, Weight: s.Weight, Ham: s.Ham, Spam: s.Spam}, nil
	}
}

// session returns what the options say.
func (f *scanFlags) session() (session, error) {
	m := session{Message: scan.Message{Direction: scan.Inbound, User: f.user}}
	if f.user != "" {
		m.Direction = scan.Outbound
	}
	var err error
	if m.Client.Addr, err = f.sender.addr(); err != nil {
		return m, err
	}
	m.Client.Helo = f.sender.helo
	given := false
	if m.MailFrom, given, err = f.sender.mailFrom(); err != nil {
		return m, err
	}
	m.byAuthor = !given
	for _, s := range f.rcpt {
		a, err := mailaddr.ParsePath(s)
		if err != nil || a.Domain == "" {
			return m, &misuse{fmt.Errorf("--rcpt: %q is not an address such as alice@example.org", s)}
		}
		m.RcptTo = append(m.RcptTo, a)
		m.OwnDomains = append(m.OwnDomains, a.Domain)
	}
	return m, nil
}

// scanned is one file with what the filter says of it.
type scanned struct {
	File string `json:"file"`
	scan.Result
}

// scanFiles judges files with one engine, and with the maps as they are now.
func scanFiles(ctx context.Context, stdin io.Reader, cfg Config, from session, paths []string) ([]scanned, error) {
	own, err := maps.New(cfg.Maps, nil, quietLog())
	if err != nil {
		return nil, err
	}
	e, err := scan.New(cfg.Scan, scan.Deps{Maps: own})
	if err != nil {
		return nil, err
	}
	mapped := evidence.New(evidence.Deps{Maps: own}, quietLog())
	out := make([]scanned, 0, len(paths))
	for _, path := range paths {
		raw, err := readMessage(stdin, path, int64(cfg.Milter.ScanBytes))
		if err != nil {
			return nil, err
		}
		m := from.Message
		m.Raw, m.Size = rawmsg.Scan(raw, rawmsg.Default()), int64(len(raw))
		m.Text = message.Decode(m.Raw)
		if from.byAuthor && len(m.Text.From) > 0 {
			m.MailFrom = m.Text.From[0].Addr
		}
		m = mapped.Begin(ctx, m).Message(ctx, m.Auth)
		m.OwnDomains = from.OwnDomains // nobody could tell evidence
		if from.learned != nil {
			if m.Learned, err = from.learned(raw); err != nil {
				return nil, err
			}
		}
		out = append(out, scanned{path, e.Scan(m, time.Now())})
	}
	return out, nil
}

// readMessage reads the part of a message that is scanned.
func readMessage(stdin io.Reader, path string, most int64) ([]byte, error) {
	in := stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("read message: %w", err)
		}
		defer f.Close()
		in = f
	}
	raw, err := io.ReadAll(io.LimitReader(in, most))
	if errors.Is(err, syscall.EISDIR) {
		return nil, hint(fmt.Errorf("%s is a directory, and no message", path), "name its files, such as %s/*", filepath.Clean(path))
	}
	if err != nil {
		return nil, fmt.Errorf("read message: %w", err)
	}
	return raw, nil
}

// printScans writes a table for each file.
func printScans(w io.Writer, all []scanned) error {
	look := lookOf(w)
	for i, s := range all {
		if i > 0 {
			fmt.Fprintln(w)
		}
		if len(all) > 1 {
			fmt.Fprintf(w, "%s:\n", strings.ReplaceAll(printable(s.File), "\n", `\n`))
		}
		v := table.Verdict{
			Lines: s.Lines, Score: s.Score, Verdict: s.Verdict, ByRcpt: s.ByRcpt,
			Reject: s.Thresholds.Reject, Quarantine: s.Thresholds.Quarantine, Mark: s.Thresholds.Mark, Notes: scanNotes(s.Result),
		}
		if err := table.Write(w, v, look); err != nil {
			return err
		}
	}
	return nil
}

// scanNotes tells in sentences what is no line.
func scanNotes(r scan.Result) []string {
	var notes []string
	if r.Discard {
		notes = append(notes, "A rule discards the message: it is kept aside, and the sender is told nothing.")
	}
	if r.Greylist && r.Verdict == verdict.Accept {
		notes = append(notes, "The greylist would like to see this sender again.")
	}
	if len(r.Tags) > 0 {
		notes = append(notes, "Tags: "+strings.Join(r.Tags, ", "))
	}
	if r.Partly {
		notes = append(notes, "Only a part of the message was looked at.")
	}
	return notes
}

// maxLook is the widest that a table gets: longer lines are hard to read.
const maxLook = 120

// lookOf returns how a table looks on w: in colour on a terminal only, unless
// NO_COLOR is set (no-color.org).
func lookOf(w io.Writer) table.Options {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return table.Options{}
	}
	o := table.Options{Colour: os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
	if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
		o.Width = min(width, maxLook)
	}
	return o
}

func points(f float64) string { return strconv.FormatFloat(f, 'f', 2, 64) }
