package scan

// htmlRules are about what HTML hides.
var htmlRules = []rule{
	{Rule: Rule{"HTML_ONLY_SHORT", "mime", 2, "There is hardly any text, only HTML with a picture or a link."}, match: htmlOnlyShort},
}
