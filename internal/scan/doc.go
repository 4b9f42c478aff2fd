// Package scan judges a message: it runs the rules over what is known of it,
// adds up their scores and names the verdict.
//
// Scan is pure. Whatever needs the network or a store was gathered before and
// comes in the Message; what nobody could find out (a DNS failure) is
// "unknown", which has a line of its own and never a score. Every rule always
// runs, so the same message and configuration give the same lines.
//
// The score is the sum of the lines. The verdict is the worst of what the
// thresholds make of the score and of what an enforced rule names by itself:
// only GTUBE names one (Reject), so that a test of the whole chain does not
// depend on thresholds; its 1000 points are in the sum like all others.
//
// By direction: mail from strangers is judged in full. Outbound mail is scored
// by the rules about content, refused at the threshold, and never marked. Mail
// made on this host or by us is neither scored nor refused.
//
// Limits: there are no rules about words, no lists and nothing learned
// yet; the rules know a message by its form and its sender's identity.
package scan
