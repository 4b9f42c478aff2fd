// Package guard stops who guesses passwords, without reading a log: authd asks
// it before it looks at a password and tells it of every failure.
//
// Five failures with different passwords within ten minutes from one network
// (an IPv4 address, an IPv6 /64) close all logins of that network for ten
// minutes, on every service, with the right password too. Mail on port 25 is
// none of its business: only authd asks. The ban holds before Fail returns, so
// before the answer to the attempt is sent, and it survives a restart.
//
// What counts is the pair of account and password, as a keyed hash whose key
// lives as long as the process. The same wrong password for the same account
// counts once however often a phone repeats it; one password tried on many
// accounts counts each time. A success does not lift a ban, and takes back
// what was counted against the same account from the same network.
//
// Loopback is ignored by default: a webmail on this host speaks for all of its
// users. Empty and unspecified addresses are never counted.
//
// Known limits: counts (not bans) are lost by a restart; a ban is for a fixed
// time and does not grow; guesses spread over many networks are not seen; only
// this process knows of a ban until it is in the shared state.
package guard
