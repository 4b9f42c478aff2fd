package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatepost/gatepost/internal/admin"
	"github.com/gatepost/gatepost/internal/guard"
	"github.com/gatepost/gatepost/internal/netaddr"
)

func newGuard(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "guard", Short: "How the guard of logins stands, and what other settings would do",
		Example: "  gatepost guard status\n  gatepost guard events --since 24h > events.jsonl\n  gatepost guard replay events.jsonl --with new.yaml",
	}
	cmd.AddCommand(newGuardStatus(a), newGuardReport(a), newGuardEvents(a), newGuardReplay(a))
	return cmd
}

func newGuardStatus(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "status", Short: "Show what is counted, and how often which line was crossed",
		Example: "  gatepost guard status --json", Args: cobra.NoArgs}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, done, err := a.client(cmd.Context())
		if err != nil {
			return err
		}
		defer done()
		s, err := c.GuardStatus(cmd.Context())
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(cmd.OutOrStdout(), s)
		}
		return printGuard(cmd.OutOrStdout(), s)
	}
	return cmd
}

func printGuard(w io.Writer, s guard.Status) error {
	fmt.Fprintf(w, "mode      %s\n", printable(string(s.Mode)))
	fmt.Fprintf(w, "bans      %d\n", s.Bans)
	fmt.Fprintf(w, "counted   %s, %s of account and network", counted(s.Networks, "network"), counted(s.Pairs, "pair"))
	if s.Dropped > 0 {
		fmt.Fprintf(w, "; %d went before their time, max_networks is too low", s.Dropped)
	}
	fmt.Fprintf(w, "\nproven    %s of account and network\n", counted(s.Proven, "pair"))
	fmt.Fprintf(w, "senders   %s with mail accepted within 30 days\n", counted(s.Senders, "client"))
	fmt.Fprintf(w, "now       %s under way, %d waiting\n\n", counted(s.Flying, "login"), s.Waiting)
	var rows [][]string
	for _, r := range s.Rules {
		rows = append(rows, []string{settingOf(r.Rule), string(r.Mode), strconv.FormatUint(r.Times, 10)})
	}
	return printTable(w, []string{"SETTING", "MODE", "CROSSED SINCE START"}, rows)
}

func newGuardReport(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "report ADDRESS --service NAME", Short: "Tell of a failed login that another program saw",
		Long: `Tell of a failed login that another program saw, such as a webmail's.

It counts like a wrong password of its own. ADDRESS has to be the client as that
program's own socket knows it: an address from a header field may be anybody's.`,
		Example: "  gatepost guard report 203.0.113.7 --service web --user alice@example.org", Args: cobra.ExactArgs(1),
	}
	user := cmd.Flags().String("user", "", "the account that was tried")
	service := cmd.Flags().String("service", "", "where it was tried, such as web or ssh")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		addr, err := netaddr.Parse(args[0])
		if err != nil {
			return &misuse{fmt.Errorf("%q is not an address", args[0])}
		}
		if *service == "" {
			return &misuse{hint(errors.New("--service is missing"), "name the program that saw it: --service web")}
		}
		c, done, err := a.client(cmd.Context())
		if err != nil {
			return err
		}
		defer done()
		v, err := c.ReportFailure(cmd.Context(), admin.GuardReport{Addr: addr, User: *user, Service: *service})
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(cmd.OutOrStdout(), v)
		}
		if v.Ban == nil {
			return nil
		}
		is := "is"
		if !v.Refused { // guard.mode, or that of the rule, is observe
			is = "would be"
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s %s refused until %s UTC: %s\n", netaddr.String(v.Ban.Network), is,
			v.Ban.Until.UTC().Format(time.DateTime), printable(v.Ban.Reason))
		return err
	}
	return cmd
}

func newGuardEvents(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "events", Short: "Write the logins of the journal as a file for guard replay", Args: cobra.NoArgs,
		Long: `Write the logins of the journal as a file for guard replay: one JSON object on
a line, the oldest first. It holds no password; four digits of a keyed hash, good
for one run of Gatepost, tell different ones apart.`,
		Example: "  gatepost guard events --since 24h > events.jsonl",
	}
	since := cmd.Flags().String("since", "24h", "how far to go back")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		from, err := sinceOf(*since)
		if err != nil {
			return err
		}
		c, done, err := a.client(cmd.Context())
		if err != nil {
			return err
		}
		defer done()
		var all []guard.Recorded
		for before := int64(0); ; {
			page, err := c.LoginRecords(cmd.Context(), from, before)
			if err != nil {
				return err
			}
			for _, r := range page.Records {
				if e, ok := guard.FromJournal(r); ok {
					all = append(all, e)
				}
			}
			if before = page.Before; before == 0 {
				break
			}
		}
		slices.SortStableFunc(all, func(x, y guard.Recorded) int { return x.Time.Compare(y.Time) })
		return writeEvents(cmd.OutOrStdout(), all)
	}
	return cmd
}

func writeEvents(w io.Writer, all []guard.Recorded) error {
	out := bufio.NewWriter(w)
	var b []byte
	for _, e := range all {
		var err error
		if b, err = e.Append(b[:0]); err != nil {
			return err
		}
		if _, err := out.Write(b); err != nil {
			return fmt.Errorf("write events: %w", err)
		}
	}
	return out.Flush()
}

func newGuardReplay(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "replay FILE", Short: "Show whom other settings would have banned", Args: cobra.ExactArgs(1),
		Long: `Show whom other settings would have banned.

The events of FILE (gatepost guard events) run twice through a guard that knows
nothing: with the settings of --config, and with those of NEW. Nothing of it
touches the running guard. Without --with only the first is shown. A login that
was refused at its time counts as a wrong password.`,
		Example: "  gatepost guard replay events.jsonl --with /root/new.yaml",
	}
	with := cmd.Flags().String("with", "", "the changed configuration")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		old, err := a.load()
		if err != nil {
			return err
		}
		changed := old
		if *with != "" {
			if changed, err = (&app{configPath: *with}).load(); err != nil {
				return err
			}
		}
		r, err := replayGuard(cmd.Context(), args[0], old.Guard, changed.Guard)
		if err != nil {
			return err
		}
		if n := r.Now.Unmarked; n > 0 {
			warn(cmd.ErrOrStderr(), "%d failures do not say whether it was the same password again: each counts as another", n)
		}
		if *asJSON {
			return printJSON(cmd.OutOrStdout(), r)
		}
		return r.print(cmd.OutOrStdout(), *with != "")
	}
	return cmd
}

// replayedGuard is what two settings make of the same events.
type replayedGuard struct {
	Now     guard.Replayed `json:"now"`
	Then    guard.Replayed `json:"then"`
	Changes []bannedEither `json:"changes"`
}

// bannedEither is a network that only one of them bans, or at another time.
type bannedEither struct {
	Network string     `json:"network"`
	Closes  string     `json:"closes"`
	Now     *guard.Ban `json:"now,omitempty"`
	Then    *guard.Ban `json:"then,omitempty"`
}

func replayGuard(ctx context.Context, path string, old, changed guard.Config) (r replayedGuard, err error) {
	for i, cfg := range []guard.Config{old, changed} {
		out := &r.Now
		if i == 1 {
			out = &r.Then
		}
		f, err := os.Open(path)
		if err != nil {
			return r, err
		}
		*out, err = guard.Replay(ctx, cfg, readEvents(f))
		_ = f.Close() // it was only read
		if err != nil {
			return r, fmt.Errorf("replay %s: %w", path, err)
		}
	}
	r.Changes = differ(r.Now.Bans, r.Then.Bans)
	return r, nil
}

// maxEventBytes bounds a line of a file of events.
const maxEventBytes = 8192

// readEvents reads a file of events. It ends with the first that is none.
func readEvents(r io.Reader) iter.Seq2[guard.Recorded, error] {
	return func(yield func(guard.Recorded, error) bool) {
		s := bufio.NewScanner(r)
		s.Buffer(make([]byte, 0, 4096), maxEventBytes)
		n := 1
		for ; s.Scan(); n++ {
			if len(s.Bytes()) == 0 {
				continue
			}
			e, err := guard.ParseRecorded(s.Bytes())
			if err != nil {
				err = fmt.Errorf("line %d: %w", n, err)
			}
			if !yield(e, err) {
				return
			}
		}
		if err := s.Err(); err != nil {
			if errors.Is(err, bufio.ErrTooLong) {
				err = fmt.Errorf("line %d is longer than %d bytes", n, maxEventBytes)
			}
			yield(guard.Recorded{}, err)
		}
	}
}

// differ pairs the first bans of each network.
func differ(now, then []guard.Ban) []bannedEither {
	all, at := []bannedEither{}, map[string]int{}
	take := func(b guard.Ban, second bool) {
		key := b.Network.String() + closes(b)
		i, ok := at[key]
		if !ok {
			i = len(all)
			at[key] = i
			all = append(all, bannedEither{Network: netaddr.String(b.Network), Closes: closes(b)})
		}
		to := &all[i].Now
		if second {
			to = &all[i].Then
		}
		if *to == nil {
			*to = &b
		}
	}
	for _, b := range now {
		take(b, false)
	}
	for _, b := range then {
		take(b, true)
	}
	return slices.DeleteFunc(all, func(e bannedEither) bool {
		return e.Now != nil && e.Then != nil && e.Now.Since.Equal(e.Then.Since) && e.Now.Until.Equal(e.Then.Until)
	})
}

func (r replayedGuard) print(w io.Writer, two bool) error {
	line := func(name string, p guard.Replayed) {
		fmt.Fprintf(w, "%s  %d bans; of the guesses %d looked at and %d refused; %d right logins refused\n",
			name, len(p.Bans), p.Looked, p.Refused, p.Turned)
	}
	fmt.Fprintf(w, "%d events\n", r.Now.Events)
	line("now ", r.Now)
	if !two {
		return nil
	}
	line("then", r.Then)
	if len(r.Changes) == 0 {
		_, err := fmt.Fprintln(w, "the same networks would be banned at the same time")
		return err
	}
	span := func(b *guard.Ban) string {
		if b == nil {
			return "not"
		}
		return b.Since.UTC().Format(time.DateTime) + " for " + b.Until.Sub(b.Since).Round(time.Second).String()
	}
	why := func(e bannedEither) string {
		if e.Then != nil {
			return e.Then.Reason
		}
		return ""
	}
	var rows [][]string
	for _, e := range r.Changes {
		rows = append(rows, []string{e.Network, e.Closes, span(e.Now), span(e.Then), why(e)})
	}
	fmt.Fprintln(w)
	return printTable(w, []string{"NETWORK", "CLOSES", "BANNED NOW (UTC)", "BANNED THEN", "BECAUSE OF"}, rows)
}
