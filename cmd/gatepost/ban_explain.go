package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatepost/gatepost/internal/admin"
	"github.com/gatepost/gatepost/internal/guard"
	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/netaddr"
	"github.com/gatepost/gatepost/internal/unit"
)

func newBanExplain(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "explain ADDRESS|ID", Short: "Why an address is refused, until when, and what would come next",
		Long: `Why an address is refused, until when, and what would come next.

It names the bans that cover the address and how each is lifted, the logins that
led to them, what is counted beside its lines, and how long the next ban would
be. It works as well for an address that is not banned.`,
		Example: "  gatepost ban explain 203.0.113.7", Args: cobra.ExactArgs(1), ValidArgsFunction: a.complete(1, banNames),
	}
	since := cmd.Flags().String("since", "24h", "how far to look back for what led to it")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id := strings.ToLower(args[0])
		p, notNetwork := netaddr.ParsePrefix(args[0])
		if notNetwork != nil && !banID.MatchString(id) {
			return &misuse{hint(notNetwork, "gatepost ban list shows the networks that are refused")}
		}
		from, err := sinceOf(*since)
		if err != nil {
			return err
		}
		c, done, err := a.client(cmd.Context())
		if err != nil {
			return err
		}
		defer done()
		if notNetwork != nil {
			if p, err = networkOf(cmd.Context(), c, id); err != nil {
				return err
			}
		}
		e, err := explainBan(cmd.Context(), c, p.Addr(), from)
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(cmd.OutOrStdout(), e)
		}
		return e.print(cmd.OutOrStdout())
	}
	return cmd
}

// explainedBan is what is known of an address.
type explainedBan struct {
	guard.Explanation
	// Led is what it did, the newest last.
	Led []journal.Record `json:"records"`
}

// maxLed bounds the records that are told.
const maxLed = 20

func explainBan(ctx context.Context, c *admin.Client, addr netip.Addr, from time.Time) (explainedBan, error) {
	e, err := c.ExplainClient(ctx, addr)
	if err != nil {
		return explainedBan{}, err
	}
	out := explainedBan{Explanation: e, Led: []journal.Record{}}
	all, err := c.Records(ctx, netaddr.Network(addr), from)
	if err != nil {
		return out, err
	}
	for _, r := range all {
		if r.Daemon == "guard" || r.Daemon == "authd" && r.Verdict != "ok" || r.Daemon == "policyd" && r.Refused() {
			out.Led = append(out.Led, r)
		}
	}
	out.Led = out.Led[max(0, len(out.Led)-maxLed):]
	return out, nil
}

func (e explainedBan) print(w io.Writer) error {
	if e.Never != "" {
		fmt.Fprintf(w, "%s is never banned: %s\n", e.Addr, printable(e.Never))
	}
	if len(e.Bans) == 0 {
		fmt.Fprintf(w, "%s is not banned\n", e.Addr)
	}
	for _, b := range e.Bans {
		printBan(w, b, e.Mode)
	}
	if e.Closed > 0 {
		fmt.Fprintf(w, "closed      %s of its network, until %s UTC at the latest; others get in\n",
			counted(e.Closed, "account"), e.ClosedUntil.UTC().Format(time.DateTime))
		fmt.Fprintf(w, "lift        gatepost ban remove %s\n", netaddr.String(netaddr.Network(e.Addr)))
	}
	for _, b := range e.Past {
		fmt.Fprintf(w, "before      %s to %s UTC: %s\n", b.Since.UTC().Format(time.DateTime), b.Until.UTC().Format(time.DateTime), printable(b.Reason))
	}
	if e.Never == "" {
		fmt.Fprintf(w, "next        a ban of its network would take %s\n", e.Next)
	}
	fmt.Fprintf(w, "proven      %s logged in from its network lately\n", counted(e.Proven, "account"))
	if e.Accepted {
		fmt.Fprintln(w, "port 25     mail of this client was accepted within 30 days: it stays open")
	}
	var rows [][]string
	for _, f := range e.Figures {
		rows = append(rows, []string{f.Name, strconv.Itoa(f.Count), strconv.Itoa(f.Line), f.Span.String(), string(f.Mode)})
	}
	fmt.Fprintln(w)
	if err := printTable(w, []string{"COUNTED", "NOW", "LINE", "WITHIN", "MODE"}, rows); err != nil || len(e.Led) == 0 {
		return err
	}
	rows = nil
	for _, r := range e.Led {
		rows = append(rows, []string{r.Time.UTC().Format(time.DateTime), r.Daemon, r.Service, r.User, r.Verdict, ledBy(r)})
	}
	fmt.Fprintln(w)
	return printTable(w, []string{"TIME (UTC)", "BY", "SERVICE", "USER", "VERDICT", "BECAUSE OF"}, rows)
}

// counted says how many.
func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

// printBan tells of one ban.
func printBan(w io.Writer, b guard.Ban, mode unit.Mode) {
	fmt.Fprintf(w, "banned      %s, ban %s, closes %s\n", netaddr.String(b.Network), printable(b.ID), closes(b))
	fmt.Fprintf(w, "why         %s\n", printable(whyBanned(b)))
	if b.Rule != "" {
		fmt.Fprintf(w, "setting     %s\n", settingOf(b.Rule))
	}
	if b.Host != "" {
		fmt.Fprintf(w, "made by     %s\n", printable(b.Host))
	}
	fmt.Fprintf(w, "since       %s UTC\n", b.Since.UTC().Format(time.DateTime))
	fmt.Fprintf(w, "until       %s UTC\n", b.Until.UTC().Format(time.DateTime))
	switch {
	case mode != unit.Enforce || b.Observe:
		fmt.Fprintln(w, "obeyed      no, it is only observed")
	case b.Manual:
		fmt.Fprintln(w, "comes back  no, a person added it")
	default:
		fmt.Fprintf(w, "comes back  yes, and longer, when it goes on: this is number %d\n", max(b.Times, 1))
	}
	fmt.Fprintf(w, "lift        gatepost ban remove %s\n", netaddr.String(b.Network))
}

// settingOf is the key of a rule.
func settingOf(rule string) string {
	if rule == "max_failures" || rule == "trap_accounts" {
		return "guard." + rule
	}
	return "guard.rules." + rule
}

// ledBy is the reason that a record has.
func ledBy(r journal.Record) string {
	for _, f := range r.Facts {
		if f.Key == "reason" {
			return f.Value
		}
	}
	return r.Rule
}
