// Package keys keeps the DKIM keys of our domains (RFC 6376, RFC 8463) and
// signs with them.
//
// A key is one PEM file, DIR/DOMAIN/SELECTOR.pem: PKCS #8, or PKCS #1 for RSA
// keys that other programs made. Only their owner may read it (0600) and
// nobody else may write in the directories; whatever is not so is a fault
// that Open and Reload report with the command that mends it, all of them at
// once, and then nothing changes: a set of keys is taken whole or not at all.
//
// Every key of a domain signs, RSA first: verifiers that do not know Ed25519
// take the first, and a key that is not published yet does no harm beside one
// that is. A key stops signing when its file is gone and Reload was called.
// States between (pending, retiring, revoked) are not known yet.
//
// Signatures are relaxed/relaxed over a fixed list of header fields, most of
// which are oversigned (RFC 6376 §5.4.2, erratum 5839: named once more than
// they occur, so that none can be added); never with l=.
package keys
