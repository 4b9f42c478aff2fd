package scan

// dateRules are about Date and Message-ID.
var dateRules = []rule{
	{Rule: Rule{"MISSING_DATE", "header", 1.5, "There is no Date field."}, inbound: true, match: missing("Date")},
	{Rule: Rule{"INVALID_DATE", "header", 2, "The Date field is not a date."}, inbound: true, match: invalidDate},
	{Rule: Rule{"DATE_IN_FUTURE", "header", 3, "The message is dated more than two hours from now."}, inbound: true, match: dateInFuture},
	{Rule: Rule{"DATE_IN_PAST", "header", 0.5, "The message is dated more than a week ago."}, inbound: true, match: dateInPast},
	{Rule: Rule{"DATE_BAD_ZONE", "header", 1.5, "The time zone of the Date field does not exist."}, inbound: true, match: dateBadZone},
	{Rule: Rule{"MISSING_MID", "header", 2, "There is no Message-ID field."}, inbound: true, match: missing("Message-ID")},
	{Rule: Rule{"INVALID_MID", "header", 2, "The Message-ID is not of the form <left@right>."}, inbound: true, match: invalidMessageID},
	{Rule: Rule{"MID_BARE_IP", "header", 2, "The Message-ID ends in a bare IP address."}, inbound: true, match: midBareIP},
	{Rule: Rule{"MID_NOT_FQDN", "header", 0.3, "The Message-ID ends in a name without a domain."}, inbound: true, match: midNotFQDN},
	{Rule: Rule{"MID_IS_USER", "header", 1.5, "The Message-ID ends in the author's user name, where a domain belongs."}, inbound: true, match: midIsUser},
	{Rule: Rule{"MID_HAS_TO", "header", 1, "The Message-ID holds the recipient's address."}, inbound: true, match: midHasTo},
	{Rule: Rule{"MID_OF_RECIPIENT", "header", 1, "The Message-ID is made up under the recipient's domain."}, inbound: true, match: midOfRecipient},
	{Rule: Rule{"MID_GMAIL_FORGED", "header", 0.5, "The Message-ID is one of Gmail, and Gmail has not handled the message."}, inbound: true, match: midGoogle},
	{Rule: Rule{"MID_PROVIDER_FORGED", "header", 1, "The Message-ID is one of a provider that is neither the author's nor on the way."}, inbound: true, match: midOfProvider},
	{Rule: Rule{"MID_GOOGLE_MISSING", "header", 0.5, "Google noted that the message came without a Message-ID."}, inbound: true, match: midGoogleAdded},
	{Rule: Rule{"MID_GOOGLE_BROKEN", "header", 0.5, "Google noted that the message came with a broken Message-ID."}, inbound: true, match: midGoogleBroken},
	{Rule: Rule{"MID_STAMPED", "header", 3, "The Message-ID is of the form that a program for spam writes."}, inbound: true, match: midStamped},
	{Rule: Rule{"MID_NUMBER", "header", 1, "The Message-ID is one long number."}, inbound: true, match: midNumber},
}
