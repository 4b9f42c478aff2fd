package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatepost/gatepost/internal/admin"
	"github.com/gatepost/gatepost/internal/netaddr"
)

// completeTime is how long a person who typed TAB waits.
const completeTime = time.Second

// names returns what may stand after args.
type names func(ctx context.Context, c *admin.Client, args []string) ([]string, error)

// complete returns a completion of up to most arguments, any number for 0, that
// asks the Gatepost that runs. Without one, and for a stranger, there is none:
// a TAB opens no files and says nothing.
func (a *app) complete(most int, find names) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		const none = cobra.ShellCompDirectiveNoFileComp
		if most > 0 && len(args) >= most {
			return nil, none
		}
		cfg, err := a.load()
		if err != nil {
			return nil, none
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completeTime)
		defer cancel()
		all, err := find(ctx, admin.NewClient(cfg.adminSocket()), args)
		if err != nil {
			return nil, none
		}
		return all, none
	}
}

func domainNames(ctx context.Context, c *admin.Client, _ []string) (out []string, err error) {
	all, err := c.Accounts().Domains(ctx)
	for _, d := range all {
		out = append(out, d.Name)
	}
	return out, err
}

func userNames(ctx context.Context, c *admin.Client, _ []string) (out []string, err error) {
	all, err := c.Accounts().Users(ctx, "")
	for _, u := range all {
		out = append(out, u.Addr.String())
	}
	return out, err
}

func aliasNames(ctx context.Context, c *admin.Client, _ []string) (out []string, err error) {
	all, err := c.Accounts().Aliases(ctx, "")
	for _, al := range all {
		out = append(out, al.Addr.String())
	}
	return out, err
}

// aliasThenUsers are aliases for the first argument, users for the others.
func aliasThenUsers(ctx context.Context, c *admin.Client, args []string) ([]string, error) {
	if len(args) == 0 {
		return aliasNames(ctx, c, nil)
	}
	return userNames(ctx, c, nil)
}

func banNames(ctx context.Context, c *admin.Client, _ []string) (out []string, err error) {
	all, err := c.Bans(ctx)
	for _, b := range all {
		out = append(out, netaddr.String(b.Network))
	}
	return out, err
}
