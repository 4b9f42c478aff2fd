package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/secret"
	"github.com/gatepost/gatepost/internal/srs"
)

// srsKeyFile is where the keys of SRS are.
func (c *Config) srsKeyFile() string {
	if c.Policyd.SRS.KeyFile != "" {
		return c.Policyd.SRS.KeyFile
	}
	return filepath.Join(c.DataDirectory, "srs.keys")
}

// rewriter returns what rewrites senders under keys, nil if SRS is off.
func (c *Config) rewriter(keys func(path string) ([]secret.Value, error)) (*srs.Rewriter, error) {
	if c.Policyd.SRS.Domain == "" {
		return nil, nil
	}
	all, err := keys(c.srsKeyFile())
	if err != nil {
		return nil, err
	}
	return srs.New(c.Policyd.SRS.Domain, all...)
}

func newSRS(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "srs", Short: "Senders of mail that aliases send on",
		Long: `Senders of mail that aliases send on.

Mail from outside that an alias sends to another provider gets a sender of
policyd.srs.domain, so that SPF passes there; bounces come back through it.`,
		Example: "  gatepost srs test bob@example.net\n  gatepost srs rotate",
	}
	cmd.AddCommand(newSRSTest(a), newSRSRotate(a))
	return cmd
}

// rewritten is the answer of srs test.
type rewritten struct {
	Address string `json:"address"`
	// Direction is "forward" or "back".
	Direction string `json:"direction"`
	Result    string `json:"result,omitempty"`
	Error     string `json:"error,omitempty"`
}

func newSRSTest(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "test ADDRESS", Short: "Show what becomes of an address, forth or back",
		Long: `Show what becomes of an address.

A sender is shown as it goes out, an address of policyd.srs.domain as where its
bounces go. It is an error if it was not made here, or has expired.`,
		Example: "  gatepost srs test bob@example.net", Args: cobra.ExactArgs(1),
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		addr, err := srs.Parse(args[0])
		if err != nil || addr.Domain == "" {
			return &misuse{fmt.Errorf("%q is not an address such as bob@example.net", args[0])}
		}
		cfg, err := a.load()
		if err != nil {
			return err
		}
		if cfg.Policyd.SRS.Domain == "" {
			return hint(errors.New("SRS is off"), "policyd.srs.domain in %s switches it on", a.configPath)
		}
		if err := becomeOwner(cfg); err != nil {
			return err
		}
		r, err := cfg.rewriter(srs.ReadKeys)
		if errors.Is(err, fs.ErrNotExist) {
			return hint(err, "gatepost makes the keys when it starts")
		}
		if err != nil {
			return err
		}
		out, failed := rewrite(r, addr, time.Now())
		if *asJSON {
			return errors.Join(printJSON(cmd.OutOrStdout(), out), failed)
		}
		if failed != nil {
			return failed
		}
		_, err = fmt.Fprintln(cmd.OutOrStdout(), out.Result)
		return err
	}
	return cmd
}

// rewrite sends an address of ours back, and every other forth.
func rewrite(r *srs.Rewriter, addr mailaddr.Address, now time.Time) (rewritten, error) {
	out := rewritten{Address: addr.String(), Direction: "forward"}
	if addr.Domain != r.Domain() || !srs.Is(addr) {
		out.Result = r.Forward(addr, now).String()
		return out, nil
	}
	out.Direction = "back"
	to, err := r.Reverse(addr, now)
	if err != nil {
		out.Error = err.Error()
		return out, err
	}
	out.Result = to.String()
	return out, nil
}

func newSRSRotate(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "rotate", Short: "Make a new key; the old ones stay good for bounces",
		Long: `Make a new key.

It signs from the next reload on. The keys before it stay in the file, eight in
all, so that bounces of mail that has left still come back; take them out of the
file by hand after three weeks if one of them is known to others.`,
		Example: "  gatepost srs rotate && systemctl reload gatepost", Args: cobra.NoArgs,
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := a.load()
		if err != nil {
			return err
		}
		if err := becomeOwner(cfg); err != nil {
			return err
		}
		return rotateSRS(cmd.OutOrStdout(), cfg.srsKeyFile())
	}
	return cmd
}

func rotateSRS(w io.Writer, path string) error {
	keys, err := srs.Rotate(path)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s has %d keys; reload gatepost to use the new one\n", path, len(keys))
	return err
}
