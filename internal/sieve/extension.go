package sieve

// implied names what an extension includes by its standard.
var implied = map[string][]string{
	"spamtestplus":            {"spamtest"}, // RFC 5235 §2
	"vacation-seconds":        {"vacation"}, // RFC 6131 §2
	"vnd.dovecot.environment": {"environment"},
}

// extensions are all that a script can require, in the order in which
// ManageSieve tells them. Three comparators are always
// there, and may be required all the same (RFC 5228 §2.7.3).
var extensions = []string{
	"fileinto", "reject", "ereject", "envelope", "encoded-character", "vacation", "vacation-seconds", "subaddress",
	"comparator-i;ascii-numeric", "relational", "regex", "imap4flags", "copy",
	"include", "variables", "body", "enotify", "environment", "mailbox", "special-use", "date", "index", "ihave",
	"duplicate", "mime", "foreverypart", "extracttext", "editheader", "extlists", "spamtest", "spamtestplus",
	"virustest", "vnd.dovecot.debug", "vnd.dovecot.environment",
}

// Extensions returns the names of all extensions that scripts can require. An
// administrator may allow fewer (Options.Extensions).
func Extensions() []string { return append([]string(nil), extensions...) }

// NotifyMethods returns the URI schemes that notify understands, as ManageSieve
// tells them.
func NotifyMethods() []string { return []string{"mailto"} }

// basic are names that need no permission.
var basic = map[string]bool{"comparator-i;octet": true, "comparator-i;ascii-casemap": true, "comparator-i;unicode-casemap": true}
