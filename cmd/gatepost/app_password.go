package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/admin"
	"github.com/gatepost/gatepost/internal/password"
)

func newAppPassword(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "app-password", Short: "Passwords for one device or program of a user",
		Example: "  gatepost user app-password add alice@example.org phone --imap --smtp --expires 90d"}
	cmd.AddCommand(newAppPasswordAdd(a), newAppPasswordList(a), newAppPasswordRemove(a))
	return cmd
}

func newAppPasswordAdd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "add ADDRESS NAME", Short: "Make an app password, which is printed this once",
		Example: "  gatepost user app-password add alice@example.org phone --imap --smtp --expires 90d",
		Args:    cobra.ExactArgs(2), ValidArgsFunction: a.complete(1, userNames),
	}
	chosen := map[string]*bool{}
	for _, word := range []string{"imap", "pop3", "smtp", "sieve", "web"} {
		chosen[word] = cmd.Flags().Bool(word, false, "good for "+word+"; all where none is named")
	}
	expires := cmd.Flags().String("expires", "", "when it ends: a span such as 90d, a day such as 2026-12-24, or never")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		addr, err := address(args[0])
		if err != nil {
			return err
		}
		p := account.AppPassword{User: addr, Name: args[1]}
		if p.Expires, err = expiry(*expires, time.Now()); err != nil {
			return err
		}
		for word, on := range chosen {
			if *on {
				p.Services = append(p.Services, word)
			}
		}
		clear, stored := password.NewApp()
		p.Hash = stored
		err = a.withAccounts(cmd, func(s account.Store) error {
			if err := s.AddAppPassword(cmd.Context(), p); err != nil {
				return err
			}
			if u, err := s.User(cmd.Context(), addr); err == nil {
				warnUseless(cmd, u, p)
			}
			return nil
		})
		if errors.Is(err, account.ErrExists) {
			return hint(err, "gatepost user app-password remove %s %q removes it", addr, p.Name)
		}
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s\n", clear.Reveal()); err != nil {
			return hint(fmt.Errorf("print the app password: %w", err), "it can not be shown again: remove %q and make another", p.Name)
		}
		fmt.Fprintln(cmd.ErrOrStderr(), "gatepost: it is shown this once; spaces, hyphens and capitals do not matter when it is typed")
		return nil
	}
	return cmd
}

// warnUseless tells of services that an app password is good for and its user is
// not.
func warnUseless(cmd *cobra.Command, u account.User, p account.AppPassword) {
	services, err := account.ParseServices(p.Services...)
	if err != nil {
		return
	}
	for _, s := range services {
		if !u.AllowsService(s) {
			warn(cmd.ErrOrStderr(), "%s may not log in to %s at all (gatepost user set %s --services)", u.Addr, s, u.Addr)
		}
	}
}

func newAppPasswordList(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "list ADDRESS", Short: "List a user's app passwords, with when and from where each was last used",
		Example: "  gatepost user app-password list alice@example.org", Args: cobra.ExactArgs(1), ValidArgsFunction: a.complete(1, userNames)}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		addr, err := address(args[0])
		if err != nil {
			return err
		}
		return a.withAccounts(cmd, func(s account.Store) error {
			if _, err := s.User(cmd.Context(), addr); err != nil {
				return fmt.Errorf("user %s: %w", addr, err)
			}
			all, err := s.AppPasswords(cmd.Context(), addr)
			if err != nil {
				return err
			}
			if *asJSON {
				return printJSON(cmd.OutOrStdout(), list(all))
			}
			var rows [][]string
			for _, p := range all {
				from := "-"
				if p.LastAddr.IsValid() {
					from = p.LastAddr.String()
				}
				rows = append(rows, []string{p.Name, servicesText(p.Services), until(p.Created), endText(p.Expires, time.Now()), until(p.LastUsed), from})
			}
			return printTable(cmd.OutOrStdout(), []string{"NAME", "SERVICES", "ADDED (UTC)", "EXPIRES (UTC)", "LAST USED (UTC)", "FROM"}, rows)
		})
	}
	return cmd
}

func newAppPasswordRemove(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "remove ADDRESS NAME", Short: "Remove an app password: nobody logs in with it any more",
		Example: "  gatepost user app-password remove alice@example.org phone", Args: cobra.ExactArgs(2), ValidArgsFunction: a.complete(2, userThenApps),
		RunE: func(cmd *cobra.Command, args []string) error {
			addr, err := address(args[0])
			if err != nil {
				return err
			}
			return a.withAccounts(cmd, func(s account.Store) error {
				return s.RemoveAppPassword(cmd.Context(), addr, args[1])
			})
		},
	}
}

// userThenApps are users for the first argument, the user's app passwords then.
func userThenApps(ctx context.Context, c *admin.Client, args []string) (out []string, err error) {
	if len(args) == 0 {
		return userNames(ctx, c, nil)
	}
	addr, err := address(args[0])
	if err != nil {
		return nil, err
	}
	all, err := c.Accounts().AppPasswords(ctx, addr)
	for _, p := range all {
		out = append(out, p.Name)
	}
	return out, err
}

// servicesText writes a list of services, of which none means all.
func servicesText(services []string) string {
	if len(services) == 0 {
		return "all"
	}
	return strings.Join(services, " ")
}

// endText writes the end of something.
func endText(end, now time.Time) string {
	switch {
	case end.IsZero():
		return "never"
	case !now.Before(end):
		return until(end) + " (over)"
	}
	return until(end)
}

// expiry reads --expires: empty and never are the zero time, a day is to its
// end in UTC.
func expiry(s string, now time.Time) (time.Time, error) {
	if s == "" || s == "never" {
		return time.Time{}, nil
	}
	end, err := endOf(s, now)
	if err != nil {
		return time.Time{}, &misuse{fmt.Errorf("--expires: %q is neither a span such as 90d, nor a day to come such as 2026-12-24, nor never", s)}
	}
	return end, nil
}
