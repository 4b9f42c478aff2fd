package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/admin"
	"github.com/gatepost/gatepost/internal/keys"
	"github.com/gatepost/gatepost/internal/mailaddr"
)

func newDKIM(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "dkim", Short: "Signing keys and the DNS records that publish them",
		Example: "  gatepost dkim new example.org\n  gatepost dkim dns example.org\n  gatepost dkim test example.org"}
	imports := &cobra.Command{Use: "import", Short: "Take the signing keys of another program over",
		Example: "  gatepost dkim import opendkim /etc/opendkim.conf --dry-run"}
	imports.AddCommand(newImport(a, opendkimSource), newImport(a, rspamdSource))
	cmd.AddCommand(newDKIMNew(a), newDKIMList(a), newDKIMDNS(a), newDKIMTest(a),
		newDKIMRotate(a), newDKIMRemove(a), newDKIMWhy(a), imports)
	return cmd
}

// forms are how records can be printed.
var forms = []string{"zone", "line", "json", "nsupdate"}

// formFlags adds --format and --json to cmd; the result is the form that the
// person wants.
func formFlags(cmd *cobra.Command) func() (string, error) {
	asJSON := jsonFlag(cmd)
	form := cmd.Flags().String("format", "zone", strings.Join(forms, ", ")+": how to print records")
	return func() (string, error) {
		if *asJSON {
			return "json", nil
		}
		if !slices.Contains(forms, *form) {
			return "", &misuse{fmt.Errorf("--format: %q is none of %s", *form, strings.Join(forms, ", "))}
		}
		return *form, nil
	}
}

// printRecords writes what is to be in the DNS for keys.
func printRecords(w io.Writer, all []admin.Key, form string) error {
	var b strings.Builder
	for _, k := range all {
		switch form {
		case "zone":
			b.WriteString(k.Zone)
		case "line":
			b.WriteString(k.Line)
		case "nsupdate":
			b.WriteString(k.Update)
		}
	}
	if form == "json" {
		return printJSON(w, list(all))
	}
	if form == "nsupdate" && len(all) > 0 {
		b.WriteString("send\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// newKeysMakeSense refuses a second pair of keys that nobody named, and says so
// when the domain is not ours.
func newKeysMakeSense(cmd *cobra.Command, c *admin.Client, domain string, algorithms []string, selector string) error {
	have, err := c.Keys(cmd.Context(), domain)
	if err != nil {
		return err
	}
	for _, k := range have {
		if selector == "" && slices.Contains(algorithms, k.Algorithm) {
			return hint(fmt.Errorf("%s has a key %s already", domain, k.Selector),
				"gatepost dkim rotate %s makes the next one without a gap; --algorithm and --selector name one beside it", domain)
		}
	}
	_, err = c.Accounts().Domain(cmd.Context(), domain)
	if errors.Is(err, account.ErrNotFound) {
		fmt.Fprintf(cmd.ErrOrStderr(), "gatepost: warning: %s is not one of our domains; its keys sign only what local_senders or submission_networks let out\n", domain)
		return nil
	}
	return err
}

func newDKIMNew(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "new DOMAIN", Short: "Make signing keys for a domain and print their DNS records",
		Long: `Make signing keys for a domain and print their DNS records.

The keys sign from this moment on. Publish the records at once: until they are
in the DNS, receivers see signatures that they can not check, which they must
treat like none (RFC 6376 §6.1.2). With --pending they sign as soon as every
authoritative server of the zone shows the records.`,
		Example: "  gatepost dkim new example.org\n  gatepost dkim new example.org --pending --format nsupdate\n" +
			"  gatepost dkim new example.org --algorithm rsa --selector mail",
		Args: cobra.ExactArgs(1),
	}
	form := formFlags(cmd)
	algorithm := cmd.Flags().String("algorithm", "", "rsa (2048 bits) or ed25519; one of each if absent")
	selector := cmd.Flags().String("selector", "", "name of the key; made from date and algorithm if absent")
	pending := cmd.Flags().Bool("pending", false, "sign only when the DNS shows the records")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		domain, err := domainArg(args[0])
		if err != nil {
			return err
		}
		how, err := form()
		if err != nil {
			return err
		}
		algorithms := []string{string(keys.RSA), string(keys.Ed25519)}
		switch {
		case *algorithm != "" && !slices.Contains(algorithms, *algorithm):
			return &misuse{fmt.Errorf("--algorithm: %q is neither of %s", *algorithm, strings.Join(algorithms, " and "))}
		case *algorithm != "":
			algorithms = []string{*algorithm}
		case *selector != "":
			return &misuse{hint(errors.New("--selector names one key"), "give --algorithm too")}
		}
		c, done, err := a.client(cmd.Context())
		if err != nil {
			return err
		}
		defer done()
		if err := newKeysMakeSense(cmd, c, domain, algorithms, *selector); err != nil {
			return err
		}
		var made []admin.Key
		for _, alg := range algorithms {
			k, err := c.CreateKey(cmd.Context(), admin.NewKey{Domain: domain, Selector: *selector, Algorithm: alg, Pending: *pending})
			if err != nil {
				return fmt.Errorf("key for %s: %w", domain, err)
			}
			made = append(made, k)
		}
		return printRecords(cmd.OutOrStdout(), made, how)
	}
	return cmd
}

// domainArg reads a domain that somebody typed.
func domainArg(s string) (string, error) {
	d, err := mailaddr.ParseDomain(s)
	if err != nil {
		return "", &misuse{fmt.Errorf("%q: %w", s, err)}
	}
	return d, nil
}

func newDKIMDNS(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "dns [DOMAIN]", Short: "Print the DNS records, as lines of a zone file or in another form",
		Long: `Print the DNS records that are to be published now: those of keys that sign, will
sign or have signed, and with an empty p= those of revoked keys.`,
		Example: "  gatepost dkim dns example.org >> example.org.zone\n  gatepost dkim dns example.org --format nsupdate | nsupdate -k ddns.key",
		Args:    cobra.MaximumNArgs(1)}
	form := formFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		how, err := form()
		if err != nil {
			return err
		}
		all, err := a.keysOf(cmd.Context(), args)
		if err != nil {
			return err
		}
		return printRecords(cmd.OutOrStdout(), all, how)
	}
	return cmd
}

func newDKIMList(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "list [DOMAIN]", Short: "List the signing keys, their states and what is to be done",
		Example: "  gatepost dkim list\n  gatepost dkim list --json", Args: cobra.MaximumNArgs(1)}
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
		return printKeys(cmd.OutOrStdout(), all)
	}
	return cmd
}

// printKeys writes a table of keys, and below it what is to be done.
func printKeys(w io.Writer, all []admin.Key) error {
	var rows [][]string
	for _, k := range all {
		since := ""
		if !k.Since.IsZero() {
			since = k.Since.UTC().Format("2006-01-02 15:04")
		}
		rows = append(rows, []string{k.Domain, k.Selector, k.Algorithm, k.State, since})
	}
	if err := printTable(w, []string{"DOMAIN", "SELECTOR", "ALGORITHM", "STATE", "SINCE"}, rows); err != nil {
		return err
	}
	for _, k := range all {
		if k.Next == "" {
			continue
		}
		if _, err := fmt.Fprintf(w, "%s: %s\n", k.Name, printable(k.Next)); err != nil {
			return err
		}
	}
	return nil
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
		if r.Revoked {
			why = "the DNS has this key no more"
		}
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
