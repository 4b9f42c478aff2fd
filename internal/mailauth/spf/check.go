package spf

import (
	"context"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"github.com/gatepost/gatepost/internal/ascii"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/resolver"
)

// dnsResolver is what evaluation asks of DNS (package resolver). No such name
// and no such data are an empty result and a nil error; an error is temporary.
type dnsResolver interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
	LookupIP(ctx context.Context, network, name string) ([]netip.Addr, error)
	LookupMX(ctx context.Context, name string) ([]resolver.MX, error)
	LookupAddr(ctx context.Context, addr netip.Addr) ([]string, error)
}

// Checker evaluates records. It is safe for concurrent use.
type Checker struct {
	dns      dnsResolver
	receiver string
	// now is time.Now outside of tests.
	now func() time.Time
}

// New returns a Checker that asks dns. receiver is the name of this host, for
// %{r}.
func New(dns dnsResolver, receiver string) *Checker {
	if receiver == "" {
		receiver = "unknown" // RFC 7208 §7.3
	}
	return &Checker{dns: dns, receiver: receiver, now: time.Now}
}

// Client is the SMTP client, and what shall be told about it.
type Client struct {
	// Addr is valid. One of IPv4 within IPv6 counts as IPv4 (RFC 7208 §5).
	Addr netip.Addr
	// Helo is the argument of HELO or EHLO as it was typed.
	Helo string
	// Explain asks for the explanation of a fail, which costs a look-up.
	Explain bool
	// Trace asks for Verdict.Steps.
	Trace bool
}

// Cost is what a check took.
type Cost struct {
	// Lookups are the terms that ask DNS, at most 10; Voids those of them that
	// found nothing, at most 2. The one that went too far is counted too.
	Lookups, Voids int
	// Questions are all those that were put to DNS.
	Questions int
	// Octets counts those of records that were read, and what values of macros
	// could become.
	Octets int
}

// Verdict is the outcome of check_host() (RFC 7208 §2.6, §4).
type Verdict struct {
	Result authres.Result
	// Domain is the one that was asked, in lower case and as A-labels. It is
	// what was typed where that is no domain (and Result is none).
	Domain string
	// Reason is why Result is temperror or permerror, in words of ours.
	Reason string
	// Problem says more about an error. It is ASCII without control characters;
	// the parts in quotes are from the record.
	Problem string
	// Term is what decided: a directive, "redirect=…" when that failed, or ""
	// for the neutral at the end of a record. Record is the text that it is
	// from, Source the domain of that record. They are bytes of strangers.
	Term, Record, Source string
	// Explanation is what the domain says about a fail (RFC 7208 §6.2).
	Explanation Explanation
	Cost        Cost
	// Steps is what was done, in order.
	Steps []Step
}

// Step is one step of a check: a record that was read (Term is ""), or a term
// that was evaluated. The strings are bytes of strangers, save for Outcome.
type Step struct {
	// Depth counts the includes and redirects above the record.
	Depth int
	// Domain is the one whose record it is.
	Domain string
	// Text is the record, or the term.
	Text string
	// Target is the name that the term led to, "" when it has none.
	Target string
	// Outcome is "record", "match", "no match" or words for an error.
	Outcome string
	// Lookups and Voids are those used by then.
	Lookups, Voids int
}

// Explanation is what a domain publishes about a fail: at most 500 printable
// ASCII characters that a stranger chose. In a log it stands in quotes.
type Explanation string

// LogValue implements slog.LogValuer.
func (e Explanation) LogValue() slog.Value { return slog.StringValue(strconv.Quote(string(e))) }

// Helo is the verdict about the HELO identity (RFC 7208 §2.3).
type Helo struct{ Verdict }

// MailFrom is the verdict about the MAIL FROM identity (RFC 7208 §2.4).
type MailFrom struct {
	Verdict
	// NullPath says that the reverse-path was null, so that the identity is
	// postmaster at the HELO name.
	NullPath bool
}

// AsMailFrom is the verdict about MAIL FROM when the reverse-path is null: it
// is that about postmaster at the HELO name, as h is.
func (h Helo) AsMailFrom() MailFrom { return MailFrom{Verdict: h.Verdict, NullPath: true} }

// Helo checks the HELO name.
func (c *Checker) Helo(ctx context.Context, client Client) Helo {
	return Helo{c.check(ctx, client, "", client.Helo)}
}

// MailFrom checks the domain of from; for a null one, the HELO name.
func (c *Checker) MailFrom(ctx context.Context, client Client, from mailaddr.Address) MailFrom {
	if from.IsNull() {
		return c.Helo(ctx, client).AsMailFrom()
	}
	return MailFrom{Verdict: c.check(ctx, client, from.LocalPart, from.Domain)}
}

// check is check_host() for local@domain.
func (c *Checker) check(ctx context.Context, client Client, local, domain string) Verdict {
	name, ok := asciiDomain(domain)
	if !ok {
		return Verdict{Result: authres.None, Domain: domain} // RFC 7208 §4.3
	}
	if local == "" {
		local = "postmaster"
	}
	client.Addr = client.Addr.Unmap().WithZone("")
	e := evaluation{c: c, client: client, local: local, domain: name}
	out := e.host(ctx, name, 0)
	v := Verdict{
		Result: out.result, Domain: name, Reason: out.reason, Problem: out.problem,
		Term: out.term, Record: out.record, Source: out.source,
	}
	if out.result == authres.Fail && client.Explain {
		v.Explanation = e.explain(ctx, out)
	}
	v.Cost, v.Steps = e.cost, e.steps
	return v
}

// asciiDomain returns domain as it is asked for; false for what RFC 7208 §4.3
// gives "none" without a question: no domain name, an address literal, one
// label. Names of senders are names of hosts: letters, digits, "-" and the "_"
// that real ones have.
func asciiDomain(domain string) (string, bool) {
	domain = strings.TrimSuffix(domain, ".")
	if !ascii.Only(domain) {
		a, err := idna.Lookup.ToASCII(domain)
		if err != nil || !utf8.ValidString(domain) {
			return "", false
		}
		domain = a
	}
	domain = strings.ToLower(domain)
	dot := strings.LastIndexByte(domain, '.')
	if dot < 0 || !isName(domain) || !isTopLabel(domain[dot+1:]) {
		return "", false
	}
	for i := range len(domain) {
		if c := domain[i]; !isAlpha(c) && !isDigit(c) && c != '-' && c != '_' && c != '.' {
			return "", false
		}
	}
	return domain, true
}

// isName reports whether DNS can hold s: at most 253 octets, labels of 1 to 63.
func isName(s string) bool {
	if len(s) > maxName {
		return false
	}
	label := 0
	for i := range len(s) {
		if s[i] != '.' {
			label++
			continue
		}
		if label == 0 || label > 63 {
			return false
		}
		label = 0
	}
	return label > 0 && label <= 63
}
