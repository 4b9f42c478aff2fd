// Package lists asks DNS lists (RFC 5782) about a message: the address of its
// client, the domains and hosts in its links, the names that the client and the
// sender give, and hashes of e-mail addresses. It returns lines with points.
//
// Nobody is asked unless the configuration names the list. All questions of one
// message go out at once, under one deadline. A list has three outcomes: listed,
// not listed, and no answer; the last is a visible line of 0 points and never a
// score. What is listed adds the points of its return code, and all lines of
// one list together at most Config.MaxScore, which has to stay below the score
// that refuses a message: no list decides alone, unless it is told to.
//
// A list has to prove itself before it counts: its documented test entry has to
// be listed and another one not, at the start and once a day. Only answers in
// 127.0.0.0/8 count. One in 127.255.255.0/24, or another that the list says it
// gives to those it does not serve, switches the list off with one warning; so
// does an answer outside 127.0.0.0/8, which is what a zone gives whose name
// someone else has bought. A list that gives no answer to several messages in a
// row is left alone for a while, so that it does not cost every message its
// deadline.
//
// Bounds, by Config: links' domains, e-mail addresses and questions of one
// message, and the time. Of too many domains those in links that look odd come
// first, then those from both ends of the message in turn: a sender who fills
// the middle hides nothing.
//
// Limits: addresses behind the hosts of links are not looked up, Received lines
// are not asked about, and neither are hashes of files or of whole URLs. The
// reason in the TXT record of a listing is not fetched: it would be a second
// round trip. A key in a zone's name is seen by the resolver, and stands in its
// debug log.
package lists
