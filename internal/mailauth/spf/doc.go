// Package spf says whether a domain lets a client send in its name
// (RFC 7208). It is strict about syntax: one fault anywhere in a record is
// permerror, before any of its terms is looked at (§4.6).
//
// Parse turns a record into typed terms, and Record.String writes them again;
// both are pure. A Checker asks DNS and evaluates:
//
//	c := spf.New(dns, "mx.example.org")
//	client := spf.Client{Addr: addr, Helo: "mail.example.net"}
//	helo := c.Helo(ctx, client)
//	from := helo.AsMailFrom() // for a null reverse-path
//	if !mailFrom.IsNull() {
//		from = c.MailFrom(ctx, client, mailFrom)
//	}
//
// The two identities of §2.3 and §2.4 have types of their own, so that one is
// not taken for the other by mistake.
//
// What one check may cost (§4.6.4): 10 terms that ask DNS (include, a, mx,
// ptr, exists, redirect; %{p} counts when it asks), 10 hosts for each mx, the
// first 10 names of the client's address, and 2 terms whose look-ups found
// nothing. Beyond the RFC: a record has at most 8192 terms, the macros of one
// check expand to at most 64 KiB, and an explanation of more than 500 octets
// is left out.
//
// Where the RFC leaves a choice:
//   - A name that DNS cannot hold (an empty label, one of more than 63 octets)
//     does not match, and is not asked for (§4.8). Under include and redirect
//     it is permerror, as "none" is.
//   - A term counts once as a void look-up, when all that it asked for was
//     empty. The client's own names (ptr, %{p}) never count: the sender has
//     no say in them.
//   - One host of an mx without an answer does no harm when another matches.
//   - The names of the client are looked up once in a check.
//   - %{c}, %{r} and %{t} are faults outside of explanations (§7.2), in
//     unknown modifiers too.
//   - A mechanism with %{s} or %{l} does not match when the local part is not
//     ASCII (RFC 8616 §4).
package spf
