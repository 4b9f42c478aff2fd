// Package access has the allow and deny entries that an administrator adds
// while the server runs: what they name, how they are written, and which of
// many holds for one sender and one recipient.
//
// An entry names a sender, a client, a HELO name or a client's name:
//
//	user@example.com        this address
//	example.com             this domain and all below it
//	@example.com            this domain alone
//	192.0.2.0/24            the client's network
//	helo:ylmf-pc            the HELO name, with * and ? for a glob
//	rdns:*.dyn.example.net  the verified name of the client
//	rdns:/^dsl-[0-9]+/      the same by an RE2 pattern, whatever its case
//
// It holds for the whole server, for one domain or for one mailbox. The nearer
// scope decides first: a mailbox before its domain before the server. Within a
// scope the nearer name decides, in the order of the list above with the longer
// domain or network first, and of two that are as near the one that denies.
//
// What an allow entry is worth is for its reader to say: an envelope sender is
// what a stranger typed, and the package proves nothing.
package access
