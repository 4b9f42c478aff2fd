package scan

// linkRules are about links.
var linkRules = []rule{
	{Rule: Rule{"LINK_MISMATCH", "url", 2, "A link shows the address of one organization and leads to another."}, match: linkMismatch},
	{Rule: Rule{"URL_NUMERIC", "url", 2, "A link leads to a bare IP address."}, match: urlNumeric},
}
