package main

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatepost/gatepost/internal/guard"
	"github.com/gatepost/gatepost/internal/netaddr"
	"github.com/gatepost/gatepost/internal/unit"
)

func newBan(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "ban", Short: "Who may not log in, why and until when",
		Long: `Who may not log in, why and until when.

A ban refuses logins of an address or network on every service. It never
refuses mail on port 25.`,
		Example: "  gatepost ban list\n  gatepost ban remove 203.0.113.7"}
	cmd.AddCommand(newBanList(a), newBanAdd(a), newBanRemove(a))
	return cmd
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
			rows = append(rows, []string{netaddr.String(b.Network), b.Until.UTC().Format(time.DateTime), b.ID, b.Reason})
		}
		return printTable(cmd.OutOrStdout(), []string{"NETWORK", "UNTIL (UTC)", "ID", "WHY"}, rows)
	}
	return cmd
}

func newBanAdd(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "add NETWORK", Short: "Refuse logins from an address or network",
		Example: "  gatepost ban add 203.0.113.0/24 --for 1d --reason 'guessing since Monday'", Args: cobra.ExactArgs(1)}
	span := cmd.Flags().String("for", "1h", "how long, such as 30m, 12h or 7d")
	reason := cmd.Flags().String("reason", "set by an administrator", "why, for those who look later")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		p, err := network(args[0])
		if err != nil {
			return err
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
		if *asJSON {
			return printJSON(cmd.OutOrStdout(), b)
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s is refused until %s UTC\n", netaddr.String(b.Network), b.Until.UTC().Format(time.DateTime))
		return nil
	}
	return cmd
}

func newBanRemove(a *app) *cobra.Command {
	return &cobra.Command{Use: "remove NETWORK", Short: "Lift a ban", Example: "  gatepost ban remove 203.0.113.7", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := network(args[0])
			if err != nil {
				return err
			}
			c, done, err := a.client(cmd.Context())
			if err != nil {
				return err
			}
			defer done()
			err = c.RemoveBan(cmd.Context(), p)
			if errors.Is(err, guard.ErrNotFound) {
				return hint(err, "gatepost ban list shows the networks that are refused")
			}
			return err
		}}
}
