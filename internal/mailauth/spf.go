package mailauth

import (
	"context"
	"strings"
	"sync"

	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/mailauth/spf"
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
	wg.Go(func() {
		r.Helo.Result, r.Helo.Reason = c.evaluate(ctx, func() spf.Verdict { return c.spfChecker.Helo(ctx, client).Verdict })
		if from.NullPath {
			r.MailFrom.Result, r.MailFrom.Reason = r.Helo.Result, r.Helo.Reason
		}
	})
	if !from.NullPath {
		wg.Go(func() {
			r.MailFrom.Result, r.MailFrom.Reason = c.evaluate(ctx, func() spf.Verdict { return c.spfChecker.MailFrom(ctx, client, in.MailFrom).Verdict })
		})
	}
}

// evaluate runs one check behind the guard.
func (c *Checker) evaluate(ctx context.Context, check func() spf.Verdict) (res authres.Result, reason string) {
	defer c.guard(ctx, authres.SPF, &res, &reason)
	v := check()
	return v.Result, v.Reason
}
