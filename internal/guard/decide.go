package guard

import (
	"fmt"
	"time"

	"github.com/gatepost/gatepost/internal/unit"
)

// ruleName is the key of a rule, and its name in the journal.
type ruleName string

const (
	ruleFailures     ruleName = "max_failures"
	ruleTrap         ruleName = "trap_accounts"
	ruleSlow         ruleName = "slow"
	ruleAccounts     ruleName = "accounts"
	ruleUnknown      ruleName = "unknown"
	rulePasswords    ruleName = "passwords"
	ruleAccount      ruleName = "account"
	ruleNetworkDelay ruleName = "network_delay"
	ruleNetworkBan   ruleName = "network_ban"
	ruleMX           ruleName = "mx"
)

// figures are what is counted, just after a failure was.
type figures struct {
	// blameless says that the address may not be banned, proven that the
	// account proved itself on this network, trap that nobody has it.
	blameless, proven, trap bool
	// pair and pairSlow are different passwords of this account here.
	pair, pairSlow int
	// single is of one address of an IPv6 /64 that others share.
	single int
	// host is the network that one customer holds, wide what lies around it.
	host hostFigures
	wide wideFigures
	// account is wrong passwords of it from all places that are not proven.
	account int
}

type hostFigures struct{ failures, slow, accounts, unknown, proven int }

type wideFigures struct{ accounts, proven int }

// action is what follows from a failure, the strongest last.
type action int

const (
	nothing action = iota
	closePair
	banSingle
	banHost
	banWide
)

// step is an action with its reason.
type step struct {
	do   action
	rule ruleName
	mode unit.Mode
	// n was counted within span.
	n    int
	span time.Duration
}

const (
	// perProven is by how much a proven account raises the lines of a network
	// that it shares, mostRaised how far they go.
	perProven  = 2
	mostRaised = 100
	// several is by how much max_failures is higher for the failures of several
	// accounts together: two or three phones with an old password, and beside them
	// somebody who mistypes, are nobody's attack.
	several = 3
	// attackedLine is max_failures for an account that many guess at.
	attackedLine = 3
)

// raised is a line of a network on which so many accounts proved themselves:
// the more of them, the more people mistype there.
func raised(line, proven int) int { return min(line+min(perProven*proven, mostRaised), maxLine) }

// weaker returns the milder of two modes.
func weaker(a, b unit.Mode) unit.Mode {
	switch {
	case a == unit.Off || b == unit.Off:
		return unit.Off
	case a == unit.Observe || b == unit.Observe:
		return unit.Observe
	}
	return unit.Enforce
}

// judge says what a failure leads to: the first rule in its order that
// enforces, else the first that observes. Equal arguments give equal steps.
func judge(c *Config, f figures) (best step) {
	consider := func(do action, rule ruleName, mode unit.Mode, n, line int, span unit.Duration) {
		mode = weaker(c.Mode, mode)
		if n < line || mode == unit.Off || best.mode == unit.Enforce || best.do != nothing && mode == unit.Observe {
			return
		}
		best = step{do, rule, mode, n, span.Std()}
	}
	r := &c.Rules
	attacked := !f.proven && r.Account.Mode == unit.Enforce && f.account >= r.Account.Max
	if !f.blameless {
		p := f.host.proven
		consider(banWide, ruleNetworkBan, r.NetworkBan.Mode, f.wide.accounts, raised(r.NetworkBan.Max, f.wide.proven), r.NetworkBan.FindTime)
		if f.trap && p == 0 {
			consider(banHost, ruleTrap, unit.Enforce, 1, 1, c.FindTime)
		}
		consider(banHost, ruleFailures, unit.Enforce, f.pair, raised(c.MaxFailures, p), c.FindTime)
		consider(banHost, ruleFailures, unit.Enforce, f.host.failures, raised(c.MaxFailures+several, p), c.FindTime)
		if attacked && p == 0 {
			consider(banHost, ruleAccount, r.Account.Mode, f.pair, min(attackedLine, c.MaxFailures), c.FindTime)
		}
		consider(banHost, ruleUnknown, r.Unknown.Mode, f.host.unknown, raised(r.Unknown.Max, p), r.Unknown.FindTime)
		consider(banHost, ruleAccounts, r.Accounts.Mode, f.host.accounts, raised(r.Accounts.Max, p), r.Accounts.FindTime)
		consider(banHost, ruleSlow, r.Slow.Mode, f.host.slow, raised(r.Slow.Max, p), r.Slow.FindTime)
		consider(banSingle, ruleFailures, unit.Enforce, f.single, c.MaxFailures, c.FindTime)
	}
	if f.proven {
		return best
	}
	if f.trap {
		consider(closePair, ruleTrap, unit.Enforce, 1, 1, c.FindTime)
	}
	consider(closePair, ruleFailures, unit.Enforce, f.pair, c.MaxFailures, c.FindTime)
	if attacked {
		consider(closePair, ruleAccount, r.Account.Mode, f.pair, min(attackedLine, c.MaxFailures), c.FindTime)
	}
	consider(closePair, ruleSlow, r.Slow.Mode, f.pairSlow, r.Slow.Max, r.Slow.FindTime)
	return best
}

// pairLine is how many different passwords of one account may be tried here
// before the pair, or its network, is closed.
func pairLine(c *Config, account int) int {
	if c.Rules.Account.Mode == unit.Enforce && account >= c.Rules.Account.Max {
		return min(attackedLine, c.MaxFailures)
	}
	return c.MaxFailures
}

// maxDelay is the longest tarpit; with authd's own delay and a hash it stays
// inside the 8 s that a client may be kept.
const maxDelay = 5 * time.Second

// delayAfter is how much later the answer to a failure goes out: it doubles
// with each one.
func delayAfter(c *Config, f figures) time.Duration {
	n := f.pair
	if !f.blameless && !f.proven {
		n = max(n, f.host.failures)
	}
	if c.Mode != unit.Enforce || n < 2 {
		return 0
	}
	return min(time.Second<<min(n-2, 8), maxDelay)
}

// lateDelay is the tarpit of a network, or account, that is attacked.
const lateDelay = 3 * time.Second

// delayBefore is how much later any login is answered from a place that is not
// proven, and by which rule.
func delayBefore(c *Config, w wideFigures, account int) (time.Duration, ruleName) {
	r := &c.Rules
	switch {
	case c.Mode != unit.Enforce:
		return 0, ""
	case r.NetworkDelay.Mode == unit.Enforce && w.accounts >= raised(r.NetworkDelay.Max, w.proven):
		return lateDelay, ruleNetworkDelay
	case r.Account.Mode == unit.Enforce && account >= r.Account.Max:
		return lateDelay, ruleAccount
	}
	return 0, ""
}

// spanOfBan returns how long the ban after so many earlier ones takes.
func spanOfBan(c *Config, earlier int) time.Duration {
	if earlier <= 0 || len(c.BanGrowth) == 0 {
		return c.BanTime.Std()
	}
	return c.BanGrowth[min(earlier, len(c.BanGrowth))-1].Std()
}

// remembered returns how many of a network's bans still count at now, when the
// last of so many ended then.
func remembered(c *Config, bans int, ended, now time.Time) int {
	if quiet := now.Sub(ended); quiet > 0 {
		bans -= int(quiet / c.ForgetTime.Std())
	}
	return max(bans, 0)
}

// text is the reason of s for the operator, without anything from a peer.
func (s step) text() string {
	within := unit.Duration(s.span)
	switch s.rule {
	case ruleTrap:
		return "an attempt at a trap account"
	case ruleAccounts:
		return fmt.Sprintf("failures at %d accounts within %v", s.n, within)
	case ruleUnknown:
		return fmt.Sprintf("attempts at %d accounts that nobody has within %v", s.n, within)
	case ruleNetworkBan:
		return fmt.Sprintf("failures at about %d accounts from this network within %v", s.n, within)
	case ruleAccount:
		return fmt.Sprintf("%d different wrong passwords for an account that many guess at, within %v", s.n, within)
	case ruleMX:
		return fmt.Sprintf("%d points on port 25 within %v", s.n, within)
	}
	return fmt.Sprintf("%d different wrong passwords within %v", s.n, within)
}
