package scan

// rcptRules are about the fields that name recipients.
var rcptRules = []rule{
	{Rule: Rule{"MISSING_TO", "header", 0.5, "There is neither a To nor a Cc field."}, inbound: true, match: missingTo},
}
