package keys

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Algorithm is the kind of a key, k= of its record.
type Algorithm string

// The algorithms.
const (
	RSA     Algorithm = "rsa"
	Ed25519 Algorithm = "ed25519"
)

// Sizes of RSA keys, in bits. RFC 8301 §3.2 wants 2048 for signing, and has
// verifiers take up to 4096; shorter and longer ones can be read, because a
// published key is not replaced in a day.
const (
	NewRSABits      = 2048
	MinRSABits      = 1024
	MaxRSABits      = 8192
	VerifiedRSABits = 4096
)

// Key is one private key with its place in DNS. Printing it never shows more
// than its name. The zero Key is none.
type Key struct {
	// Domain is the SDID, Selector its part of the name; both in lower case.
	Domain    string
	Selector  string
	Algorithm Algorithm
	// Bits is the size: 2048 for a usual RSA key, 256 for Ed25519.
	Bits int
	// Path is the file.
	Path string
	// State is what the key does, Since when it began to; zero where nobody
	// noted it.
	State State
	Since time.Time
	// signer sits behind a function: fmt can be made to follow a pointer.
	signer func() crypto.Signer
}

// Name returns where the record belongs: "SELECTOR._domainkey.DOMAIN"
// (RFC 6376 §3.6.2.1), without a final dot.
func (k Key) Name() string { return k.Selector + "._domainkey." + k.Domain }

// Record returns the text of the TXT record that is to be published
// (RFC 6376 §3.6.1): that of a revoked key has an empty p=.
func (k Key) Record() string {
	p := ""
	if k.State != Revoked {
		p = base64.StdEncoding.EncodeToString(k.public())
	}
	return "v=DKIM1; k=" + string(k.Algorithm) + "; p=" + p
}

// public returns the bytes of p=: SubjectPublicKeyInfo for RSA, the bare key
// for Ed25519 (RFC 8463 §4).
func (k Key) public() []byte {
	switch pub := k.signer().Public().(type) {
	case ed25519.PublicKey:
		return pub
	case *rsa.PublicKey:
		der, err := x509.MarshalPKIXPublicKey(pub)
		if err != nil {
			panic("keys: an RSA key that was parsed cannot be written: " + err.Error())
		}
		return der
	}
	panic("keys: a key that is neither RSA nor Ed25519")
}

// Signer returns what signs with k: an RSA or an Ed25519 key. It is not to be
// printed or stored; k itself can be. Of a key that another process has it is nil.
func (k Key) Signer() crypto.Signer {
	if k.signer == nil {
		return nil
	}
	return k.signer()
}

// Format writes the name of k under every verb.
func (k Key) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, k.Name()) }

// errKey is a file that holds no key we can sign with.
var errKey = errors.New("not a PEM file with an RSA or Ed25519 private key")

// parsePEM reads a private key: the first block of b, which must be the only
// one, with nothing but our marker behind it.
func parsePEM(b []byte) (crypto.Signer, error) {
	block, rest := pem.Decode(b)
	if block == nil || strings.TrimSpace(strings.TrimSuffix(string(rest), marker)) != "" {
		return nil, errKey
	}
	var key any
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	default:
		return nil, errKey
	}
	if err != nil {
		// The text of the library could quote what it read.
		return nil, errKey
	}
	switch k := key.(type) {
	case ed25519.PrivateKey:
		return k, nil
	case *rsa.PrivateKey:
		if n := k.N.BitLen(); n < MinRSABits || n > MaxRSABits {
			return nil, fmt.Errorf("RSA key of %d bits: only %d to %d can be used", n, MinRSABits, MaxRSABits)
		}
		return k, nil
	}
	return nil, errKey
}

// newKey puts a parsed private key into a Key.
func newKey(domain, selector, path string, s crypto.Signer) Key {
	k := Key{Domain: domain, Selector: selector, Path: path, signer: func() crypto.Signer { return s }}
	switch pub := s.Public().(type) {
	case ed25519.PublicKey:
		k.Algorithm, k.Bits = Ed25519, 256
	case *rsa.PublicKey:
		k.Algorithm, k.Bits = RSA, pub.N.BitLen()
	}
	return k
}
