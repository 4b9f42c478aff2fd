package password

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
)

// maxSalt bounds the salt that stands behind a digest.
const maxSalt = 64

// digest is a scheme that hashes the password once, with a salt behind it or
// without. Its value is the sum and the salt, in base64.
type digest struct {
	hash   func() hash.Hash
	size   int
	salted bool
}

var digests = map[Scheme]digest{
	SSHA512:  {sha512.New, sha512.Size, true},
	SSHA256:  {sha256.New, sha256.Size, true},
	SSHA:     {sha1.New, sha1.Size, true},
	SMD5:     {md5.New, md5.Size, true},
	SHA512:   {sha512.New, sha512.Size, false},
	SHA256:   {sha256.New, sha256.Size, false},
	SHA1:     {sha1.New, sha1.Size, false},
	PlainMD5: {md5.New, md5.Size, false},
}

// parseDigest reads a digest. One without a salt that has the length of its hex
// form is in hex, as Dovecot has it: PLAIN-MD5 is written so.
func parseDigest(scheme Scheme, d digest, enc encoding, b []byte) (stored, error) {
	if enc == unsaid {
		enc = inBase64
		if !d.salted && len(b) == hex.EncodedLen(d.size) {
			enc = inHex
		}
	}
	b, err := decode(enc, b)
	if err != nil {
		return stored{}, err
	}
	if len(b) < d.size || d.salted != (len(b) > d.size) || len(b) > d.size+maxSalt {
		return stored{}, fmt.Errorf("%w: %s of another length", ErrHash, scheme)
	}
	return stored{class: class{scheme: scheme}, key: b[:d.size], salt: b[d.size:]}, nil
}

// sum hashes pw and the salt.
func (d digest) sum(pw, salt []byte) []byte {
	h := d.hash()
	h.Write(pw)
	h.Write(salt)
	return h.Sum(nil)
}
