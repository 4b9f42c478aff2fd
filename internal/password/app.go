package password

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"

	"github.com/gatepost/gatepost/internal/secret"
)

// App passwords are 20 characters of 5 random bits each: 100 bits, which nobody
// guesses, also not by trying a stolen hash 10^12 times a second for the age of
// the earth. So a fast hash is enough, and a login may look at fifty of them in
// microseconds; a slow one protects what people choose.
const (
	appChars = 20
	appGroup = 4
	appSalt  = 8
	// appAlphabet has no letter that looks like another: i, l, o and u are out.
	appAlphabet = "0123456789abcdefghjkmnpqrstvwxyz"
)

// NewApp returns a random app password, in groups to be typed
// ("k7mp-2xqd-9rtw-hv4e-s3bn"), and what is stored of it, in Dovecot's notation.
func NewApp() (clear, stored secret.Value) {
	raw := make([]byte, appChars)
	_, _ = rand.Read(raw) // it never returns an error
	typed := make([]byte, 0, appChars+appChars/appGroup)
	for i, b := range raw {
		if i > 0 && i%appGroup == 0 {
			typed = append(typed, '-')
		}
		typed = append(typed, appAlphabet[b%byte(len(appAlphabet))]) // 32 divides 256
	}
	salt := make([]byte, appSalt)
	_, _ = rand.Read(salt)
	// The hash is of the characters alone, so that Dovecot, which knows no groups,
	// takes them typed without.
	sum := digests[SSHA256].sum(bytes.ReplaceAll(typed, []byte("-"), nil), salt)
	text := "{" + string(SSHA256) + "}" + base64.StdEncoding.EncodeToString(append(sum, salt...))
	return secret.New(typed), secret.String(text)
}

// MatchesApp reports whether typed is the app password that NewApp stored.
// Spaces, hyphens and case do not matter, and o, i and l are the digits that
// they look like. What can not be one takes no work. It is no matter of a Pool.
func MatchesApp(stored secret.Value, typed []byte) bool {
	clean, ok := appTyped(typed)
	if !ok {
		return false
	}
	text, ok := bytes.CutPrefix(stored.Reveal(), []byte("{"+SSHA256+"}"))
	var raw [base64Bytes]byte
	if !ok || base64.StdEncoding.DecodedLen(len(text)) > len(raw) {
		return false
	}
	n, err := base64.StdEncoding.Strict().Decode(raw[:], text)
	if err != nil || n <= sha256.Size {
		return false
	}
	return same(digests[SSHA256].sum(clean[:], raw[sha256.Size:n]), raw[:sha256.Size])
}

// base64Bytes holds a decoded SSHA256 with the longest salt that is read here.
const base64Bytes = sha256.Size + 16

// appTyped returns the characters of an app password as they were made.
func appTyped(typed []byte) (clean [appChars]byte, ok bool) {
	n := 0
	for _, c := range typed {
		switch {
		case c == '-' || c == ' ':
			continue
		case c >= 'A' && c <= 'Z':
			c += 'a' - 'A'
		}
		switch c {
		case 'o':
			c = '0'
		case 'i', 'l':
			c = '1'
		}
		if n == appChars || bytes.IndexByte([]byte(appAlphabet), c) < 0 {
			return clean, false
		}
		clean[n] = c
		n++
	}
	return clean, n == appChars
}
