package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gatepost/gatepost/internal/header"
	"github.com/gatepost/gatepost/internal/mailauth"
	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/mailauth/spf"
	"github.com/gatepost/gatepost/internal/rawmsg"
	"github.com/gatepost/gatepost/internal/resolver"
)

// maxMessage bounds the message that is read into memory.
const maxMessage = 256 << 20

func newAuthCheck(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "check FILE", Short: "Check SPF, DKIM, ARC and DMARC of a message, step by step",
		Long: `Check SPF, DKIM, ARC and DMARC of a message, step by step.

The DNS is asked now, so keys and records may be others than when the message
came. "-" reads stdin. The message has to be as the sender sent it: one that was
copied out of a mail program usually is not.

Who sent it stands in no place that can be trusted but the server's log. What is
not given is taken from the topmost Received and Return-Path. The exit status is
0 when DMARC passes.`,
		Example: "  gatepost auth check message.eml --ip 192.0.2.7 --helo mail.example.net --from news@example.net\n" +
			"  gatepost auth check ~/Maildir/new/1732096800.M1P2.mx --json",
		Args: cobra.ExactArgs(1),
	}
	f := addSenderFlags(cmd)
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		raw, err := readMessage(cmd.InOrStdin(), args[0], maxMessage+1)
		if err != nil {
			return err
		}
		if len(raw) > maxMessage {
			return fmt.Errorf("message is larger than %d bytes", maxMessage)
		}
		m := rawmsg.Scan(raw, rawmsg.Default())
		s, err := senderOf(f, m)
		if err != nil {
			return err
		}
		cfg, res, err := a.asker()
		if err != nil {
			return err
		}
		ctx, cancel := authTime(cmd.Context(), cfg)
		defer cancel()
		r, err := checkMessage(ctx, cfg, res, m, s)
		if err != nil {
			return err
		}
		if *asJSON {
			err = printJSON(cmd.OutOrStdout(), r)
		} else {
			err = printAuth(cmd.OutOrStdout(), r)
		}
		if err == nil && r.DMARC.Verdict.Result != authres.Pass {
			return &saidNo{}
		}
		return err
	}
	return cmd
}

// authReport is all that "auth check" finds out.
type authReport struct {
	Notes      []string   `json:"notes"`
	ClientAddr netip.Addr `json:"client_addr"`
	Helo       string     `json:"helo"`
	// MailFrom is nil when it is not known.
	MailFrom *string     `json:"mail_from"`
	From     []string    `json:"from"`
	IPRev    iprevReport `json:"iprev"`
	// SPF is empty without an address.
	SPF         []spfReport       `json:"spf"`
	DKIM        []signatureReport `json:"dkim"`
	DKIMSkipped int               `json:"dkim_skipped,omitempty"`
	ARC         arcReport         `json:"arc"`
	DMARC       dmarcReport       `json:"dmarc"`
	// Field is the Authentication-Results that would be written.
	Field string `json:"authentication_results"`
}

type iprevReport struct {
	Result authres.Result `json:"result,omitempty"`
	Name   string         `json:"name,omitempty"`
	Reason string         `json:"reason,omitempty"`
}

// checkMessage checks m as the milter does, and then goes over the steps again
// to tell them; the answers of DNS are in the cache by then.
func checkMessage(ctx context.Context, cfg Config, res *resolver.Resolver, m *rawmsg.Message, s sender) (authReport, error) {
	out := authReport{Notes: append(list(s.Notes), factNotes(m)...), ClientAddr: s.Addr, Helo: s.Helo, From: []string{}, SPF: []spfReport{}}
	for i := range m.Fields {
		if f := &m.Fields[i]; f.Is("From") {
			out.From = append(out.From, header.Unfold(f.Value))
		}
	}
	c, err := mailauth.New(res, cfg.Mailauth, quietLog())
	if err != nil {
		return out, fmt.Errorf("mailauth: %w", err)
	}
	in := mailauth.Input{
		ClientAddr: s.Addr, Helo: s.Helo, MailFrom: s.MailFrom,
		Raw: m, Body: func() io.Reader { return bytes.NewReader(m.Raw) },
	}
	if !s.FromKnown {
		// Without MAIL FROM there is no SPF, not even HELO's in its place.
		in.ClientAddr = netip.Addr{}
	}
	r := c.Check(ctx, in)
	if out.Field, err = authres.Encode(cfg.AuthservID, r.ResInfo()...); err != nil {
		return out, err
	}
	out.IPRev = iprevReport{r.IPRev.Result, r.IPRev.Name, r.IPRev.Reason}
	if s.FromKnown {
		path := s.MailFrom.Path()
		out.MailFrom = &path
	}
	if in.ClientAddr.IsValid() {
		out.SPF = senderPolicy(ctx, cfg, res, s)
	}
	if out.DKIM, out.DKIMSkipped, out.ARC, err = verify(ctx, res, m); err != nil {
		return out, err
	}
	for i := range out.DKIM {
		if len(r.DKIM) == len(out.DKIM) {
			out.DKIM[i].Result, out.DKIM[i].Reason = r.DKIM[i].Result, r.DKIM[i].Reason
		}
	}
	secondOpinions(ctx, res, m, out.DKIM)
	out.DMARC = newDMARCReport(r)
	return out, nil
}

// senderPolicy evaluates both identities of SPF with all steps.
func senderPolicy(ctx context.Context, cfg Config, res *resolver.Resolver, s sender) []spfReport {
	c := spf.New(res, cfg.Hostname)
	client := spf.Client{Addr: s.Addr, Helo: s.Helo, Explain: true, Trace: true}
	helo := c.Helo(ctx, client)
	if s.MailFrom.IsNull() {
		return []spfReport{newSPFReport("mailfrom", "<>", helo.AsMailFrom().Verdict), newSPFReport("helo", s.Helo, helo.Verdict)}
	}
	return []spfReport{
		newSPFReport("mailfrom", s.MailFrom.String(), c.MailFrom(ctx, client, s.MailFrom).Verdict),
		newSPFReport("helo", s.Helo, helo.Verdict),
	}
}

// printAuth writes r for a person.
func printAuth(w io.Writer, r authReport) error {
	p := page{w: w}
	for _, n := range r.Notes {
		p.line(0, "note: %s", n)
	}
	for _, f := range r.From {
		p.line(0, "From: %s", f)
	}
	p.iprev(r)
	for i, s := range r.SPF {
		p.space()
		if i > 0 && r.SPF[0].Sender == "<>" {
			p.line(0, "SPF for HELO %s: %s, as above", orNone(s.Sender), s.Result)
			continue
		}
		p.spf(s)
	}
	p.space()
	if len(r.DKIM) == 0 {
		p.line(0, "DKIM: none: the message has no signature")
	}
	for i, s := range r.DKIM {
		p.signature(fmt.Sprintf("DKIM signature %d", i+1), s)
	}
	if r.DKIMSkipped > 0 {
		p.line(0, "%d more signatures are not looked at", r.DKIMSkipped)
	}
	p.space()
	p.arc(r.ARC)
	p.space()
	p.dmarc(r.DMARC)
	p.space()
	p.line(0, "Authentication-Results:")
	for line := range strings.SplitSeq(r.Field, "\n") {
		p.line(1, "%s", strings.Trim(line, "\t"))
	}
	return p.err
}

// iprev prints who the client is.
func (p *page) iprev(r authReport) {
	p.space()
	if !r.ClientAddr.IsValid() {
		p.line(0, "client: not known")
		return
	}
	p.line(0, "client %s, HELO %s", r.ClientAddr, orNone(r.Helo))
	switch {
	case r.IPRev.Result == "":
		p.line(0, "iprev: left out")
	case r.IPRev.Name != "":
		p.line(0, "iprev: %s: the address is that of %s", r.IPRev.Result, r.IPRev.Name)
	default:
		p.line(0, "iprev: %s%s", r.IPRev.Result, because(r.IPRev.Reason))
	}
	if r.MailFrom == nil {
		p.line(0, "SPF: left out, as MAIL FROM is not known")
	}
}
