package scan

// headerRules are about the form of the header block.
var headerRules = []rule{
	{Rule: Rule{"REPEATED_HEADERS", "header", 3, "A field that may stand once stands more often."}, match: repeatedHeaders},
	{Rule: Rule{"HEADER_BROKEN", "header", 2, "The header ends in the middle."}, match: headerBroken},
	{Rule: Rule{"EMPTY_DELIMITER", "header", 0.5, "There is no blank after the colon of a field."}, inbound: true, match: emptyDelimiter},
	{Rule: Rule{"MISSING_ESSENTIAL", "header", 0.5, "Next to none of the fields is there that every message has."}, inbound: true, match: missingEssential},
	{Rule: Rule{"EMPTY_MESSAGE", "header", 0.5, "There is neither a subject nor a text."}, match: emptyMessage},
	{Rule: Rule{"TYPE_SEMICOLON", "header", 1, "The content type ends in a semicolon."}, match: typeSemicolon},
	{Rule: Rule{"MIME_VERSION_CASE", "header", 0.5, "The name of the MIME-Version field is written in an odd way."}, match: versionCase},
	{Rule: Rule{"BODY_DESCRIBED", "header", 1.5, "The text is described as \"Mail message body\", which programs for spam do."}, match: bodyDescribed},
	{Rule: Rule{"INTERSPIRE", "header", 1, "The message bears the marks of a program for newsletters that spammers like."}, match: interspire},
	{Rule: Rule{"MAILER_BULK", "header", 2, "A program for mass mail wrote the message."}, match: mailerBulk},
	{Rule: Rule{"MAILER_OLD", "header", 2, "The program that wrote the message has been out of use for years."}, match: mailerOld},
	{Rule: Rule{"OUTLOOK_FORGED", "header", 1.5, "The message says to be from Outlook and lacks what Outlook writes."}, match: outlookForged},
	{Rule: Rule{"OUTLOOK_PRIORITY", "header", 1, "The message has a priority of Outlook and is not from Outlook."}, match: outlookPriority},
	{Rule: Rule{"PRIORITY_ODD", "header", 0.5, "The priority is none of those that there are."}, match: priorityOdd},
	{Rule: Rule{"PRIORITY_HIGH", "header", 1, "A script gave the message a high priority."}, match: priorityHigh},
}
