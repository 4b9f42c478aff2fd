// Package seal carries the delivery verdict to another host: in a header field
// of the message that only a holder of the key can write, where the two hosts
// share no state to keep a row in (package delivery).
//
//	X-Gatepost-Verdict: v=1; k=2026a; q=4f1TpR0sBz; t=1795156535; s=7.25; d=mark;
//	 h=from:date:message-id:subject; accept=q3fXc2v0n8kRrjY7; b=…
//
//	k  id of the key
//	q  queue id of the host that judged, for the log
//	t  when that host was given the message, in seconds since 1970
//	s  score
//	d  verdict on the message
//	h  names of the header fields that the field is bound to
//	accept, mark, quarantine, defer, reject
//	   recipients whose verdict is that one and not d's, each as a hash under
//	   the key that is another one in each message: nobody else learns who was
//	   in Bcc
//	b  HMAC-SHA256 of all that stands before it and of the message (Sum)
//
// What Postfix changes on the way leaves it good: folding, lines that it breaks
// at smtp_line_length_limit, fields that it adds on top. Therefore all white
// space is left out of what is hashed. Relaxed canonicalization (RFC 6376
// §3.4.4) would not do: a line of a thousand octets, which Postfix breaks in the
// middle of a word, would be a spammer's way out of Junk. A field of the four
// that is absent or very long is not bound, as Postfix adds the first and cuts
// the second; the Subject is bound also where there is none. A field ends at a
// NUL, because a milter sees no more of it.
//
// Limits: white space and fields other than those four are not bound, MIME's
// among them. A conversion from 8bit breaks the field; Postfix makes none to
// another Postfix. Who can hand mail to the delivery daemon without passing a
// milter, and has a sealed message, can have the same message filed again by the
// same verdict until the field is too old.
package seal
