package lists

import "strings"

// keyed reports whether the zone wants a key.
func (p preset) keyed() bool { return strings.Contains(p.list.Zone, placeholder) }

const (
	spamhausFree = "small and non-commercial use, with a resolver of one's own; not through public resolvers"
	spamhausURL  = "https://www.spamhaus.org/blocklists/dnsbl-fair-use-policy/"
	dqsFree      = "small use, after registration for a key of the Data Query Service"
	dqsURL       = "https://www.spamhaus.com/free-trial/sign-up-for-a-free-data-query-service-account/"
)

var zenCodes = []Code{
	{at(0, 0, 2), "SBL", 4, "The client's address is on Spamhaus SBL: a source of spam."},
	{at(0, 0, 3), "CSS", 4, "The client's address is on Spamhaus CSS: sends spam by its looks."},
	{span(0, 0, 4, 7), "XBL", 5, "The client's address is on Spamhaus XBL: broken into, or a robot."},
	{at(0, 0, 9), "DROP", 6, "The client's network is on Spamhaus DROP: stolen or run by spammers."},
	{span(0, 0, 10, 11), "PBL", 2.5, "The client's address is on Spamhaus PBL: it should not send mail by itself."},
	{at(0, 0, 30), "BCL", 4, "The client's address is on Spamhaus BCL: it commands a botnet."},
}

var dblCodes = []Code{
	{at(0, 1, 2), "SPAM", 5, "A domain is on Spamhaus DBL: spam."},
	{at(0, 1, 4), "PHISH", 6, "A domain is on Spamhaus DBL: phishing."},
	{at(0, 1, 5), "MALWARE", 6, "A domain is on Spamhaus DBL: malware."},
	{at(0, 1, 6), "BOTNET", 6, "A domain is on Spamhaus DBL: it commands a botnet."},
	{at(0, 1, 102), "ABUSED_SPAM", 2.5, "An honest domain is on Spamhaus DBL: abused for spam."},
	{at(0, 1, 103), "ABUSED_REDIRECT", 1.5, "A redirector is on Spamhaus DBL: abused for spam."},
	{at(0, 1, 104), "ABUSED_PHISH", 4, "An honest domain is on Spamhaus DBL: abused for phishing."},
	{at(0, 1, 105), "ABUSED_MALWARE", 4, "An honest domain is on Spamhaus DBL: abused for malware."},
	{at(0, 1, 106), "ABUSED_BOTNET", 4, "An honest domain is on Spamhaus DBL: abused to command a botnet."},
}

var surblCodes = []Code{
	{bit(8), "PHISH", 6, "A link leads to a domain on SURBL: phishing."},
	{bit(16), "MALWARE", 6, "A link leads to a domain on SURBL: malware."},
	{bit(64), "ABUSE", 5, "A link leads to a domain on SURBL: spam."},
	{bit(128), "CRACKED", 3, "A link leads to a domain on SURBL: broken into."},
}

var domainKinds = []Of{URI, Host, Helo, PTR, Sender}

// presets are the well-known lists. Codes and test entries are those that the
// lists document; the points are rspamd's scale, made smaller where a list
// takes in whole networks or honest senders.
var presets = []preset{
	{"spamhaus-zen", List{
		Name: "SPAMHAUS_ZEN", Zone: "zen.spamhaus.org", Of: []Of{Client}, Codes: zenCodes,
	}, terms{"Spamhaus", spamhausFree, spamhausURL}},
	{"spamhaus-dbl", List{
		Name: "SPAMHAUS_DBL", Zone: "dbl.spamhaus.org", Of: domainKinds, Codes: dblCodes, TestListed: "dbltest.com",
	}, terms{"Spamhaus", spamhausFree, spamhausURL}},
	{"spamhaus-dqs-zen", List{
		Name: "SPAMHAUS_ZEN", Zone: "{key}.zen.dq.spamhaus.net", Of: []Of{Client}, Codes: zenCodes,
	}, terms{"Spamhaus", dqsFree, dqsURL}},
	{"spamhaus-dqs-dbl", List{
		Name: "SPAMHAUS_DBL", Zone: "{key}.dbl.dq.spamhaus.net", Of: domainKinds, Codes: dblCodes, TestListed: "dbltest.com",
	}, terms{"Spamhaus", dqsFree, dqsURL}},
	{"spamhaus-dqs-zrd", List{
		Name: "SPAMHAUS_ZRD", Zone: "{key}.zrd.dq.spamhaus.net", Of: []Of{URI, Sender}, TestListed: none,
		Codes: []Code{{span(0, 2, 2, 24), "", 3, "A domain is on Spamhaus ZRD: seen for the first time today."}},
	}, terms{"Spamhaus", dqsFree, dqsURL}},
	{"spamhaus-dqs-hbl", List{
		Name: "SPAMHAUS_HBL", Zone: "_email.{key}.hbl.dq.spamhaus.net", Of: []Of{Email}, Hash: "sha256-base32",
		TestListed: "user@hbltest.com",
		Codes:      []Code{{at(0, 3, 2), "EMAIL", 5, "An e-mail address is on Spamhaus HBL: spammers read it."}},
	}, terms{"Spamhaus", "those whose key includes it, which is not the free one", dqsURL}},
	{"surbl", List{
		Name: "SURBL", Zone: "multi.surbl.org", Of: []Of{URI, URIAddr}, Codes: surblCodes,
		Blocked: []Answer{at(0, 0, 1)}, TestListed: "test.surbl.org",
	}, terms{"SURBL", "organizations with fewer than 1,000 users and 250,000 messages a day; not through public resolvers", "https://surbl.org/usage-policy"}},
	{"uribl", List{
		Name: "URIBL", Zone: "multi.uribl.com", Of: []Of{URI, URIAddr}, Blocked: []Answer{at(0, 0, 1)}, TestListed: "test.uribl.com",
		Codes: []Code{
			{bit(2), "BLACK", 5, "A link leads to a domain on URIBL black: spam."},
			{bit(4), "GREY", 1, "A link leads to a domain on URIBL grey: bulk mail that some call spam."},
			{bit(8), "RED", 1.5, "A link leads to a domain on URIBL red: looks like spam, not looked at yet."},
		},
	}, terms{"URIBL", "low volume; not through public resolvers", "https://uribl.com/about.shtml#abuse"}},
	{"spamcop", List{
		Name: "SPAMCOP", Zone: "bl.spamcop.net", Of: []Of{Client4},
		Codes: []Code{{at(0, 0, 2), "", 3, "The client's address is on SpamCop: users reported spam from it."}},
	}, terms{"Cisco SpamCop", "everybody; heavy use after asking", "https://www.spamcop.net/fom-serve/cache/291.html"}},
	{"barracuda", List{
		Name: "BARRACUDA", Zone: "b.barracudacentral.org", Of: []Of{Client4},
		Codes: []Code{{at(0, 0, 2), "", 3, "The client's address is on Barracuda's list: sends spam."}},
	}, terms{"Barracuda", "everybody who has registered the address of their resolver", "https://www.barracudacentral.org/rbl/how-to-use"}},
	{"dnswl", List{
		Name: "DNSWL", Zone: "list.dnswl.org", Of: []Of{Client}, Blocked: []Answer{at(0, 0, 255)},
		Codes: []Code{
			{trust(0), "NONE", 0, "The client's address is known to dnswl.org, which does not vouch for it."},
			{trust(1), "LOW", -0.5, "The client's address is on dnswl.org: seldom sends spam."},
			{trust(2), "MED", -1.5, "The client's address is on dnswl.org: hardly ever sends spam."},
			{trust(3), "HIGH", -3, "The client's address is on dnswl.org: never sends spam."},
		},
	}, terms{"dnswl.org", "non-commercial use, up to 100,000 questions a day; not through public resolvers", "https://www.dnswl.org/?page_id=110"}},
	{"mailspike", List{
		Name: "MAILSPIKE", Zone: "rep.mailspike.net", Of: []Of{Client4}, TestListed: none,
		Codes: []Code{
			{at(0, 0, 10), "WORST", 3, "The client's address has the worst reputation at Mailspike."},
			{at(0, 0, 11), "VERY_BAD", 2.5, "The client's address has a very bad reputation at Mailspike."},
			{at(0, 0, 12), "BAD", 1.5, "The client's address has a bad reputation at Mailspike."},
			{span(0, 0, 13, 16), "NEUTRAL", 0, "The client's address has no clear reputation at Mailspike."},
			{at(0, 0, 17), "POSSIBLE", 0, "The client's address may be an honest sender, says Mailspike."},
			{at(0, 0, 18), "GOOD", -0.5, "The client's address has a good reputation at Mailspike."},
			{at(0, 0, 19), "VERY_GOOD", -1, "The client's address has a very good reputation at Mailspike."},
			{at(0, 0, 20), "EXCELLENT", -1.5, "The client's address has an excellent reputation at Mailspike."},
		},
	}, terms{"Mailspike", "non-commercial use, up to 100,000 messages a day", "https://mailspike.io/"}},
	{"sem", List{
		Name: "SEM", Zone: "bl.spameatingmonkey.net", Of: []Of{Client4},
		Codes: []Code{{span(0, 0, 2, 3), "", 2, "The client's address is on Spam Eating Monkey: hit its traps."}},
	}, terms{"Spam Eating Monkey", "low volume; heavy use is cut off", "https://spameatingmonkey.com/services"}},
	{"sem-uri", List{
		Name: "SEM_URI", Zone: "uribl.spameatingmonkey.net", Of: []Of{URI}, TestListed: none,
		Codes: []Code{{at(0, 0, 2), "", 3, "A link leads to a domain on Spam Eating Monkey: seen in spam."}},
	}, terms{"Spam Eating Monkey", "low volume; heavy use is cut off", "https://spameatingmonkey.com/services"}},
	{"sem-fresh", List{
		Name: "SEM_FRESH", Zone: "fresh15.spameatingmonkey.net", Of: []Of{URI, Sender}, TestListed: none,
		Codes: []Code{{at(0, 0, 2), "", 2, "A domain was registered in the last 15 days."}},
	}, terms{"Spam Eating Monkey", "low volume; heavy use is cut off", "https://spameatingmonkey.com/services"}},
	{"msbl-ebl", List{
		Name: "MSBL_EBL", Zone: "ebl.msbl.org", Of: []Of{Email}, Hash: "sha1",
		Codes: []Code{
			{at(0, 0, 2), "", 5, "An e-mail address is on MSBL EBL: spammers read it."},
			{span(0, 1, 2, 3), "GREY", 1, "An e-mail address is on MSBL EBL's grey list."},
		},
	}, terms{"MSBL", "everybody", "https://msbl.org/ebl.html"}},
	{"blocklist-de", List{
		Name: "BLOCKLIST_DE", Zone: "bl.blocklist.de", Of: []Of{Client},
		Codes: []Code{{span(0, 0, 2, 255), "", 2.5, "The client's address is on blocklist.de: attacked other servers."}},
	}, terms{"blocklist.de", "everybody", "https://www.blocklist.de/en/rbldns.html"}},
	{"0spam", List{
		Name: "ZEROSPAM", Zone: "bl.0spam.org", Of: []Of{Client4}, TestListed: none,
		Codes: []Code{{span(0, 0, 2, 254), "", 1.5, "The client's address is on 0spam: hit its traps."}},
	}, terms{"0spam", "everybody", "https://0spam.org/"}},
	{"psbl", List{
		Name: "PSBL", Zone: "psbl.surriel.com", Of: []Of{Client4},
		Codes: []Code{{at(0, 0, 2), "", 2, "The client's address is on PSBL: hit its traps."}},
	}, terms{"PSBL", "everybody", "https://psbl.org/"}},
}
