package policyd

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/limit"
)

// Trial is how a request would be answered now, and what led to it. It counts
// nothing, and nothing is remembered of it.
type Trial struct {
	// Action is what Postfix would be told, Verdict its one word, and Rule what
	// led to it, empty for a plain DUNNO.
	Action  string `json:"action"`
	Verdict string `json:"verdict"`
	Rule    string `json:"rule,omitempty"`
	// Hint is what only the administrator is told.
	Hint string `json:"hint,omitempty"`
	// Would are the rules that only observe, and what they would have answered.
	Would []string `json:"would,omitempty"`
	// Facts are what was looked up.
	Facts []journal.Fact `json:"facts,omitempty"`
	// Lacks says what was not known, and so not judged.
	Lacks []string `json:"lacks,omitempty"`
}

// Try answers a request as Postfix would send it, without counting it; its final
// empty line may be missing. limits is as for Judge.
func (s *Server) Try(ctx context.Context, request []byte, limits bool) (Trial, error) {
	if len(request) > 0 && request[len(request)-1] != '\n' {
		request = append(slices.Clip(request), '\n')
	}
	if !strings.HasSuffix(string(request), "\n\n") {
		request = append(slices.Clip(request), '\n')
	}
	req, err := ParseRequest(request)
	if err != nil {
		return Trial{}, err
	}
	return s.Judge(ctx, &req, limits, time.Now()), nil
}

// Judge is Try for a request that was parsed. Without limits those are left out,
// because what they say depends on what was counted before. now is when the
// request is asked; accounts and entries are those of today.
func (s *Server) Judge(ctx context.Context, req *Request, limits bool, now time.Time) Trial {
	snap := s.now.Load()
	ctx, cancel := context.WithTimeout(ctx, snap.bounds.request)
	defer cancel()
	v, f, lacks := s.gather.try(ctx, snap, req, limits, now)
	t := Trial{Action: v.Action.String(), Verdict: v.Word(), Rule: v.Rule, Hint: admissionHint(&v, req, f.User, f.Admit), Facts: trialFacts(req, &f), Lacks: lacks}
	for _, w := range v.Would {
		t.Would = append(t.Would, w.Rule+": "+w.Action.String())
	}
	return t
}

// try is decide without anything that counts or remembers.
func (g *gatherer) try(ctx context.Context, s *snapshot, req *Request, limits bool, now time.Time) (v Verdict, f Facts, lacks []string) {
	if !aboutMail(req.ProtocolState) {
		decide(&v, &s.policy, req, &Facts{}, now)
		return v, f, nil
	}
	g.account(ctx, s, req, &loginMemo{}, now, &f)
	pr := s.policy.profile(req.PolicyContext)
	if limits { // a ban, too, is of today
		f.Guard = g.closed(ctx, &s.policy.admission, pr, req)
	}
	gate := srsGate{srs: g.srs.srs, log: g.log} // without a counter
	f.SRS = gate.facts(ctx, req, s.cfg.SRS.PerTarget)
	f.Admit = g.admitter.admit(ctx, &s.policy.admission, s.policy.wants, req, &f, now, &AdmitFacts{})
	c := counting{gatherer: g, snap: s, profile: pr, req: req, tx: &transaction{}, facts: &f}
	switch {
	case !c.needed():
	case !limits:
		lacks = append(lacks, "limits: what they say depends on what was counted before")
	default:
		if err := c.foresee(ctx); err != nil {
			lacks = append(lacks, "limits: "+err.Error())
		}
	}
	decide(&v, &s.policy, req, &f, now)
	if g.greylist != nil && v.Rule == "" && !c.outbound() && req.ProtocolState == StateRcpt {
		lacks = append(lacks, "greylist: it remembers whom it was asked about, so it is not asked")
	}
	return v, f, lacks
}

// foresee asks the limits about the mail, also at DATA, and takes nothing.
func (c *counting) foresee(ctx context.Context) (err error) {
	m := c.describe()
	if c.req.ProtocolState == StateRcpt {
		return c.predict(ctx, m)
	}
	if !counts(c.req.ProtocolState) {
		return nil
	}
	m.Recipients = max(c.req.RecipientCount, 1)
	if c.profile.needsRcpts && c.req.RcptTo != "" {
		m.Rcpts = []limit.Rcpt{c.one(ctx, c.req.RcptTo)}
	}
	c.facts.Limits, err = c.limits.Ask(ctx, c.profile.limits, m)
	return err
}

// trialFacts tells what was found out.
func trialFacts(req *Request, f *Facts) []journal.Fact {
	var out []journal.Fact
	say := func(key, value string) { out = append(out, journal.Fact{Key: key, Value: value}) }
	if req.SASL.Username != "" {
		text := shown(req.SASL.Username) + " has no account"
		if f.Known {
			text = f.User
			if f.MaySend {
				text += ", may send as " + named(req.MailFrom)
			}
		}
		say("account", text)
	}
	for i := range f.Limits {
		l := &f.Limits[i]
		say("limit", LimitText(l, f.before(l)))
	}
	a := f.Admit
	if a == nil {
		return out
	}
	for _, l := range []struct {
		what string
		is   outcome
	}{
		{"sender is of a domain of ours", a.SenderLocal}, {"recipient is of a domain of ours", a.RecipientLocal},
		{"client has a name", a.ClientName}, {"sender's domain takes mail", a.SenderDomain}, {"somebody has the recipient", a.Recipient},
	} {
		if l.is != unknownYet {
			say(l.what, map[outcome]string{yes: "yes", no: "no"}[l.is])
		}
	}
	if a.trust.host {
		say("client", "a trusted host")
	}
	if a.Entry.Name != "" {
		say(map[bool]string{true: "deny", false: "allow"}[a.Entry.Deny], entryText(a.Entry))
	}
	if a.Posting.Rule != "" {
		say("who may write to the recipient", string(a.Posting.Rule))
	}
	return out
}

// TryPolicy is Try for those who only pass the answer on.
func (s *Server) TryPolicy(ctx context.Context, request []byte) (any, error) {
	t, err := s.Try(ctx, request, true)
	return t, err
}

// PolicyHits is Hits for those who only pass the answer on.
func (s *Server) PolicyHits() any { return s.Hits() }
