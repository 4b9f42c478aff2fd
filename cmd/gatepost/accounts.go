package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/maildir"
)

// withAccounts runs f with the account store, wherever it is.
func (a *app) withAccounts(cmd *cobra.Command, f func(account.Store) error) error {
	c, done, err := a.client(cmd.Context())
	if err != nil {
		return err
	}
	defer done()
	return kinder(f(c.Accounts()))
}

// kinder adds to an error of the account store what mends it.
func kinder(err error) error {
	switch {
	case errors.Is(err, account.ErrNoDomain):
		return hint(err, "gatepost domain add NAME makes a domain ours")
	case errors.Is(err, account.ErrNotEmpty):
		return hint(err, "--force removes them too; their mail stays on disk")
	case errors.Is(err, account.ErrLoop):
		return hint(err, "its mail would reach no mailbox; only a user may lead to itself, to keep a copy (gatepost user add)")
	case errors.Is(err, account.ErrReadOnly):
		return hint(err, "change it where the accounts are kept: mysql.schema names the program")
	case errors.Is(err, account.ErrInvalid):
		return &misuse{err}
	}
	return err
}

// domainName reads a domain argument. What can be added is decided elsewhere:
// one that is there may be older than those rules.
func domainName(s string) (string, error) {
	d, err := mailaddr.ParseDomain(s)
	if err != nil {
		return "", &misuse{fmt.Errorf("%q is not a domain such as example.org", s)}
	}
	return d, nil
}

// address reads an address argument with a domain.
func address(s string) (mailaddr.Address, error) {
	var a mailaddr.Address
	if err := a.UnmarshalText([]byte(s)); err != nil || a.Domain == "" || a.LocalPart == "" {
		return a, &misuse{fmt.Errorf("%q is not an address such as alice@example.org", s)}
	}
	return a.Folded(), nil
}

func newDomain(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "domain", Short: "The domains that are ours", Example: "  gatepost domain add example.org"}
	cmd.AddCommand(newDomainAdd(a), newDomainRemove(a), newDomainList(a), newDomainShow(a))
	return cmd
}

func newDomainAdd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "add NAME...", Short: "Make domains ours: mail for them is accepted",
		Example: "  gatepost domain add example.org example.net", Args: cobra.MinimumNArgs(1),
	}
	force := cmd.Flags().Bool("force", false, "add the hostname too, which mydestination does not have")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, err := a.load()
		if err != nil {
			return err
		}
		for _, name := range args { // all of them, before one is added
			if err := account.ValidDomain(name); err != nil {
				return &misuse{err}
			}
			if strings.EqualFold(strings.TrimSuffix(name, "."), cfg.Hostname) && !*force {
				return hint(fmt.Errorf("%s is this server's hostname, whose mail Postfix gives to local users (mydestination)", name),
					"name the domain of your addresses; --force adds the hostname all the same, once mydestination does not have it")
			}
		}
		return a.withAccounts(cmd, func(s account.Store) error {
			for _, name := range args {
				if err := s.AddDomain(cmd.Context(), name); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return cmd
}

func newDomainRemove(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "remove NAME", Short: "Stop being a domain's mail server; mail on disk stays",
		Example: "  gatepost domain remove example.net", Args: cobra.ExactArgs(1),
	}
	force := cmd.Flags().Bool("force", false, "remove its users and aliases too")
	cmd.ValidArgsFunction = a.complete(1, domainNames)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		name, err := domainName(args[0])
		if err != nil {
			return err
		}
		return a.withAccounts(cmd, func(s account.Store) error {
			return s.RemoveDomain(cmd.Context(), name, *force)
		})
	}
	return cmd
}

func newDomainList(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List the domains", Example: "  gatepost domain list --json", Args: cobra.NoArgs}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.withAccounts(cmd, func(s account.Store) error {
			all, err := s.Domains(cmd.Context())
			if err != nil {
				return err
			}
			if *asJSON {
				return printJSON(cmd.OutOrStdout(), list(all))
			}
			for _, d := range all {
				fmt.Fprintln(cmd.OutOrStdout(), printable(d.Name))
			}
			return nil
		})
	}
	return cmd
}

func newDomainShow(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "show NAME", Short: "Show a domain's users and aliases",
		Example: "  gatepost domain show example.org", Args: cobra.ExactArgs(1), ValidArgsFunction: a.complete(1, domainNames)}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		name, err := domainName(args[0])
		if err != nil {
			return err
		}
		return a.withAccounts(cmd, func(s account.Store) error {
			d, err := s.Domain(cmd.Context(), name)
			if err != nil {
				return fmt.Errorf("domain %s: %w", name, err)
			}
			users, err := s.Users(cmd.Context(), d.Name)
			if err != nil {
				return err
			}
			aliases, err := s.Aliases(cmd.Context(), d.Name)
			if err != nil {
				return err
			}
			if *asJSON {
				return printJSON(cmd.OutOrStdout(), map[string]any{"domain": d, "users": list(users), "aliases": list(aliases)})
			}
			if err := printUsers(cmd, users); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout())
			return printAliases(cmd, s, aliases)
		})
	}
	return cmd
}

func newAlias(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "alias", Short: "Addresses that lead to mailboxes",
		Example: "  gatepost alias add info@example.org alice@example.org"}
	cmd.AddCommand(
		&cobra.Command{
			Use: "add ADDRESS TARGET...", Short: "Send an address's mail to targets; @DOMAIN is all else of a domain",
			Example: "  gatepost alias add info@example.org alice@example.org bob@example.org\n  gatepost alias add @example.org alice@example.org",
			Args:    cobra.MinimumNArgs(2), ValidArgsFunction: a.complete(0, aliasThenUsers),
			RunE: func(cmd *cobra.Command, args []string) error {
				al, err := aliasOf(args)
				if err != nil {
					return err
				}
				return a.withAccounts(cmd, func(s account.Store) error { return s.AddAlias(cmd.Context(), al) })
			},
		},
		&cobra.Command{
			Use: "remove ADDRESS [TARGET...]", Short: "Remove targets of an alias, or all of it",
			Example: "  gatepost alias remove info@example.org bob@example.org", Args: cobra.MinimumNArgs(1), ValidArgsFunction: a.complete(0, aliasThenUsers),
			RunE: func(cmd *cobra.Command, args []string) error {
				al, err := aliasOf(args)
				if err != nil {
					return err
				}
				return a.withAccounts(cmd, func(s account.Store) error {
					return s.RemoveAlias(cmd.Context(), al.Addr, al.To...)
				})
			},
		},
		newAliasList(a, "list [DOMAIN]", "List the aliases", cobra.MaximumNArgs(1)),
		newAliasShow(a), newAliasPost(a), newAliasBlock(a), newAliasUnblock(a), newAliasPosting(a))
	return cmd
}

// aliasOf reads an alias's address, which may be @DOMAIN, and its targets.
func aliasOf(args []string) (account.Alias, error) {
	var al account.Alias
	if err := al.Addr.UnmarshalText([]byte(args[0])); err != nil || al.Addr.Domain == "" {
		return al, &misuse{fmt.Errorf("%q is not an address such as info@example.org, nor @example.org", args[0])}
	}
	for _, s := range args[1:] {
		to, err := aliasTarget(al, s)
		if err != nil {
			return al, err
		}
		al.To = append(al.To, to)
	}
	return al, nil
}

// aliasTarget reads one target of al. That of a whole domain may be another.
func aliasTarget(al account.Alias, s string) (to mailaddr.Address, err error) {
	if al.Addr.LocalPart != "" || !strings.HasPrefix(s, "@") {
		return address(s)
	}
	if err := to.UnmarshalText([]byte(s)); err != nil || to.Domain == "" {
		return to, &misuse{fmt.Errorf("%q is not a domain such as @example.org", s)}
	}
	return to, nil
}

func newAliasList(a *app, use, short string, args cobra.PositionalArgs) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Example: "  gatepost alias list example.org", Args: args, ValidArgsFunction: a.complete(1, domainNames)}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.withAccounts(cmd, func(s account.Store) error {
			all, err := s.Aliases(cmd.Context(), strings.Join(args, ""))
			if err != nil {
				return err
			}
			if *asJSON {
				return printJSON(cmd.OutOrStdout(), list(all))
			}
			return printAliases(cmd, s, all)
		})
	}
	return cmd
}

func newAliasShow(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "show ADDRESS", Short: "Show where an alias leads",
		Example: "  gatepost alias show info@example.org", Args: cobra.ExactArgs(1), ValidArgsFunction: a.complete(1, aliasNames)}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		al, err := aliasOf(args)
		if err != nil {
			return err
		}
		return a.withAccounts(cmd, func(s account.Store) error {
			got, err := s.Alias(cmd.Context(), al.Addr)
			if err != nil {
				return fmt.Errorf("alias %s: %w", al.Addr, err)
			}
			if *asJSON {
				return printJSON(cmd.OutOrStdout(), got)
			}
			return printAliases(cmd, s, []account.Alias{got})
		})
	}
	return cmd
}

// printAliases lists aliases; a target at none of our domains is outside.
func printAliases(cmd *cobra.Command, s account.Store, all []account.Alias) error {
	domains, err := s.Domains(cmd.Context())
	if err != nil {
		return err
	}
	ours := map[string]bool{}
	for _, d := range domains {
		ours[d.Name] = true
	}
	var rows [][]string
	for _, al := range all {
		var to []string
		for _, t := range al.To {
			shown := t.String()
			if !ours[strings.ToLower(t.Domain)] {
				shown += " (outside)"
			}
			to = append(to, shown)
		}
		rows = append(rows, []string{al.Addr.String(), strings.Join(to, ", ")})
	}
	return printTable(cmd.OutOrStdout(), []string{"ALIAS", "LEADS TO"}, rows)
}

// mailOf returns the directory of a user's mail, and whether it is there. It
// refuses a name that is not safe as a directory.
func mailOf(cfg Config, addr mailaddr.Address) (dir string, there bool, err error) {
	home, err := maildir.Home(cfg.MailRoot, addr)
	if err != nil {
		return "", false, &misuse{fmt.Errorf("user %s: %w", addr, err)}
	}
	dir = filepath.Join(home, "Maildir")
	_, err = os.Lstat(dir)
	return dir, err == nil, nil
}
