// Package mailauth finds out who sent a message: iprev (RFC 8601 §3), SPF
// (RFC 7208), DKIM (RFC 6376, RFC 8301, RFC 8463), ARC (RFC 8617) and DMARC
// (RFC 9989). The results are values of their own types, which the other parts
// read; no part reads them out of a header field again. Package authres writes
// them into one.
//
// All checks run at once within one deadline, and then DMARC takes what SPF and
// DKIM found, with a deadline of its own: a stranger's slow SPF record cannot
// use up the time for the policy that condemns him. A question that DNS did not
// answer gives temperror, never none or fail. A panic costs that result and no
// more, and never makes a message look unsigned.
//
// SPF is evaluated by package spf, for the HELO name and for MAIL FROM at
// once. Explanations are not fetched. DKIM and ARC (packages dkim and arc) share
// the keys and one reading of the body, however many signatures there are. A
// signature that holds but leaves open what a reader sees is "policy" and speaks
// for no author: a part of the body (l=), a Subject that is not signed, a field
// that stands more often than it is signed.
//
// A stranger chooses what is asked about his message, so each check may have a
// few questions under way at a time, 24 together, and a message made to ask as
// much as it can ends at some 280: SPF of two identities 111 each, the names of
// the client 11, keys 32, and the walks of DMARC, 8 for a domain. What the cache
// has is taken from it without a goroutine.
//
// ARC is recorded, and nothing follows from it but this: where DMARC fails, a
// trusted forwarder of the settings may speak for the message (Forwarder).
// Results.Policy is what is left of the policy then, and Results.OpenPolicy what
// may be asked when DNS answers. Results.Seal adds a set to
// the chain of a message that Input.Seal announced.
package mailauth
