// Package mailauth finds out who sent a message: iprev (RFC 8601 §3), SPF
// (RFC 7208) and DKIM (RFC 6376, RFC 8301, RFC 8463). The results are values
// of their own types, which the other parts read; no part reads them out of a
// header field again. Package authres writes them into one.
//
// All checks run at once within one deadline. A question that DNS did not
// answer gives temperror, never none or fail. A panic in a library costs that
// result and no more.
//
// SPF is evaluated by package spf, for the HELO name and for MAIL FROM at
// once. Explanations are not fetched.
//
// DKIM signatures are verified by go-msgauth, one call for each signature,
// behind bounds of ours: the first 8 signatures, 200 names in h=, 1,000 header
// fields, RSA keys of 8192 bits, and an end to runs of empty lines, on which its
// simple canonicalization would spend quadratic time. Each signature reads the
// body for itself. Signatures with l= are "policy". What it does not do: i= and d=
// must agree in upper and lower case; quoted-printable in i= is not decoded;
// U-labels in d= and s= (RFC 8616) are permerror; a tag whose value holds "b="
// is read as if that were the signature (the result is then fail); a signature
// that covers other DKIM-Signature fields is neutral.
package mailauth
