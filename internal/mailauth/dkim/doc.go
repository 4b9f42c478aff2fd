// Package dkim verifies DKIM signatures (RFC 6376, RFC 8301, RFC 8463) of a
// scanned message, and holds what ARC (package arc) shares with them: tag
// lists, canonicalization, key records, one reading of the body.
//
// The order of work lets DNS and the disk run at the same time:
//
//	m := dkim.NewMessage(raw)
//	keys := dkim.NewKeys(resolver)
//	defer keys.Wait()
//	v := dkim.Start(ctx, m, keys, now) // asks for every key
//	m.ReadBody(ctx, body)              // hashes the body once for all
//	results := v.Results()
//
// Bounds, so that time stays linear in the message: 8 signatures, 100 tags and
// 200 signed names in each, 32 names of keys in a message, 4 key records at a
// name and 16 of a message beside the first of each name, RSA keys of 1024 to
// 4096 bits with an odd exponent from 3 to 2^31-1. Each of the two canonicalizations
// runs over the body at most once, however many signatures and body lengths
// there are.
//
// Lines end in CRLF; a bare LF counts as CRLF. A CR without LF is a character
// of a body; in a relaxed header field it is white space, as for most signers.
//
// What is refused on purpose: rsa-sha1 (RFC 8301 §3.1), the drafts before
// RFC 4871 (no v=, c=nowsp, q=dns), g= of keys, which RFC 6376 dropped, is not
// looked at. Limits: domains and selectors in U-labels (RFC 8616) are
// permerror; every hash is SHA-256, as in all that is in use.
package dkim
