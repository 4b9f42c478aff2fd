// Package guard stops who guesses passwords, without reading a log: authd and
// auth_policy ask it before a password is looked at and tell it how that ended,
// policyd and the milter tell it what comes on port 25. docs/guard.md is for who
// runs it; it has the scenarios by which the lines were chosen, and what became
// of them.
//
//	d := g.Admit(ctx, attempt) // may wait; says Refuse: do not look
//	…                          // hash
//	d = g.Report(ctx, attempt, guard.Wrong)
//
// What counts is different passwords, as hashes with a key that lives as long as
// the process: of an account on a network (an IPv4 address, an IPv6 /64), of the
// network, of the account; and different accounts, of a network, of the /24 or
// /48 around it, and of one password. The same wrong password for the same
// account counts once. The guess that crosses a line is refused itself, and
// because attempts under way count towards the line, none after it is looked at.
//
// A success takes back what was counted against the same account from the same
// network, raises the lines of that network, and lets the account in from there
// for proven_time, whatever others do. No account is ever closed as a whole.
//
// A ban closes services: failed logins close those by which one logs in, only
// what comes on port 25 closes port 25 (package policyd answers 4xx), and never
// to a client whose mail was accepted within 30 days. A ban of a network where
// accounts proved themselves, or with an address in it that is never banned
// (Ban.Shared), is answered here, login by login, and not told to Deps.Changed: no
// firewall could tell those apart.
//
// Files decide*.go and count*.go take values and time and return values; state
// and locks are in the others. All operations take constant time, but for
// Explain and Remove, which look at all pairs, Reconfigure, which looks at all
// bans, and a ban, which wakes who waits in its network.
//
// Approximations: a count holds its events for the window and at most a fifth
// longer, and stops at 255 in each fifth; a change of find_time begins it anew.
// The accounts of a /24 or /48 are counted by hashing into 256 bits, right
// within a tenth or so. An account on a network remembers its last six wrong
// passwords: who turns through seven is counted anew. When max_networks is
// reached, what failed longest ago is forgotten first.
//
// Known limits. Counts, and accounts closed on one network, are lost by a
// restart; bans, proven accounts, accepted senders and countries are not. Where
// the password is not seen (SCRAM) every failure counts as another one. On a
// shared address nobody can tell an owner from a guesser at the same account:
// guesses at an account that is proven there are slowed and not refused, and at
// one that is not its owner's first login there waits until the pair opens
// again. Guesses at one account from very many networks, few from each, are
// answered late and otherwise only told of. Attempts under way are bounded for
// each network, not for an account over all of them. Where a translator in front
// of this host gives IPv4 clients addresses of one IPv6 /64 (64:ff9b::/96), they
// are one network: list it in ignore_networks.
//
// Where Deps.State is one that other hosts write to as well, Run follows them:
// bans, what lifted them, proven accounts and senders are those of all hosts. The
// store's order decides; a row that is being written here is looked at again
// afterwards (follow.go, learn.go). A lifted ban stays as a row until it would
// have ended, so that a row which is missing was lost, and is written again. What
// is counted is of this process alone: docs/guard.md says what that means.
package guard
