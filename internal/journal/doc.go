// Package journal keeps what every daemon decided, and tells the story of one
// message or one client from it. It is the story only: nothing is decided by
// what stands here, so it may drop records (counted), and a damaged file is set
// aside, at the start or while it is open.
//
// Record puts into a bounded queue, and one goroutine writes to SQLite every
// 200 ms, or as soon as an eighth of the queue is full. When it is three
// quarters full, only refusals and bans still get in. Records are kept for
// Config.Days and while the file is below Config.Bytes, which is looked at once
// a minute; up to a sixteenth more of the file may be free pages. The last
// second before a power cut may be lost.
//
// Story joins records so:
//
//   - Those with the queue id are one message if they arrived within an hour of
//     each other; a delivery belongs to the newest arrival before it, within
//     five days.
//   - policyd's records from before the queue id are of the same address, port
//     and reverse-path (and instance, where known), after the session's previous
//     message.
//   - A login is the user's last good one from that address in the minute before
//     the session's first record. It is only probable, because Postfix sends
//     authd no port. For a later message of a long session whose first records
//     are more than an hour old, none is found.
//   - A delivery names the recipient that Postfix hands over, which differs from
//     the envelope's after an alias: the envelope's then "left our sight".
package journal
