package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/mailauth/spf"
)

func newAuthSPF(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "spf DOMAIN --ip ADDR", Short: "Whether a domain lets a client send in its name, and which term says so",
		Long: `Whether a domain lets a client send in its name, and which term says so.

DOMAIN is that of MAIL FROM. With --helo the HELO name is looked at too, as a
receiver does. The exit status is 0 when the answer is pass.`,
		Example: "  gatepost auth spf example.org --ip 192.0.2.7\n  gatepost auth spf example.org --ip 2001:db8::7 --helo mail.example.org --from news@example.org",
		Args:    cobra.ExactArgs(1),
	}
	f := addSenderFlags(cmd)
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, from, err := f.client(args[0])
		if err != nil {
			return err
		}
		cfg, res, err := a.asker()
		if err != nil {
			return err
		}
		ctx, cancel := authTime(cmd.Context(), cfg)
		defer cancel()
		c := spf.New(res, cfg.Hostname)
		out := []spfReport{newSPFReport("mailfrom", from.String(), c.MailFrom(ctx, client, from).Verdict)}
		if client.Helo != "" {
			out = append(out, newSPFReport("helo", client.Helo, c.Helo(ctx, client).Verdict))
		}
		if *asJSON {
			err = printJSON(cmd.OutOrStdout(), out)
		} else {
			p := page{w: cmd.OutOrStdout()}
			for _, r := range out {
				p.spf(r)
			}
			err = p.err
		}
		if err == nil && out[0].Result != authres.Pass {
			return &saidNo{}
		}
		return err
	}
	return cmd
}

// client returns what "auth spf" asks: about postmaster of the domain, or
// about --from, which must be of it.
func (f *senderFlags) client(domain string) (c spf.Client, from mailaddr.Address, err error) {
	c = spf.Client{Helo: f.helo, Explain: true, Trace: true}
	if c.Addr, err = f.addr(); err != nil {
		return c, from, err
	}
	if !c.Addr.IsValid() {
		return c, from, &misuse{errors.New("--ip is missing")}
	}
	d, err := mailaddr.ParseDomain(domain)
	if err != nil {
		return c, from, &misuse{fmt.Errorf("%q is not a domain such as example.org", domain)}
	}
	from, given, err := f.mailFrom()
	switch {
	case err != nil:
		return c, from, err
	case !given:
		from = mailaddr.Address{LocalPart: "postmaster", Domain: d}
	case from.Domain != d:
		return c, from, &misuse{fmt.Errorf("--from: %s is not an address of %s", f.from, d)}
	}
	return c, from, nil
}

// spfReport is the verdict about one identity, as it is printed.
type spfReport struct {
	// Identity is "mailfrom" or "helo", Sender what was typed there.
	Identity    string         `json:"identity"`
	Sender      string         `json:"sender"`
	Result      authres.Result `json:"result"`
	Domain      string         `json:"domain"`
	Reason      string         `json:"reason,omitempty"`
	Problem     string         `json:"problem,omitempty"`
	Term        string         `json:"term,omitempty"`
	Source      string         `json:"source,omitempty"`
	Record      string         `json:"record,omitempty"`
	Explanation string         `json:"explanation,omitempty"`
	spfCost
	Steps []spfStep `json:"steps"`
}

// spfCost is what an answer took.
type spfCost struct {
	Lookups   int `json:"lookups"`
	Voids     int `json:"void_lookups"`
	Questions int `json:"questions"`
}

// spfStep is a record that was read, or a term that was evaluated.
type spfStep struct {
	Depth   int    `json:"depth"`
	Domain  string `json:"domain"`
	Text    string `json:"text"`
	Target  string `json:"target,omitempty"`
	Outcome string `json:"outcome"`
}

func newSPFReport(identity, sender string, v spf.Verdict) spfReport {
	r := spfReport{
		Identity: identity, Sender: sender, Result: v.Result, Domain: v.Domain, Reason: v.Reason, Problem: v.Problem,
		Term: v.Term, Source: v.Source, Record: v.Record, Explanation: string(v.Explanation),
		spfCost: spfCost{v.Cost.Lookups, v.Cost.Voids, v.Cost.Questions}, Steps: []spfStep{},
	}
	for _, s := range v.Steps {
		step := spfStep{s.Depth, s.Domain, s.Text, s.Target, s.Outcome}
		r.Steps = slices.Insert(r.Steps, placeOf(r.Steps, step), step)
	}
	return r
}

// placeOf returns where s belongs behind all. A term is told when it is done;
// an include belongs before the record that it led to.
func placeOf(all []spfStep, s spfStep) int {
	if s.isRecord() || s.Target == "" || !strings.Contains(strings.ToLower(s.Text), "include:") {
		return len(all)
	}
	for i := len(all) - 1; i >= 0 && all[i].Depth > s.Depth; i-- {
		if all[i].isRecord() && all[i].Depth == s.Depth+1 {
			return i
		}
	}
	return len(all)
}

// isRecord reports whether s is a record that was read, or looked for.
func (s spfStep) isRecord() bool { return s.Text == "" || spf.IsRecord(s.Text) }

// spf prints one verdict.
func (p *page) spf(r spfReport) {
	name := "MAIL FROM"
	if r.Identity == "helo" {
		name = "HELO"
	}
	p.line(0, "SPF for %s %s: %s%s", name, orNone(r.Sender), r.Result, because(r.Reason))
	for _, s := range r.Steps {
		switch {
		case s.Text == "":
			p.line(1+2*s.Depth, "record of %s: %s", s.Domain, s.Outcome)
		case s.isRecord():
			p.line(1+2*s.Depth, "record of %s: %s", s.Domain, s.Text)
		case s.Target == "":
			p.line(2+2*s.Depth, "%s: %s", s.Text, s.Outcome)
		default:
			p.line(2+2*s.Depth, "%s, asked of %s: %s", s.Text, s.Target, s.Outcome)
		}
	}
	if len(r.Steps) == 0 {
		p.line(1, "%s is not a domain that could have a record", orNone(r.Domain))
		return
	}
	if r.Problem != "" {
		p.line(1, "problem: %s", r.Problem)
	}
	switch {
	case r.Term != "":
		p.line(1, "decided by %s in the record of %s", r.Term, r.Source)
	case r.Record != "" && r.Result == authres.Neutral:
		p.line(1, "no term of the record of %s matches", r.Source)
	}
	p.line(1, "look-ups: %d of at most 10, of which void %d of at most 2", r.Lookups, r.Voids)
	if r.Explanation != "" {
		p.line(1, "the domain explains: %s", r.Explanation)
	}
}
