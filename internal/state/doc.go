// Package state keeps what the daemons remember for a while: entries with a
// life time in a few tables, and sliding-window counters. The interface holds
// no SQL, so that Redis can stand behind it; statetest has the tests that each
// store must pass.
//
// SQLite answers from memory and writes to a file behind the caller's back, at
// most a second late; a Put with sync waits until its row is durable, and many
// of them at once share one transaction. When the disk fails, memory goes on
// serving: a sync Put returns the error, the log has it once a minute, and what
// is pending is tried again each second.
//
// Every table has a cap. What expires first goes first when it is full, which
// is counted (Stats) and warned of once an hour, and refuses nobody. The table
// Delivery alone drops nothing before its time: memory holds its newest rows,
// the file holds all. Only if the file can not be written for so long that
// memory would overflow does a Put into it fail.
//
// What is durable at once is said by who puts it, and for each table on purpose
// (the table durable in overview.go): bans, verdicts of mark and worse, rates
// that a person set, and that a mail was sent. Of counters and all else a crash
// loses a second. Holds and what was learned are durable, too, and lie elsewhere
// (packages account and learn).
//
// A damaged file is set aside and a new one begun, with an error in the log:
// bans and verdicts of mail on its way are lost (such mail goes to INBOX, "not
// scanned"), and mail flows. Refusing to start would stop all mail for the sake
// of what is forgotten within days anyway. A file above 64 MB is not read whole
// before the start but after it, for ten minutes at most. When that finds damage
// the log has an error, the store goes on from memory, and the next start sets
// the file aside.
//
// Apply and the table Outbox are for package shared, which lets a host go on
// alone while the store of all hosts is away.
package state
