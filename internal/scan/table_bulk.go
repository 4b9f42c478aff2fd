package scan

// bulkRules are about mailing lists and bulk mail.
var bulkRules = []rule{
	{Rule: Rule{"MAILING_LIST", "bulk", -0.2, "A mailing list passes the message on."}, inbound: true, match: mailingList},
	{Rule: Rule{"BULK", "bulk", 0, "The message goes to many."}, inbound: true, fact: true, match: bulk},
	{Rule: Rule{"BULK_FREEMAIL", "bulk", 0.5, "Bulk mail comes from a mailbox that anybody gets."}, inbound: true, match: bulkFreemail},
	{Rule: Rule{"FORWARDED", "bulk", 0, "Someone passed the message on."}, inbound: true, fact: true, match: forwardedMail},
}
