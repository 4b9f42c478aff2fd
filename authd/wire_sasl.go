package authd

import (
	"bytes"
	"encoding/base64"
	"errors"
	"slices"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/secret"
)

// The mechanisms.
const (
	mechPlain = "PLAIN" // RFC 4616
	mechLogin = "LOGIN" // draft-murchison-sasl-login-00

	mechScram256 = "SCRAM-SHA-256" // RFC 7677
	mechScram1   = "SCRAM-SHA-1"   // RFC 5802
)

// The prompts of LOGIN. Some clients match on them.
const (
	promptUser     = "VXNlcm5hbWU6" // Username:
	promptPassword = "UGFzc3dvcmQ6" // Password:
)

// Errors of the SASL layer. Each costs one attempt, not the connection.
var (
	errBase64  = errors.New("invalid base64")
	errMessage = errors.New("malformed SASL message")
)

// strictBase64 refuses bits that mean nothing.
var strictBase64 = base64.StdEncoding.Strict()

// decodeBase64 reads padded base64 into room, where it fits. A single "=" is an
// empty response (RFC 4954 §4).
func decodeBase64(room []byte, v secret.Value) ([]byte, error) {
	b := v.Reveal()
	if len(b) == 1 && b[0] == '=' {
		return nil, nil
	}
	out := slices.Grow(room[:0], strictBase64.DecodedLen(len(b)))
	out = out[:cap(out)]
	n, err := strictBase64.Decode(out, b)
	if err != nil {
		return nil, errBase64
	}
	return out[:n], nil
}

// credentials are what a client typed.
type credentials struct {
	authzid, authcid string
	password         secret.Value
}

// parsePlain reads PLAIN's message: [authzid] NUL authcid NUL passwd
// (RFC 4616 §2).
func parsePlain(msg []byte) (credentials, error) {
	authzid, rest, ok := bytes.Cut(msg, []byte{0})
	authcid, password, ok2 := bytes.Cut(rest, []byte{0})
	if !ok || !ok2 || len(authcid) == 0 || bytes.IndexByte(password, 0) >= 0 {
		return credentials{}, errMessage
	}
	return credentials{authzid: string(authzid), authcid: string(authcid), password: secret.New(password)}, nil
}

// appendPlain appends what parsePlain reads.
func (c credentials) appendPlain(dst []byte) []byte {
	dst = append(append(dst, c.authzid...), 0)
	dst = append(append(dst, c.authcid...), 0)
	return append(dst, c.password.Reveal()...)
}

// maxName is the longest name that can be an account's.
const maxName = mailaddr.MaxPath + len(`""`)

// parseLoginName reads LOGIN's first answer. Of a name that is too long for an
// account it returns a part that is too long as well: strangers leave exchanges
// open by the thousand, and each keeps its name.
func parseLoginName(msg []byte) (string, error) {
	if len(msg) == 0 || bytes.IndexByte(msg, 0) >= 0 {
		return "", errMessage
	}
	return string(msg[:min(len(msg), maxName+1)]), nil
}

// parseLoginPassword reads LOGIN's second answer. crypt(3) would cut it at a
// NUL, which no other mechanism lets through.
func parseLoginPassword(msg []byte) (secret.Value, error) {
	if bytes.IndexByte(msg, 0) >= 0 {
		return secret.Value{}, errMessage
	}
	return secret.New(msg), nil
}
