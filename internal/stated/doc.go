// Package stated serves what one process keeps to the daemons that run beside it
// as other users: the split shape. "gatepost serve state" owns every SQLite file,
// the keys and the spools, and answers on one Unix socket; a milter, policyd,
// authd or lmtpd of its own opens none of them and asks here.
//
// It speaks HTTP with JSON: each call is POST /v1/NAME with one value, and the
// answer is one value, or an error whose kind the caller knows again (errors.Is).
// Messages go as they are behind a line of JSON. GET /v1/watch is a stream of
// lines that lasts: what others changed in the watched tables of the state, and
// that accounts changed. Nothing of it is for other programs, and both ends are
// of one version: it may change with each.
//
// Who may call what is decided by the user id that the kernel tells of the peer
// (SO_PEERCRED), see GrantOf: the milter reads no password hash, policyd changes
// no account. A daemon that was broken into has what its Grant says, no more.
//
// What must not block never does: records of the journal, features to be kept
// and events wait in a bounded queue of the client, and the oldest go first when
// it is full. All else has a time limit, and its error is transient. When the
// other process is away, names of domains, users and aliases that were asked for
// lately are answered from the last answer, passwords never, and the filter and the
// greylist say that they do not know. Clients come back by themselves: a stream that
// ends is begun anew, and says that something may have been missed.
//
// policyd goes on counting. Its state is a shared.Store over a Remote and a store in
// memory: of what it counts the other process counts, it keeps a copy, which holds
// while that one is away, and then hands over what it allowed meanwhile, under an ID,
// so that each mail counts once. A process that hangs keeps its requests waiting for
// 250 ms, once. What was asked then and is read later is not counted there: a claim
// says until when somebody waits for it.
//
// Limits: what a daemon counts in memory (who guesses, hits of rules, its
// metrics) stays in its process; "gatepost guard status" and "gatepost rules"
// show those of the process that answers. Only bans, proven logins, counters and
// what else the state holds are common. What policyd counted alone ends with its
// process, and its copy begins with it: who has just been started while the other is
// away knows nothing of before. What lmtpd redirects is not counted while it is.
package stated
