package password

import (
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/subtle"
	"fmt"

	"github.com/go-crypt/crypt/algorithm/md5crypt"
	"github.com/go-crypt/crypt/algorithm/shacrypt"
	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

// pbkdf2KeyLen is that of Dovecot's PBKDF2, the size of SHA-1.
const pbkdf2KeyLen = sha1.Size

// matches does the work of one verification.
func (s stored) matches(pw []byte) bool {
	switch s.class.scheme {
	case BLFCrypt:
		return bcrypt.CompareHashAndPassword(s.encoded, pw) == nil
	case SHA512Crypt, SHA256Crypt:
		d, err := shacrypt.Decode(string(s.encoded))
		return err == nil && d.MatchBytes(pw)
	case MD5Crypt:
		d, err := md5crypt.DecodeVariant(md5crypt.VariantStandard)(string(s.encoded))
		return err == nil && d.MatchBytes(pw)
	case Argon2id:
		return same(argon2.IDKey(pw, s.salt, s.class.cost, s.class.memory, s.class.lanes, uint32(len(s.key))), s.key)
	case Argon2i:
		return same(argon2.Key(pw, s.salt, s.class.cost, s.class.memory, s.class.lanes, uint32(len(s.key))), s.key)
	case PBKDF2:
		key, err := pbkdf2.Key(sha1.New, string(pw), s.salt, int(s.class.cost), pbkdf2KeyLen)
		return err == nil && same(key, s.key)
	case SCRAMSHA1, SCRAMSHA256:
		key, _ := scramKeys(s.class.scheme, pw, s.salt, int(s.class.cost))
		return same(key, s.key)
	case Plain:
		return same(pw, s.key)
	}
	if d, ok := digests[s.class.scheme]; ok {
		return same(d.sum(pw, s.salt), s.key)
	}
	return false
}

func same(a, b []byte) bool { return subtle.ConstantTimeCompare(a, b) == 1 }

// nobody returns a stored password of the class c that takes the same work as
// any other and that no password is known to match.
func nobody(c class) stored {
	s := stored{class: c, salt: make([]byte, newSaltLen), key: make([]byte, newArgonKeyLen)}
	zeros := func(n int) string { return string(fmt.Appendf(nil, "%0*d", n, 0)) }
	switch c.scheme {
	case BLFCrypt:
		s.encoded = fmt.Appendf(nil, "$2y$%02d$%s", c.cost, "......................"+zeros(31))
	case SHA512Crypt:
		s.encoded = fmt.Appendf(nil, "$6$rounds=%d$%s$%s", c.cost, zeros(16), zeros(86))
	case SHA256Crypt:
		s.encoded = fmt.Appendf(nil, "$5$rounds=%d$%s$%s", c.cost, zeros(16), zeros(43))
	case MD5Crypt:
		s.encoded = fmt.Appendf(nil, "$1$%s$%s", zeros(8), zeros(22))
	}
	return s
}
