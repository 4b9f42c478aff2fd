package scan

// headerRules are about the form of the header block.
var headerRules = []rule{
	{Rule: Rule{"REPEATED_HEADERS", "header", 3, "A field that may stand once stands more often."}, match: repeatedHeaders},
}
