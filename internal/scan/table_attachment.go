package scan

// attachmentRules are about attachments, by name and type.
var attachmentRules = []rule{
	{Rule: Rule{"EXECUTABLE", "attachment", 4, "An attachment is a program or a script."}, match: executable},
	{Rule: Rule{"DOUBLE_EXTENSION", "attachment", 5, "An attachment is a program that is named like a document."}, match: doubleExtension},
}
