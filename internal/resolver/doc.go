// Package resolver asks DNS servers, and keeps what they said.
//
// A question has one of three outcomes: records; no such name or no such data
// (an empty result and a nil error); or an error of class mailerr.Transient,
// when no server gave an answer. A caller that must not take "unknown" for
// "no" needs nothing else.
//
// It asks recursive servers over UDP with EDNS (RFC 6891, 1232 octets), and
// over TCP when an answer was cut (RFC 7766). Every question has an id of its own
// and a port that nobody can guess; what does not match both and the question is
// not an answer (RFC 5452 §9). Aliases are followed within the answer, and asked
// for when the server left them out. Names are taken as they are, so that SPF can
// ask for one that no host could have.
//
// LookupEach puts the many questions of one message over one socket, which it
// opens for them and closes when they are answered: its port is as new as that
// of a question alone, ids within it differ, and no two of its questions are the
// same, so each is as hard to forge an answer to as before. To a server on this
// host, where nobody forges, sockets are kept for the next question.
//
// The cache holds positive and negative answers (RFC 2308) for as long as
// their TTL says, at most Config.MaxTTL, and at most Config.CacheSize octets:
// the answer that was used least recently goes first. Callers with the same
// question at the same time share one query. Errors are not kept.
//
// A Share bounds what one message may have under way, so that it does not take
// all of Config.MaxQueries; Recall answers from the cache alone.
//
// Authoritative asks the servers of a zone themselves, without a cache: whether
// a record is published everywhere is for them to say.
//
// A server with a loopback address, and with Config.TrustAD every server, is
// asked whether it validated its answer (RFC 6840 §5.7), and its AD bit is
// believed. Of all others the bit is dropped.
//
// Limits: signatures of DNSSEC are not looked at. A server on this host that
// passes on another's AD bit unchecked is believed as well. The servers of /etc/resolv.conf are read once, by New; its search list and
// ndots are not used: every name is taken as complete.
package resolver
