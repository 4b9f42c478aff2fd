// Package lmtpd is the delivery daemon: Postfix's lmtp(8) hands it each message
// (LMTP, RFC 2033) and it writes one durable copy for every recipient into a
// Maildir, then answers for that recipient.
//
//	virtual_transport = lmtp:unix:gatepost/lmtp
//
//	S: 220 mx.example.org LMTP Service Ready
//	C: LHLO mx.example.org
//	S: 250-… PIPELINING 8BITMIME ENHANCEDSTATUSCODES SMTPUTF8 SIZE 268435456
//	C: MAIL FROM:<a@example.net>
//	C: RCPT TO:<alice@example.org>
//	C: DATA
//	S: 354 …
//	C: (the message, a dot, QUIT)
//	S: 250 2.0.0 <alice@example.org> BQ3XV6Y2KTAJO.1 saved
//
// A message goes to Junk when the delivery verdict (package delivery) that the
// milter left for its queue id and arrival says mark or worse, else to the
// inbox. The queue id comes from the first Received field, which has to be that
// of the Postfix on this host: Gatepost's hostname has to be Postfix's
// myhostname, and header_checks must not remove the field. Without a verdict
// the message goes to the inbox and is journaled as not scanned.
// No header that a stranger can write says what is spam.
//
// A message without a row may have been judged on another host, which says so in
// a field (package seal): with the same keys as that host lmtpd proves it, and
// goes by it. One that is not good, or two, are told in the log and not used. The
// field is in no stored copy, with keys or without; scripts and redirects do not
// see it either, while a retry is recognised by the bytes that were received.
// Scripts take such a message for one that was not scanned, unless it is marked:
// who sent it was found out elsewhere, and fields about that which bear our name
// may be a stranger's.
//
// Users' Sieve scripts have the last word on where a message goes that is not
// marked (package filter): what they send is in the spool before the copies are
// written, and a message that they discard or only send on is answered with 250
// "filtered".
//
// The protocol is emersion/go-smtp's, with three things taken out of its hands
// (see conn and answers). Statuses: the library answers 250 for a recipient
// without one, and 554 with the error's text for an error it does not know.
// Here each recipient starts as 451 4.3.0, and only a maildir.Stored turns that
// into 250. Message content: version 0.25.0 reads what follows a message above
// its size limit as commands, refuses one that is exactly as long as the limit,
// and never finds the end of one whose last line ends in CR CR LF. So the
// library sees command lines only. CHUNKING: after a refused BDAT the library
// reads the chunk as commands, so BDAT is neither offered nor known.
//
// A retry is recognised. What Postfix sends again, because a reply got lost or
// this process was killed before it, has the same queue id, time of arrival,
// recipient and bytes; a hash of them is in the name of the file (package
// maildir). In doubt, and without Postfix's Received field, it is delivered:
// a copy too many is a nuisance, one too few is a loss.
//
// Loops end with 554 5.4.6: at a Delivered-To field for the recipient with our
// own Received field under it, both below the one that Postfix wrote now, and at
// hopcount_limit Received fields. What a stranger made of such fields has to
// look exactly like ours, and gets him a bounce.
//
// A sender that we rewrote by SRS when the message was passed on is turned back
// before Return-Path; the comment in Received keeps the envelope as it came.
//
// What follows the peer: when lmtpd is away, Postfix keeps the message and tries
// again (4.4.1); when the connection breaks before a reply, that recipient is
// tried again.
//
// Limits: LMTP has no TLS and no authentication here, the socket's mode decides
// who may connect. DSN is not offered, so Postfix sends the notices. An address
// needs a domain, "RCPT TO:<postmaster>" is a syntax error. A message with
// several recipients has no Delivered-To, as with Dovecot: of its loops only the
// hops tell. A quota that is kept elsewhere than in maildirsize (Dovecot's
// count) is not known here: Dovecot's quota-status tells Postfix at RCPT.
package lmtpd
