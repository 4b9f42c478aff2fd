package scan

// scanRules are about the scan itself.
var scanRules = []rule{
	{Rule: Rule{"PARTLY_SCANNED", "scan", 0, "Not all of the message was looked at."}, fact: true, match: partlyScanned},
}
