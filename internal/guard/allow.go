package guard

import (
	"context"
	"time"

	"github.com/gatepost/gatepost/internal/unit"
)

// asked are the passwords of one account on one network that were allowed and
// not reported yet.
type asked struct {
	n  [maxAsked]uint32 // hashes, 0 for none
	at [maxAsked]uint32 // Unix seconds
}

const (
	// maxAsked passwords of a pair are told apart; the oldest goes first.
	maxAsked = 8
	// maxAskers bounds the pairs.
	maxAskers = 10_000
	// askedTime is how many seconds later a report is not waited for: Dovecot is
	// done with a password by then, or does not report.
	askedTime = 10
)

// Allow is Check for who will look at the password and can not wait to be let
// in, as Dovecot with auth_policy. Different passwords that were allowed and not
// reported count as if they had failed: of those that come at the same time no
// more are looked at than of those that come one by one. A device that logs in
// many times at once with one password is allowed as often as it likes, and so
// is who proved himself. It asks memory only.
func (g *Guard) Allow(ctx context.Context, a Attempt) Decision {
	c := g.cfg.Load()
	if c.Mode == unit.Off || !usable(a.Addr) {
		return Decision{}
	}
	v := g.keys.view(&c.Config, &a)
	var fx effects
	g.mu.Lock()
	now := g.now()
	d := g.look(c, &v, a.User, now, &fx)
	if !d.Refuse && v.password != 0 && !g.proofs.has(v.pair, now, c.ProvenTime.Std()) && g.crowded(c, &v, now) {
		d = decision(c.Mode, Ban{Network: networkOf(v.host), Services: loginServices(), User: a.User, Rule: string(ruleFailures),
			Reason: "too many guesses at this account at once", Since: now, Until: now.Add(askedTime * time.Second)})
	}
	g.mu.Unlock()
	g.apply(ctx, c, &a, &fx)
	return d
}

// crowded reports whether one more password of a pair would be beyond its line
// if all that are under way failed, and else notes it. It needs mu.
func (g *Guard) crowded(c *settings, v *view, now time.Time) bool {
	failures, account := 0, 0
	if p := g.counts.pairs.get(v.pair); p != nil {
		if p.tried.has(uint32(v.password)) {
			return false // wrong once more, it counts no more
		}
		failures = p.failures.count(now, c.FindTime.Std())
	}
	if t := g.counts.targets.get(v.account); t != nil {
		account = t.failures.count(now, c.Rules.Account.FindTime.Std())
	}
	e, _ := g.askers.put(v.pair)
	n, free := e.under(uint32(v.password), seconds(now))
	if free < 0 {
		return false
	}
	if failures+n >= pairLine(&c.Config, account) {
		return true
	}
	e.n[free], e.at[free] = uint32(v.password), seconds(now)
	return false
}

// under counts the passwords under way, and returns the place for another one;
// -1 when it is among them.
func (e *asked) under(password, now uint32) (n, free int) {
	for i := range e.n {
		switch {
		case e.n[i] == 0:
		case now-e.at[i] > askedTime:
			e.n[i], e.at[i] = 0, 0
		case e.n[i] == password:
			e.at[i] = now
			return 0, -1
		default:
			n++
		}
		if e.at[i] < e.at[free] {
			free = i
		}
	}
	return n, free
}

// reported forgets a password that was allowed. It needs mu.
func (g *Guard) reported(v *view) {
	e := g.askers.get(v.pair)
	if e == nil || v.password == 0 {
		return
	}
	for i := range e.n {
		if e.n[i] == uint32(v.password) {
			e.n[i], e.at[i] = 0, 0
		}
	}
}
