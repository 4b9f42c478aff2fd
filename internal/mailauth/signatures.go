package mailauth

import (
	"context"

	"github.com/gatepost/gatepost/internal/mailauth/arc"
	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/mailauth/dkim"
)

// signatures verifies the DKIM signatures and the ARC chain. Both share the
// keys and the one reading of the body, which goes on while DNS is asked.
func (c *Checker) signatures(ctx context.Context, in Input, r *Results) {
	var broken authres.Result
	var reason string
	func() {
		defer c.guard(ctx, authres.DKIM, &broken, &reason)
		c.verify(ctx, in, r)
	}()
	if broken != "" {
		// Which signatures there are is not known any more.
		r.DKIM = []DKIM{{Result: broken, Reason: reason}}
		r.ARC = arc.Result{Result: authres.Fail, Reason: reason, Temporary: true}
		r.sealable = nil
	}
}

func (c *Checker) verify(ctx context.Context, in Input, r *Results) {
	m := dkim.NewMessage(in.Raw)
	keys := dkim.NewKeys(c.res)
	defer keys.Wait()
	now := c.now()
	v := dkim.Start(ctx, m, keys, now)
	chain := arc.Start(ctx, m, keys, now)
	var sealed *sealable
	if in.Seal {
		sealed = &sealable{m: m, body: m.Body(dkim.Relaxed, dkim.Whole)}
	}
	if m.ReadBody(ctx, in.Body()) != nil { // which is in every result
		sealed = nil
	}
	for _, d := range v.Results() {
		r.DKIM = append(r.DKIM, DKIM{
			Result: d.Result, Domain: d.Domain, Selector: d.Selector, Identifier: d.Identifier, Algorithm: d.Algorithm,
			B: d.B, Bits: d.Bits, Testing: d.Testing, Time: d.Time, Expiration: d.Expiration, Names: d.Names,
			Partial: d.Length != dkim.Whole && d.Length < d.BodySize, Reason: d.Reason,
		})
		last := &r.DKIM[len(r.DKIM)-1]
		if reason := uncovered(in.Raw, last.Names); reason != "" && last.Result == authres.Pass {
			last.Result, last.Reason, last.Partial = authres.Policy, reason, true
		}
	}
	r.DKIMSkipped = v.Skipped()
	r.ARC, r.sealable = chain.Result(), sealed
	if err := keys.Err(); err != nil {
		c.logPanic(ctx, authres.DKIM, err.Error(), nil)
	}
}
