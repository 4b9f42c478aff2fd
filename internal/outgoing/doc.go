// Package outgoing sends the mail that Gatepost itself writes or passes on:
// notices, vacation replies, reports, redirects.
//
// Add makes a message durable; from then on it is sent, or its failure told, by
// whatever happens. Run brings it to a smtpd on this host (SMTP with SASL) and
// removes it only after that server's 250. sendmail(1) is never used: it is a
// set-group-ID program, which a hardened unit may not run.
//
// A message is one file in the spool: a line of JSON with the envelope, then
// the bytes. It is written under a temporary name, synced, and renamed, so that
// after a power cut there is the whole of it or nothing. A message that was
// taken just before a crash is sent again: a duplicate is a nuisance, a loss is
// not.
//
// What the spool wrote itself is what the daemon on milter-outgoing may sign
// (Wrote); a redirect is somebody else's mail and never is.
//
// A redirect that the smtpd refuses for good comes back to its sender, if that is
// proved, as a notification (RFC 3464) with the header: the mailbox has no copy.
//
// Limits: one connection at a time; any other message that is refused for good,
// for all of its recipients, is kept beside the spool and told in the
// log, because a bounce to ourselves would help nobody. So is a redirect from
// the null reverse-path, and one whose sender may be forged.
package outgoing
