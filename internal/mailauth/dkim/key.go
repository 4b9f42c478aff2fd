package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"strings"
)

// Sizes of RSA keys, in bits.
const (
	// minBits is RFC 8301 §3.2.
	minBits = 1024
	// weakBits is what RFC 8301 §3.2 wants of signers.
	weakBits = 2048
	// maxBits bounds the time of one check; RFC 8301 §3.2 asks for no more.
	maxBits = 4096
)

// maxExponent bounds the time of one check as well: it has two steps for each
// bit of the exponent. Package x509 refuses those above 1<<31-1 already.
const maxExponent = 1<<32 - 1

// key is a public key record (RFC 6376 §3.6.1).
type key struct {
	typ     string // "rsa" or "ed25519"
	public  crypto.PublicKey
	bits    int
	testing bool // t=y
	strict  bool // t=s
}

// parseKey reads a key record. The second result says why it is of no use, ""
// when it is; what could be read stands in the first one all the same.
func parseKey(txt string) (key, string) {
	k := key{typ: "rsa"}
	list, bad := parseTags(txt)
	if bad != "" {
		return k, "malformed key"
	}
	for i, t := range list {
		switch t.name {
		case "v":
			if i != 0 || t.value != "DKIM1" {
				return k, "key of another version"
			}
		case "k":
			k.typ = strings.ToLower(t.value)
		case "t":
			each(t.value, func(flag string) bool {
				k.testing = k.testing || flag == "y"
				k.strict = k.strict || flag == "s"
				return true
			})
		}
	}
	switch p, ok := list.find("p"); {
	case !ok:
		return k, "malformed key"
	case p.value == "":
		return k, "key revoked"
	case list.has("h") && !listed(list.get("h"), "sha256"):
		return k, "key is not for sha256"
	case list.has("s") && !listed(list.get("s"), "email") && !listed(list.get("s"), "*"):
		return k, "key is not for mail"
	default:
		return k, k.decode(p.value)
	}
}

// listed reports whether word is in a colon-separated value.
func listed(v, word string) bool {
	found := false
	each(v, func(w string) bool {
		found = strings.EqualFold(w, word)
		return !found
	})
	return found
}

// decode reads p=, and says what is wrong with it.
func (k *key) decode(p string) string {
	der, err := base64.StdEncoding.DecodeString(squeeze(p))
	if err != nil {
		return "malformed key"
	}
	switch k.typ {
	case "ed25519":
		// RFC 8463 §4: the bare key.
		if len(der) != ed25519.PublicKeySize {
			return "malformed key"
		}
		k.public, k.bits = ed25519.PublicKey(der), 8*ed25519.PublicKeySize
		return ""
	case "rsa":
		pub := parseRSA(der)
		if pub == nil {
			return "malformed key"
		}
		k.public, k.bits = pub, pub.N.BitLen()
		switch {
		case k.bits < minBits:
			return "key is too short"
		case k.bits > maxBits:
			return "key is too long"
		case pub.E < 3 || pub.E%2 == 0 || int64(pub.E) > maxExponent:
			return "key has a bad exponent"
		}
		return ""
	}
	return "key of an unknown type"
}

// parseRSA reads both forms that are in use (RFC 6376 erratum 3017).
func parseRSA(der []byte) *rsa.PublicKey {
	if pub, err := x509.ParsePKIXPublicKey(der); err == nil {
		p, _ := pub.(*rsa.PublicKey)
		return p
	}
	p, err := x509.ParsePKCS1PublicKey(der)
	if err != nil {
		return nil
	}
	return p
}

// verify reports whether sig is k's signature of a digest.
func (k *key) verify(digest [sha256.Size]byte, sig []byte) bool {
	switch pub := k.public.(type) {
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(pub, crypto.SHA256, digest[:], sig) == nil
	case ed25519.PublicKey:
		// RFC 8463 §3: the message of PureEdDSA is the hash.
		return ed25519.Verify(pub, digest[:], sig)
	}
	return false
}
