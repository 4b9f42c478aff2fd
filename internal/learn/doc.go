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
// Limits: features are kept for Config.KeepDays; an older learn can no longer
// be undone by its id, but still corrected with the message at hand. Of more
// than a million learns the oldest rows go. What a mailbox may teach counts
// everything that holds in the journal, and begins anew without it. Shares need
// each message's mailbox: two addresses of one person count as two mailboxes.
package learn
