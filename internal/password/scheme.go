package password

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/secret"
)

// MaxBytes bounds a password. SHA-crypt takes time with the length of the
// password, squared at first, so a stranger must not choose it freely; RFC 4616
// §2 asks for no more than 255 octets.
const MaxBytes = 1024

// Scheme is a Dovecot password scheme that new passwords can be made with.
type Scheme string

// The schemes. Default is the one for new passwords.
const (
	Argon2id    Scheme = "ARGON2ID"
	BLFCrypt    Scheme = "BLF-CRYPT"
	SHA512Crypt Scheme = "SHA512-CRYPT"
	SHA256Crypt Scheme = "SHA256-CRYPT"
	Plain       Scheme = "PLAIN"

	Default = Argon2id
)

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

// Bounds of the parameters of a stored hash.
const (
	maxHashBytes  = 512
	maxWork       = 2 * time.Second
	maxArgonBytes = 1 << 30
	maxLanes      = 16
)

// class is what decides how much work a hash is: two hashes of one class take
// the same time.
type class struct {
	scheme Scheme
	// cost is bcrypt's cost (an exponent), SHA-crypt's rounds, argon2's passes.
	cost uint32
	// memory is argon2's, in KiB.
	memory uint32
	lanes  uint8
}

// Measured on one core of a small virtual machine. Pool corrects them by what
// it measures itself; maxWork uses them as they are, so that whether a hash is
// out of bounds does not depend on the load.
const (
	bcryptUnit = 50 * time.Microsecond // times 2^cost
	shaUnit    = 460 * time.Nanosecond // a round
	argonUnit  = 1710 * time.Nanosecond
)

// work returns about how long one hash takes.
func (c class) work() time.Duration {
	switch c.scheme {
	case BLFCrypt:
		return bcryptUnit << c.cost
	case SHA512Crypt, SHA256Crypt:
		return time.Duration(c.cost) * shaUnit
	case Argon2id:
		return time.Duration(c.cost) * time.Duration(c.memory) * argonUnit
	}
	return time.Microsecond
}

// bytes returns the memory that one hash takes, where it is worth counting.
func (c class) bytes() int64 { return int64(c.memory) << 10 }

// stored is a parsed hash. For bcrypt and SHA-crypt encoded is the whole
// "$…$" text; salt and key are argon2's; key alone is the PLAIN password.
type stored struct {
	class   class
	encoded []byte
	salt    []byte
	key     []byte
}

// parse reads a stored password. The error tells what is wrong without the
// hash.
func parse(v secret.Value) (stored, error) {
	b := v.Reveal()
	if len(b) == 0 || len(b) > maxHashBytes {
		return stored{}, fmt.Errorf("%w: %d bytes", ErrHash, len(b))
	}
	name := ""
	if b[0] == '{' {
		end := bytes.IndexByte(b, '}')
		if end < 0 {
			return stored{}, fmt.Errorf("%w: no closing brace", ErrHash)
		}
		name, b = strings.ToUpper(string(b[1:end])), b[end+1:]
	}
	if name == string(Plain) {
		return stored{class: class{scheme: Plain}, key: b}, nil
	}
	s, err := parseCrypt(b)
	if err != nil {
		return stored{}, err
	}
	if name != "" && name != "CRYPT" && name != string(s.class.scheme) {
		return stored{}, fmt.Errorf("%w: the scheme in braces is unknown or not that of the hash", ErrHash)
	}
	if s.class.work() > maxWork {
		return stored{}, fmt.Errorf("%w: its parameters ask for more than %v", ErrHash, maxWork)
	}
	return s, nil
}

// parseCrypt reads a "$…$" hash by its prefix.
func parseCrypt(b []byte) (stored, error) {
	parts := strings.Split(string(b), "$")
	if len(parts) < 4 || parts[0] != "" {
		return stored{}, fmt.Errorf("%w: no scheme that we know", ErrHash)
	}
	switch parts[1] {
	case "2a", "2b", "2y":
		return parseBcrypt(b, parts)
	case "5":
		return parseSHA(b, parts, SHA256Crypt, 43)
	case "6":
		return parseSHA(b, parts, SHA512Crypt, 86)
	case "argon2id":
		return parseArgon(parts)
	}
	return stored{}, fmt.Errorf("%w: no scheme that we know", ErrHash)
}

const cryptAlphabet = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// inAlphabet reports whether s has the length n and crypt(3)'s characters only.
func inAlphabet(s string, n int) bool {
	return len(s) == n && strings.Trim(s, cryptAlphabet) == ""
}

func parseBcrypt(b []byte, parts []string) (stored, error) {
	cost, ok := number(parts[2], 31)
	if !ok || len(parts[2]) != 2 || cost < 4 || len(parts) != 4 || !inAlphabet(parts[3], 53) {
		return stored{}, fmt.Errorf("%w: malformed bcrypt", ErrHash)
	}
	return stored{class: class{scheme: BLFCrypt, cost: cost}, encoded: b}, nil
}

func parseSHA(b []byte, parts []string, scheme Scheme, keyLen int) (stored, error) {
	rounds, rest := uint32(5000), parts[2:]
	if text, ok := strings.CutPrefix(rest[0], "rounds="); ok {
		if rounds, ok = number(text, 999_999_999); !ok || rounds < 1000 {
			return stored{}, fmt.Errorf("%w: rounds of sha-crypt out of bounds", ErrHash)
		}
		rest = rest[1:]
	}
	if len(rest) != 2 || len(rest[0]) > 16 || !inAlphabet(rest[0], len(rest[0])) || !inAlphabet(rest[1], keyLen) {
		return stored{}, fmt.Errorf("%w: malformed sha-crypt", ErrHash)
	}
	return stored{class: class{scheme: scheme, cost: rounds}, encoded: b}, nil
}

// parseArgon reads $argon2id$v=19$m=65536,t=3,p=1$salt$key.
func parseArgon(parts []string) (stored, error) {
	bad := fmt.Errorf("%w: malformed argon2id", ErrHash)
	if len(parts) != 6 || parts[2] != "v=19" {
		return stored{}, bad
	}
	var c = class{scheme: Argon2id}
	params := strings.Split(parts[3], ",")
	if len(params) != 3 {
		return stored{}, bad
	}
	m, okM := parameter(params[0], "m=")
	t, okT := parameter(params[1], "t=")
	p, okP := parameter(params[2], "p=")
	if !okM || !okT || !okP || t < 1 || p < 1 {
		return stored{}, bad
	}
	if m > maxArgonBytes>>10 || m < 8*p || p > maxLanes || t > 1000 {
		return stored{}, fmt.Errorf("%w: parameters of argon2id out of bounds", ErrHash)
	}
	c.memory, c.cost, c.lanes = m, t, uint8(p)
	salt, err := base64.RawStdEncoding.Strict().DecodeString(parts[4])
	if err != nil || len(salt) < 8 || len(salt) > 64 {
		return stored{}, bad
	}
	key, err := base64.RawStdEncoding.Strict().DecodeString(parts[5])
	if err != nil || len(key) < 16 || len(key) > 64 {
		return stored{}, bad
	}
	return stored{class: c, salt: salt, key: key}, nil
}

func parameter(s, name string) (uint32, bool) {
	text, ok := strings.CutPrefix(s, name)
	if !ok {
		return 0, false
	}
	return number(text, 1<<32-1)
}

// number reads decimal digits up to most.
func number(s string, most uint64) (uint32, bool) {
	if s == "" || s[0] < '0' || s[0] > '9' {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err == nil && n <= most
}

// usable reports whether pw can match anything.
func usable(pw []byte) bool {
	return len(pw) > 0 && len(pw) <= MaxBytes && bytes.IndexByte(pw, 0) < 0
}
