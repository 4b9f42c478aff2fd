package spf

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/gatepost/gatepost/internal/mailauth/authres"
)

// Limits of RFC 7208 §4.6.4, and two of ours.
const (
	maxLookups = 10
	maxVoids   = 2
	maxHosts   = 10 // of one mx, and names of the client
	maxName    = 253
	// maxOctets bounds what the macros of one check become.
	maxOctets = 64 << 10
	// maxSteps bounds Verdict.Steps.
	maxSteps = 1000
)

// The reasons of temperror and permerror.
const (
	reasonNoAnswer = "lookup had no answer"
	reasonLookups  = "too many lookups"
	reasonVoids    = "too many void lookups"
	reasonHosts    = "too many MX records"
	reasonRecords  = "more than one record"
	reasonRecord   = "record cannot be evaluated"
)

// evaluation is one check under way.
type evaluation struct {
	c             *Checker
	client        Client
	local, domain string // the sender, <sender> of RFC 7208 §4.1
	cost          Cost
	values        int // octets that macros became
	names         names
	steps         []Step
}

// outcome is the result of check_host() for one record, or the error that ends
// a check.
type outcome struct {
	result               authres.Result
	reason, problem      string
	term, record, source string
	exp                  MacroString // of the record that failed
}

// Error makes an outcome that ends the check travel as an error.
func (o *outcome) Error() string { return string(o.result) + ": " + o.reason }

func permError(reason, problem string) *outcome {
	return &outcome{result: authres.PermError, reason: reason, problem: problem}
}

func tempError(what, name string) *outcome {
	return &outcome{
		result: authres.TempError, reason: reasonNoAnswer,
		problem: fmt.Sprintf("no answer about %s of %+q", what, name),
	}
}

// host is check_host() for domain (RFC 7208 §4).
func (e *evaluation) host(ctx context.Context, domain string, depth int) outcome {
	text, out := e.record(ctx, domain)
	if out.result != "" {
		e.step(Step{Depth: depth, Domain: domain, Text: text, Outcome: words(out)})
		return out
	}
	e.cost.Octets += len(text)
	rec, err := Parse(text)
	if err != nil {
		out = *permError(reasonRecord, fmt.Sprintf("record of %+q: %v", domain, err))
		out.record, out.source = text, domain
		e.step(Step{Depth: depth, Domain: domain, Text: text, Outcome: words(out)})
		return out
	}
	e.step(Step{Depth: depth, Domain: domain, Text: text, Outcome: "record"})
	out = e.terms(ctx, rec, domain, depth)
	if out.source == "" {
		out.record, out.source = text, domain
	}
	return out
}

// record finds the record of domain (RFC 7208 §4.4, §4.5). The outcome has a
// result only when there is none to evaluate.
func (e *evaluation) record(ctx context.Context, domain string) (string, outcome) {
	if !isMultiLabel(domain) {
		return "", outcome{result: authres.None} // RFC 7208 §4.3
	}
	txt, err := e.txt(ctx, domain)
	if err != nil {
		return "", *tempError("TXT", domain)
	}
	found, n := "", 0
	for _, t := range txt {
		if IsRecord(t) {
			found = t
			n++
		}
	}
	switch n {
	case 0:
		return "", outcome{result: authres.None}
	case 1:
		return found, outcome{}
	}
	return "", *permError(reasonRecords, fmt.Sprintf("%d records at %+q", n, domain))
}

func isMultiLabel(domain string) bool {
	for i := range len(domain) {
		if domain[i] == '.' {
			return isName(domain)
		}
	}
	return false
}

// terms evaluates the directives from left to right (RFC 7208 §4.6.2), and
// then redirect.
func (e *evaluation) terms(ctx context.Context, rec Record, domain string, depth int) outcome {
	for _, d := range rec.Directives {
		matched, err := e.directive(ctx, d, domain, depth)
		if err != nil {
			out := ended(err)
			if out.source == "" {
				out.term = d.String()
			}
			return out
		}
		if matched {
			return outcome{result: d.Qualifier.result(), term: d.String(), exp: rec.Exp}
		}
	}
	if rec.Redirect == "" {
		return outcome{result: authres.Neutral} // RFC 7208 §4.7
	}
	out, err := e.redirect(ctx, rec.Redirect, domain, depth)
	if err != nil {
		out = ended(err)
	}
	if out.source == "" {
		out.term = modRedirect + "=" + string(rec.Redirect)
	}
	return out
}

// ended returns the outcome that err is.
func ended(err error) outcome {
	var out *outcome
	if errors.As(err, &out) {
		return *out
	}
	return *permError(reasonRecord, err.Error())
}

func (q Qualifier) result() authres.Result {
	switch q {
	case Minus:
		return authres.Fail
	case Tilde:
		return authres.SoftFail
	case Question:
		return authres.Neutral
	}
	return authres.Pass
}

// redirect goes on with another domain's record (RFC 7208 §6.1). Explanations
// are that record's from here on.
func (e *evaluation) redirect(ctx context.Context, spec MacroString, domain string, depth int) (outcome, error) {
	if err := e.count(); err != nil {
		return outcome{}, err
	}
	target, err := e.target(ctx, spec, domain)
	if err != nil {
		return outcome{}, err
	}
	e.step(Step{Depth: depth, Domain: domain, Text: modRedirect + "=" + string(spec), Target: target, Outcome: "redirect"})
	out := e.host(ctx, target, depth+1)
	if out.result == authres.None {
		return outcome{}, permError(reasonRecord, fmt.Sprintf("redirect to %+q, which has no record", target))
	}
	return out, nil
}

// directive reports whether d matches the client.
func (e *evaluation) directive(ctx context.Context, d Directive, domain string, depth int) (bool, error) {
	target, matched, err := e.match(ctx, d, domain, depth)
	if e.client.Trace {
		s := Step{Depth: depth, Domain: domain, Text: d.String(), Target: target, Outcome: "no match"}
		if matched {
			s.Outcome = "match"
		} else if err != nil {
			s.Outcome = words(ended(err))
		}
		e.step(s)
	}
	return matched, err
}

// match evaluates one mechanism (RFC 7208 §5). target is the name that it led
// to.
func (e *evaluation) match(ctx context.Context, d Directive, domain string, depth int) (target string, matched bool, err error) {
	switch d.Mechanism {
	case All:
		return "", true, nil
	case IP4, IP6:
		return "", d.Network.Contains(e.client.Addr), nil
	}
	if err := e.count(); err != nil {
		return "", false, err
	}
	if e.localInvisible(d.Domain) {
		return "", false, nil
	}
	target, err = e.target(ctx, d.Domain, domain)
	if err != nil {
		return "", false, err
	}
	if d.Mechanism == Include {
		matched, err = e.include(ctx, target, depth)
		return target, matched, err
	}
	if !isName(target) {
		return target, false, nil
	}
	switch d.Mechanism {
	case A:
		matched, err = e.a(ctx, d, target)
	case MX:
		matched, err = e.mx(ctx, d, target)
	case PTR:
		err = e.validate(ctx)
		matched = err == nil && e.names.below(target)
	case Exists:
		matched, err = e.exists(ctx, target)
	}
	return target, matched, err
}

// include matches when the other record passes (RFC 7208 §5.2).
func (e *evaluation) include(ctx context.Context, target string, depth int) (bool, error) {
	out := e.host(ctx, target, depth+1)
	switch out.result {
	case authres.Pass:
		return true, nil
	case authres.Fail, authres.SoftFail, authres.Neutral:
		return false, nil
	case authres.None:
		return false, permError(reasonRecord, fmt.Sprintf("include of %+q, which has no record", target))
	}
	return false, &out
}

func (e *evaluation) a(ctx context.Context, d Directive, target string) (bool, error) {
	addrs, err := e.ip(ctx, e.network(), target)
	if err != nil {
		return false, tempError("addresses", target)
	}
	if len(addrs) == 0 {
		return false, e.void()
	}
	return e.among(addrs, d), nil
}

func (e *evaluation) mx(ctx context.Context, d Directive, target string) (bool, error) {
	mx, err := e.exchangers(ctx, target)
	if err != nil {
		return false, tempError("MX", target)
	}
	if len(mx) == 0 {
		return false, e.void()
	}
	if len(mx) > maxHosts {
		return false, permError(reasonHosts, fmt.Sprintf("%d MX records at %+q", len(mx), target))
	}
	var hosts []string
	for _, m := range mx {
		if isName(m.Host) { // not the null MX
			hosts = append(hosts, m.Host)
		}
	}
	found := e.addresses(ctx, hosts)
	empty := len(hosts) > 0
	failed := ""
	for i, f := range found {
		switch {
		case f.err != nil:
			failed = hosts[i]
		case e.among(f.addrs, d):
			return true, nil
		}
		empty = empty && f.err == nil && len(f.addrs) == 0
	}
	switch {
	case failed != "":
		return false, tempError("addresses", failed)
	case empty:
		return false, e.void()
	}
	return false, nil
}

// exists asks for A records in any case (RFC 7208 §5.7).
func (e *evaluation) exists(ctx context.Context, target string) (bool, error) {
	addrs, err := e.ip(ctx, "ip4", target)
	if err != nil {
		return false, tempError("addresses", target)
	}
	if len(addrs) == 0 {
		return false, e.void()
	}
	return true, nil
}

// among reports whether the client is in one of the networks that addrs and
// the CIDR lengths of d make.
func (e *evaluation) among(addrs []netip.Addr, d Directive) bool {
	bits := int(d.Bits4)
	if e.client.Addr.Is6() {
		bits = int(d.Bits6)
	}
	for _, a := range addrs {
		if a.Is4() == e.client.Addr.Is4() && netip.PrefixFrom(a, bits).Contains(e.client.Addr) {
			return true
		}
	}
	return false
}

// count counts a term that asks DNS.
func (e *evaluation) count() error {
	if e.cost.Lookups++; e.cost.Lookups > maxLookups {
		return permError(reasonLookups, "")
	}
	return nil
}

// void counts a term that found nothing.
func (e *evaluation) void() error {
	if e.cost.Voids++; e.cost.Voids > maxVoids {
		return permError(reasonVoids, "")
	}
	return nil
}

// step notes s when steps are asked for.
func (e *evaluation) step(s Step) {
	if !e.client.Trace || len(e.steps) == maxSteps {
		return
	}
	s.Lookups, s.Voids = e.cost.Lookups, e.cost.Voids
	e.steps = append(e.steps, s)
}

// words says what an outcome is.
func words(o outcome) string {
	switch {
	case o.problem != "":
		return string(o.result) + ": " + o.problem
	case o.reason != "":
		return string(o.result) + ": " + o.reason
	}
	return string(o.result)
}
