package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/admin"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/unit"
	"github.com/gatepost/gatepost/policyd"
)

// parseSpan reads a span such as 24h.
func parseSpan(s string) (time.Duration, error) {
	d, err := unit.ParseDuration(s)
	if err == nil && d <= 0 {
		err = fmt.Errorf("%q is not a time span such as 24h", s)
	}
	return d, err
}

func newPolicyReplay(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "replay --since SPAN --config NEW", Short: "Show which past answers a new configuration would change", Args: cobra.NoArgs,
		Long: `Show which past answers a new configuration would change.

Each request that the journal has of the policy server is asked again under the
configuration that --config names, at its own time of day, with the accounts,
grants and entries of today. Answers of limits, of the greylist and of held
accounts are left out: they came from what had been counted or seen before.`,
		Example: "  gatepost policy replay --since 24h --config /root/new.yaml",
	}
	span := cmd.Flags().String("since", "24h", "how far to go back")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		from, err := sinceOf(*span)
		if err != nil {
			return err
		}
		c, done, err := a.client(cmd.Context())
		if err != nil {
			return err
		}
		defer done()
		s, lacks, err := a.policyServer(c)
		if err != nil {
			return err
		}
		for _, l := range lacks {
			warn(cmd.ErrOrStderr(), "not judged: %s", l)
		}
		r, err := replayPolicy(cmd.Context(), c, s, from)
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(cmd.OutOrStdout(), r)
		}
		return r.print(cmd.OutOrStdout())
	}
	return cmd
}

// replayed is what a replay found.
type replayed struct {
	// Asked counts the requests that were asked again, History those that were
	// left out.
	Asked   int       `json:"asked"`
	History int       `json:"left_out"`
	Changed int       `json:"changed"`
	Changes []changed `json:"changes"`
	Lost    []string  `json:"not_in_the_journal"`
}

// changed is one answer that would differ.
type changed struct {
	Time     time.Time `json:"time"`
	Client   string    `json:"client"`
	User     string    `json:"user,omitempty"`
	MailFrom string    `json:"mail_from"`
	RcptTo   string    `json:"rcpt_to,omitempty"`
	Was      string    `json:"was"`
	WasRule  string    `json:"was_rule,omitempty"`
	Now      string    `json:"now"`
	NowRule  string    `json:"now_rule,omitempty"`
}

// maxChanges bounds the changes that are told.
const maxChanges = 1000

// replayPolicy asks what the journal has since then, the newest first.
func replayPolicy(ctx context.Context, c *admin.Client, s *policyd.Server, since time.Time) (replayed, error) {
	out := replayed{Changes: []changed{}, Lost: policyd.Lost()}
	for before := int64(0); ; {
		page, err := c.PolicyRecords(ctx, since, before)
		if err != nil {
			return out, err
		}
		for _, r := range page.Records {
			for _, one := range policyd.FromJournal(r) {
				if err := ctx.Err(); err != nil {
					return out, err
				}
				out.take(ctx, one, s)
			}
		}
		if before = page.Before; before == 0 {
			return out, nil
		}
	}
}

// take asks one request again.
func (r *replayed) take(ctx context.Context, one policyd.Asked, s *policyd.Server) {
	if one.History() {
		r.History++
		return
	}
	r.Asked++
	t := s.Judge(ctx, &one.Request, false, one.Record.Time)
	if t.Verdict == one.Record.Verdict && t.Rule == one.Record.Rule {
		return
	}
	if r.Changed++; len(r.Changes) == maxChanges {
		return
	}
	rec := one.Record
	r.Changes = append(r.Changes, changed{
		Time: rec.Time, Client: rec.ClientAddr.String(), User: rec.User, MailFrom: rec.MailFrom, RcptTo: one.Request.RcptTo,
		Was: rec.Reply, WasRule: rec.Rule, Now: t.Action, NowRule: t.Rule,
	})
}

func (r replayed) print(w io.Writer) error {
	var rows [][]string
	for _, ch := range r.Changes {
		rows = append(rows, []string{ch.Time.UTC().Format(time.DateTime), ch.Client, ch.User, ch.MailFrom, ch.RcptTo, ch.Was, ch.Now, ch.NowRule})
	}
	if len(rows) > 0 {
		if err := printTable(w, []string{"TIME (UTC)", "CLIENT", "USER", "SENDER", "RECIPIENT", "WAS", "WOULD BE", "BECAUSE OF"}, rows); err != nil {
			return err
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "%d requests asked again, %d answers would differ", r.Asked, r.Changed)
	if r.Changed > len(r.Changes) {
		fmt.Fprintf(w, " (the newest %d are shown)", len(r.Changes))
	}
	fmt.Fprintf(w, "\n%d left out: limits, greylist, held accounts\n", r.History)
	_, err := fmt.Fprintf(w, "not in the journal, and so empty to rules: %s\n", strings.Join(r.Lost, ", "))
	return err
}

// Domain, User, Alias, Grants and Posting are asked once for each row.
func (r *rememberedAccounts) Domain(ctx context.Context, name string) (account.Domain, error) {
	return remember(r, "domain "+name, func() (account.Domain, error) { return r.Store.Domain(ctx, name) })
}

func (r *rememberedAccounts) User(ctx context.Context, addr mailaddr.Address) (account.User, error) {
	return remember(r, "user "+addr.String(), func() (account.User, error) { return r.Store.User(ctx, addr) })
}

func (r *rememberedAccounts) Alias(ctx context.Context, addr mailaddr.Address) (account.Alias, error) {
	return remember(r, "alias "+addr.String(), func() (account.Alias, error) { return r.Store.Alias(ctx, addr) })
}

func (r *rememberedAccounts) Grants(ctx context.Context, user mailaddr.Address) ([]mailaddr.Address, error) {
	return remember(r, "grants "+user.String(), func() ([]mailaddr.Address, error) { return r.Store.Grants(ctx, user) })
}

func (r *rememberedAccounts) Posting(ctx context.Context, addr mailaddr.Address) (account.Posting, error) {
	return remember(r, "posting "+addr.String(), func() (account.Posting, error) { return r.Store.Posting(ctx, addr) })
}
