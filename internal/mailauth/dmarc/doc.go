// Package dmarc decides whether the domain in From vouches for a message, and
// what it asks to do with one that it does not vouch for (RFC 9989).
//
// Decide is the rule: facts in, and out either the result or the one question
// to DNS that is needed next. Checker asks the questions. So the number and
// the order of the questions are part of the rule and of its tests:
//
//	e := checker.Begin(ctx, from)    // at once with SPF and DKIM
//	r := e.Finish(ctx, identifiers)  // when they have answered
//
// ModeTree is RFC 9989: the Organizational Domain is found by a walk up the
// tree of names. ModePSL is RFC 7489's way, by the public suffix list, with two
// questions at most; the tags are read as RFC 9989 has them, but psd is ignored
// there, and pct in both.
//
// Where the text is silent: a tag that stands twice counts as it stands last;
// a needed answer that DNS did not give is temperror, unless the message passes
// without it; without an answer about whether a name exists the weaker of sp and
// np holds. Of several domains in From each is looked at, up to MaxAuthors, and
// the worst result counts, with the strictest policy among those that fail: only
// a message that all of them vouch for passes. A From field that is missing,
// stands twice or cannot be read without doubt gives no pass: the domains that
// can be read are still looked at, and fail with their policy, and what would
// else be none or pass is permerror. Result.Action says what a receiver that
// honours policies does; RFC 9989 §8 leaves it no right to reject for it alone.
//
// Bounds: MaxAuthors domains and MaxIdentifiers identifiers for each message,
// 8 questions for each walk, one question about a name for each message.
// Reports are not sent; Evaluated gives what a report would say.
package dmarc
