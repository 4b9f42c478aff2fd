// Package redis keeps state on Redis 7.0 or Valkey 7.2 and later: a server of
// its own, a master that Sentinels watch, or a Cluster. Hosts that share one
// behave as one: a limit counts over all of them, and a ban is heard of within a
// second. The package only speaks to the server; what happens while it is away
// is decided above (package shared).
//
// Keys begin with "gp1:", the version of their layout (keys.go). Every one has an
// end, given as a life by the clock of the host that puts it, so that the end is
// by the server's clock. Host clocks are never compared:
// what the server still has is alive, even if the Expires that it is returned
// with, which is by the clock of who put it, lies in the reader's past.
//
// Counters mean what those of the embedded store mean, in microseconds of the
// server's clock. All limits lie in one slot, so that the claims of one request
// are one EVALSHA; a Cluster thus counts limits on one of its masters. A count
// whose answer was lost is not sent again: it may have been counted, and is told
// as an error. Everything else is safe to repeat. While the slot of the limits
// moves to another master, claims of keys on both sides fail until it is done.
//
// A Put with sync returns when the master has acknowledged it; it is not WAITed
// for: WAIT does not make a failover keep the row, and costs a round trip of the
// slowest replica. What a crash of the server loses is said by its appendfsync:
// nothing with always, a second with everysec, all without appendonly. A
// failover may lose what the replica had not read yet, milliseconds in health.
// So bans want "appendonly yes"; delivery verdicts are kept on the host, too.
//
// A row that can not be read is taken for none, and what is beside it is listed.
// Tables are bounded by the life of their entries; those on a shelf (bans, rates
// set by hand) by a cap, beyond which the first to end goes. Against what
// strangers make grow, set maxmemory with maxmemory-policy noeviction: a full
// server refuses writes, and hosts go on alone as if it were away. Any other
// policy may take the bans of all hosts, or one of the keys that belong together.
//
// Other hosts hear of changes by PUBLISH, in the script that makes them, so
// those of one key come in order. It is the plain one, not that of shards, in a
// Cluster, too: one subscription hears all masters, and a script may publish
// beside any key. The bus of a Cluster promises nothing, so there all is listed
// anew every five minutes; elsewhere after each new connection.
//
// The driver needs the commands of strings, hashes, sorted sets, streams,
// scripts, SCAN, TYPE, TIME, INFO, MEMORY USAGE, PUBLISH and SUBSCRIBE, and for a
// Cluster CLUSTER SLOTS and CLUSTER INFO.
// Its client logs through one logger of the process; Open silences that.
package redis
