package policyd

import "strings"

// rewritten returns the address that Postfix makes of what a client typed before
// it asks its tables and delivers: "site!user" and "user%site" are user@site
// (trivial-rewrite(8), swap_bangpath and allow_percent_hack, both on as Postfix
// comes). The policy service is told what was typed; without this a rule about
// an address would be passed by another spelling of it. The final dot of a
// domain, which Postfix cuts off too, is mailaddr.Parse's business.
func rewritten(s string) string {
	if strings.IndexByte(s, '@') >= 0 {
		return s
	}
	if site, user, ok := strings.Cut(s, "!"); ok {
		return user + "@" + site
	}
	if at := strings.LastIndexByte(s, '%'); at >= 0 {
		return s[:at] + "@" + s[at+1:]
	}
	return s
}
