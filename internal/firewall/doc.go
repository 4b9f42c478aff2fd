// Package firewall keeps bans in the kernel's nftables. That takes
// CAP_NET_ADMIN, which Gatepost itself never has: a helper in a unit of its own
// does it, without settings and without a network of its own, and knows five
// things only.
//
// The protocol is lines over a Unix socket, a request and its answer after the
// other:
//
//	sync 2                                     (two lines follow)
//	203.0.113.7/32 imap,pop3,submission 600
//	2001:db8::/64 imap 86400
//	                                           ok
//	ban 198.51.100.0/24 submission 3600        ok
//	lift 203.0.113.7/32                        ok
//	list                                       ok 2   (two lines follow)
//	off                                        ok
//
// The helper answers one user id, which the kernel tells it. It refuses
// networks that are loopback, unspecified, multicast or wider than a /8 (IPv4)
// or a /16 (IPv6), and knows services by name only: submission (465, 587), imap
// (143, 993), pop3 (110, 995), sieve (4190) and web (80, 443). Port 25 has no
// name, so that no request can close it.
//
// In the kernel that is one table, inet gatepost, with a set for each service
// and IP version. An element ends by itself, so a helper or a Gatepost that is
// down leaves no ban behind for ever, and lifts none either. The rules drop at
// the hook prerouting, before any address is translated, what is for this host
// or for a container that it publishes: what is only routed through passes.
//
// A connection begins with sync, which replaces all that was there in one
// transaction; there is no moment without the bans that stay. While somebody is
// connected, the helper looks every few seconds whether the table is still
// whole, and puts it back after "nft flush ruleset".
//
// Networks may lie in one another. An interval set takes no two elements that
// overlap, so what is loaded are ranges, each with the end of the ban that
// lasts longest there.
//
// Limits: at most MaxBans networks, the others are refused; a connection that
// is established goes on (its packets are dropped too, so it hangs); a set is
// put back within checkTime after a flush, not at once.
package firewall
