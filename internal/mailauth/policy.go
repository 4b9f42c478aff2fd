package mailauth

import (
	"context"
	"sync"

	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/mailauth/dmarc"
	"github.com/gatepost/gatepost/internal/rawmsg"
)

// policy is DMARC of one message under way.
type policy struct {
	from dmarc.From
	// evaluation is nil when a panic cost it.
	evaluation *dmarc.Evaluation
}

// readFrom reads the authors. What of the header was not kept may hold another
// From.
func readFrom(m *rawmsg.Message) dmarc.From {
	var values [][]byte
	for i := range m.Fields {
		if f := &m.Fields[i]; f.Is("From") {
			values = append(values, f.Value)
		}
	}
	from := dmarc.ReadFrom(values...)
	if m.HeaderCut && from.Doubt == "" {
		from.Doubt = "header too large"
	}
	return from
}

// beginPolicy asks what does not depend on SPF and DKIM; in wg, unless it is
// known already.
func (c *Checker) beginPolicy(ctx context.Context, wg *sync.WaitGroup, set *settings, p *policy) {
	begin := func(ask func() *dmarc.Evaluation) {
		var res authres.Result
		var reason string
		defer c.guard(ctx, authres.DMARC, &res, &reason)
		p.evaluation = ask()
	}
	if r, ok := c.res.(recaller); ok {
		known := r.Recall()
		if begin(func() *dmarc.Evaluation { return set.policies.Recall(ctx, known, p.from) }); !known.Missed() {
			return
		}
	}
	wg.Go(func() { begin(func() *dmarc.Evaluation { return set.policies.Begin(ctx, p.from) }) })
}

// finishPolicy comes when SPF and DKIM have answered.
func (c *Checker) finishPolicy(ctx context.Context, set *settings, in Input, p policy, r *Results) {
	if p.evaluation == nil {
		r.DMARC = dmarc.Result{Result: authres.TempError, Reason: "internal error"}
		return
	}
	defer c.guard(ctx, authres.DMARC, &r.DMARC.Result, &r.DMARC.Reason)
	r.DMARC = p.evaluation.Finish(ctx, r.identifiers(in, p.from))
	r.Forwarder, r.forwarderOpen = r.forwarder(set.forwarders, p.from, in.Raw)
}

// identifiers returns what may vouch for an author. Of SPF only MAIL FROM does;
// HELO's name is in its place with a null reverse-path, and else never.
func (r *Results) identifiers(in Input, from dmarc.From) dmarc.Identifiers {
	ids := dmarc.Identifiers{SPF: dmarc.SPF{Domain: r.SPF.MailFrom.Domain, Result: r.SPF.MailFrom.Result}}
	if !in.ClientAddr.IsValid() {
		ids.SPF = dmarc.SPF{Domain: in.MailFrom.Domain, Result: authres.TempError} // not asked, so not known
	}
	for _, d := range r.DKIM {
		if d.Result == authres.TempError && d.Domain == "" {
			// A check that broke: it may have been the one that vouches.
			for _, author := range from.Domains {
				ids.DKIM = append(ids.DKIM, dmarc.DKIM{Domain: author, Result: d.Result})
			}
			continue
		}
		ids.DKIM = append(ids.DKIM, dmarc.DKIM{Domain: d.Domain, Result: d.Result, Partial: d.Partial})
	}
	return ids
}
