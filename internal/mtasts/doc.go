// Package mtasts finds out whether mail to a domain must go over TLS, and to
// whom: SMTP MTA Strict Transport Security (RFC 8461), the sender's side.
//
//	f, err := mtasts.New(mtasts.Deps{DNS: dns, Store: store}, log)
//	p, err := f.Find(ctx, "example.org")
//	if p.Mode == mtasts.Enforce { … p.MX … }
//
// A policy is named by the TXT record _mta-sts.DOMAIN and stands at
// https://mta-sts.DOMAIN/.well-known/mta-sts.txt. It is fetched under bounds: 64
// KB, 10 seconds for all of it, a certificate of that very name, no redirect, no
// proxy, and no address that is not of the public internet, because the domain
// is chosen by whoever writes to us or is written to. It holds for its max_age,
// 5 minutes at least and a year at most, also when the record or the server goes
// away: so RFC 8461 §5.1 has it, for else whoever can cut the line could switch
// it off. A new id in the record, or an age of a day, has it fetched again, the
// latter behind the caller's back.
//
// Policies are kept in memory in front of the store, so that a restart forgets
// none. What could not be fetched is not asked for again for 5 minutes.
//
// Limits: no reports are sent (RFC 8460). A "*" in mx covers one label (RFC 8461
// §4.1), Postfix's match lets it cover several. A policy that is not used is not
// fetched again before it ends, so mail that is rarer than max_age is each time
// like the first. Domains are taken in their A-label form.
package mtasts
