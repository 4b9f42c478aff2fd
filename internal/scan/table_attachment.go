package scan

import "github.com/gatepost/gatepost/internal/message"

// attachmentRules are about attachments: name, type and what is in them.
var attachmentRules = []rule{
	{Rule: Rule{"EXECUTABLE", "attachment", 4, "An attachment is a program or a script."}, match: executable},
	{Rule: Rule{"DOUBLE_EXTENSION", "attachment", 5, "An attachment is a program that is named like a document."}, match: doubleExtension},
	{Rule: Rule{"MACRO_EXTENSION", "attachment", 2, "An attachment is a document that can hold programs."}, match: macroExtension},
	{Rule: Rule{"MIME_BAD_ATTACHMENT", "attachment", 4, "An attachment is something else than its name or type says."}, match: badAttachment},
	{Rule: Rule{"MIME_BAD_UNICODE", "attachment", 3, "The name of an attachment holds characters that hide or turn others."}, match: badUnicode},
	{Rule: Rule{"MIME_ENCRYPTED_ARCHIVE", "attachment", 2, "An archive needs a password, so that no filter can look into it."}, match: marked(message.EncryptedArchive, message.Zip, message.RAR, message.SevenZip)},
	{Rule: Rule{"MIME_ARCHIVE_IN_ARCHIVE", "attachment", 2, "An archive holds another archive."}, match: marked(message.NestedArchive, message.Zip)},
	{Rule: Rule{"EXE_IN_ARCHIVE", "attachment", 2.5, "An archive holds a program or a script."}, match: marked(message.ArchivedProgram, message.Zip, message.RAR)},
	{Rule: Rule{"SINGLE_FILE_ARCHIVE_WITH_EXE", "attachment", 4, "An archive holds a program and nothing else."}, match: marked(message.OnlyProgram, message.Zip)},
	{Rule: Rule{"EXE_ARCHIVE_CLICKBAIT", "attachment", 4, "A program in an archive comes as an invoice, a payment or a document."}, match: clickbait},
	{Rule: Rule{"MISIDENTIFIED_ARCHIVE", "attachment", 3, "An archive is named like an archive of another kind, or like a document."}, match: misidentified},
	{Rule: Rule{"OFFICE_MACRO", "attachment", 3, "An Office document holds a program."}, match: marked(message.Macro, message.Zip, message.OLE)},
	{Rule: Rule{"EMBEDDED_OBJECT", "attachment", 2.5, "A document holds another file that starts with a click."}, match: marked(message.EmbeddedObject, message.RTF, message.OLE)},
	{Rule: Rule{"HTML_ATTACHMENT_ACTIVE", "attachment", 3, "An attached page runs a script on the reader's own disk."}, match: marked(message.ActiveHTML, message.HTML, message.Other)},
	{Rule: Rule{"HTML_ATTACHMENT_FORM", "attachment", 3, "An attached page has a form."}, match: marked(message.HTMLForm, message.HTML, message.Other)},
	{Rule: Rule{"SVG_SCRIPT", "attachment", 4, "An attached drawing holds a script or a form."}, match: svgScript},
	{Rule: Rule{"PDF_ACTIVE", "attachment", 2, "An attached PDF runs a script or a program."}, match: pdfActive},
	{Rule: Rule{"PDF_ENCRYPTED", "attachment", 0.3, "An attached PDF is encrypted."}, match: marked(message.PDFEncrypted, message.PDF)},
}
