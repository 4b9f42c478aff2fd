package scan

// rcptRules are about the fields that name recipients.
var rcptRules = []rule{
	{Rule: Rule{"MISSING_TO", "header", 0.5, "There is neither a To nor a Cc field."}, inbound: true, match: missingTo},
	{Rule: Rule{"UNDISCLOSED_RECIPIENTS", "header", 1, "The recipients are hidden."}, inbound: true, match: undisclosed},
	{Rule: Rule{"TO_NAMED_RECIPIENT", "header", 2, "The recipient is called by a word that fits anybody."}, inbound: true, match: recipientNamed},
	{Rule: Rule{"TO_ABSENT", "header", 1, "Nobody of the recipients' domains stands in To or Cc."}, inbound: true, match: recipientAbsent},
	{Rule: Rule{"TO_SORTED", "header", 2, "Many recipients stand in the order of the alphabet."}, match: recipientsSorted},
	{Rule: Rule{"TO_SIMILAR", "header", 1.5, "Many recipients have names that begin alike."}, match: recipientsSimilar},
	{Rule: Rule{"TO_EMPTY_NAME", "header", 1, "The recipient has an empty name."}, inbound: true, match: recipientEmptyName},
	{Rule: Rule{"TO_NAME_ADDRESS", "header", 0.5, "The recipient's name is the address."}, inbound: true, match: recipientNameIsAddress},
}
