package dmarc

import (
	"context"
	"fmt"
)

// resolver is what the policy needs of DNS. An error is temporary.
type resolver interface {
	// LookupTXT returns the TXT records at name, each with its strings joined.
	// No record is an empty result and a nil error.
	LookupTXT(ctx context.Context, name string) ([]string, error)
	// Exists reports whether name exists, with records or without: only
	// NXDOMAIN says that it does not (RFC 9989 §3.2.13), and not the NXDOMAIN of
	// what an alias at name leads to.
	Exists(ctx context.Context, name string) (bool, error)
}

// Checker asks the questions of Decide. It is safe for concurrent use.
type Checker struct {
	res  resolver
	mode Mode
}

// New returns a Checker that asks res.
func New(res resolver, mode Mode) (*Checker, error) {
	if mode != ModeTree && mode != ModePSL {
		return nil, fmt.Errorf("mode %q is neither %s nor %s", mode, ModeTree, ModePSL)
	}
	return &Checker{res: res, mode: mode}, nil
}

// Evaluation is one message under way. It belongs to one goroutine at a time.
type Evaluation struct {
	c     *Checker
	from  From
	facts Facts
}

// Begin asks what has to be known about from whatever SPF and DKIM find out,
// so that it can go on beside them.
func (c *Checker) Begin(ctx context.Context, from From) *Evaluation {
	return c.Recall(ctx, c.res, from)
}

// Recall is Begin, but asks known: when that has all answers, Begin need not be
// called.
func (c *Checker) Recall(ctx context.Context, known resolver, from From) *Evaluation {
	e := &Evaluation{c: c, from: from}
	e.run(ctx, known, Input{From: from, Early: true})
	return e
}

// Finish asks the rest and returns the result.
func (e *Evaluation) Finish(ctx context.Context, ids Identifiers) Result {
	return e.run(ctx, e.c.res, Input{From: e.from, Identifiers: ids})
}

// Check is Begin and Finish.
func (c *Checker) Check(ctx context.Context, from From, ids Identifiers) Result {
	return c.Begin(ctx, from).Finish(ctx, ids)
}

// Policy returns what a message of domain that nothing vouches for would meet,
// with the Organizational Domain in any case.
func (c *Checker) Policy(ctx context.Context, domain string) (Result, error) {
	d, ok := canonical(domain)
	if !ok {
		return Result{}, fmt.Errorf("%q is not a domain", domain)
	}
	e := &Evaluation{c: c}
	return e.run(ctx, c.res, Input{From: From{Domains: []string{d}}, Org: true}), nil
}

// run asks until Decide needs no more. It ends: Decide never needs the same
// answer twice, and its walks are bounded.
func (e *Evaluation) run(ctx context.Context, res resolver, in Input) Result {
	for {
		r, q := Decide(e.c.mode, in, e.facts)
		if q == nil {
			return r
		}
		if q.Exists {
			ok, err := res.Exists(ctx, q.Name)
			e.facts = append(e.facts, ExistsAnswer(q.Name, ok, err))
			continue
		}
		txt, err := res.LookupTXT(ctx, prefix+q.Name)
		e.facts = append(e.facts, RecordAnswer(q.Name, txt, err))
	}
}
