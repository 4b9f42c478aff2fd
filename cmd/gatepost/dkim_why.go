package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gatepost/gatepost/internal/journal"
)

// signed is why a message bears signatures of ours, or why it does not.
type signed struct {
	QueueID string `json:"queue_id"`
	// Signatures are the keys that signed: "example.org s=... a=rsa-sha256".
	Signatures []string `json:"signatures"`
	// Reason is the one reason why none did, "" when some did.
	Reason string `json:"reason,omitempty"`
	// Detail is the error behind the reason.
	Detail string `json:"detail,omitempty"`
	// Hint is what to do about it.
	Hint string `json:"hint,omitempty"`
}

// errNoFilter is a message that the filter did not see.
var errNoFilter = errors.New("the filter did not see this message")

// whySigned finds the filter's record in a story and reads it.
func whySigned(s journal.Story) (signed, error) {
	for _, step := range slices.Backward(s.Steps) {
		r := step.Record
		if r.Daemon != "milter" || r.Event != "message" || !step.Certain || r.QueueID != s.QueueID {
			continue
		}
		return readSigned(r), nil
	}
	return signed{}, errNoFilter
}

func readSigned(r journal.Record) signed {
	out := signed{QueueID: r.QueueID, Signatures: []string{}}
	unsigned, direction := "", ""
	for _, f := range r.Facts {
		switch f.Key {
		case "signature":
			out.Signatures = append(out.Signatures, f.Value)
		case "unsigned":
			unsigned = f.Value
		case "direction":
			direction = f.Value
		case "fault":
			out.Detail = f.Value
		}
	}
	switch {
	case len(out.Signatures) > 0:
		out.Detail = ""
	case unsigned != "":
		out.Reason, out.Hint = unsigned, signHints[unsigned]
	case r.Refused():
		out.Reason = "it was not let in: " + strings.TrimSpace(r.Verdict+" "+r.Reply)
	case direction == "inbound":
		out.Reason = "it came from outside: only what is sent by users and programs of ours is signed"
		out.Hint = "a user's mail has to come through submission with a login, or from milter.submission_networks"
	default:
		out.Reason = "the journal does not say why"
	}
	return out
}

// signHints are what to do about the milter's reasons.
var signHints = map[string]string{
	"signing is off":                                             "start gatepost serve with its DKIM directory",
	"the MTA takes no new header fields":                         "look at the milter settings in Postfix's main.cf",
	"no key for the domain of the header From":                   "gatepost dkim new DOMAIN makes keys; a subdomain needs its own",
	"no key for the domain of the header From is active":         "gatepost dkim list shows what its keys wait for",
	"the login may not use the header From":                      "an alias that leads to the user lets him use its address: gatepost alias add",
	"the network may not send for the domain of the header From": "milter.submission_networks names the domains of each network",
	"the domain of the header From is not one of local_senders":  "local_senders names the domains that programs of this host may sign as",
	"the sender's rights are not known now":                      "the sender was asked to try again",
	"the key could not be used":                                  "gatepost config check looks at every key",
	"no header From":                                             "the program that wrote the message has to give it one",
	"more than one header From":                                  "the program that wrote the message has to give it one",
	"the header From is not one mailbox":                         "with several authors nobody can say whose right to sign it is",
}

func newDKIMWhy(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "why QUEUE-ID", Short: "Which keys signed a message, or the one reason why none did",
		Example: "  gatepost dkim why 4XyZ1b2c3dzABC", Args: cobra.ExactArgs(1),
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, done, err := a.client(cmd.Context())
		if err != nil {
			return err
		}
		defer done()
		story, err := c.Story(cmd.Context(), args[0])
		if errors.Is(err, journal.ErrNotFound) {
			return hint(fmt.Errorf("the journal has nothing of %s", args[0]), "the queue id stands in Postfix's log; the journal keeps journal.days")
		}
		if err != nil {
			return err
		}
		why, err := whySigned(story)
		if err != nil {
			return hint(err, "smtpd_milters or non_smtpd_milters in Postfix's main.cf leaves it out; gatepost explain %s has the rest", args[0])
		}
		if *asJSON {
			return printJSON(cmd.OutOrStdout(), why)
		}
		out := cmd.OutOrStdout()
		for _, s := range why.Signatures {
			fmt.Fprintf(out, "signed: %s\n", printable(s))
		}
		if why.Reason != "" {
			fmt.Fprintf(out, "not signed: %s\n", printable(why.Reason))
		}
		if why.Detail != "" {
			fmt.Fprintf(out, "because: %s\n", printable(why.Detail))
		}
		if why.Hint != "" {
			fmt.Fprintf(cmd.ErrOrStderr(), "gatepost: hint: %s\n", why.Hint)
		}
		return nil
	}
	return cmd
}
