package scan

// subjectRules are about the Subject.
var subjectRules = []rule{
	{Rule: Rule{"MISSING_SUBJECT", "header", 1.5, "There is no subject."}, match: missingSubject},
	{Rule: Rule{"SUBJECT_ALL_CAPS", "header", 2.5, "The subject is in capital letters."}, match: subjectAllCaps},
	{Rule: Rule{"FAKE_REPLY", "header", 0.5, "The subject says that this is an answer, and no field says to what."}, match: fakeReply},
	{Rule: Rule{"SUBJECT_LONG", "header", 1, "The subject is longer than 200 characters."}, match: subjectLong},
	{Rule: Rule{"SUBJECT_URL", "header", 1.5, "There is a link in the subject."}, match: subjectURL},
	{Rule: Rule{"SUBJECT_CURRENCY", "header", 0.5, "The subject names a sum of money."}, match: subjectCurrency},
	{Rule: Rule{"SUBJECT_ENCODED", "header", 1, "The subject is encoded in base64 though it is plain text."}, match: subjectEncoded},
	{Rule: Rule{"SUBJECT_SPACES", "header", 0.3, "The subject ends in blanks."}, match: subjectSpaces},
	{Rule: Rule{"SUBJECT_TAG", "header", 2, "A random word stands behind a gap in the subject."}, match: subjectTag},
	{Rule: Rule{"SUBJECT_RECIPIENT", "header", 1.5, "The subject calls the recipient by the address."}, inbound: true, match: subjectRecipient},
	{Rule: Rule{"SUBJECT_PICTURE", "header", 0.5, "There is a picture among the letters of the subject."}, match: subjectPicture},
	{Rule: Rule{"SUBJECT_SPACED", "header", 2, "A word of the subject is spaced out letter by letter."}, match: subjectSpaced},
	{Rule: Rule{"SUBJECT_MARKS", "header", 0.5, "The subject has doubled marks: !!, ?? or $$."}, match: subjectMarks},
	{Rule: Rule{"HEADER_HIDDEN", "header", 2, "Subject or author's name hold characters that nobody sees."}, match: headerHidden},
	{Rule: Rule{"HEADER_MIXED_SCRIPT", "header", 3, "A word of the subject or the author's name mixes letters of scripts that look alike."}, match: headerMixed},
}
