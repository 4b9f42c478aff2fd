package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatepost/gatepost/internal/access"
	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/unit"
)

// entryHelp says what an entry names.
const entryHelp = `

An entry names one of:

  user@example.com       a sender
  example.com            senders of a domain and of all below it
  @example.com           senders of that domain alone
  192.0.2.0/24           clients of a network, or one address
  helo:ylmf-pc           clients by their HELO name; * and ? stand for any text
  rdns:*.dyn.example.net clients by their verified name
  rdns:/^dsl-[0-9]+/     the same by an RE2 pattern, whatever its case

Without --for it holds for everybody here. An entry for a mailbox comes before
one for its domain, and that before one for the server; after that the nearer
name counts, and deny before allow. Who logged in is not looked at.`

// newAllow and newDeny are the entries that let pass and that refuse.
func newAllow(a *app) *cobra.Command {
	return newAccess(a, false, "allow", "Senders and clients that are let pass",
		`An allowed sender or client is spared the checks of policyd.checks, the greylist,
and deny entries that are less near. It is still judged by what it sends, and may
not relay.`, "gatepost allow add mx.partner.example --for example.org")
}

func newDeny(a *app) *cobra.Command {
	return newAccess(a, true, "deny", "Senders and clients that are refused",
		"A denied sender or client is refused with 554 at RCPT TO.",
		"gatepost deny add 203.0.113.0/24 --until 7d --reason 'phishing since Monday'")
}

func newAccess(a *app, deny bool, use, short, what, example string) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Long: what + entryHelp, Example: "  " + example + "\n  gatepost " + use + " list"}
	cmd.AddCommand(newAccessAdd(a, deny, use, example), newAccessList(a, deny, use), newAccessRemove(a, deny, use))
	return cmd
}

func newAccessAdd(a *app, deny bool, use, example string) *cobra.Command {
	cmd := &cobra.Command{Use: "add NAME", Short: "Add an entry", Long: "Add an entry." + entryHelp, Example: "  " + example, Args: cobra.ExactArgs(1)}
	scope := cmd.Flags().String("for", "", "a mailbox or a domain of ours; all without it")
	end := cmd.Flags().String("until", "", "when it ends: a span such as 7d, or a day such as 2026-12-24")
	reason := cmd.Flags().String("reason", "", "why, for those who look later; the sender does not see it")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		e, err := access.Entry{Deny: deny, Name: args[0], For: *scope, Reason: *reason}.Storable()
		if err != nil {
			return &misuse{err}
		}
		if e.Until, err = endOf(*end, time.Now()); err != nil {
			return &misuse{err}
		}
		return a.withAccounts(cmd, func(s account.Store) error {
			if e, err = s.AddAccess(cmd.Context(), e); err != nil {
				if errors.Is(err, account.ErrExists) {
					return hint(err, "gatepost %s remove %s takes the old one away first", use, e.Name)
				}
				return err
			}
			if *asJSON {
				return printJSON(cmd.OutOrStdout(), e)
			}
			return nil
		})
	}
	return cmd
}

// endOf reads --until; the end of that day, in UTC, for a day.
func endOf(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if day, err := time.Parse(time.DateOnly, s); err == nil {
		if day = day.AddDate(0, 0, 1); day.Before(now) {
			return day, fmt.Errorf("--until: %s is over", s)
		}
		return day, nil
	}
	d, err := unit.ParseDuration(s)
	if err != nil || d <= 0 {
		return time.Time{}, fmt.Errorf("--until: %q is neither a span such as 7d nor a day such as 2026-12-24", s)
	}
	return now.Add(d), nil
}

func newAccessList(a *app, deny bool, use string) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List the entries", Example: "  gatepost " + use + " list --json", Args: cobra.NoArgs}
	scope := cmd.Flags().String("for", "", "only those for a mailbox or a domain")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		only, err := access.Entry{Name: "example.org", For: *scope}.Normal()
		if err != nil {
			return &misuse{err}
		}
		return a.withAccounts(cmd, func(s account.Store) error {
			all, err := s.Access(cmd.Context())
			if err != nil {
				return err
			}
			var chosen []access.Entry
			var rows [][]string
			for _, e := range all {
				if e.Deny != deny || *scope != "" && e.For != only.For {
					continue
				}
				chosen = append(chosen, e)
				ends := until(e.Until)
				if e.Ended(time.Now()) {
					ends += " (over)"
				}
				rows = append(rows, []string{e.Name, e.For, ends, until(e.Added), e.Reason})
			}
			if *asJSON {
				return printJSON(cmd.OutOrStdout(), list(chosen))
			}
			return printTable(cmd.OutOrStdout(), []string{"NAME", "FOR", "UNTIL (UTC)", "ADDED (UTC)", "WHY"}, rows)
		})
	}
	return cmd
}

func newAccessRemove(a *app, deny bool, use string) *cobra.Command {
	cmd := &cobra.Command{Use: "remove NAME", Short: "Remove an entry", Example: "  gatepost " + use + " remove 203.0.113.0/24", Args: cobra.ExactArgs(1)}
	scope := cmd.Flags().String("for", "", "the mailbox or domain that it is for")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		e, err := access.Entry{Name: args[0], For: *scope}.Normal()
		if err != nil {
			return &misuse{err}
		}
		return a.withAccounts(cmd, func(s account.Store) error {
			err := s.RemoveAccess(cmd.Context(), deny, e.Name, e.For)
			if errors.Is(err, account.ErrNotFound) {
				return hint(err, "gatepost %s list shows the entries, and what they are for", use)
			}
			return err
		})
	}
	return cmd
}
