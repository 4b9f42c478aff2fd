package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/maildir"
	"github.com/gatepost/gatepost/internal/script"
	"github.com/gatepost/gatepost/internal/sieve"
	"github.com/gatepost/gatepost/lmtpd/managesieve"
)

// sieveRules are what the configuration says of scripts.
type sieveRules func(Config) managesieve.Config

func newSieve(a *app, rules sieveRules) *cobra.Command {
	cmd := &cobra.Command{Use: "sieve", Short: "Users' Sieve scripts: check, try, list, put, activate",
		Example: "  gatepost sieve put alice@example.org holidays holidays.sieve --activate"}
	cmd.AddCommand(newSieveCheck(a, rules), newSieveTry(a, rules), newSieveList(a, rules), newSieveShow(a, rules),
		newSievePut(a, rules), newSieveActivate(a, rules), newSieveRemove(a, rules))
	return cmd
}

// globalScripts returns what include :global means by name. It is called before
// the rights change: the owner of the mail may not be able to read the
// configuration.
func (a *app) globalScripts() func(name string) (string, error) {
	cfg, err := a.load()
	return func(name string) (string, error) {
		if err != nil {
			return "", err
		}
		return cfg.Sieve.Global(name)
	}
}

// scriptConfig returns where scripts are and how many there may be.
func scriptConfig(cfg Config, c managesieve.Config) script.Config {
	return script.Config{Root: cfg.MailRoot, MaxBytes: int64(c.MaxScriptSize), MaxScripts: c.QuotaMaxScripts, MaxStorage: int64(c.QuotaMaxStorage)}
}

// scriptsOf returns the scripts of a user who is there, as the owner of the
// mail.
func (a *app) scriptsOf(cmd *cobra.Command, text string, rules sieveRules) (*script.Store, mailaddr.Address, error) {
	addr, err := address(text)
	if err != nil {
		return nil, addr, err
	}
	cfg, err := a.load()
	if err != nil {
		return nil, addr, err
	}
	err = a.withAccounts(cmd, func(s account.Store) error {
		_, err := s.User(cmd.Context(), addr)
		return err
	})
	if errors.Is(err, account.ErrNotFound) {
		return nil, addr, hint(fmt.Errorf("there is no mailbox %s", addr), "gatepost user list shows them; an alias has no scripts")
	}
	if err != nil {
		return nil, addr, err
	}
	mail := cfg
	mail.DataDirectory = cfg.MailRoot // scripts are with the mail, in whatever shape
	if err := becomeOwner(mail); err != nil {
		return nil, addr, err
	}
	if os.Geteuid() != cfg.MailUID {
		return nil, addr, mayNot(cfg)
	}
	return script.New(scriptConfig(cfg, rules(cfg))), addr, nil
}

// kinderScript adds to an error of the script store what mends it.
func kinderScript(err error, user mailaddr.Address) error {
	switch {
	case errors.Is(err, script.ErrNotFound):
		return hint(err, "gatepost sieve list %s shows what is there", user)
	case errors.Is(err, script.ErrActive):
		return hint(err, "gatepost sieve activate %s --none", user)
	case errors.Is(err, script.ErrName):
		return &misuse{err}
	case errors.Is(err, maildir.ErrOwner):
		return hint(err, "chown -R gives a home to the mail user")
	}
	return err
}

// readScript reads a script from a file, or stdin for "-".
func readScript(stdin io.Reader, path string) ([]byte, error) {
	const most = 1 << 20
	in := stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("read script: %w", err)
		}
		defer f.Close()
		in = f
	}
	src, err := io.ReadAll(io.LimitReader(in, most+1))
	if err != nil {
		return nil, fmt.Errorf("read script: %w", err)
	}
	if len(src) > most {
		return nil, fmt.Errorf("%s is larger than a script can be, 1MB", path)
	}
	return src, nil
}

// fault is one fault of a script, for JSON.
type fault struct {
	Script string `json:"script"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
	Text   string `json:"text"`
}

// checked is one script that was looked at.
type checked struct {
	File     string   `json:"file"`
	Faults   []fault  `json:"faults"`
	Warnings []string `json:"warnings"`
}

// checkScript compiles one script.
func checkScript(check *script.Checker, user mailaddr.Address, file string, src []byte) checked {
	warnings, err := check.Check(user, file, src)
	c := checked{File: file, Faults: []fault{}, Warnings: list(warnings)}
	var all sieve.Errors
	if errors.As(err, &all) {
		for _, e := range all {
			c.Faults = append(c.Faults, fault{e.Script, e.Pos.Line, e.Pos.Col, e.Text})
		}
	} else if err != nil {
		c.Faults = append(c.Faults, fault{Script: file, Text: err.Error()})
	}
	return c
}

// print tells what is wrong, in the form that editors know.
func (c checked) print(w io.Writer) {
	for _, f := range c.Faults {
		place := printable(f.Script)
		if f.Line > 0 {
			place = fmt.Sprintf("%s:%d:%d", place, f.Line, f.Column)
		}
		fmt.Fprintf(w, "%s: %s\n", place, printable(f.Text))
	}
	for _, text := range c.Warnings {
		fmt.Fprintf(w, "%s: warning: %s\n", printable(c.File), printable(text))
	}
}

func newSieveCheck(a *app, rules sieveRules) *cobra.Command {
	cmd := &cobra.Command{
		Use: "check FILE...", Short: "Compile scripts and tell every fault with its place",
		Long: `Compile scripts and tell every fault with its place.

A script that includes others of a user needs --user; without it each of them is
a warning. "-" reads stdin.`,
		Example: "  gatepost sieve check holidays.sieve\n  gatepost sieve check --user alice@example.org ~/sieve/*.sieve",
		Args:    cobra.MinimumNArgs(1),
	}
	user := cmd.Flags().String("user", "", "whose other scripts may be included")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		sources := make([][]byte, len(args))
		for i, path := range args { // before the rights change
			var err error
			if sources[i], err = readScript(cmd.InOrStdin(), path); err != nil {
				return err
			}
		}
		check := script.Checker{Global: a.globalScripts()}
		var addr mailaddr.Address
		if *user != "" {
			var err error
			if check.Store, addr, err = a.scriptsOf(cmd, *user, rules); err != nil {
				return err
			}
		}
		var all []checked
		faults := 0
		for i, path := range args {
			c := checkScript(&check, addr, path, sources[i])
			faults += len(c.Faults)
			all = append(all, c)
		}
		if *asJSON {
			if err := printJSON(cmd.OutOrStdout(), all); err != nil {
				return err
			}
		} else {
			for _, c := range all {
				c.print(cmd.OutOrStdout())
			}
		}
		if faults > 0 {
			return &saidNo{}
		}
		return nil
	}
	return cmd
}

func newSieveList(a *app, rules sieveRules) *cobra.Command {
	cmd := &cobra.Command{
		Use: "list ADDRESS", Short: "The scripts of a user, and which one is active",
		Example: "  gatepost sieve list alice@example.org", Args: cobra.ExactArgs(1), ValidArgsFunction: a.complete(1, userNames),
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, addr, err := a.scriptsOf(cmd, args[0], rules)
		if err != nil {
			return err
		}
		all, err := s.List(addr)
		if err != nil {
			return kinderScript(err, addr)
		}
		if *asJSON {
			return printJSON(cmd.OutOrStdout(), list(all))
		}
		var rows [][]string
		for _, i := range all {
			active := "-"
			if i.Active {
				active = "active"
			}
			rows = append(rows, []string{i.Name, active, strconv.FormatInt(i.Size, 10), i.Changed.Format("2006-01-02 15:04")})
		}
		if err := printTable(cmd.OutOrStdout(), []string{"NAME", "STATE", "BYTES", "CHANGED"}, rows); err != nil {
			return err
		}
		if act, err := s.Active(addr, script.Identity{}); err == nil && act.Name == "" {
			warn(cmd.ErrOrStderr(), "the active script is the file ~/.dovecot.sieve, which is none of these; the next activate keeps it as dovecot.orig")
		}
		return nil
	}
	return cmd
}

func newSieveShow(a *app, rules sieveRules) *cobra.Command {
	return &cobra.Command{
		Use: "show ADDRESS [NAME]", Short: "Print a script of a user: the active one where none is named",
		Example: "  gatepost sieve show alice@example.org", Args: cobra.RangeArgs(1, 2), ValidArgsFunction: a.complete(1, userNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, addr, err := a.scriptsOf(cmd, args[0], rules)
			if err != nil {
				return err
			}
			var src []byte
			if len(args) == 2 {
				src, err = s.Read(addr, args[1])
			} else {
				var act script.Active
				act, err = s.Active(addr, script.Identity{})
				src = act.Source
			}
			if err != nil {
				return kinderScript(err, addr)
			}
			_, err = cmd.OutOrStdout().Write(src)
			return err
		},
	}
}

func newSievePut(a *app, rules sieveRules) *cobra.Command {
	cmd := &cobra.Command{
		Use: "put ADDRESS NAME [FILE]", Short: "Keep a script for a user, if it compiles",
		Long: `Keep a script for a user, in place of one of that name, if it compiles and
there is room for it. Without FILE, or with "-", it comes from stdin.`,
		Example: "  gatepost sieve put alice@example.org holidays holidays.sieve --activate",
		Args:    cobra.RangeArgs(2, 3), ValidArgsFunction: a.complete(1, userNames),
	}
	now := cmd.Flags().Bool("activate", false, "make it the active script")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		src, err := readScript(cmd.InOrStdin(), append(args, "-")[2])
		if err != nil {
			return err
		}
		global := a.globalScripts()
		s, addr, err := a.scriptsOf(cmd, args[0], rules)
		if err != nil {
			return err
		}
		c := checkScript(&script.Checker{Store: s, Global: global}, addr, args[1], src)
		c.print(cmd.ErrOrStderr())
		if len(c.Faults) > 0 {
			return &saidNo{}
		}
		if err := s.Put(addr, args[1], src); err != nil || !*now {
			return kinderScript(err, addr)
		}
		return kinderScript(s.Activate(addr, args[1]), addr)
	}
	return cmd
}

func newSieveActivate(a *app, rules sieveRules) *cobra.Command {
	cmd := &cobra.Command{
		Use: "activate ADDRESS NAME|--none", Short: "Say which script a user's mail goes through",
		Example: "  gatepost sieve activate alice@example.org holidays\n  gatepost sieve activate alice@example.org --none",
		Args:    cobra.RangeArgs(1, 2), ValidArgsFunction: a.complete(1, userNames),
	}
	none := cmd.Flags().Bool("none", false, "no script")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *none == (len(args) == 2) {
			return &misuse{hint(errors.New("name a script, or say --none"), "gatepost sieve list %s shows them", args[0])}
		}
		global := a.globalScripts()
		s, addr, err := a.scriptsOf(cmd, args[0], rules)
		if err != nil {
			return err
		}
		if *none {
			return kinderScript(s.Activate(addr, ""), addr)
		}
		return activateScript(&script.Checker{Store: s, Global: global}, cmd.ErrOrStderr(), addr, args[1])
	}
	return cmd
}

// activateScript checks a script again: another program may have put it there.
func activateScript(check *script.Checker, talk io.Writer, user mailaddr.Address, name string) error {
	src, err := check.Store.Read(user, name)
	if err != nil {
		return kinderScript(err, user)
	}
	c := checkScript(check, user, name, src)
	c.print(talk)
	if len(c.Faults) > 0 {
		return &saidNo{}
	}
	return kinderScript(check.Store.Activate(user, name), user)
}

func newSieveRemove(a *app, rules sieveRules) *cobra.Command {
	return &cobra.Command{
		Use: "remove ADDRESS NAME", Short: "Remove a script of a user that is not active",
		Example: "  gatepost sieve remove alice@example.org holidays", Args: cobra.ExactArgs(2), ValidArgsFunction: a.complete(1, userNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, addr, err := a.scriptsOf(cmd, args[0], rules)
			if err != nil {
				return err
			}
			return kinderScript(s.Delete(addr, args[1]), addr)
		},
	}
}
