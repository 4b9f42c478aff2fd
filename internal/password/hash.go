package password

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"

	"github.com/go-crypt/crypt/algorithm/shacrypt"
	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"

	"github.com/gatepost/gatepost/internal/secret"
)

// What new passwords are made with. Each is some 50 to 70 ms on one core,
// SCRAM less: see newSCRAMIterations.
const (
	newBcryptCost  = 10
	newSHARounds   = 100_000
	newArgonMemory = 19 * 1024 // KiB
	newArgonPasses = 2
	newArgonKeyLen = 32
	newSaltLen     = 16
)

// bcryptBytes is how much of a password bcrypt reads.
const bcryptBytes = 72

// Hash returns "{SCHEME}hash" of pw with a fresh salt. It refuses a password
// that is empty, longer than MaxBytes or holds a NUL, and for BLF-CRYPT one of
// more than 72 bytes, of which bcrypt would ignore the end.
func Hash(scheme Scheme, pw []byte) (secret.Value, error) {
	if !usable(pw) {
		return secret.Value{}, fmt.Errorf("%w: it is empty, longer than %d bytes or holds a NUL", ErrPassword, MaxBytes)
	}
	var text string
	switch scheme {
	case Argon2id:
		salt := newSalt()
		key := argon2.IDKey(pw, salt, newArgonPasses, newArgonMemory, 1, newArgonKeyLen)
		enc := base64.RawStdEncoding.EncodeToString
		text = fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=1$%s$%s", newArgonMemory, newArgonPasses, enc(salt), enc(key))
	case BLFCrypt:
		if len(pw) > bcryptBytes {
			return secret.Value{}, fmt.Errorf("%w: %s reads only %d bytes of it", ErrPassword, BLFCrypt, bcryptBytes)
		}
		b, err := bcrypt.GenerateFromPassword(pw, newBcryptCost)
		if err != nil {
			return secret.Value{}, fmt.Errorf("hash with bcrypt: %w", err)
		}
		text = "$2y" + string(b[3:]) // crypt(3)'s name for the same algorithm
	case SHA512Crypt, SHA256Crypt:
		var err error
		if text, err = hashSHA(scheme, pw); err != nil {
			return secret.Value{}, fmt.Errorf("hash with sha-crypt: %w", err)
		}
	case SCRAMSHA256, SCRAMSHA1:
		text = hashSCRAM(scheme, pw)
	case Plain:
		text = string(pw)
	default:
		return secret.Value{}, fmt.Errorf("no new password is made with scheme %q: use one of %v", scheme, MakeSchemes())
	}
	return secret.String("{" + string(scheme) + "}" + text), nil
}

func hashSHA(scheme Scheme, pw []byte) (string, error) {
	variant := shacrypt.VariantSHA512
	if scheme == SHA256Crypt {
		variant = shacrypt.VariantSHA256
	}
	h, err := shacrypt.New(shacrypt.WithVariant(variant), shacrypt.WithIterations(newSHARounds))
	if err != nil {
		return "", err
	}
	d, err := h.Hash(string(pw))
	if err != nil {
		return "", err
	}
	return d.Encode(), nil
}

func newSalt() []byte {
	salt := make([]byte, newSaltLen)
	_, _ = rand.Read(salt) // it never returns an error
	return salt
}

// newClass is the class of what Hash makes with a scheme, for an unknown one
// that of no work.
func newClass(scheme Scheme) class {
	c := class{scheme: scheme}
	switch scheme {
	case Argon2id:
		c.cost, c.memory, c.lanes = newArgonPasses, newArgonMemory, 1
	case BLFCrypt:
		c.cost = newBcryptCost
	case SHA512Crypt, SHA256Crypt:
		c.cost = newSHARounds
	case SCRAMSHA256, SCRAMSHA1:
		c.cost = newSCRAMIterations
	}
	return c
}

// Check reports whether v is a stored password that a Pool with a budget of
// memory bytes can verify; the error says what is wrong with it, without it.
func Check(v secret.Value, memory int64) error { return New(Options{Memory: memory}).Check(v) }
