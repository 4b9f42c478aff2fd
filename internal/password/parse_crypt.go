package password

import (
	"encoding/base64"
	"fmt"
	"strings"
)

// desBytes is the length of a DES hash, which has no prefix.
const desBytes = 13

// parseCrypt reads a "$…$" hash by its prefix.
func parseCrypt(b []byte) (stored, error) {
	unknown := fmt.Errorf("%w: no scheme that we know", ErrHash)
	parts := strings.Split(string(b), "$")
	if inAlphabet(parts[0], desBytes) {
		return stored{}, refusal("DES-CRYPT")
	}
	if len(parts) < 4 || parts[0] != "" {
		return stored{}, unknown
	}
	switch parts[1] {
	case "1":
		return parseMD5Crypt(b, parts)
	case "2a", "2b", "2y":
		return parseBcrypt(b, parts)
	case "5":
		return parseSHA(b, parts, SHA256Crypt, 43)
	case "6":
		return parseSHA(b, parts, SHA512Crypt, 86)
	case "argon2i":
		return parseArgon(Argon2i, parts)
	case "argon2id":
		return parseArgon(Argon2id, parts)
	case "y", "gy", "7":
		return stored{}, fmt.Errorf("%w: yescrypt and scrypt are not verified here: set a new password", ErrHash)
	}
	return stored{}, unknown
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

// parseMD5Crypt reads $1$salt$key.
func parseMD5Crypt(b []byte, parts []string) (stored, error) {
	if len(parts) != 4 || len(parts[2]) > 8 || !inAlphabet(parts[2], len(parts[2])) || !inAlphabet(parts[3], 22) {
		return stored{}, fmt.Errorf("%w: malformed md5-crypt", ErrHash)
	}
	return stored{class: class{scheme: MD5Crypt}, encoded: b}, nil
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
func parseArgon(scheme Scheme, parts []string) (stored, error) {
	bad := fmt.Errorf("%w: malformed argon2", ErrHash)
	if len(parts) != 6 || parts[2] != "v=19" {
		return stored{}, bad
	}
	var c = class{scheme: scheme}
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
	if m > maxArgonBytes>>10 || p > maxLanes || m < 8*p || t > 1000 {
		return stored{}, fmt.Errorf("%w: parameters of argon2 out of bounds", ErrHash)
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
