// Package greylist asks strangers to come back: the first mail of a sender to a
// recipient from a client is deferred, and one that is tried again a few minutes
// later passes. Programs that send spam once do not come back; servers do, and
// then wait no more.
//
// By default only suspicious clients are asked: without a verified name, with a
// name of an access line, listed, or whose last mail the scorer wished to see
// again (Wish). A server that is set up well is never delayed, so that a code
// for a login that is good for five minutes arrives in time.
//
// What is remembered is the triplet of client, sender and recipient. The client
// is its /24 or /64; if SPF proves the sender's organization, it is that, so
// that the second try may come from another host of a pool. DKIM can not prove
// it: the message has not come yet when this is decided. A record that ends
// in "+all" proves nothing.
//
// The sender's address is remembered without what changes with each mail: the
// detail, numbers (VERP), the stamps of SRS and BATV.
//
// The null reverse-path is never deferred, other than by postgrey. It has no
// sender to remember, a bounce is what tells a user that a mail failed, and a
// server that checks our users' addresses with it would defer their mail in
// turn. Spam with it is the scorer's business.
//
// Nothing is deferred because of a fault: what can not be read or written is let
// through. The state is at most a second behind on the disk, so that who was
// asked to come back in the last second before a crash is asked again.
//
// Limits: Postfix tells a name that DNS could not verify for the moment and one
// that does not exist with the same word, so that a fault of DNS can cost a
// stranger the delay. The state holds 200,000 rows; when it is full, those that
// wait longest go first, and who passed goes last.
package greylist
