package policyd

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/srs"
	"github.com/gatepost/gatepost/internal/state"
	"github.com/gatepost/gatepost/internal/unit"
)

// returnCounter counts what goes back to one target (package state).
type returnCounter interface {
	Take(ctx context.Context, key string, n, max int64, window time.Duration) (state.Usage, error)
}

// srsCounter begins the keys of the counters.
const srsCounter = "srs/"

// maxReturns bounds the recipients of one generation that are remembered as
// counted; who is forgotten is counted again.
const maxReturns = 10_000

// srsGate finds the facts about recipients in SRS form. Postfix asks for one of
// them in each restriction list, and it counts once.
type srsGate struct {
	srs      srsReverser
	returned returnCounter
	log      *slog.Logger

	mu         sync.Mutex // guards the fields below
	young, old map[returned]SRSFacts
}

// returned is one recipient of one transaction.
type returned struct{ instance, rcpt string }

func newSRSGate(d Deps, log *slog.Logger) *srsGate {
	g := &srsGate{srs: d.SRS, returned: d.Returned, log: log}
	if g.srs == nil {
		g.srs = noSRS{}
	}
	return g
}

// facts looks at the recipient of req; perTarget is SRSConfig.PerTarget. A
// counter that does not answer lets a bounce pass.
func (g *srsGate) facts(ctx context.Context, req *Request, perTarget unit.Rate) SRSFacts {
	domain := g.srs.Domain()
	if domain == "" || req.ProtocolState != StateRcpt {
		return SRSFacts{}
	}
	to, ok := returnTo(req.RcptTo, domain)
	if !ok {
		return SRSFacts{}
	}
	f := SRSFacts{Form: true}
	target, err := g.srs.Reverse(to, time.Now())
	if f.Valid = err == nil; !f.Valid || req.MailFrom != "" || g.returned == nil {
		return f
	}
	g.mu.Lock()
	defer g.mu.Unlock() // also while it counts: the same request may come twice at once
	key := returned{req.Instance, req.RcptTo}
	if known, ok := g.known(key); ok {
		return known
	}
	u, err := g.returned.Take(ctx, srsCounter+target.Folded().String(), 1, perTarget.Count, perTarget.Window)
	if err != nil {
		g.log.LogAttrs(ctx, slog.LevelWarn, "bounce not counted, it passes",
			slog.String("session", req.Instance), slog.Any("err", err))
		return f
	}
	f.Full, f.Ends = !u.OK, u.Ends
	if req.Instance != "" {
		g.young[returned{strings.Clone(key.instance), strings.Clone(key.rcpt)}] = f
	}
	return f
}

// returnTo reads a recipient in SRS form at domain, in each spelling of which
// Postfix makes that address. One without a domain is as if it had this one:
// Postfix appends $myorigin, which may be it.
func returnTo(rcpt, domain string) (mailaddr.Address, bool) {
	rcpt = rewritten(rcpt)
	bare := strings.IndexByte(rcpt, '@') < 0
	end := strings.TrimSuffix(rcpt, ".")
	if !bare && (len(end) <= len(domain) || !strings.EqualFold(end[len(end)-len(domain):], domain)) {
		return mailaddr.Address{}, false // as nearly always
	}
	to, err := srs.Parse(rcpt)
	if bare && err == nil {
		to.Domain = domain
	}
	return to, err == nil && to.Domain == domain && srs.Is(to)
}

// known returns what was found of key before. It needs g.mu.
func (g *srsGate) known(key returned) (SRSFacts, bool) {
	if g.young == nil || len(g.young) >= maxReturns {
		g.old, g.young = g.young, map[returned]SRSFacts{}
	}
	f, ok := g.young[key]
	if !ok {
		f, ok = g.old[key]
	}
	return f, ok
}
