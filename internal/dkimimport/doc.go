// Package dkimimport reads how OpenDKIM and rspamd sign, and plans which of it
// Gatepost carries on.
//
// It reads files only, through an interface, and changes nothing: the plan has
// the keys to take over, the settings to write, and for everything else the
// line, why it is not carried over, and what to do instead.
//
// OpenDKIM is version 2.11 as Debian has it, observed: opendkim.conf with
// Include, Domain, Selector, KeyFile and SubDomains or KeyTable and
// SigningTable (flat files, refile: and csl:), InternalHosts. rspamd is its
// module dkim_signing as documented (3.x and 4.x): the settings of local.d and
// override.d in the part of UCL that such files use, path, selector, their maps,
// and domain blocks.
//
// Gatepost signs all mail of a domain with the keys of that domain, the author's
// own. So what is planned is found by asking a model of the other program about
// an author in each domain that its files or the caller name; where the two
// would not sign alike, the plan says so.
//
// Limits: tables in databases, LDAP, Lua or behind a URL are not read; neither
// are patterns with a bracket, which OpenDKIM takes for a regular expression.
// OpenDKIM 2.11 with MultipleSignatures makes only the first and the last of
// more than two signatures; here all that its manual promises are carried over.
package dkimimport
