package password

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"

	"github.com/go-crypt/crypt/algorithm/shacrypt"
	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"

	"github.com/gatepost/gatepost/internal/secret"
)

// What new passwords are made with. Each is some 50 to 70 ms on one core.
const (
	newBcryptCost   = 10
	newSHARounds    = 100_000
	newArgonMemory  = 19 * 1024 // KiB
	newArgonPasses  = 2
	newArgonKeyLen  = 32
	newArgonSaltLen = 16
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
		salt := make([]byte, newArgonSaltLen)
		_, _ = rand.Read(salt) // it never returns an error
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
		variant := shacrypt.VariantSHA512
		if scheme == SHA256Crypt {
			variant = shacrypt.VariantSHA256
		}
		h, err := shacrypt.New(shacrypt.WithVariant(variant), shacrypt.WithIterations(newSHARounds))
		if err != nil {
			return secret.Value{}, fmt.Errorf("hash with sha-crypt: %w", err)
		}
		d, err := h.Hash(string(pw))
		if err != nil {
			return secret.Value{}, fmt.Errorf("hash with sha-crypt: %w", err)
		}
		text = d.Encode()
	case Plain:
		text = string(pw)
	default:
		return secret.Value{}, fmt.Errorf("no password scheme %q: use %s, %s, %s, %s or %s",
			scheme, Argon2id, BLFCrypt, SHA512Crypt, SHA256Crypt, Plain)
	}
	return secret.String("{" + string(scheme) + "}" + text), nil
}

// Check reports whether v is a stored password that a Pool with a budget of
// memory bytes can verify; the error says what is wrong with it, without it.
func Check(v secret.Value, memory int64) error {
	s, err := parse(v)
	if err != nil {
		return err
	}
	return s.class.fits(memory)
}

// fits returns an error where one hash of c takes more than memory bytes.
func (c class) fits(memory int64) error {
	if c.bytes() > memory {
		return fmt.Errorf("%w: it takes %d MiB, more than the %d MiB that hashing may use", ErrHash, c.bytes()>>20, memory>>20)
	}
	return nil
}

// matches does the work of one verification.
func (s stored) matches(pw []byte) bool {
	switch s.class.scheme {
	case BLFCrypt:
		return bcrypt.CompareHashAndPassword(s.encoded, pw) == nil
	case SHA512Crypt, SHA256Crypt:
		d, err := shacrypt.Decode(string(s.encoded))
		return err == nil && d.MatchBytes(pw)
	case Argon2id:
		key := argon2.IDKey(pw, s.salt, s.class.cost, s.class.memory, s.class.lanes, uint32(len(s.key)))
		return subtle.ConstantTimeCompare(key, s.key) == 1
	case Plain:
		return subtle.ConstantTimeCompare(pw, s.key) == 1
	}
	return false
}

// nobody returns a stored password of the class c that takes the same work as
// any other and that no password is known to match.
func nobody(c class) stored {
	s := stored{class: c, salt: make([]byte, newArgonSaltLen), key: make([]byte, newArgonKeyLen)}
	zeros := func(n int) string { return string(fmt.Appendf(nil, "%0*d", n, 0)) }
	switch c.scheme {
	case BLFCrypt:
		s.encoded = fmt.Appendf(nil, "$2y$%02d$%s", c.cost, "......................"+zeros(31))
	case SHA512Crypt:
		s.encoded = fmt.Appendf(nil, "$6$rounds=%d$%s$%s", c.cost, zeros(16), zeros(86))
	case SHA256Crypt:
		s.encoded = fmt.Appendf(nil, "$5$rounds=%d$%s$%s", c.cost, zeros(16), zeros(43))
	}
	return s
}
