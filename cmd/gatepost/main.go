// Gatepost stands beside Postfix's front door: milter, policy server, Dovecot
// auth server and LMTP delivery in one program.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gatepost/gatepost/internal/lists"
	"github.com/gatepost/gatepost/internal/lists/maps"
	"github.com/gatepost/gatepost/lmtpd/managesieve"
)

// Exit codes: done, said no or failed, misused.
const (
	exitFailed = 1
	exitMisuse = 2
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:]))
}

// run executes the command line and returns the exit code.
func run(ctx context.Context, args []string) int {
	root := newRoot()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	var said *saidNo
	if !errors.As(err, &said) {
		printError(err)
	}
	var m *misuse
	if errors.As(err, &m) {
		return exitMisuse
	}
	return exitFailed
}

// misuse is an error in how a command was called.
type misuse struct{ err error }

func (m *misuse) Error() string { return m.err.Error() }
func (m *misuse) Unwrap() error { return m.err }

// saidNo ends a command with exit code 1 whose output already says why.
type saidNo struct{}

func (*saidNo) Error() string { return "the answer is no" }

// hinted is an error with the command that mends it.
type hinted struct {
	err  error
	hint string
}

func (h *hinted) Error() string { return h.err.Error() }
func (h *hinted) Unwrap() error { return h.err }

// hint returns err with a hint for the person at the terminal.
func hint(err error, format string, args ...any) error {
	return &hinted{err: err, hint: fmt.Sprintf(format, args...)}
}

// warn tells of something that does not keep a command from its work.
func warn(w io.Writer, format string, args ...any) {
	fmt.Fprintf(w, "gatepost: warning: %s\n", printable(fmt.Sprintf(format, args...)))
}

// printError writes err and its hint to stderr.
func printError(err error) {
	fmt.Fprintf(os.Stderr, "gatepost: error: %s\n", printable(err.Error()))
	var h *hinted
	if errors.As(err, &h) {
		fmt.Fprintf(os.Stderr, "gatepost: hint: %s\n", printable(h.hint))
	}
}

// rootHelp is the one hand-set screen that "gatepost" alone shows.
const rootHelp = `gatepost: mail filter, policy, login and delivery beside Postfix and Dovecot

  serve [DAEMON...]        run the daemons (milter policyd authd lmtpd), all by default
  config check|show|init   check the configuration, show it whole, print a sample
  backup DIR               copy all that gatepost keeps, while it runs
  restore DIR              put a backup back
  state  stats|verify|gc   what is remembered, here and in Redis, and whether it is sound

  domain add|list|remove|show   the domains that are ours
  user   add|list|remove|show|password|set|hold|release|signals|disable|enable|grant|revoke
  user   app-password add|list|remove   a password for each device
  alias  add|list|remove|show|post|block|unblock|posting   addresses that lead to mailboxes
  account export|import         all accounts into a file, and into another store

  dkim   new|list|dns|test|rotate|remove|import   signing keys and their DNS records
  dkim   why QUEUE-ID           which keys signed a message, or why none did
  auth   check|spf|dmarc        who really sent a message, step by step
  ban    list|add|remove|explain   who may not log in, why and until when
  guard  status|report|events|replay   what is counted, and what other lines would do
  allow|deny add|list|remove    senders and clients that pass, or are refused
  greylist list|release|allow|forget|import   who has to come back, and who need not
  limit  show|reset|set         who has used how much of which limit
  group  add|remove|list        users who share the rates of limits
  policy test|replay|rules      what would be answered, and what a new file would change
  srs    test|rotate            senders of mail that aliases send on
  scan   FILE...                what the filter says of a message
  eval   --index FILE           how well the filter tells spam from ham
  rules  [NAME]                 the rules, and what each counts
  learn  spam|ham|undo|list|status   teach the filter, and take it back
  lists  [check|presets]        who else is asked, and who could be
  quarantine list|show|release|delete   what was put aside, and how to get it back
  sieve  check|test|list|show|put|activate|remove   users' own filters
  explain ID | --client ADDR    what happened to a message or a client, and why

  version, completion, help

Options of every command: --config FILE (` + defaultConfig + `), --json where
a script may read. Each command shows its own options and an example with --help.

Example: a domain, a mailbox, and why a message went where it went

  gatepost domain add example.org
  gatepost user add alice@example.org
  gatepost explain 4XyZ1b2c3dzABC
`

// newRoot returns the whole command tree.
func newRoot() *cobra.Command {
	app := &app{}
	root := &cobra.Command{
		Use:           "gatepost",
		Short:         "mail filter, policy, login and delivery beside Postfix and Dovecot",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return &misuse{hint(fmt.Errorf("unknown command %q", args[0]), "gatepost help lists the commands")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			fmt.Fprint(cmd.OutOrStdout(), rootHelp)
			return nil
		},
	}
	help := root.HelpFunc()
	root.SetHelpFunc(func(cmd *cobra.Command, args []string) {
		if cmd == root {
			fmt.Fprint(cmd.OutOrStdout(), rootHelp)
			return
		}
		help(cmd, args)
	})
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &misuse{hint(err, "%s --help shows the options", cmd.CommandPath())}
	})
	root.PersistentFlags().StringVar(&app.configPath, "config", defaultConfig, "configuration file")
	root.AddCommand(newServe(app), newConfig(app), newDomain(app), newUser(app), newAlias(app),
		newDKIM(app), newAuth(app), newBan(app), newGuard(app), newGroup(app), newAllow(app), newDeny(app), newPolicy(app), newLimit(app), newScan(app), newEval(), newRules(app), newLearn(app),
		newLists(app, func(c Config) (lists.Config, maps.Config) { return c.DNSLists, c.Maps }),
		newQuarantine(app), newGreylist(app), newSRS(app), newExplain(app), newAccount(app), newState(app), newBackup(app), newRestore(app), newBackupHelper(app), newSieve(app, func(c Config) managesieve.Config { return c.Managesieve }), newQueueHelper(), newFirewallHelper(), newVersion())
	root.SetHelpCommand(newHelp(root))
	root.InitDefaultCompletionCmd()
	misuseArgs(root)
	return root
}

// newHelp is cobra's help command, with an exit code for what it does not know.
func newHelp(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND]", Short: "Show a command's options and an example",
		Example: "  gatepost help user add",
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return &misuse{hint(fmt.Errorf("unknown command %q", strings.Join(args, " ")), "gatepost help lists the commands")}
			}
			return cmd.Help()
		},
	}
}

// misuseArgs makes every argument check of the tree end with exit code 2.
func misuseArgs(cmd *cobra.Command) {
	if cmd.HasParent() {
		check := cmd.Args
		cmd.Args = func(c *cobra.Command, args []string) error {
			var err error
			switch {
			case slices.Contains(args, ""): // a variable of a script that is not set
				err = errors.New("an argument is empty")
			case check != nil:
				err = check(c, args)
			}
			if err != nil {
				return &misuse{hint(err, "%s --help shows how", c.CommandPath())}
			}
			return nil
		}
	}
	if cmd.HasParent() && cmd.HasSubCommands() && cmd.RunE == nil {
		cmd.Args = nil
		cmd.RunE = func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return &misuse{hint(fmt.Errorf("unknown command %q for %q", args[0], c.CommandPath()),
					"%s --help lists them", c.CommandPath())}
			}
			return c.Help()
		}
		cmd.Args = cobra.ArbitraryArgs
	}
	for _, sub := range cmd.Commands() {
		misuseArgs(sub)
	}
}
