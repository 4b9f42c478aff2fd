package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatepost/gatepost/internal/rawmsg"
	"github.com/gatepost/gatepost/internal/scan"
	"github.com/gatepost/gatepost/internal/verdict"
)

func newScan(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "scan FILE...", Short: "What the filter says of a message, from the file alone",
		Long: `What the filter says of a message, from the file alone.

No network is asked and nothing is known of a client, so SPF, DKIM and what
else depends on the session is not part of the score. "-" reads stdin.`,
		Example: "  gatepost scan message.eml\n  gatepost scan --json ~/Maildir/.Junk/cur/*", Args: cobra.MinimumNArgs(1),
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, err := a.load()
		if err != nil {
			return err
		}
		type scanned struct {
			File string `json:"file"`
			scan.Result
		}
		var out []scanned
		for _, path := range args {
			raw, err := readMessage(cmd.InOrStdin(), path, int64(cfg.Milter.ScanBytes))
			if err != nil {
				return err
			}
			res := scan.Scan(cfg.Scan, scan.Message{
				Direction: scan.Inbound, Raw: rawmsg.Scan(raw, rawmsg.Default()), Size: int64(len(raw)),
			}, time.Now())
			out = append(out, scanned{path, res})
		}
		if *asJSON {
			return printJSON(cmd.OutOrStdout(), out)
		}
		for i, s := range out {
			if i > 0 {
				fmt.Fprintln(cmd.OutOrStdout())
			}
			if len(out) > 1 {
				fmt.Fprintf(cmd.OutOrStdout(), "%s:\n", printable(s.File))
			}
			if err := printScan(cmd.OutOrStdout(), s.Result); err != nil {
				return err
			}
		}
		return nil
	}
	return cmd
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
	if err != nil {
		return nil, fmt.Errorf("read message: %w", err)
	}
	return raw, nil
}

func printScan(w io.Writer, res scan.Result) error {
	var rows [][]string
	for _, l := range res.Lines {
		rows = append(rows, []string{points(l.Score), l.Name, lineText(l)})
	}
	rows = append(rows, []string{points(res.Score), "= " + res.Verdict.String(), ""})
	return printTable(w, []string{"POINTS", "RULE", "WHY"}, rows)
}

func points(f float64) string { return strconv.FormatFloat(f, 'f', 2, 64) }

func lineText(l verdict.Line) string {
	if len(l.Options) == 0 {
		return l.Text
	}
	return l.Text + " (" + strings.Join(l.Options, ", ") + ")"
}
