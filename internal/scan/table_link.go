package scan

import "github.com/gatepost/gatepost/internal/link"

// linkRules are about links.
var linkRules = []rule{
	{Rule: Rule{"LINK_MISMATCH", "url", 2, "A link shows the address of one organization and leads to another."}, match: linkMismatch},
	{Rule: Rule{"OMOGRAPH_URL", "url", 5, "A link leads to a name in other letters that looks like a plain one."}, match: omograph},
	{Rule: Rule{"URL_HOMOGRAPH_ATTACK", "url", 3, "The name of a host mixes letters of different scripts."}, match: mixedHost},
	{Rule: Rule{"URL_RTL_OVERRIDE", "url", 5, "A link turns the direction of writing, so that it reads as another."}, match: oddLink(link.Turned)},
	{Rule: Rule{"URL_ZERO_WIDTH_SPACES", "url", 5, "The name of a host holds characters that nobody sees."}, match: oddLink(link.Invisible)},
	{Rule: Rule{"URL_NUMERIC", "url", 2, "A link leads to a bare IP address."}, match: urlNumeric},
	{Rule: Rule{"URL_NUMERIC_DISGUISED", "url", 3, "A link leads to an IP address that is written so that nobody knows it for one."}, match: oddLink(link.Disguised)},
	{Rule: Rule{"URL_USER_PASSWORD", "url", 2.5, "A link names a user in front of the host, which may look like the host itself."}, match: urlUser},
	{Rule: Rule{"URL_MULTIPLE_AT_SIGNS", "url", 3, "A link has several at signs before its host."}, match: oddLink(link.ManyAt)},
	{Rule: Rule{"URL_BACKSLASH_PATH", "url", 2, "A link has backslashes, which a browser takes for slashes and a filter may not."}, match: oddLink(link.Backslash)},
	{Rule: Rule{"URL_SPLIT", "url", 1.5, "A link has a line end or tab within its host."}, match: oddLink(link.Split)},
	{Rule: Rule{"URL_ENCODED_HOST", "url", 3, "The host of a link is written in percent signs."}, match: oddLink(link.Encoded)},
	{Rule: Rule{"URL_EXCESSIVE_DOTS", "url", 1.5, "The host of a link has very many labels."}, match: urlDots},
	{Rule: Rule{"URL_ODD_PORT", "url", 1, "A link leads to a port that no public site uses."}, match: urlPort},
	{Rule: Rule{"URL_SUSPICIOUS_TLD", "url", 1.5, "A link leads to a top-level domain that spammers like for its price."}, match: urlTLD},
	{Rule: Rule{"HAS_IPFS_GATEWAY_URL", "url", 4, "A link leads to content at IPFS, which nobody can take down."}, match: service(link.IPFS)},
	{Rule: Rule{"STORAGE_URL", "url", 1, "A link leads to a page in a storage bucket of a cloud."}, match: storage},
	{Rule: Rule{"REDIRECTOR_URL", "url", 1, "A link uses a great site as a way to another one."}, match: service(link.Redirector)},
	{Rule: Rule{"SHORTENER_URL", "url", 0.8, "A link hides where it leads behind a shortener."}, match: shortener},
	{Rule: Rule{"FREE_SITE_URL", "url", 0.8, "A link leads to a page that anybody makes in a minute."}, match: service(link.FreeSite)},
	{Rule: Rule{"FILE_HOST_URL", "url", 0.8, "A link leads to a file of an unknown person."}, match: service(link.FileHost)},
	{Rule: Rule{"HAS_FILE_URL", "url", 1, "A link leads to a file of the reader's own disk or network."}, match: fileURL},
	{Rule: Rule{"URL_ONLY", "url", 2, "The whole text is a link."}, match: urlOnly},
	{Rule: Rule{"HTTP_TO_HTTPS", "url", 0.5, "A link shows a secure address and leads to an insecure one."}, match: httpToHTTPS},
	{Rule: Rule{"HACKED_SITE_URL", "url", 2, "A link leads into the inside of a web application, where only a break-in puts pages."}, match: hackedSite},
	{Rule: Rule{"URI_HIDDEN_PATH", "url", 0.5, "A link leads into a hidden folder of a web site."}, match: hiddenPath},
	{Rule: Rule{"RCPT_IN_FRAGMENT", "url", 2, "A link carries the recipient's address where only a script of the page reads it."}, match: rcptInFragment},
}
