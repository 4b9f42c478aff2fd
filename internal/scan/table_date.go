package scan

// dateRules are about Date and Message-ID.
var dateRules = []rule{
	{Rule: Rule{"MISSING_DATE", "header", 1.5, "There is no Date field."}, inbound: true, match: missing("Date")},
	{Rule: Rule{"INVALID_DATE", "header", 2, "The Date field is not a date."}, inbound: true, match: invalidDate},
	{Rule: Rule{"DATE_IN_FUTURE", "header", 3, "The message is dated more than two hours from now."}, inbound: true, match: dateInFuture},
	{Rule: Rule{"DATE_IN_PAST", "header", 0.5, "The message is dated more than a week ago."}, inbound: true, match: dateInPast},
	{Rule: Rule{"MISSING_MID", "header", 2, "There is no Message-ID field."}, inbound: true, match: missing("Message-ID")},
	{Rule: Rule{"INVALID_MID", "header", 2, "The Message-ID is not of the form <left@right>."}, inbound: true, match: invalidMessageID},
}
