package password

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// MaxBytes bounds a password. SHA-crypt takes time with the length of the
// password, squared at first, so a stranger must not choose it freely; RFC 4616
// §2 asks for no more than 255 octets.
const MaxBytes = 1024

// Scheme is a Dovecot password scheme.
type Scheme string

// The schemes that Hash makes. Default is the one for new passwords.
const (
	Argon2id    Scheme = "ARGON2ID"
	BLFCrypt    Scheme = "BLF-CRYPT"
	SHA512Crypt Scheme = "SHA512-CRYPT"
	SHA256Crypt Scheme = "SHA256-CRYPT"
	SCRAMSHA256 Scheme = "SCRAM-SHA-256"
	SCRAMSHA1   Scheme = "SCRAM-SHA-1"
	Plain       Scheme = "PLAIN"

	Default = Argon2id
)

// The schemes that only verify: passwords come with them from elsewhere.
const (
	Argon2i  Scheme = "ARGON2I"
	PBKDF2   Scheme = "PBKDF2"
	MD5Crypt Scheme = "MD5-CRYPT"
	SSHA512  Scheme = "SSHA512"
	SSHA256  Scheme = "SSHA256"
	SSHA     Scheme = "SSHA"
	SMD5     Scheme = "SMD5"
	SHA512   Scheme = "SHA512"
	SHA256   Scheme = "SHA256"
	SHA1     Scheme = "SHA1"
	PlainMD5 Scheme = "PLAIN-MD5"
)

// crypt is the scheme of any "$…$" hash: which it is stands in its prefix.
const crypt Scheme = "CRYPT"

// Errors of Verify and Hash. None of them holds a part of the hash.
var (
	// ErrHash says that a stored value is no hash that we know, or one with
	// parameters that are out of bounds: the operator has to mend it.
	ErrHash = errors.New("unusable password hash")
	// ErrPassword says that a new password cannot be used.
	ErrPassword = errors.New("unusable password")
	// ErrBusy says that the work would not be done before the deadline.
	ErrBusy = errors.New("too many passwords to check")
)

// aliases are Dovecot's other names.
var aliases = map[string]Scheme{
	"CLEARTEXT": Plain, "CLEAR": Plain, "SHA": SHA1, "LDAP-MD5": PlainMD5, "CRYPT": crypt,
}

// MakeSchemes lists the schemes that Hash makes, the best first.
func MakeSchemes() []Scheme {
	return []Scheme{Argon2id, BLFCrypt, SHA512Crypt, SHA256Crypt, SCRAMSHA256, SCRAMSHA1, Plain}
}

// known lists the schemes that verify.
var known = []Scheme{
	Argon2id, BLFCrypt, SHA512Crypt, SHA256Crypt, SCRAMSHA256, SCRAMSHA1, Plain,
	Argon2i, PBKDF2, MD5Crypt, SSHA512, SSHA256, SSHA, SMD5, SHA512, SHA256, SHA1, PlainMD5,
}

// refused are schemes of Dovecot's that do not verify here, with the reason.
// Their names are told in errors: they are no secret, and say what to mend.
var refused = map[string]string{
	"DES-CRYPT":   "it reads 8 characters of a password",
	"PLAIN-TRUNC": "it reads a part of a password",
	"PLAIN-MD4":   "MD4 is broken",
	"CRAM-MD5":    "it is made for one mechanism, which is not spoken here",
	"HMAC-MD5":    "it is made for one mechanism, which is not spoken here",
	"DIGEST-MD5":  "it is made for one mechanism, which is not spoken here",
	"OTP":         "it is made for one mechanism, which is not spoken here",
	"SKEY":        "it is made for one mechanism, which is not spoken here",
	"RPA":         "it is made for one mechanism, which is not spoken here",
	"NTLM":        "it is made for one mechanism, which is not spoken here",
	"LANMAN":      "it is made for one mechanism, which is not spoken here",
}

// ParseScheme reads the name of a scheme that verifies, in any case, as in the
// settings default_pass_scheme and rehash. An encoding (".hex") is no part of it.
// "MD5" has two meanings in Dovecot, and is MD5-CRYPT here.
func ParseScheme(name string) (Scheme, error) {
	name = strings.ToUpper(name)
	if name == "MD5" {
		return MD5Crypt, nil
	}
	if s, ok := aliases[name]; ok {
		return s, nil
	}
	if s := Scheme(name); slices.Contains(known, s) {
		return s, nil
	}
	if why, ok := refused[name]; ok {
		return "", fmt.Errorf("password scheme %s is not verified here, because %s", name, why)
	}
	return "", fmt.Errorf("no password scheme %q: doveadm pw -l lists what there is", name)
}

// Weak reports whether a hash of the scheme s is soon guessed by who has read
// the store, and why. It still verifies; who lets it in should tell the operator.
func Weak(s Scheme) (why string, weak bool) {
	switch s {
	case Plain:
		return "the password is readable", true
	case SHA1, SHA256, SHA512, PlainMD5:
		return "it has no salt and takes no time", true
	case SSHA, SSHA256, SSHA512, SMD5:
		return "it takes no time", true
	case MD5Crypt:
		return "it takes little time", true
	}
	return "", false
}

// class is what decides how much work a hash is: two hashes of one class take
// the same time.
type class struct {
	scheme Scheme
	// cost is bcrypt's cost (an exponent), SHA-crypt's rounds, argon2's passes,
	// the iterations of PBKDF2 and SCRAM.
	cost uint32
	// memory is argon2's, in KiB.
	memory uint32
	lanes  uint8
}

// Measured on one core of a small virtual machine. Pool corrects them by what
// it measures itself; maxWork uses them as they are, so that whether a hash is
// out of bounds does not depend on the load.
const (
	bcryptUnit   = 50 * time.Microsecond // times 2^cost
	shaUnit      = 460 * time.Nanosecond // a round
	argonUnit    = 1710 * time.Nanosecond
	pbkdf2Unit   = 300 * time.Nanosecond // an iteration
	md5CryptWork = 300 * time.Microsecond
	// quickWork is that of the schemes which take none.
	quickWork = time.Microsecond
)

// work returns about how long one hash takes.
func (c class) work() time.Duration {
	switch c.scheme {
	case BLFCrypt:
		return bcryptUnit << c.cost
	case SHA512Crypt, SHA256Crypt:
		return time.Duration(c.cost) * shaUnit
	case Argon2id, Argon2i:
		return time.Duration(c.cost) * time.Duration(c.memory) * argonUnit
	case PBKDF2, SCRAMSHA256, SCRAMSHA1:
		return time.Duration(c.cost) * pbkdf2Unit
	case MD5Crypt:
		return md5CryptWork
	}
	return quickWork
}

// bytes returns the memory that one hash takes, where it is worth counting.
func (c class) bytes() int64 { return int64(c.memory) << 10 }

// fits returns an error where one hash of c takes more than memory bytes.
func (c class) fits(memory int64) error {
	if c.bytes() > memory {
		return fmt.Errorf("%w: it takes %d MiB, more than the %d MiB that hashing may use", ErrHash, c.bytes()>>20, memory>>20)
	}
	return nil
}
