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
// the message goes to the inbox and is journaled as not scanned. No header says
// what is spam.
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
// What follows the peer: when lmtpd is away, Postfix keeps the message and tries
// again (4.4.1); when the connection breaks before a reply, that recipient is
// tried again and may get the message twice.
//
// Limits: LMTP has no TLS and no authentication here, the socket's mode decides
// who may connect. DSN is not offered, so Postfix sends the notices. An address
// needs a domain, "RCPT TO:<postmaster>" is a syntax error. No quota is
// enforced. A retry is not recognised.
package lmtpd
