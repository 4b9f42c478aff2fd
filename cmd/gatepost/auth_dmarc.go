package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/mailauth"
	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/mailauth/dmarc"
)

func newAuthDMARC(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "dmarc DOMAIN", Short: "Which DMARC policy holds for a domain in From, and how it was found",
		Long: `Which DMARC policy holds for a domain in From, and how it was found.

Each question to the DNS is shown with its answer. The exit status is 0 when
there is a policy.`,
		Example: "  gatepost auth dmarc example.org\n  gatepost auth dmarc news.example.org --json",
		Args:    cobra.ExactArgs(1),
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		domain, err := mailaddr.ParseDomain(args[0])
		if err != nil {
			return &misuse{fmt.Errorf("%q is not a domain such as example.org", args[0])}
		}
		cfg, res, err := a.asker()
		if err != nil {
			return err
		}
		ctx, cancel := authTime(cmd.Context(), cfg)
		defer cancel()
		c, err := dmarc.New(res, cfg.Mailauth.DMARC.Mode)
		if err != nil {
			return err
		}
		r, err := c.Policy(ctx, domain)
		if err != nil {
			return &misuse{err}
		}
		// Nothing vouches for a message that is none: the result means only
		// whether there is a policy.
		out := policyReport{Domain: r.Domain, dmarcPolicy: newDMARCPolicy(r)}
		if r.Result != authres.Fail {
			out.Problem = r.Reason
		}
		if *asJSON {
			err = printJSON(cmd.OutOrStdout(), out)
		} else {
			p := page{w: cmd.OutOrStdout()}
			p.line(0, "DMARC of %s", out.Domain)
			p.policy(out.dmarcPolicy)
			if out.Problem != "" {
				p.line(1, "%s", out.Problem)
			}
			err = p.err
		}
		if err == nil && out.Policy == "" {
			return &saidNo{}
		}
		return err
	}
	return cmd
}

// policyReport is what "auth dmarc" says.
type policyReport struct {
	Domain string `json:"domain"`
	dmarcPolicy
	Problem string `json:"problem,omitempty"`
}

// dmarcPolicy is what a domain asks for, and how that was found.
type dmarcPolicy struct {
	Asked     dmarc.Facts `json:"asked"`
	OrgDomain string      `json:"org_domain,omitempty"`
	// PolicyDomain is where the record stands, Tag the tag that holds.
	PolicyDomain string       `json:"policy_domain,omitempty"`
	Tag          string       `json:"tag,omitempty"`
	Policy       dmarc.Policy `json:"policy,omitempty"`
	Effective    dmarc.Policy `json:"effective,omitempty"`
	Record       string       `json:"record,omitempty"`
	Faults       []string     `json:"faults,omitempty"`
}

func newDMARCPolicy(r dmarc.Result) dmarcPolicy {
	p := dmarcPolicy{
		Asked: list(r.Asked), OrgDomain: r.OrgDomain, PolicyDomain: r.Applied.Domain,
		Tag: r.Applied.Tag, Policy: r.Applied.Published, Effective: r.Applied.Effective,
	}
	if r.Applied.Record != nil {
		p.Record, p.Faults = r.Applied.Record.String(), r.Applied.Record.Faults
	}
	return p
}

// policy prints the walk and what it found.
func (p *page) policy(r dmarcPolicy) {
	for _, a := range r.Asked {
		if a.Text != "" {
			p.line(1, "%s: %s", a.Question, a.Text)
		} else {
			p.line(1, "%s: %s", a.Question, a.Outcome)
		}
	}
	if r.OrgDomain != "" {
		p.line(1, "organizational domain: %s", r.OrgDomain)
	}
	if r.Record != "" {
		p.line(1, "record that holds: %s of %s", r.Record, r.PolicyDomain)
	}
	for _, f := range r.Faults {
		p.line(1, "fault in the record: %s", f)
	}
	switch {
	case r.Policy == "":
		p.line(1, "policy: none was found")
	case r.Effective != r.Policy:
		p.line(1, "policy: %s, by %s=%s in test mode (t=y)", r.Effective, r.Tag, r.Policy)
	default:
		p.line(1, "policy: %s, by %s=", r.Policy, r.Tag)
	}
}

// dmarcReport is the verdict about a message.
type dmarcReport struct {
	Verdict dmarcVerdict `json:"verdict"`
	Domain  string       `json:"domain,omitempty"`
	dmarcPolicy
	Identifiers []identifier `json:"identifiers"`
	// Forwarder is a trusted one that outweighs a fail.
	Forwarder string       `json:"forwarder,omitempty"`
	Action    dmarc.Policy `json:"action"`
	// Open is what is asked for if what the DNS did not answer vouches for
	// nobody: the sender is to try again. Empty where all answers are there.
	Open dmarc.Policy `json:"open,omitempty"`
}

type dmarcVerdict struct {
	Result authres.Result `json:"result"`
	Reason string         `json:"reason,omitempty"`
}

// identifier is something that could vouch for the domain in From.
type identifier struct {
	Method  authres.Method `json:"method"`
	Domain  string         `json:"domain"`
	Result  authres.Result `json:"result"`
	Aligned bool           `json:"aligned"`
	// Why says why one that passes is not aligned.
	Why string `json:"why,omitempty"`
}

func newDMARCReport(r mailauth.Results) dmarcReport {
	out := dmarcReport{
		Verdict: dmarcVerdict{r.DMARC.Result, r.DMARC.Reason}, Domain: r.DMARC.Domain, dmarcPolicy: newDMARCPolicy(r.DMARC),
		Identifiers: []identifier{}, Forwarder: r.Forwarder.Domain, Action: r.Policy(),
	}
	if p := r.OpenPolicy(); p != dmarc.None {
		out.Open = p
	}
	if m := r.SPF.MailFrom; m.Result != "" {
		out.Identifiers = append(out.Identifiers, newIdentifier(r.DMARC, authres.SPF, m.Domain, m.Result, false))
	}
	for _, d := range r.DKIM {
		out.Identifiers = append(out.Identifiers, newIdentifier(r.DMARC, authres.DKIM, d.Domain, d.Result, d.Partial))
	}
	return out
}

func newIdentifier(d dmarc.Result, m authres.Method, domain string, res authres.Result, partial bool) identifier {
	i := identifier{Method: m, Domain: domain, Result: res}
	i.Aligned = res == authres.Pass && !partial && slices.ContainsFunc(d.Aligned, func(a dmarc.Identifier) bool {
		return a.Method == m && strings.EqualFold(a.Domain, domain)
	})
	switch {
	case i.Aligned || d.Domain == "":
	case partial:
		i.Why = "only a part of the message is signed"
	case res != authres.Pass:
		i.Why = "only a pass counts"
	case d.Applied.Record == nil:
	case strings.EqualFold(domain, d.Domain):
	case m == authres.SPF && d.Applied.Record.StrictSPF:
		i.Why = "aspf=s wants " + d.Domain + " itself"
	case m == authres.DKIM && d.Applied.Record.StrictDKIM:
		i.Why = "adkim=s wants " + d.Domain + " itself"
	default:
		i.Why = "another organization than that of " + d.Domain
	}
	return i
}

// dmarc prints the verdict about a message.
func (p *page) dmarc(r dmarcReport) {
	p.line(0, "DMARC for %s: %s%s", orNone(r.Domain), r.Verdict.Result, because(r.Verdict.Reason))
	if r.Domain != "" {
		p.policy(r.dmarcPolicy)
	}
	for _, i := range r.Identifiers {
		word := "not aligned"
		if i.Aligned {
			word = "aligned"
		}
		p.line(1, "%s %s (%s): %s%s", i.Method, orNone(i.Domain), i.Result, word, because(i.Why))
	}
	if len(r.Identifiers) == 0 {
		p.line(1, "neither SPF nor DKIM has anything to say")
	}
	if r.Forwarder != "" {
		p.line(1, "%s is a trusted forwarder and speaks for the message", r.Forwarder)
	}
	if r.Open == dmarc.Quarantine || r.Open == dmarc.Reject {
		p.line(1, "a receiver that honours policies has the sender try again: %s if nothing vouches for the message then", r.Open)
		return
	}
	p.line(1, "a receiver that honours policies does: %s", r.Action)
}
