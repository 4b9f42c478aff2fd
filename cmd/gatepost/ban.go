package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatepost/gatepost/internal/admin"
	"github.com/gatepost/gatepost/internal/guard"
	"github.com/gatepost/gatepost/internal/netaddr"
	"github.com/gatepost/gatepost/internal/unit"
)

func newBan(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "ban", Short: "Who may not log in, why and until when",
		Long: `Who may not log in, why and until when.

A ban closes services to an address or a network: failed logins close
submission, IMAP, POP3, ManageSieve and web; only what comes on port 25 closes
port 25 (mx), and only for a while.`,
		Example: "  gatepost ban list\n  gatepost ban explain 203.0.113.7\n  gatepost ban remove 203.0.113.7"}
	cmd.AddCommand(newBanList(a), newBanAdd(a), newBanRemove(a), newBanExplain(a), newBanImport(a))
	return cmd
}

// widest are the largest networks, for IPv4 and IPv6, that are banned without
// --force: what is larger is most likely a slip of the finger.
const (
	widest4 = 8
	widest6 = 16
)

// tooWide reports whether a ban of p may shut out everybody.
func tooWide(p netip.Prefix) bool {
	if p.Addr().Is4() {
		return p.Bits() < widest4
	}
	return p.Bits() < widest6
}

// network reads an address or network argument; an IPv6 address means its /64,
// as the guard counts.
func network(s string) (netip.Prefix, error) {
	p, err := netaddr.ParsePrefix(s)
	if err != nil {
		return p, &misuse{err}
	}
	if p.IsSingleIP() {
		return netaddr.Network(p.Addr()), nil
	}
	return p, nil
}

func newBanList(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List the bans", Example: "  gatepost ban list --json", Args: cobra.NoArgs}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, done, err := a.client(cmd.Context())
		if err != nil {
			return err
		}
		defer done()
		all, err := c.Bans(cmd.Context())
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(cmd.OutOrStdout(), list(all))
		}
		var rows [][]string
		for _, b := range all {
			rows = append(rows, []string{netaddr.String(b.Network), b.Until.UTC().Format(time.DateTime), b.ID, whyBanned(b)})
		}
		return printTable(cmd.OutOrStdout(), []string{"NETWORK", "UNTIL (UTC)", "ID", "WHY"}, rows)
	}
	return cmd
}

// closes says what b closes, in a word.
func closes(b guard.Ban) string {
	if slices.Contains(b.Services, guard.MX) {
		return "port 25"
	}
	return "logins"
}

// whyBanned is the reason, with what is special about b.
func whyBanned(b guard.Ban) string {
	why := b.Reason
	if slices.Contains(b.Services, guard.MX) {
		why = "port 25: " + why
	}
	switch {
	case b.Shared && b.Manual:
		why += "; not in the firewall, as an address in it is never banned"
	case b.Shared:
		why += "; accounts that logged in from there before, and addresses that are never banned, still get in"
	}
	if b.Observe {
		why += " (only observed)"
	}
	return why
}

func newBanAdd(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "add NETWORK", Short: "Refuse logins from an address or network",
		Example: "  gatepost ban add 203.0.113.0/24 --for 1d --reason 'guessing since Monday'", Args: cobra.ExactArgs(1)}
	span := cmd.Flags().String("for", "1h", "how long, such as 30m, 12h or 7d")
	reason := cmd.Flags().String("reason", "set by an administrator", "why, for those who look later")
	force := cmd.Flags().Bool("force", false, "ban a network larger than a /8 (IPv4) or a /16 (IPv6), too")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		p, err := network(args[0])
		if err != nil {
			return err
		}
		if tooWide(p) && !*force {
			return &misuse{hint(fmt.Errorf("%s is larger than a /%d (IPv4) or a /%d (IPv6), and may be where you are", netaddr.String(p), widest4, widest6),
				"--force bans it all the same")}
		}
		d, err := unit.ParseDuration(*span)
		if err != nil || d < time.Second {
			return &misuse{fmt.Errorf("--for: %q is not a time span of at least 1s", *span)}
		}
		c, done, err := a.client(cmd.Context())
		if err != nil {
			return err
		}
		defer done()
		b, err := c.AddBan(cmd.Context(), p, d, *reason)
		if err != nil {
			return err
		}
		if s, err := c.GuardStatus(cmd.Context()); err == nil && s.Mode != unit.Enforce {
			warn(cmd.ErrOrStderr(), "nobody is refused: guard.mode is %s", printable(string(s.Mode)))
		}
		if *asJSON {
			return printJSON(cmd.OutOrStdout(), b)
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s is refused until %s UTC\n", netaddr.String(b.Network), b.Until.UTC().Format(time.DateTime))
		return nil
	}
	return cmd
}

func newBanRemove(a *app) *cobra.Command {
	return &cobra.Command{Use: "remove NETWORK|ID", Short: "Lift a ban", Args: cobra.ExactArgs(1),
		Example:           "  gatepost ban remove 203.0.113.7\n  gatepost ban remove x7q2mk4a",
		ValidArgsFunction: a.complete(1, banNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			id := strings.ToLower(args[0])
			p, err := network(args[0])
			if err != nil && !banID.MatchString(id) {
				return err
			}
			c, done, askErr := a.client(cmd.Context())
			if askErr != nil {
				return askErr
			}
			defer done()
			if err != nil {
				if p, err = networkOf(cmd.Context(), c, id); err != nil {
					return err
				}
			}
			err = c.RemoveBan(cmd.Context(), p)
			if errors.Is(err, guard.ErrNotFound) {
				return hint(fmt.Errorf("no ban of %s", netaddr.String(p)), "gatepost ban explain %s names the bans around it, if there are any", p.Addr())
			}
			return err
		}}
}

// banID is the form of a ban's ID, which is no address.
var banID = regexp.MustCompile(`^[a-z2-7]{8}$`)

// networkOf returns the network of the ban with that ID.
func networkOf(ctx context.Context, c *admin.Client, id string) (netip.Prefix, error) {
	all, err := c.Bans(ctx)
	if err != nil {
		return netip.Prefix{}, err
	}
	for _, b := range all {
		if b.ID == id {
			return b.Network, nil
		}
	}
	// Only bans of networks are listed.
	return netip.Prefix{}, hint(fmt.Errorf("no ban of %s", id), "one that closes an account or a password is in no list: gatepost ban explain ADDRESS")
}
