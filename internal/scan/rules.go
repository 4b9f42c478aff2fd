package scan

import (
	"github.com/gatepost/gatepost/internal/mailauth/dmarc"
	"github.com/gatepost/gatepost/internal/verdict"
)

// Rule describes one rule for manuals and for the command line.
type Rule struct {
	// Name is what a configuration, a header and the journal call it.
	Name string
	// Group is its theme.
	Group string
	// Score is what it adds by default.
	Score float64
	// Text is one sentence for a person.
	Text string
}

// rule is a Rule with what it does.
type rule struct {
	Rule
	// inbound rules are about how strangers deliver; a mail program that
	// submits may leave those things to us (RFC 6409 §8).
	inbound bool
	// fact marks a line that is no reason: its score is always 0.
	fact bool
	// verdict and reply are for a rule that names a verdict by itself.
	verdict verdict.Verdict
	reply   string
	match   func(*facts) outcome
}

// Rules returns all rules, in the order in which they run and are shown.
func Rules() []Rule {
	out := make([]Rule, len(rules))
	for i := range rules {
		out[i] = rules[i].Rule
	}
	return out
}

// rules is the rule set. The themes and their usual weights are common
// knowledge of spam filtering; what each rule does follows the standard that
// its function cites.
var rules = []rule{
	{Rule: Rule{"GTUBE", "test", 1000, "The message holds the GTUBE test pattern."},
		verdict: verdict.Reject, reply: "this message holds the GTUBE test pattern", match: gtube},

	{Rule: Rule{"MISSING_FROM", "header", 2.5, "There is no From field."}, inbound: true, match: missing("From")},
	{Rule: Rule{"FROM_INVALID", "header", 2, "The From field holds no address that mail could go to."}, match: fromInvalid},
	{Rule: Rule{"MULTIPLE_FROM", "header", 5, "There is more than one author, so that programs show different ones."}, match: multipleFrom},
	{Rule: Rule{"FROM_NAME_ADDRESS", "header", 4, "The author's name shows an address of another organization than the real one."}, match: fromNameAddress},
	{Rule: Rule{"REPEATED_HEADERS", "header", 3, "A field that may stand once stands more often."}, match: repeatedHeaders},
	{Rule: Rule{"MISSING_DATE", "header", 1.5, "There is no Date field."}, inbound: true, match: missing("Date")},
	{Rule: Rule{"INVALID_DATE", "header", 2, "The Date field is not a date."}, inbound: true, match: invalidDate},
	{Rule: Rule{"DATE_IN_FUTURE", "header", 3, "The message is dated more than two hours from now."}, inbound: true, match: dateInFuture},
	{Rule: Rule{"DATE_IN_PAST", "header", 0.5, "The message is dated more than a week ago."}, inbound: true, match: dateInPast},
	{Rule: Rule{"MISSING_MID", "header", 2, "There is no Message-ID field."}, inbound: true, match: missing("Message-ID")},
	{Rule: Rule{"INVALID_MID", "header", 2, "The Message-ID is not of the form <left@right>."}, inbound: true, match: invalidMessageID},
	{Rule: Rule{"MISSING_TO", "header", 0.5, "There is neither a To nor a Cc field."}, inbound: true, match: missingTo},
	{Rule: Rule{"MISSING_SUBJECT", "header", 1.5, "There is no subject."}, match: missingSubject},
	{Rule: Rule{"SUBJECT_ALL_CAPS", "header", 2.5, "The subject is in capital letters."}, match: subjectAllCaps},
	{Rule: Rule{"FAKE_REPLY", "header", 0.5, "The subject says that this is an answer, and no field says to what."}, match: fakeReply},
	{Rule: Rule{"RECEIVED_ILLEGAL", "header", 3, "A Received field holds bytes that no mail server writes."}, inbound: true, match: receivedIllegal},

	{Rule: Rule{"MISSING_MIME_VERSION", "mime", 2, "The message uses MIME and does not say so."}, match: missingMIMEVersion},
	{Rule: Rule{"OUT_OF_BOUNDS", "mime", 2, "The message has more parts, nesting or header than any honest one."}, match: outOfBounds},
	{Rule: Rule{"HTML_ONLY_SHORT", "mime", 2, "There is hardly any text, only HTML with a picture or a link."}, match: htmlOnlyShort},

	{Rule: Rule{"LINK_MISMATCH", "url", 2, "A link shows the address of one organization and leads to another."}, match: linkMismatch},
	{Rule: Rule{"URL_NUMERIC", "url", 2, "A link leads to a bare IP address."}, match: urlNumeric},

	{Rule: Rule{"EXECUTABLE", "attachment", 4, "An attachment is a program or a script."}, match: executable},
	{Rule: Rule{"DOUBLE_EXTENSION", "attachment", 5, "An attachment is a program that is named like a document."}, match: doubleExtension},

	{Rule: Rule{"HELO_IP", "session", 2.5, "The client named itself by an IP address."}, inbound: true, match: heloIP},
	{Rule: Rule{"HELO_BARE", "session", 2, "The client named itself without a domain."}, inbound: true, match: heloBare},
	{Rule: Rule{"PTR_MISSING", "session", 2, "The client's address has no name that leads back to it."}, inbound: true, match: ptrMissing},
	{Rule: Rule{"PTR_UNKNOWN", "session", 0, "The name of the client's address could not be looked up."}, inbound: true, fact: true, match: ptrUnknown},

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

	{Rule: Rule{"PARTLY_SCANNED", "scan", 0, "Not all of the message was looked at."}, fact: true, match: partlyScanned},
}
