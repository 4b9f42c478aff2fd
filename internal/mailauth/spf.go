package mailauth

import (
	"context"
	"net/netip"
	"strings"
	"sync"

	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/mailauth/spf"
	"github.com/gatepost/gatepost/internal/resolver"
)

// spf starts the evaluation of both identities in wg, and writes each into its
// own field of r. With a null reverse-path both are postmaster@HELO, which is
// evaluated once.
func (c *Checker) spf(ctx context.Context, wg *sync.WaitGroup, in Input, r *SPF) {
	client := spf.Client{Addr: in.ClientAddr, Helo: in.Helo}
	helo := strings.ToLower(strings.TrimSuffix(in.Helo, "."))
	from := SPFMailFrom{Domain: in.MailFrom.Domain, Sender: in.MailFrom.String()}
	if in.MailFrom.IsNull() {
		from = SPFMailFrom{Domain: helo, Sender: "postmaster@" + helo, NullPath: true}
	}
	r.MailFrom = from
	r.Helo = SPFHelo{Domain: helo}
	c.evaluate(ctx, wg, shareHelo, func(s *spf.Checker) spf.Verdict { return s.Helo(ctx, client).Verdict }, func(v spf.Verdict) {
		r.Helo.Result, r.Helo.Reason, r.Helo.Term = v.Result, v.Reason, v.Term
		if from.NullPath {
			r.MailFrom.Result, r.MailFrom.Reason, r.MailFrom.Term = v.Result, v.Reason, v.Term
		}
	})
	if from.NullPath {
		return
	}
	c.evaluate(ctx, wg, shareMailFrom, func(s *spf.Checker) spf.Verdict { return s.MailFrom(ctx, client, in.MailFrom).Verdict }, func(v spf.Verdict) {
		r.MailFrom.Result, r.MailFrom.Reason, r.MailFrom.Term = v.Result, v.Reason, v.Term
	})
}

// spfResolver is what package spf asks.
type spfResolver interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
	LookupIP(ctx context.Context, network, name string) ([]netip.Addr, error)
	LookupMX(ctx context.Context, name string) ([]resolver.MX, error)
	LookupAddr(ctx context.Context, addr netip.Addr) ([]string, error)
}

// evaluate runs one check behind the guard and hands its verdict to set: at once
// when all that it asks is known, else in wg, with at most atOnce questions under
// way.
func (c *Checker) evaluate(ctx context.Context, wg *sync.WaitGroup, atOnce int, check func(s *spf.Checker) spf.Verdict, set func(v spf.Verdict)) {
	ask := func(dns spfResolver) (v spf.Verdict) {
		defer c.guard(ctx, authres.SPF, &v.Result, &v.Reason)
		return check(spf.New(dns, ""))
	}
	if r, ok := c.res.(recaller); ok {
		known := r.Recall()
		if v := ask(known); !known.Missed() {
			set(v)
			return
		}
	}
	wg.Go(func() { set(ask(resolver.NewShare(c.res, atOnce))) })
}
