// Package keys keeps the DKIM keys of our domains (RFC 6376, RFC 8463) and
// signs with them.
//
// A key is one PEM file, DIR/DOMAIN/SELECTOR.pem: PKCS #8, or PKCS #1 for RSA
// keys that other programs made. Only their owner may read it (0600) and
// nobody else may write in the directories; whatever is not so is a fault
// that Open and Reload report with the command that mends it, all of them at
// once, and then nothing changes: a set of keys is taken whole or not at all.
//
// The active keys of a domain sign, RSA first: verifiers that do not know
// Ed25519 take the first. A key is pending before that, and retiring and revoked
// after it; DIR/DOMAIN/states.json says so. A key that it does not name is active
// when another program made it: the admin put it there. One of ours, which bears
// our mark, or several of one algorithm without that file, are a fault: their
// states are lost, and one of them may be revoked. A copy of the file beside it
// mends that, and without the copy all of them wait until a person and the DNS
// have spoken. A rotation makes pending keys (Rotate), lets them sign in the place of
// the old ones as soon as every authoritative server has shown their records for
// as long as a cache may know better (Check), and calls for an empty p= of the
// old ones after Config.RetireAfter (Run). Every step is one rename of that
// file, so a kill leaves it done or not done, and Undo takes the last 16 steps
// back, one by one. A key whose file is gone signs no more after Reload.
//
// Limits: the servers are asked from this host only, at the addresses that it
// can reach; behind a hidden primary or a firewall Activate has to be called by
// hand. A name server that several machines answer for (anycast) is asked once.
// The TTL of an alias that is changed is not waited for.
//
// Signatures are relaxed/relaxed over a fixed list of header fields, most of
// which are oversigned (RFC 6376 §5.4.2, erratum 5839: named once more than
// they occur, so that none can be added); never with l=. A message is read and
// its body hashed once for all of its signatures. go-msgauth cannot do that, it
// takes the whole message for each signature: so the field is written here, over
// the canonical forms of internal/mailauth/dkim, and go-msgauth verifies it in
// the tests, beside dkimpy and OpenDKIM.
//
// A bare CR in a body is text (RFC 6376 §3.4.4), as it is to dkimpy; go-msgauth
// and opendkim-testmsg take it for a line end, or for a part of one, and for
// them such a body can have been changed.
package keys
