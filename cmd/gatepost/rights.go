package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/mailaddr"
)

// newUserGrant and newUserRevoke change what a user may send as.
func newUserGrant(a *app) *cobra.Command {
	return newUserRight(a, "grant", "Let a user send as an address, or as all of a domain",
		"  gatepost user grant alice@example.org --send-as sales@example.org\n  gatepost user grant alice@example.org --send-as @example.net",
		func(s account.Store, cmd *cobra.Command, user, as mailaddr.Address) error {
			return s.AddGrant(cmd.Context(), user, as)
		})
}

func newUserRevoke(a *app) *cobra.Command {
	return newUserRight(a, "revoke", "Take back what was granted",
		"  gatepost user revoke alice@example.org --send-as sales@example.org",
		func(s account.Store, cmd *cobra.Command, user, as mailaddr.Address) error {
			return s.RemoveGrant(cmd.Context(), user, as)
		})
}

func newUserRight(a *app, use, short, example string, change func(account.Store, *cobra.Command, mailaddr.Address, mailaddr.Address) error) *cobra.Command {
	cmd := &cobra.Command{
		Use: use + " ADDRESS --send-as ADDRESS|@DOMAIN...", Short: short, Example: example, Args: cobra.ExactArgs(1), ValidArgsFunction: a.complete(1, userNames),
		Long: short + `.

A user may always send as the own address, with any detail, and as the aliases
that lead to it. A grant adds to that: for the envelope sender, which the policy
server checks, and for the header From, by which mail is signed. The address
need not be here, and whoever has it keeps it.`,
	}
	to := cmd.Flags().StringSlice("send-as", nil, "address, or @DOMAIN for every address of a domain")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		user, err := address(args[0])
		if err != nil {
			return err
		}
		if len(*to) == 0 {
			return &misuse{hint(fmt.Errorf("--send-as is missing"), "gatepost user %s %s --send-as sales@example.org", use, user)}
		}
		var all []mailaddr.Address
		for _, s := range *to {
			as, err := grantee(s)
			if err != nil {
				return err
			}
			all = append(all, as)
		}
		return a.withAccounts(cmd, func(s account.Store) error {
			for _, as := range all {
				if err := change(s, cmd, user, as); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return cmd
}

// grantee reads what a grant is about: an address, or a whole domain.
func grantee(s string) (mailaddr.Address, error) {
	var as mailaddr.Address
	if err := as.UnmarshalText([]byte(s)); err != nil || as.Domain == "" {
		return as, &misuse{fmt.Errorf("%q is not an address such as sales@example.org, nor @example.org", s)}
	}
	return as.Folded(), nil
}

// shownUser is what "user show" tells: the user, and what he or she may send as.
type shownUser struct {
	account.User
	// SendAs are the grants, Aliases the aliases that lead to the user directly.
	SendAs  []mailaddr.Address `json:"send_as"`
	Aliases []mailaddr.Address `json:"aliases"`
}

// showUser finds what "user show" tells of a user.
func showUser(cmd *cobra.Command, s account.Store, u account.User) (shownUser, error) {
	out := shownUser{User: u, Aliases: []mailaddr.Address{}}
	grants, err := s.Grants(cmd.Context(), u.Addr)
	if err != nil {
		return out, err
	}
	out.SendAs = list(grants)
	aliases, err := s.Aliases(cmd.Context(), "")
	if err != nil {
		return out, err
	}
	for _, al := range aliases {
		if slices.ContainsFunc(al.To, func(to mailaddr.Address) bool { return to.Folded() == u.Addr }) {
			out.Aliases = append(out.Aliases, al.Addr)
		}
	}
	return out, nil
}

// print writes what printUsers does not.
func (u shownUser) print(w io.Writer) {
	for _, l := range []struct {
		what string
		list []mailaddr.Address
	}{{"aliases", u.Aliases}, {"granted", u.SendAs}} {
		if len(l.list) > 0 {
			fmt.Fprintf(w, "%-8s %s\n", l.what, printable(joined(l.list)))
		}
	}
}

func joined(all []mailaddr.Address) string {
	var out []string
	for _, a := range all {
		out = append(out, a.String())
	}
	return strings.Join(out, ", ")
}

// newAliasPost says who may write to an address.
func newAliasPost(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "post ADDRESS public|domain|members|moderators", Short: "Say who may write to a list", Args: cobra.ExactArgs(2),
		Long: `Say who may write to a list.

public is everybody, domain the users of the address's own domain, members those
to whom the alias leads, moderators those named by --moderator, who may write in
each case. Users of this server have to log in for it; of others only the
envelope sender is known at that time, which is not proved.`,
		Example:           "  gatepost alias post team@example.org members\n  gatepost alias post all@example.org moderators --moderator boss@example.org",
		ValidArgsFunction: a.complete(1, aliasNames),
	}
	moderators := cmd.Flags().StringSlice("moderator", nil, "who may write in each case")
	reason := cmd.Flags().String("reason", "", "why, for those who look later")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		p := account.Posting{Rule: account.PostingRule(args[1]), Reason: *reason}
		if !slices.Contains(account.PostingRules(), p.Rule) || p.Rule == account.PostNobody {
			return &misuse{hint(fmt.Errorf("%q is not public, domain, members or moderators", args[1]), "gatepost alias block ADDRESS lets nobody write")}
		}
		var err error
		if p.Addr, err = address(args[0]); err != nil {
			return err
		}
		for _, m := range *moderators {
			who, err := address(m)
			if err != nil {
				return err
			}
			p.Moderators = append(p.Moderators, who)
		}
		return a.withAccounts(cmd, func(s account.Store) error { return s.SetPosting(cmd.Context(), p) })
	}
	return cmd
}

// newAliasBlock takes an address out of use, for example a tag that leaked.
func newAliasBlock(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "block ADDRESS", Short: "Take no more mail for an address, such as a tag that leaked", Args: cobra.ExactArgs(1),
		Long: `Take no more mail for an address, such as a tag that leaked.

The address may be one with a detail: alice+shop@example.org is refused with 550
then, and alice@example.org is not. Blocking an address blocks its details, but
for those that "alias post ADDRESS public" lets in again.`,
		Example: "  gatepost alias block alice+shop@example.org --reason 'sold to spammers'",
	}
	reason := cmd.Flags().String("reason", "", "why, for those who look later")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		addr, err := address(args[0])
		if err != nil {
			return err
		}
		return a.withAccounts(cmd, func(s account.Store) error {
			return s.SetPosting(cmd.Context(), account.Posting{Addr: addr, Rule: account.PostNobody, Reason: *reason})
		})
	}
	return cmd
}

// newAliasUnblock forgets what was said of an address.
func newAliasUnblock(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "unblock ADDRESS", Short: "Let everybody write to an address again", Args: cobra.ExactArgs(1),
		Example: "  gatepost alias unblock alice+shop@example.org",
		RunE: func(cmd *cobra.Command, args []string) error {
			addr, err := address(args[0])
			if err != nil {
				return err
			}
			return a.withAccounts(cmd, func(s account.Store) error { return s.RemovePosting(cmd.Context(), addr) })
		},
	}
}

// newAliasPosting lists what was said.
func newAliasPosting(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "posting [DOMAIN|MASK]", Short: "List the addresses to which not everybody may write", Args: cobra.MaximumNArgs(1),
		Example: "  gatepost alias posting example.org --json", ValidArgsFunction: a.complete(1, domainNames),
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.withAccounts(cmd, func(s account.Store) error {
			all, err := s.Postings(cmd.Context(), strings.Join(args, ""))
			if err != nil {
				return err
			}
			if *asJSON {
				return printJSON(cmd.OutOrStdout(), list(all))
			}
			var rows [][]string
			for _, p := range all {
				rows = append(rows, []string{p.Addr.String(), string(p.Rule), joined(p.Moderators), p.Reason})
			}
			return printTable(cmd.OutOrStdout(), []string{"ADDRESS", "WHO MAY WRITE", "MODERATORS", "WHY"}, rows)
		})
	}
	return cmd
}

// until writes the end of an entry.
func until(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.DateTime)
}
