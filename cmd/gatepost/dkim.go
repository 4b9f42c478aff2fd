package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gatepost/gatepost/internal/admin"
	"github.com/gatepost/gatepost/internal/keys"
	"github.com/gatepost/gatepost/internal/mailaddr"
)

func newDKIM(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "dkim", Short: "Signing keys and the DNS records that publish them",
		Example: "  gatepost dkim new example.org\n  gatepost dkim dns example.org\n  gatepost dkim test example.org"}
	cmd.AddCommand(newDKIMNew(a), newDKIMList(a), newDKIMDNS(a), newDKIMTest(a))
	return cmd
}

func newDKIMNew(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "new DOMAIN", Short: "Make signing keys for a domain and print their DNS records",
		Long: `Make signing keys for a domain and print their DNS records.

The keys sign from this moment on. Publish the records at once: until they are
in the DNS, receivers see signatures that they can not check, which they must
treat like none (RFC 6376 §6.1.2).`,
		Example: "  gatepost dkim new example.org\n  gatepost dkim new example.org --algorithm rsa --selector mail",
		Args:    cobra.ExactArgs(1),
	}
	asJSON := jsonFlag(cmd)
	algorithm := cmd.Flags().String("algorithm", "", "rsa (2048 bits) or ed25519; one of each if absent")
	selector := cmd.Flags().String("selector", "", "name of the key; made from date and algorithm if absent")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		domain, err := mailaddr.ParseDomain(args[0])
		if err != nil {
			return &misuse{fmt.Errorf("%q: %w", args[0], err)}
		}
		algorithms := []string{string(keys.RSA), string(keys.Ed25519)}
		if *algorithm != "" {
			algorithms = []string{*algorithm}
		} else if *selector != "" {
			return &misuse{hint(errors.New("--selector names one key"), "give --algorithm too")}
		}
		c, done, err := a.client(cmd.Context())
		if err != nil {
			return err
		}
		defer done()
		var made []admin.Key
		for _, alg := range algorithms {
			k, err := c.CreateKey(cmd.Context(), admin.NewKey{Domain: domain, Selector: *selector, Algorithm: alg})
			if err != nil {
				return fmt.Errorf("key for %s: %w", domain, err)
			}
			made = append(made, k)
		}
		return printZone(cmd, made, *asJSON)
	}
	return cmd
}

func newDKIMDNS(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "dns [DOMAIN]", Short: "Print the DNS records, as lines of a zone file",
		Example: "  gatepost dkim dns example.org >> example.org.zone", Args: cobra.MaximumNArgs(1)}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		all, err := a.keysOf(cmd.Context(), args)
		if err != nil {
			return err
		}
		return printZone(cmd, all, *asJSON)
	}
	return cmd
}

func newDKIMList(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "list [DOMAIN]", Short: "List the signing keys", Example: "  gatepost dkim list --json", Args: cobra.MaximumNArgs(1)}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, done, err := a.client(cmd.Context())
		if err != nil {
			return err
		}
		defer done()
		all, err := c.Keys(cmd.Context(), strings.Join(args, ""))
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(cmd.OutOrStdout(), list(all))
		}
		var rows [][]string
		for _, k := range all {
			rows = append(rows, []string{k.Domain, k.Selector, k.Algorithm, k.Name})
		}
		return printTable(cmd.OutOrStdout(), []string{"DOMAIN", "SELECTOR", "ALGORITHM", "DNS NAME"}, rows)
	}
	return cmd
}

// keysOf lists the keys of the domain in args, or all, and says so when there
// are none.
func (a *app) keysOf(ctx context.Context, args []string) ([]admin.Key, error) {
	c, done, err := a.client(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	all, err := c.Keys(ctx, strings.Join(args, ""))
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, noKey(args)
	}
	return all, nil
}

func printZone(cmd *cobra.Command, all []admin.Key, asJSON bool) error {
	if asJSON {
		return printJSON(cmd.OutOrStdout(), list(all))
	}
	for _, k := range all {
		fmt.Fprint(cmd.OutOrStdout(), k.Zone)
	}
	return nil
}

func newDKIMTest(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "test [DOMAIN]", Short: "Compare the DNS with the private keys",
		Example: "  gatepost dkim test example.org", Args: cobra.MaximumNArgs(1)}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, done, err := a.client(cmd.Context())
		if err != nil {
			return err
		}
		defer done()
		out, err := c.TestKeys(cmd.Context(), strings.Join(args, ""))
		if err != nil {
			return err
		}
		if len(out) == 0 {
			return noKey(args)
		}
		if *asJSON {
			err = printJSON(cmd.OutOrStdout(), out)
		} else {
			err = printReports(cmd.OutOrStdout(), out)
		}
		if err == nil && slices.ContainsFunc(out, func(r keys.Report) bool { return !r.OK }) {
			return &saidNo{}
		}
		return err
	}
	return cmd
}

// printReports writes a line for each key: ok or FAIL, and why.
func printReports(w io.Writer, all []keys.Report) error {
	for _, r := range all {
		word, why := "ok  ", "the DNS has this key"
		if !r.OK {
			word, why = "FAIL", r.Problem
		}
		if r.Note != "" {
			why += "; " + r.Note
		}
		if _, err := fmt.Fprintf(w, "%s %s: %s\n", word, r.Name, printable(why)); err != nil {
			return err
		}
	}
	return nil
}

// noKey says that there is none, and how to make some.
func noKey(args []string) error {
	what := "no signing key"
	if len(args) > 0 {
		what += " for " + args[0]
	}
	return hint(errors.New(what), "gatepost dkim new DOMAIN makes them")
}
