// Package scan judges a message: it runs the rules over what is known of it,
// adds up their scores and names the verdict.
//
// An Engine is made for one configuration, which compiles what the admin wrote,
// and judges any number of messages. That is pure: whatever needs the network or
// a store was gathered before and comes in the Message; what nobody could find
// out (a DNS failure) is "unknown", which has a line of its own and never a
// score. Every rule always runs, so the same message and configuration give the
// same lines. Only the maps of in_map are asked meanwhile, and they lie in memory.
//
// The lines come in this order: the built-in rules, what was learned, the lists
// that were asked, the allow and deny entries, the admin's rules, each of which
// sees all lines before its own. The score is their sum. The verdict is the worst
// of what the thresholds make of it and of what an enforced rule names by itself:
// GTUBE does (Reject), so that a test of the whole chain does not depend on
// thresholds, and those of the admin that have a verdict. Discard is no rank:
// a rule names it beside the verdict, and it gives way to Defer and Reject.
//
// Thresholds and entries are those of the mailbox, else of its domain, else of
// the server. SMTP has one answer for all recipients, so a message is refused or
// kept aside only when that holds for each of them; else it is accepted, and who
// would have refused it finds it in Junk (Result.ByRcpt). An entry that holds for
// some recipients only is no part of the score, which is one for all: it has a
// line of 0 points that tells for whom it counts what.
//
// By direction: mail from strangers is judged in full. Outbound mail is scored
// by the rules about content, refused or kept aside at the thresholds of the
// server, and never marked; entries do not apply. Mail made on this host or by us
// is neither scored nor refused.
//
// Limits: an allow entry by author counts only where the domain in From answers
// for the message; a mailing list or a forwarder is allowed by its network, or by
// a rule of the admin about its signature. Domains are compared in the form in
// which they stand in the message, A-labels or UTF-8. Only "+" separates a
// mailbox from the detail behind it.
package scan
