package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/gatepost/gatepost/internal/admin"
	"github.com/gatepost/gatepost/internal/keys"
)

func newDKIMRotate(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "rotate DOMAIN", Short: "Make the next keys of a domain, and let them take over when the DNS shows them",
		Long: `Make the next keys of a domain and print their DNS records; the old keys go on
signing.

Publish the records. The running Gatepost asks every authoritative server of the
zone every five minutes, or at once with --check. When all have shown them for as
long as a cache may still say that there is no such record, the new keys sign. The
old ones keep their records for dkim.retire_after, for mail that is under way;
then "gatepost dkim list" calls for their revoked records (an empty p=).

Every step can be taken back with --undo, one by one. "gatepost dkim list" says
how far it is and what is to be done.`,
		Example: "  gatepost dkim rotate example.org --format nsupdate | nsupdate -k ddns.key\n" +
			"  gatepost dkim rotate example.org --check\n  gatepost dkim rotate example.org --undo",
		Args: cobra.ExactArgs(1),
	}
	form := formFlags(cmd)
	check := cmd.Flags().Bool("check", false, "ask the servers of the zone now, and go on if they show the records")
	now := cmd.Flags().Bool("now", false, "let the pending keys sign without asking the DNS")
	undo := cmd.Flags().Bool("undo", false, "take the last step back")
	cmd.MarkFlagsMutuallyExclusive("check", "now", "undo")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		domain, err := domainArg(args[0])
		if err != nil {
			return err
		}
		how, err := form()
		if err != nil {
			return err
		}
		do := admin.RotateNext
		switch {
		case *check:
			do = admin.RotateCheck
		case *now:
			do = admin.RotateNow
		case *undo:
			do = admin.RotateUndo
		}
		c, done, err := a.client(cmd.Context())
		if err != nil {
			return err
		}
		defer done()
		got, err := c.RotateKeys(cmd.Context(), domain, do)
		if err != nil {
			return rotateHint(err, domain)
		}
		return printRotated(cmd, got, do, how)
	}
	return cmd
}

// printRotated writes what became of a step: the records to publish after the
// first, else the keys, and with --check exit code 1 while some wait.
func printRotated(cmd *cobra.Command, got admin.Rotated, do admin.Rotate, form string) error {
	waits := slices.ContainsFunc(got.Keys, isPending)
	if do == admin.RotateNext {
		var next []admin.Key
		for _, k := range got.Keys {
			if isPending(k) {
				next = append(next, k)
			}
		}
		return printRecords(cmd.OutOrStdout(), next, form)
	}
	if got.Undone != "" && form != "json" {
		fmt.Fprintf(cmd.ErrOrStderr(), "taken back: %s\n", got.Undone)
	}
	var err error
	if form == "json" {
		err = printJSON(cmd.OutOrStdout(), got)
	} else {
		err = printKeys(cmd.OutOrStdout(), got.Keys)
	}
	if err == nil && do == admin.RotateCheck && waits {
		return &saidNo{}
	}
	return err
}

func isPending(k admin.Key) bool { return k.State == string(keys.Pending) }

// rotateHint adds what helps to why a step was not done.
func rotateHint(err error, domain string) error {
	switch {
	case errors.Is(err, keys.ErrNoKey):
		return hint(err, "gatepost dkim new %s makes the first keys", domain)
	case errors.Is(err, keys.ErrNothing):
		return hint(err, "gatepost dkim list %s shows the keys and their states", domain)
	}
	return err
}

func newDKIMRemove(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "remove DOMAIN SELECTOR", Short: "Remove a key that is revoked or pending, with its file",
		Example: "  gatepost dkim remove example.org gp202511r", Args: cobra.ExactArgs(2),
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		domain, err := domainArg(args[0])
		if err != nil {
			return err
		}
		c, done, err := a.client(cmd.Context())
		if err != nil {
			return err
		}
		defer done()
		err = c.RemoveKey(cmd.Context(), domain, args[1])
		switch {
		case errors.Is(err, keys.ErrInUse):
			return hint(err, "gatepost dkim rotate %s replaces keys; a replaced one can be removed when it is revoked", domain)
		case errors.Is(err, keys.ErrNoKey):
			return hint(err, "gatepost dkim list %s shows the keys", domain)
		}
		return err
	}
	return cmd
}
