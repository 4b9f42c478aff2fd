// Package milter is Gatepost's milter daemon: Postfix tells it of every SMTP
// session and message, and it answers at the end of the message with one
// verdict, one set of header changes, and signatures.
//
// It speaks milter protocol version 6 as Postfix 3.7 does, and versions 2 to 5
// to an MTA that offers no more. emersion/go-milter serves each session, behind
// a connection of ours (guard) that lets only whole packets of the right shape
// and order pass, negotiates by what the MTA offered, keeps macros and ESMTP
// parameters, and sends the answer to the end of a message in one write.
//
// The listener says where mail comes from (scan.Direction): strangers,
// submission, programs on this host, or our own spool. Submission counts as
// outbound only with SASL or from a network that the configuration names. Mail
// is refused at its end only; every earlier event is let pass, but for a stranger
// who connects while he is closed out of port 25 (Deps.Guard): he gets 421 at
// once, and tries again later. The guard also hears of strangers' messages that
// were refused for their score, and of those that were let in and are proved to
// be of the domain in From.
//
// What Postfix does while no milter answers is milter_default_action's: with
// the default, tempfail, the client gets 451 and tries again. A milter that
// goes away within a session costs that whole session 451; so Serve lets open
// sessions go on for Config.Grace.
//
// Left out on purpose: other refusals before the end of message, changes of body
// and recipients, SMFIR_PROGRESS (Config.MessageTimeout is below
// Postfix's time limit), SMFIR_SKIP and recipients that Postfix refused
// (SMFIP_RCPT_REJ), Postfix's own quarantine (SMFIR_QUARANTINE, its hold queue). A
// message of our own spool is signed only with a null reverse-path and a header
// From of Config.LocalSenders, so that a redirect never is.
//
// A message that is to be quarantined or discarded is kept with us (Deps.
// Quarantine) before Postfix is told to discard it, so that it is in exactly one
// place: when it cannot be kept the sender tries again. That is for mail from
// outside, and for all recipients or none: a verdict that only some of them have
// is carried out at delivery, where the worst is Junk. Submitted mail is refused
// instead.
//
// With Config.RejectForgedLocalSender a message from outside that claims an
// author of ours without any proof is refused, by what the score found out.
//
// What is longer than Config.ScanBytes is looked at no further. The rest of it is
// kept while the message is in hand for a signature or a seal, or where the
// settings use the quarantine; else it is counted and forgotten. When a reload
// brings a quarantine between the header and the end of such a message, it goes
// to Junk, because not all of it was kept.
//
// With Config.ARCSeal mail from outside that is let in gets an ARC set (RFC
// 8617) with the first active key of that domain. A chain that fails here is
// sealed with cv=fail; one that says so itself, that is full or that DNS kept us
// from checking gets no set. A message that cannot be sealed is let in all the
// same.
//
// With Deps.Seals mail from outside that is let in gets X-Gatepost-Verdict on top
// (package seal), by which the delivery daemon of another host files it. That of
// strangers is removed like all X-Gatepost fields. Where a message that is marked
// for anybody cannot get it, the sender tries again.
//
//	srv, err := milter.New(cfg, milter.Deps{Scan: scan.Scan, Journal: j, Meter: m}, log)
//	if err != nil {
//		return err
//	}
//	ln, err := listen.Unix("/var/spool/postfix/gatepost/milter", 0o660)
//	if err != nil {
//		return err
//	}
//	return srv.Serve(ctx, ln, scan.Inbound)
package milter
