package scan

import "slices"

// senderRules are about who the author says to be.
var senderRules = slices.Concat(authorRules, impersonationRules)

// authorRules are about what the fields about the author say.
var authorRules = []rule{
	{Rule: Rule{"MISSING_FROM", "header", 2.5, "There is no From field."}, inbound: true, match: missing("From")},
	{Rule: Rule{"FROM_INVALID", "header", 2, "The From field holds no address that mail could go to."}, match: fromInvalid},
	{Rule: Rule{"MULTIPLE_FROM", "header", 5, "There is more than one author, so that programs show different ones."}, match: multipleFrom},
	{Rule: Rule{"FROM_NAME_ADDRESS", "header", 3, "The author's name shows an address of another organization than the real one."}, match: fromNameAddress},
	{Rule: Rule{"FROM_NOT_FQDN", "header", 1.5, "The author's domain cannot exist."}, inbound: true, match: fromNotFQDN},
	{Rule: Rule{"FROM_URL", "header", 0.5, "There is a link in the author's name."}, match: fromURL},
	{Rule: Rule{"FROM_TITLE", "header", 1, "The author's name begins with a title."}, match: fromTitle},
	{Rule: Rule{"FROM_SPACES", "header", 0.5, "There are gaps in the author's name."}, match: fromSpaces},
	{Rule: Rule{"FROM_GLUED", "header", 0.5, "The author's name and address stand without a blank between them."}, inbound: true, match: fromGlued},
	{Rule: Rule{"FROM_ENCODED", "header", 1, "The author's name is encoded in base64 though it is plain text."}, match: fromEncoded},
	{Rule: Rule{"FROM_DIGITS", "header", 0.5, "The author's address is full of digits."}, match: fromDigits},
	{Rule: Rule{"FROM_PICTURE", "header", 0.5, "There is a picture in the author's name."}, match: fromPicture},
	{Rule: Rule{"FROM_IS_RECIPIENT", "header", 1, "The message says that its own recipient wrote it."}, inbound: true, match: fromIsRecipient},
	{Rule: Rule{"SENDER_WWW", "header", 0.3, "The sender's domain is the name of a web site."}, inbound: true, match: senderWWW},
	{Rule: Rule{"INFO_TO_INFO", "header", 0.5, "Bulk mail from an info address to an info address."}, inbound: true, match: infoToInfo},
	{Rule: Rule{"REPLY_FREEMAIL", "header", 3, "Answers shall go to a mailbox that anybody gets, not to the author."}, match: replyFreemail},
	{Rule: Rule{"REPLY_OTHER_FREEMAIL", "header", 2, "Author and reply address are mailboxes of two providers where anybody gets one."}, match: replyOtherFreemail},
	{Rule: Rule{"REPLY_OTHER", "header", 0.5, "Answers shall go to another organization."}, match: replyOther},
	{Rule: Rule{"REPLY_INVALID", "header", 1, "The Reply-To field holds no address."}, match: replyInvalid},
	{Rule: Rule{"RECEIPT_ELSEWHERE", "header", 0.5, "A receipt of reading shall go to another organization."}, match: receiptElsewhere},
	{Rule: Rule{"ADVANCE_FEE_HEADER", "header", 3, "A mailbox that anybody gets, hidden recipients, and a title or a sum of money."}, match: advance},
	{Rule: Rule{"HEADER_RAW_BYTES", "header", 1.5, "A field holds bytes that are no text."}, match: rawBytes},
	{Rule: Rule{"HEADER_RAW_UTF8", "header", 1, "A field holds letters that are not encoded."}, inbound: true, match: rawUTF8},
}
