package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/rawmsg"
	"github.com/gatepost/gatepost/internal/script"
	"github.com/gatepost/gatepost/internal/sieve"
)

// tried is what a script does with a message.
type tried struct {
	Trace   []traceLine `json:"trace"`
	Actions []triedDo   `json:"actions"`
	// Keep says that the message goes to the inbox too, with KeepFlags.
	Keep      bool     `json:"implicit_keep"`
	KeepFlags []string `json:"keep_flags"`
	Warnings  []string `json:"warnings"`
	Log       []string `json:"log"`
	// Error is why the script failed: the message then goes to the inbox.
	Error string `json:"error,omitempty"`
}

// traceLine is one test or action, as it happened.
type traceLine struct {
	Script string `json:"script"`
	Line   int    `json:"line"`
	Column int    `json:"column"`
	Text   string `json:"text"`
}

// triedDo is one action of the result.
type triedDo struct {
	Action  string   `json:"action"`
	Mailbox string   `json:"mailbox,omitempty"`
	Address string   `json:"address,omitempty"`
	Reason  string   `json:"reason,omitempty"`
	Flags   []string `json:"flags,omitempty"`
}

func newSieveTry(a *app, rules sieveRules) *cobra.Command {
	cmd := &cobra.Command{
		Use: "test SCRIPT MESSAGE", Short: "What a script does with a message, test by test",
		Long: `What a script does with a message, test by test. Nothing is delivered or sent.

Each test and action is a line with its place, then comes the result. Nothing is
known of the user's folders, lists and earlier mail: mailboxexists is false, and
neither vacation nor duplicate has seen anybody. SCRIPT or MESSAGE may be "-".`,
		Example: "  gatepost sieve test holidays.sieve message.eml\n" +
			"  gatepost sieve test --mail-from bob@example.com --rcpt alice@example.org holidays.sieve message.eml",
		Args: cobra.ExactArgs(2),
	}
	f := cmd.Flags()
	from := f.String("mail-from", "", "sender in MAIL FROM; empty is the null sender")
	to := f.String("rcpt", "user@localhost", "recipient in RCPT TO")
	user := f.String("user", "", "whose other scripts may be included")
	spam := f.Float64("spam", -1, "the score divided by the one at which mail is spam; not scanned where it is not said")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if args[0] == "-" && args[1] == "-" {
			return &misuse{errors.New("only one of the two can be stdin")}
		}
		src, err := readScript(cmd.InOrStdin(), args[0])
		if err != nil {
			return err
		}
		raw, err := readMessage(cmd.InOrStdin(), args[1], maxTried+1)
		if err != nil {
			return err
		}
		if len(raw) > maxTried {
			return fmt.Errorf("%s is larger than %d MB: delivery filters no such message", args[1], maxTried>>20)
		}
		check := script.Checker{Global: a.globalScripts()}
		var addr mailaddr.Address
		if *user != "" {
			if check.Store, addr, err = a.scriptsOf(cmd, *user, rules); err != nil {
				return err
			}
		}
		s, warnings, err := check.Compile(addr, args[0], src)
		if err != nil {
			checkScript(&check, addr, args[0], src).print(cmd.OutOrStdout())
			return &saidNo{}
		}
		env := sieve.Env{Envelope: sieve.Envelope{From: *from, To: *to}, User: sieve.User{Name: *to, Email: *to, Addresses: []string{*to}}, Now: time.Now()}
		if *spam >= 0 {
			env.Spam = func(context.Context) sieve.Score { return sieve.Score{Known: true, Share: *spam} }
		}
		t := try(cmd, s, env, raw)
		t.Warnings = append(warnings, t.Warnings...)
		if *asJSON {
			err = printJSON(cmd.OutOrStdout(), t)
		} else {
			t.print(cmd.OutOrStdout())
		}
		if err == nil && t.Error != "" {
			return &saidNo{}
		}
		return err
	}
	return cmd
}

// maxTried is the most that delivery filters, in bytes.
const maxTried = 64 << 20

// try runs a script.
func try(cmd *cobra.Command, s *sieve.Script, env sieve.Env, raw []byte) tried {
	t := tried{Trace: []traceLine{}, Actions: []triedDo{}, KeepFlags: []string{}, Warnings: []string{}, Log: []string{}}
	env.Trace = func(e sieve.Event) {
		t.Trace = append(t.Trace, traceLine{e.Script, e.Pos.Line, e.Pos.Col, e.Text})
	}
	res, err := sieve.Run(cmd.Context(), s, &env, sieve.NewMessage(rawmsg.Scan(raw, rawmsg.Default())), nil)
	if err != nil {
		t.Error, t.Keep = err.Error(), true
		return t
	}
	for _, a := range res.Actions {
		t.Actions = append(t.Actions, triedDo{string(a.Kind), a.Mailbox, a.Address, a.Reason, a.Flags})
	}
	t.Keep, t.KeepFlags, t.Warnings, t.Log = res.ImplicitKeep, list(res.KeepFlags), list(res.Warnings), list(res.Log)
	return t
}

// print writes the trace and the result, one line each.
func (t tried) print(w io.Writer) {
	say := func(format string, args ...any) {
		fmt.Fprintln(w, strings.ReplaceAll(printable(fmt.Sprintf(format, args...)), "\n", " "))
	}
	for _, l := range t.Trace {
		say("%s:%d:%d: %s", l.Script, l.Line, l.Column, l.Text)
	}
	for _, l := range t.Log {
		say("log: %s", l)
	}
	for _, l := range t.Warnings {
		say("warning: %s", l)
	}
	if t.Error != "" {
		say("error: %s", t.Error)
	}
	for _, a := range t.Actions {
		say("result: %s", strings.Join(strings.Fields(strings.Join(append([]string{a.Action, a.Mailbox, a.Address, a.Reason}, a.Flags...), " ")), " "))
	}
	switch {
	case t.Keep:
		say("result: %s", strings.Join(append([]string{"keep INBOX"}, t.KeepFlags...), " "))
	case len(t.Actions) == 0:
		say("result: discard")
	}
}
