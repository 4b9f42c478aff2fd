// Package shared is the state of several hosts that one host can do without for
// a while: a state.Store over the common one (internal/state/redis) and a local
// one (state.SQLite). Everything above sees one store.
//
// # When the common store is away
//
// A breaker says so: after one request without an answer in 250 ms, one answer
// that took 150 ms, or three failures in a row. Requests that follow do not ask
// then. Those in hand end at once and are answered by the local store, unless the
// common one is only slow: they get their answer. So no request waits longer than
// 300 ms, and it does so once. A goroutine of its own tries the store each
// half second, after a second in which nobody asked it, and when a list takes
// long; no user's request is a trial. After two trials below 100 ms the counters
// are merged, for two seconds at most, and the store is used again, 1 to 4
// seconds after it is well. The log has one warning when it goes away and one
// line when it is back.
//
//	table               written  while away: read  written  merged
//	Delivery            both     here              here     the row
//	Ban, Login          both     here              here     the row; a lift, too
//	Limit               both     here              here     the row, or joined (Join)
//	Seen                common   ErrAway           ErrAway  -
//	Sent, of the watch  both     here              here     the row
//	Sent, the others    common   ErrAway           here     the row
//	Author, Reputation  common   ErrAway           here     the row
//	TLSPolicy           both     here              here     the row
//	Sieve               both     here              here     the row
//	counters            both     here              here     each grant, once
//	streams             common   ErrAway           ErrAway  -
//
// Delivery and Sieve are read in the common store first and then here: a verdict
// on mail of this host, and what its users' scripts sent, outlive a Redis that
// forgot. The copy of Ban, Login and Limit follows other hosts by Watch and by
// each list. Seen is ErrAway so that the greylist is off: a stranger would be
// sent away by each host anew. Author, Reputation and who wrote to whom are
// ErrAway because what one host saw would be taken for all: "never seen" would
// be wrong. That is not known then, and changes no score.
//
// # What is merged, and how often
//
// What this host granted on a counter is noted in the table Outbox of the local
// file, at most a second late, like all counters. When the store is back, the
// notes of up to 100 counters become a batch with an ID, in one commit, which is
// sent under that ID until it is acknowledged; the store adds an ID once. So a
// kill at any moment counts nothing twice, and loses a second of counts at most.
// Rows are put as they are here; one written meanwhile is put again. Of two hosts
// that wrote the same row, the last to merge it wins, except where Join can hold
// both.
//
// A host that begins to share its state brings along its bans, the rates set by
// hand, and what its users' scripts sent. All else begins with what the common
// store has.
//
// # What remains
//
// A request that was given up may have been executed, and counts twice then: once
// at most for each request in hand at the moment when the store goes away
// (Stats.Doubtful). A Give of which that is not known
// is not repeated: the counter has too much until its window is over. An ID is
// known for a day: a batch that was executed, never acknowledged, and sent again
// by a host that came back a day later, counts twice. A merge that falls out of
// the Outbox because it is full is lost and counted as evicted there.
//
// A backup that was made while the store was away has what was to be merged then:
// who puts it back has that merged once more.
//
// While it is away, a limit holds for each host by itself, beginning with what
// this host granted before; so n hosts grant n times the rest at worst. A user's
// distinct recipients go on from the set that this host wrote last. A local file
// that was damaged and set aside has forgotten what was to be merged.
//
// Times of grants are the common store's while it is used, and this host's while
// it is not. Their difference is measured with each answer; a Give within it
// around the beginning of an outage may be taken for one of the other side, and
// then gives back another grant of the same counter, or nothing.
package shared
