package scan

// mimeRules are about the MIME structure.
var mimeRules = []rule{
	{Rule: Rule{"MISSING_MIME_VERSION", "mime", 2, "The message uses MIME and does not say so."}, match: missingMIMEVersion},
	{Rule: Rule{"OUT_OF_BOUNDS", "mime", 2, "The message has more parts, nesting or header than any honest one."}, match: outOfBounds},
	{Rule: Rule{"MIME_HTML_ONLY", "mime", 0.3, "There is HTML and no plain text."}, match: htmlOnly},
	{Rule: Rule{"MIME_MA_MISSING_TEXT", "mime", 1, "There should be a choice of text and HTML, and the text is missing."}, match: alternativeWithoutText},
	{Rule: Rule{"MIME_MA_MISSING_HTML", "mime", 0.5, "There should be a choice of text and HTML, and the HTML is missing."}, match: alternativeWithoutHTML},
	{Rule: Rule{"R_PARTS_DIFFER", "mime", 1, "The text says something else than the HTML."}, match: partsDiffer},
	{Rule: Rule{"CTYPE_MISSING_DISPOSITION", "mime", 1.5, "A part of no known type does not say that it is an attachment, and has no name."}, match: missingDisposition},
	{Rule: Rule{"MIME_BASE64_TEXT_BOGUS", "mime", 1, "A text is in base64 that could stand as it is."}, match: needlessBase64},
	{Rule: Rule{"R_BAD_CTE_7BIT", "mime", 1, "A text says that it is plain ASCII, and is not."}, match: badSevenBit},
	{Rule: Rule{"R_MISSING_CHARSET", "mime", 0.5, "A text that is not plain ASCII does not tell its character set."}, match: missingCharset},
	{Rule: Rule{"BROKEN_CONTENT_TYPE", "mime", 1.5, "The Content-Type cannot be read."}, match: brokenContentType},
	{Rule: Rule{"BOUNDARY_UNSEEN", "mime", 1.5, "The message says that it has parts, and has none."}, match: boundaryUnseen},
	{Rule: Rule{"BAD_BASE64", "mime", 1.5, "A part says that it is base64, and is not."}, match: badBase64},
	{Rule: Rule{"NUL_BYTES", "mime", 1.5, "The message holds NUL bytes, which no mail program sends."}, match: nulBytes},
	{Rule: Rule{"BOGUS_ENCRYPTED_AND_TEXT", "mime", 3, "Encrypted parts stand between parts of HTML, which can send the plain text to somebody else."}, match: encryptedAndText},
}
