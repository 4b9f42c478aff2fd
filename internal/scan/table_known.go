package scan

// knownRules are about what is remembered of the sender. No corpus holds these
// facts: their scores are reasoned.
var knownRules = []rule{
	{Rule: Rule{"REPLY_KNOWN", "known", -4, "The message answers one that a recipient sent."}, inbound: true, match: replyKnown},
	{Rule: Rule{"CORRESPONDENT", "known", -2, "A recipient has written to the author."}, inbound: true, match: correspondent},
	{Rule: Rule{"REPLY_UNKNOWN", "known", 1.5, "The message says to answer one of ours that nobody sent."}, inbound: true, match: replyUnknown},
	{Rule: Rule{"FIRST_TIME_SENDER", "known", 0, "Nobody here had mail from this author before."}, inbound: true, fact: true, match: firstTime},
	{Rule: Rule{"FIRST_TIME_SUSPICIOUS", "known", 1.5, "Nobody here had mail from this author before, who hides something."}, inbound: true, match: firstSuspicious},
	{Rule: Rule{"OWN_NAME_IMPERSONATION", "known", 4, "The author bears the name of a user of ours and writes from elsewhere."}, inbound: true, match: ownName},
	{Rule: Rule{"REPUTATION_DOMAIN_BAD", "known", 4, "Earlier mail of the author's domain was spam."}, inbound: true, match: reputation("domain", 1)},
	{Rule: Rule{"REPUTATION_DOMAIN_GOOD", "known", -1.5, "Earlier mail of the author's domain was wanted."}, inbound: true, match: reputation("domain", -1)},
	{Rule: Rule{"REPUTATION_NETWORK_BAD", "known", 2, "Earlier mail of the client's network was spam."}, inbound: true, match: reputation("network", 1)},
	{Rule: Rule{"REPUTATION_NETWORK_GOOD", "known", -0.5, "Earlier mail of the client's network was wanted."}, inbound: true, match: reputation("network", -1)},
}
