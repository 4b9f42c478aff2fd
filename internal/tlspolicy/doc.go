// Package tlspolicy answers how Postfix has to use TLS towards a next hop, in
// the words of smtp_tls_policy_maps (postconf(5)).
//
// The first that has something to say wins:
//
//  1. the administrator's own list, exact next hops first, then the domain,
//     then its parents with a leading dot;
//  2. DANE (RFC 7672): the mail exchangers are known with DNSSEC, and so are
//     TLSA records that can be used. "dane-only" if all hosts have them, "dane"
//     if some do or if one could not be asked: Postfix looks again for each host
//     and waits with the mail, as RFC 7672 §2.1.3 wants;
//  3. MTA-STS (RFC 8461, package mtasts): "secure" with the names of the
//     policy, if its mode is enforce.
//
// Else there is no answer, and smtp_tls_security_level holds. DNS that does not
// answer for the mail exchangers is an error: the mail waits, for it could not
// be delivered anyway.
//
// DNSSEC is a matter of the resolver: package resolver believes the AD bit of a
// server on this host, or of all with trust_ad. Postfix needs
// smtp_dns_support_level = dnssec, else "dane" is as good as nothing and
// "dane-only" stops the mail.
//
// Limits: a next hop in brackets or with a port is looked up in the own list
// only. Of a domain's mail exchangers the first ten are looked at. Answers are
// kept for a minute.
package tlspolicy
