// Package learn decides what the learned filter (package classify) is taught,
// keeps a journal of it, and can take each learn back.
//
// A learn is one row of learn.db, durable before the model changes. The file of
// weights is written every half a minute and at Close; before it takes its
// place, the journal notes its checksum and the last change that is in it. At
// Open the changes behind that are made again in their order: after a crash at
// any point each learn is in the model once. A file of weights from a backup is
// brought up to date in the same way; without one the model is built anew from
// the features that are still there.
//
// A message is one by its content: the features and the Message-ID, or Postfix's
// queue id and the time of its arrival. To learn it again in the same class
// changes nothing; in the other class it corrects. What counts, and how much,
// says Decide, which is pure.
//
// What is learned is what was scored: Keep takes the features from the milter,
// and a learn finds them by the trace of the message. Without a record they come
// from the file, cut back to what the milter saw (package trace).
//
// Hosts that share a Stream learn as one. A wish is made an event: the features
// of its messages, who wants it and when, and what its host knows of accounts
// and settings. The event goes into a table of this host, the outbox, and is
// durable; then to the stream; and each host, this one too, performs what the
// stream has in its order, by the code that a host alone uses. The row, the
// place in the stream and the end of the outbox's row are one transaction: each
// event is performed once, whenever a host dies. An event has the number of the
// process that made it and one of its own, so one that comes twice is known.
// Learn waits until its own event was performed here. With the stream away, or
// after ten seconds, its outcome is Queued: it is learned as soon as that can be.
// What the stream loses before it was read here is sent again.
//
// So hosts that began with the same files have the same journal and, on
// processors of one kind, the same weights to the last bit. A new host joins at
// the begin of what the stream keeps, and whatever it knew before stays its own:
// to begin equal, copy the files of another host first (gatepost backup and
// restore). Only where learn.db is new and the weights are not, it joins at the
// end, for the weights may have that in them.
//
// Each event names the one that its host made before. A host that does not know
// that one has missed something: it was away for longer than the stream keeps,
// or Redis has lost it. It counts that, says once an hour what mends it, and
// goes on. A move that two hosts of one mail store see is learned once: it is
// known by the mailbox and the name of the file; and what comes late does not
// undo what the mailbox has said since.
//
// Limits: features are kept for Config.KeepDays; an older learn can no longer
// be undone by its id, but still corrected with the message at hand. Of more
// than a million learns the oldest rows go. What a mailbox may teach counts
// everything that holds in the journal, and begins anew without it. Shares need
// each message's mailbox: two addresses of one person count as two mailboxes.
//
// Limits of a stream: the numbers of learns that List shows are those of one
// host; the key of a message is the same on all. What is Queued can be undone
// only when it was performed. Hosts of two versions whose features or decisions
// differ skip each other's events and count them, or drift apart: upgrade them
// together. keep_bytes lets features go at another hour on each host; a
// correction of such a message, known by its trace alone, may then be made with
// another strength. Of more than a million learns the oldest are forgotten at
// another hour, too. Another processor may round the last bit of a weight
// otherwise. What Redis has acknowledged and lost in a failover its host sends
// again, so hosts may have performed the events of those milliseconds in two
// orders. Redis sees the addresses of mailboxes and the features.
// After a failover that lost events a host may tell of a gap that the event,
// sent again under another number, fills a moment later.
package learn
