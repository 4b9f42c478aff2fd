package authd

import (
	"context"
	"log/slog"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/guard"
	"github.com/gatepost/gatepost/internal/journal"
)

// settle decides, tells the guard, and writes the journal, the log and the
// metrics. The guard knows of a failure before the answer can be sent.
func (s *Server) settle(ctx context.Context, l *login, f facts) outcome {
	o := decide(f)
	how, tell := outcomeOf(l, f, o)
	if tell {
		d := s.guard.Report(ctx, l.reported(), how)
		l.mark, l.nobody = d.Mark, how == guard.NoAccount
		if before := f.banned; l.heed(&f, d) && !before {
			// The guess that crosses the line is told so, and stays a failure. A
			// right one among those that were under way is refused.
			failed := o.verdict == verdictFail
			if o = decide(f); failed {
				o.verdict = verdictFail
			}
		}
	}
	if o.verdict == verdictOK {
		s.welcome(l)
	}
	s.tell(ctx, l, o)
	return o
}

// outcomeOf returns what the guard is told of a login, if anything: always when
// it let one through, and of a right password in any case.
func outcomeOf(l *login, f facts, o outcome) (guard.Outcome, bool) {
	switch {
	case f.fault || f.banned:
		return guard.Abandoned, l.admitted
	case o.verdict == verdictFail && l.known:
		return guard.Wrong, true
	case o.verdict == verdictFail:
		return guard.NoAccount, true
	}
	return guard.Right, true
}

// reported is the attempt of l at its end: it gives back the place that it was let
// through with, once.
func (l *login) reported() guard.Attempt {
	a := l.attempt()
	a.Admitted, l.admitted = l.admitted, false
	return a
}

// abandon tells the guard that it will never know how a login ended.
func (s *Server) abandon(ctx context.Context, l *login) {
	if l.admitted {
		s.guard.Report(ctx, l.reported(), guard.Abandoned)
	}
}

// welcome notes a login that was right.
func (s *Server) welcome(l *login) {
	if uses, ok := s.accounts.(account.AppUses); ok && l.app.ID != 0 {
		uses.UsedAppPassword(l.app, l.start, l.auth.addr)
	}
	if s.loggedIn != nil {
		s.loggedIn(l.user.Addr.String(), l.auth.addr)
	}
}

// journaled returns what the journal has of l beyond its fields: what `guard
// replay` needs of a failure, and which app password was right.
func (l *login) journaled() (facts []journal.Fact) {
	if l.mark != "" {
		facts = append(facts, journal.Fact{Key: guard.FactMark, Value: l.mark})
	}
	if l.nobody {
		facts = append(facts, journal.Fact{Key: guard.FactUnknown, Value: "yes"})
	}
	if l.app.ID != 0 {
		facts = append(facts, journal.Fact{Key: "app_password", Value: l.app.Name})
	}
	return facts
}

func (s *Server) tell(ctx context.Context, l *login, o outcome) {
	took := time.Since(l.start)
	s.meter.Request("authd", o.verdict, took)
	var key repeatKey
	if o.verdict == verdictOK && l.remembered {
		key = repeatKey{user: l.shown, service: l.auth.service, mech: l.auth.mech, addr: l.auth.addr}
	}
	one, over := s.repeats.add(key, l.start)
	if s.tellRepeats(ctx, over); key != (repeatKey{}) && !one {
		return
	}
	r := journal.Record{
		Time: l.start, Daemon: "authd", Event: "login", Session: l.auth.session, Service: l.auth.service,
		ClientAddr: l.auth.addr, ClientPort: l.auth.port, User: l.shown, Mech: l.auth.mech,
		Verdict: o.verdict, Rule: o.rule, Reply: o.reason, Took: took,
	}
	r.Facts = l.journaled()
	s.journal.Record(r)
	attrs := make([]slog.Attr, 0, 9)
	if l.auth.session != "" {
		attrs = append(attrs, slog.String("session", l.auth.session))
	}
	if l.auth.addr.IsValid() {
		attrs = append(attrs, slog.String("client_addr", l.auth.addr.String()))
	}
	attrs = append(attrs, slog.String("service", l.auth.service), slog.String("user", l.shown),
		slog.String("mech", l.auth.mech), slog.String("verdict", o.verdict))
	if o.rule != "" {
		attrs = append(attrs, slog.String("rule", o.rule))
	}
	attrs = append(attrs, slog.Duration("took", took))
	s.log.LogAttrs(ctx, slog.LevelInfo, "login decided", attrs...)
}
