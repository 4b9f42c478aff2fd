package main

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/netaddr"
)

// newUserSet changes what restricts a user's logins.
func newUserSet(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "set ADDRESS", Short: "Say from where, to what and until when a user may log in",
		Example: "  gatepost user set alice@example.org --services imap,smtp --allow-nets 192.0.2.0/24,2001:db8::/32\n" +
			"  gatepost user set temp@example.org --expires 30d\n" +
			"  gatepost user set bob@example.org --nologin 'moved: ask the help desk'\n" +
			"  gatepost user set alice@example.org --services all --allow-nets any --expires never --nologin ''",
		Args: cobra.ExactArgs(1), ValidArgsFunction: a.complete(1, userNames),
	}
	f := cmd.Flags()
	nets := f.StringSlice("allow-nets", nil, "networks and addresses to log in from, or any")
	services := f.StringSlice("services", nil, "what to log in to: imap, pop3, smtp, sieve, web, or all")
	expires := f.String("expires", "", "when logins end: a span such as 90d, a day such as 2026-12-24, or never")
	reason := f.String("nologin", "", "refuse logins, with a reason for the user; '' lets the user in again")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		addr, err := address(args[0])
		if err != nil {
			return err
		}
		if !slices.ContainsFunc([]string{"allow-nets", "services", "expires", "nologin"}, f.Changed) {
			return &misuse{hint(errors.New("nothing to set"), "gatepost user set --help shows the options")}
		}
		// All is read before something is changed.
		networks, netsErr := networksOf(*nets)
		words, servicesErr := servicesOf(*services)
		end, endErr := expiry(*expires, time.Now())
		if err := errors.Join(netsErr, servicesErr, endErr); err != nil {
			return &misuse{err}
		}
		return a.withAccounts(cmd, func(s account.Store) error {
			for _, one := range []struct {
				flag string
				set  func() error
			}{
				{"allow-nets", func() error { return s.SetAllowNets(cmd.Context(), addr, networks) }},
				{"services", func() error { return s.SetServices(cmd.Context(), addr, words) }},
				{"expires", func() error { return s.SetExpires(cmd.Context(), addr, end) }},
				{"nologin", func() error { return s.SetNoLogin(cmd.Context(), addr, *reason) }},
			} {
				if !f.Changed(one.flag) {
					continue
				}
				if err := one.set(); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return cmd
}

// networksOf reads --allow-nets; "any" is none.
func networksOf(texts []string) (all []netip.Prefix, err error) {
	if len(texts) == 1 && texts[0] == "any" {
		return nil, nil
	}
	for _, text := range texts {
		n, err := netaddr.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("--allow-nets: %q is no network such as 192.0.2.0/24, no address, nor any", text)
		}
		all = append(all, n)
	}
	return all, nil
}

// servicesOf reads --services; "all" is none.
func servicesOf(words []string) ([]string, error) {
	if len(words) == 1 && words[0] == "all" {
		return nil, nil
	}
	all, err := account.ParseServices(words...)
	if err != nil {
		return nil, fmt.Errorf("--services: %w", err)
	}
	return all, nil
}

// userState is the one word for what keeps a user out.
func userState(u account.User, now time.Time) string {
	switch {
	case u.Disabled:
		return "disabled"
	case u.Held:
		return "held"
	case u.NoLogin != "":
		return "nologin"
	case u.Expired(now):
		return "expired"
	}
	return "active"
}

// restriction is one line of what restricts a user's logins.
type restriction struct{ what, text string }

func restrictions(u account.User, now time.Time) (all []restriction) {
	add := func(what, text string, there bool) {
		if there {
			all = append(all, restriction{what, text})
		}
	}
	var nets []string
	for _, n := range u.AllowNets {
		nets = append(nets, netaddr.String(n))
	}
	add("nologin", u.NoLogin, u.NoLogin != "")
	add("expires", endText(u.Expires, now), !u.Expires.IsZero())
	add("services", servicesText(u.Services), len(u.Services) > 0)
	add("from", strings.Join(nets, ", "), len(nets) > 0)
	return all
}

// restrictionText is all of it in a cell of a table.
func restrictionText(u account.User, now time.Time) string {
	var texts []string
	for _, r := range restrictions(u, now) {
		texts = append(texts, r.what+" "+r.text)
	}
	return strings.Join(texts, "; ")
}

// userPage is what "user show" prints.
type userPage struct {
	shownUser
	AppPasswords []account.AppPassword `json:"app_passwords"`
}

// print writes the user as printUsers does, but what restricts the logins below.
func (p userPage) print(w io.Writer) error {
	row := []string{p.Addr.String(), userState(p.User, time.Now()), until(p.Changed)}
	if err := printTable(w, userHead(), [][]string{row}); err != nil {
		return err
	}
	for _, r := range restrictions(p.User, time.Now()) {
		fmt.Fprintf(w, "%-8s %s\n", r.what, printable(r.text))
	}
	p.shownUser.print(w)
	var names []string
	for _, app := range p.AppPasswords {
		names = append(names, app.Name)
	}
	if len(names) > 0 {
		fmt.Fprintf(w, "%-8s %s\n", "apps", printable(strings.Join(names, ", ")))
	}
	return nil
}

func userHead() []string { return []string{"USER", "STATE", "CHANGED (UTC)"} }

// printUsers lists users; where one is restricted, another column says how.
func printUsers(cmd *cobra.Command, users []account.User) error {
	head, now := userHead(), time.Now()
	var rows [][]string
	var how []string
	restricted := false
	for _, u := range users {
		rows = append(rows, []string{u.Addr.String(), userState(u, now), until(u.Changed)})
		how = append(how, restrictionText(u, now))
		restricted = restricted || how[len(how)-1] != ""
	}
	if restricted {
		head = append(head, "LOGINS")
		for i := range rows {
			rows[i] = append(rows[i], how[i])
		}
	}
	return printTable(cmd.OutOrStdout(), head, rows)
}
