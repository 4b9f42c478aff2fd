package scan

// senderRules are about who the author says to be.
var senderRules = []rule{
	{Rule: Rule{"MISSING_FROM", "header", 2.5, "There is no From field."}, inbound: true, match: missing("From")},
	{Rule: Rule{"FROM_INVALID", "header", 2, "The From field holds no address that mail could go to."}, match: fromInvalid},
	{Rule: Rule{"MULTIPLE_FROM", "header", 5, "There is more than one author, so that programs show different ones."}, match: multipleFrom},
	{Rule: Rule{"FROM_NAME_ADDRESS", "header", 4, "The author's name shows an address of another organization than the real one."}, match: fromNameAddress},
}
