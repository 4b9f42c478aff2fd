package scan

// mimeRules are about the MIME structure.
var mimeRules = []rule{
	{Rule: Rule{"MISSING_MIME_VERSION", "mime", 2, "The message uses MIME and does not say so."}, match: missingMIMEVersion},
	{Rule: Rule{"OUT_OF_BOUNDS", "mime", 2, "The message has more parts, nesting or header than any honest one."}, match: outOfBounds},
}
