package password

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"hash"
	"strconv"
	"strings"

	"github.com/xdg-go/stringprep"

	"github.com/gatepost/gatepost/internal/secret"
)

const (
	// newSCRAMIterations is a compromise: every client computes them too, a phone
	// as well, and RFC 7677 §4 asks for no fewer than 4096.
	newSCRAMIterations = 50_000
	// minSCRAMIterations is RFC 7677's least, and what keys are made with where
	// the store has the password itself: the server computes them for each login,
	// and a thief of the store has no use for them.
	minSCRAMIterations = 4096
)

// SCRAMKeys is what a server needs for one SCRAM login (RFC 5802 §5.1).
type SCRAMKeys struct {
	Salt       []byte
	Iterations int
	StoredKey  secret.Value
	ServerKey  secret.Value
}

func scramHash(mech Scheme) func() hash.Hash {
	if mech == SCRAMSHA1 {
		return sha1.New
	}
	return sha256.New
}

// scramKeys returns StoredKey and ServerKey (RFC 5802 §3).
func scramKeys(mech Scheme, pw, salt []byte, iterations int) (key, server []byte) {
	h := scramHash(mech)
	salted, err := pbkdf2.Key(h, string(pw), salt, iterations, h().Size())
	if err != nil { // a key that is too long: never
		return nil, nil
	}
	mac := func(text string) []byte {
		m := hmac.New(h, salted)
		m.Write([]byte(text))
		return m.Sum(nil)
	}
	d := h()
	d.Write(mac("Client Key"))
	return d.Sum(nil), mac("Server Key")
}

// prepared is the form of pw that a SCRAM client hashes: SASLprep of it
// (RFC 5802 §2.2), and pw itself where that does not take it.
func prepared(pw []byte) []byte {
	if p, err := stringprep.SASLprep.Prepare(string(pw)); err == nil && p != "" {
		return []byte(p)
	}
	return pw
}

// parseSCRAM reads iterations,salt,StoredKey,ServerKey, the last three in base64.
func parseSCRAM(scheme Scheme, b []byte) (stored, error) {
	bad := fmt.Errorf("%w: malformed %s", ErrHash, scheme)
	parts := strings.Split(string(b), ",")
	if len(parts) != 4 {
		return stored{}, bad
	}
	iterations, ok := number(parts[0], 1<<31-1)
	if !ok || iterations < minSCRAMIterations {
		return stored{}, fmt.Errorf("%w: iterations of %s out of bounds", ErrHash, scheme)
	}
	var raw [3][]byte
	for i := range raw {
		var err error
		if raw[i], err = base64.StdEncoding.Strict().DecodeString(parts[i+1]); err != nil {
			return stored{}, bad
		}
	}
	size := scramHash(scheme)().Size()
	if len(raw[0]) < 1 || len(raw[0]) > maxSalt || len(raw[1]) != size || len(raw[2]) != size {
		return stored{}, bad
	}
	return stored{class: class{scheme: scheme, cost: iterations}, salt: raw[0], key: raw[1], server: raw[2]}, nil
}

// SCRAM returns the keys for a login of user with the mechanism mech, SCRAMSHA1
// or SCRAMSHA256, from a stored password of that scheme or of PLAIN. Where they
// can not be had, because stored is empty or a hash that SCRAM can not do, real
// is false, and the keys are made up: the exchange goes on with them and fails
// at its end. Salt and iterations of a user stay the same with Options.Key, so
// that nobody learns who is there by asking twice, and are those that most
// stored passwords have. The error is ErrHash, ErrBusy or that of ctx, as of
// Verify.
func (p *Pool) SCRAM(ctx context.Context, mech Scheme, user string, storedAs secret.Value) (keys SCRAMKeys, real bool, err error) {
	if mech != SCRAMSHA1 && mech != SCRAMSHA256 {
		return SCRAMKeys{}, false, fmt.Errorf("%q is no mechanism of SCRAM", mech)
	}
	var s stored
	if !storedAs.IsEmpty() {
		if s, err = parse(storedAs, p.def); err != nil {
			return SCRAMKeys{}, false, err
		}
		p.count(s.class)
	}
	if s.class.scheme == mech {
		return scramOf(s), true, nil
	}
	real = s.class.scheme == Plain && usable(s.key)
	usual := p.usualSCRAM(mech)
	if !real {
		s = stored{class: usual, key: p.keyed(mech, "key", user), server: p.keyed(mech, "server", user)}
	}
	s.salt = p.keyed(mech, "salt", user)[:newSaltLen]
	if s.class.scheme == mech {
		return scramOf(s), real, nil
	}
	// From a password that is there, or, as others have one, from a made-up one.
	pw := prepared(s.key)
	s.class = class{scheme: mech, cost: minSCRAMIterations}
	err = p.do(ctx, s.class, nil, func() { s.key, s.server = scramKeys(mech, pw, s.salt, minSCRAMIterations) })
	return scramOf(s), real && err == nil, err
}

// scramOf returns the keys in s.
func scramOf(s stored) SCRAMKeys {
	return SCRAMKeys{Salt: s.salt, Iterations: int(s.class.cost), StoredKey: secret.New(s.key), ServerKey: secret.New(s.server)}
}

// keyed returns bytes that look random and are always the same for one user,
// as many as mech's hash has.
func (p *Pool) keyed(mech Scheme, what, user string) []byte {
	m := hmac.New(scramHash(mech), p.key)
	m.Write([]byte(string(mech) + "\x00" + what + "\x00" + user))
	return m.Sum(nil)
}

// usualSCRAM returns the class that most passwords have which can do mech: a
// stored one of it, or PLAIN.
func (p *Pool) usualSCRAM(mech Scheme) class {
	p.mu.Lock()
	defer p.mu.Unlock()
	best, most := class{scheme: mech, cost: minSCRAMIterations}, 0
	for c, n := range p.seen {
		if c.scheme != mech && c.scheme != Plain {
			continue
		}
		if n > most || n == most && c.cost > best.cost {
			best, most = c, n
		}
	}
	return best
}

// hashSCRAM returns the stored form of pw.
func hashSCRAM(scheme Scheme, pw []byte) string {
	salt := newSalt()
	key, server := scramKeys(scheme, prepared(pw), salt, newSCRAMIterations)
	enc := base64.StdEncoding.EncodeToString
	return strings.Join([]string{strconv.Itoa(newSCRAMIterations), enc(salt), enc(key), enc(server)}, ",")
}
