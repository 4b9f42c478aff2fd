package scan

// subjectRules are about the Subject.
var subjectRules = []rule{
	{Rule: Rule{"MISSING_SUBJECT", "header", 1.5, "There is no subject."}, match: missingSubject},
	{Rule: Rule{"SUBJECT_ALL_CAPS", "header", 2.5, "The subject is in capital letters."}, match: subjectAllCaps},
	{Rule: Rule{"FAKE_REPLY", "header", 0.5, "The subject says that this is an answer, and no field says to what."}, match: fakeReply},
}
