package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/admin"
)

func newGroup(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "group", Short: "Users who share the rates of limits",
		Long: `Users who share the rates of limits.

A group is there while it has a member. Each member has the rates of
"gatepost limit set group:NAME" by himself, and those of overrides in the
configuration that are for "group:NAME".`,
		Example: "  gatepost group add staff alice@example.org bob@example.org\n  gatepost limit set group:staff outgoing 1000/hour"}
	cmd.AddCommand(newGroupAdd(a), newGroupRemove(a), newGroupList(a))
	return cmd
}

func newGroupAdd(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "add NAME ADDRESS...", Short: "Add users to a group, which need not be there",
		Example: "  gatepost group add staff alice@example.org bob@example.org", Args: cobra.MinimumNArgs(2)}
	return changeGroup(a, cmd, func(cmd *cobra.Command, c *admin.Client, g account.Group) error {
		return c.AddToGroup(cmd.Context(), g)
	})
}

func newGroupRemove(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "remove NAME [ADDRESS...]", Short: "Remove users from a group, or with --all the group and its rates",
		Example: "  gatepost group remove staff bob@example.org\n  gatepost group remove staff --all", Args: cobra.MinimumNArgs(1)}
	all := cmd.Flags().Bool("all", false, "remove the whole group and its rates")
	return changeGroup(a, cmd, func(cmd *cobra.Command, c *admin.Client, g account.Group) error {
		if *all == (len(g.Users) > 0) {
			return &misuse{hint(fmt.Errorf("name the users to remove, or all with --all"), "gatepost group remove %s ADDRESS...", printable(g.Name))}
		}
		return c.RemoveFromGroup(cmd.Context(), g)
	})
}

// changeGroup gives cmd, whose arguments are a group and its users, its work.
func changeGroup(a *app, cmd *cobra.Command, change func(*cobra.Command, *admin.Client, account.Group) error) *cobra.Command {
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		g := account.Group{Name: args[0]}
		for _, s := range args[1:] {
			u, err := address(s)
			if err != nil {
				return err
			}
			g.Users = append(g.Users, u)
		}
		c, done, err := a.client(cmd.Context())
		if err != nil {
			return err
		}
		defer done()
		return change(cmd, c, g)
	}
	return cmd
}

func newGroupList(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "list [NAME]", Short: "List groups and who is in them",
		Example: "  gatepost group list\n  gatepost group list staff --json", Args: cobra.MaximumNArgs(1)}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, done, err := a.client(cmd.Context())
		if err != nil {
			return err
		}
		defer done()
		all, err := c.Groups(cmd.Context())
		if err != nil {
			return err
		}
		var shown []account.Group
		var rows [][]string
		for _, g := range all {
			if len(args) == 1 && !strings.EqualFold(g.Name, args[0]) {
				continue
			}
			shown = append(shown, g)
			for _, u := range g.Users {
				rows = append(rows, []string{g.Name, u.String()})
			}
		}
		if *asJSON {
			return printJSON(cmd.OutOrStdout(), list(shown))
		}
		return printTable(cmd.OutOrStdout(), []string{"GROUP", "USER"}, rows)
	}
	return cmd
}
