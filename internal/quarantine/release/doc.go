// Package release hands messages of the quarantine to their recipients, through
// the delivery daemon, and has them learned as ham.
//
// lmtpd files by the delivery verdict of the queue id in the first Received
// field. A release makes up a queue id of its own, which nobody can guess, leaves
// a verdict "accept" for it, and puts a Received field with it on top: so the
// copy goes to the inbox, is journaled, and no header decides anything.
//
// Postfix is not there to look aliases up, so that is done here, in the order of
// virtual(5). Each mailbox gets a transaction of its own, and is written into
// the mark of the entry after lmtpd's 250 and before the next one: a kill in
// between delivers that copy again, and never loses one. A second release
// delivers to those who are missing.
//
// Limits: a recipient that is no mailbox here, such as the outside target of an
// alias, cannot be served: the entry stays, "partly". The copies of one message
// are delivered one after the other.
package release
