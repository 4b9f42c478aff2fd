package password

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/secret"
)

// Bounds of the parameters of a stored hash.
const (
	maxHashBytes  = 512
	maxWork       = 2 * time.Second
	maxArgonBytes = 1 << 30
	maxLanes      = 16
)

// stored is a parsed hash.
type stored struct {
	class class
	// encoded is the whole "$…$" text of bcrypt, SHA-crypt and MD5-crypt.
	encoded []byte
	salt    []byte
	// key is what the hash gives: SCRAM's StoredKey, the PLAIN password itself.
	key []byte
	// server is SCRAM's ServerKey.
	server []byte
}

// encoding says how a stored value is written.
type encoding uint8

const (
	unsaid encoding = iota // the scheme's own
	inHex
	inBase64
)

// parse reads a stored password; def is the scheme of one that names none, or
// empty. The error tells what is wrong without the hash.
func parse(v secret.Value, def Scheme) (stored, error) {
	b := v.Reveal()
	if len(b) == 0 || len(b) > maxHashBytes {
		return stored{}, fmt.Errorf("%w: %d bytes", ErrHash, len(b))
	}
	scheme, enc, b, err := cutScheme(b, def)
	if err != nil {
		return stored{}, err
	}
	s, err := parseBody(scheme, enc, b)
	if err != nil {
		return stored{}, err
	}
	if s.class.work() > maxWork {
		return stored{}, fmt.Errorf("%w: its parameters ask for more than %v", ErrHash, maxWork)
	}
	return s, nil
}

// cutScheme takes "{SCHEME.encoding}" from b. A value without is a "$…$" hash,
// or one of the scheme def.
func cutScheme(b []byte, def Scheme) (Scheme, encoding, []byte, error) {
	none := func(why string) (Scheme, encoding, []byte, error) {
		return "", unsaid, nil, fmt.Errorf("%w: %s", ErrHash, why)
	}
	if b[0] != '{' {
		switch {
		case b[0] == '$':
			// The text of a hash is never the password itself, also not where
			// default_pass_scheme is PLAIN: who has read it would be in.
			return crypt, unsaid, b, nil
		case def == "":
			return none("it names no scheme: write {SCHEME} in front, or set default_pass_scheme")
		}
		return def, unsaid, b, nil
	}
	end := bytes.IndexByte(b, '}')
	if end < 0 {
		return none("no closing brace")
	}
	name, suffix, hasSuffix := strings.Cut(strings.ToUpper(string(b[1:end])), ".")
	b = b[end+1:]
	enc := unsaid
	switch {
	case !hasSuffix:
	case suffix == "HEX":
		enc = inHex
	case suffix == "B64", suffix == "BASE64":
		enc = inBase64
	default:
		return none("the encoding in braces is not hex, b64 or base64")
	}
	if name == "MD5" {
		return md5Scheme(b), enc, b, nil
	}
	if refused[name] != "" {
		return "", unsaid, nil, refusal(name)
	}
	scheme, err := ParseScheme(name)
	if err != nil {
		return none("the scheme in braces is not known")
	}
	return scheme, enc, b, nil
}

// Named returns a stored password with its scheme in front, for a reader who may
// take one without for another scheme: where that is PLAIN, the text of a hash
// would be the password. def is as Options.Default. A value that has a scheme is
// returned as it is, also where it would not verify here.
func Named(v secret.Value, def Scheme) (secret.Value, error) {
	b := v.Reveal()
	if len(b) > 0 && b[0] == '{' {
		return v, nil
	}
	s, err := parse(v, def)
	if err != nil {
		return secret.Value{}, err
	}
	return secret.String("{" + string(s.class.scheme) + "}" + string(b)), nil
}

// refusal is the error of a stored password of a scheme in refused.
func refusal(name string) error {
	return fmt.Errorf("%w: scheme %s is not verified here, because %s: set a new password", ErrHash, name, refused[name])
}

// md5Scheme is what Dovecot reads {MD5} as: crypt(3)'s by its prefix, else a
// bare digest.
func md5Scheme(b []byte) Scheme {
	if bytes.HasPrefix(b, []byte("$1$")) {
		return MD5Crypt
	}
	return PlainMD5
}

// parseBody reads what stands behind the braces.
func parseBody(scheme Scheme, enc encoding, b []byte) (stored, error) {
	if d, ok := digests[scheme]; ok {
		return parseDigest(scheme, d, enc, b)
	}
	b, err := decode(enc, b)
	if err != nil {
		return stored{}, err
	}
	switch scheme {
	case Plain:
		return stored{class: class{scheme: Plain}, key: b}, nil
	case PBKDF2:
		return parsePBKDF2(b)
	case SCRAMSHA1, SCRAMSHA256:
		return parseSCRAM(scheme, b)
	}
	s, err := parseCrypt(b)
	if err == nil && !isOf(s.class.scheme, scheme) {
		err = fmt.Errorf("%w: the scheme in braces is not that of the hash", ErrHash)
	}
	return s, err
}

// isOf reports whether a "$…$" hash may stand behind the name of a scheme.
// Dovecot gives what it calls CRYPT, SHA256-CRYPT and SHA512-CRYPT to crypt(3),
// which goes by the prefix, and both argon2 to one function.
func isOf(hash, named Scheme) bool {
	switch named {
	case crypt:
		return true
	case SHA256Crypt, SHA512Crypt:
		return hash != Argon2i && hash != Argon2id
	case Argon2i, Argon2id:
		return hash == Argon2i || hash == Argon2id
	}
	return hash == named
}

// decode undoes an encoding.
func decode(enc encoding, b []byte) ([]byte, error) {
	var out []byte
	var err error
	switch enc {
	case unsaid:
		return b, nil
	case inHex:
		out, err = hex.DecodeString(string(b))
	case inBase64:
		out, err = base64.StdEncoding.Strict().DecodeString(string(b))
	}
	if err != nil || len(out) == 0 {
		return nil, fmt.Errorf("%w: it is not written in the encoding that it names", ErrHash)
	}
	return out, nil
}

// parsePBKDF2 reads Dovecot's $1$salt$rounds$key, which is HMAC-SHA-1 with the
// text of the salt and a key of 20 bytes in hex.
func parsePBKDF2(b []byte) (stored, error) {
	bad := fmt.Errorf("%w: malformed pbkdf2", ErrHash)
	parts := strings.Split(string(b), "$")
	if len(parts) != 5 || parts[0] != "" || parts[1] != "1" || len(parts[2]) < 1 || len(parts[2]) > 64 {
		return stored{}, bad
	}
	rounds, ok := number(parts[3], 1<<32-1)
	if !ok || rounds < 1 {
		return stored{}, fmt.Errorf("%w: rounds of pbkdf2 out of bounds", ErrHash)
	}
	key, err := hex.DecodeString(parts[4])
	if err != nil || len(key) != pbkdf2KeyLen {
		return stored{}, bad
	}
	return stored{class: class{scheme: PBKDF2, cost: rounds}, salt: []byte(parts[2]), key: key}, nil
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
