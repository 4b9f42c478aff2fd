package scan

import "github.com/gatepost/gatepost/internal/mailauth/dmarc"

// authRules are about the results of authentication.
var authRules = []rule{
	{Rule: Rule{"SPF_PASS", "auth", -0.2, "The envelope sender's domain allows this client (SPF)."}, inbound: true, match: spfPass},
	{Rule: Rule{"SPF_FAIL", "auth", 3, "The envelope sender's domain forbids this client (SPF)."}, inbound: true, match: spfFail},
	{Rule: Rule{"SPF_SOFTFAIL", "auth", 1, "The envelope sender's domain thinks that this client is not its own (SPF)."}, inbound: true, match: spfSoftFail},
	{Rule: Rule{"SPF_UNKNOWN", "auth", 0, "SPF could not be checked for now."}, inbound: true, fact: true, match: spfUnknown},
	{Rule: Rule{"DKIM_PASS", "auth", -0.2, "A signature proves a domain that answers for the message (DKIM)."}, inbound: true, match: dkimPass},
	{Rule: Rule{"DKIM_FAIL", "auth", 1, "The message bears signatures, and none of them is right (DKIM)."}, inbound: true, match: dkimFail},
	{Rule: Rule{"DKIM_UNKNOWN", "auth", 0, "A signature could not be checked for now (DKIM)."}, inbound: true, fact: true, match: dkimUnknown},
	// p=reject marks alone, as RFC 9989 §7.4 wants, whatever the passes of a
	// mailing list take off; with SPF_FAIL and DKIM_FAIL, which a plain forward of
	// honest mail may have too, it is still 4 points below a refusal. p=none must
	// not change anything (§5.4): a fact.
	{Rule: Rule{"DMARC_PASS", "auth", -0.2, "The domain in From vouches for the message (DMARC)."}, inbound: true, match: dmarcPass},
	{Rule: Rule{"DMARC_FAIL_REJECT", "auth", 7, "The domain in From does not vouch for the message, and asks to reject such mail (DMARC)."}, inbound: true, match: dmarcFail(dmarc.Reject)},
	{Rule: Rule{"DMARC_FAIL_QUARANTINE", "auth", 3.5, "The domain in From does not vouch for the message, and asks to put such mail aside (DMARC)."}, inbound: true, match: dmarcFail(dmarc.Quarantine)},
	{Rule: Rule{"DMARC_FAIL_NONE", "auth", 0, "The domain in From does not vouch for the message, and asks for nothing (DMARC)."}, inbound: true, fact: true, match: dmarcFail(dmarc.None)},
	{Rule: Rule{"DMARC_FROM_UNCLEAR", "auth", 2, "Readers may differ about whose the From field is, so that no domain can vouch (DMARC)."}, inbound: true, match: dmarcUnclear},
	{Rule: Rule{"DMARC_UNKNOWN", "auth", 0, "DMARC could not be checked for now."}, inbound: true, fact: true, match: dmarcUnknown},
	{Rule: Rule{"FORWARDED_TRUSTED", "auth", 0, "The domain in From does not vouch for the message, and a trusted forwarder does."}, inbound: true, fact: true, match: forwardedTrusted},
	{Rule: Rule{"AUTH_NONE", "auth", 1, "No domain answers for the message: no SPF, no DKIM, no DMARC."}, inbound: true, match: authNone},
	{Rule: Rule{"SPF_FAIL_DIRECT", "auth", 2, "The envelope sender's domain does not know this client, and nobody stands between."}, inbound: true, match: directSPF},
	{Rule: Rule{"FREEMAIL_FORGED", "auth", 3, "The author's provider signs all its mail, and not this one."}, inbound: true, match: freemailForged},
	{Rule: Rule{"ENVELOPE_OTHER", "auth", 0.3, "Another organization sends the message than the author's, which does not vouch for it."}, inbound: true, match: envelopeOther},
	{Rule: Rule{"ENVELOPE_NOT_FQDN", "auth", 2, "The envelope sender has no domain that exists."}, inbound: true, match: envelopeNotFQDN},
}
