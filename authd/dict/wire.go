package dict

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// maxLine bounds a line in bytes, its end included. The longest key is some
// 400 bytes.
const maxLine = 4096

// errProtocol is every fault of the peer: the connection is closed.
var errProtocol = errors.New("protocol error")

func broken(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{errProtocol}, args...)...)
}

// verb is the first byte of a line (Dovecot's dict-client.h).
type verb byte

const (
	verbHello   verb = 'H' // DICT_PROTOCOL_CMD_HELLO
	verbLookup  verb = 'L' // DICT_PROTOCOL_CMD_LOOKUP
	verbIterate verb = 'I' // DICT_PROTOCOL_CMD_ITERATE
)

// Replies.
const (
	replyOK       = 'O' // DICT_PROTOCOL_REPLY_OK
	replyNotFound = 'N' // DICT_PROTOCOL_REPLY_NOTFOUND
	replyFail     = 'F' // DICT_PROTOCOL_REPLY_FAIL
)

// Flags of an iteration.
const (
	iterateRecurse = 0x01 // DICT_ITERATE_FLAG_RECURSE
	iterateNoValue = 0x08 // DICT_ITERATE_FLAG_NO_VALUE
)

// The protocol versions that are known.
const (
	minMajor = 2
	maxMajor = 4
)

// request is one line of the peer.
type request struct {
	verb verb
	// major and minor are the version, of verbHello; name is the dict's.
	major, minor uint32
	name         string
	// key is what to look up, or the path to iterate below.
	key string
	// user is for whom; version 2 does not tell.
	user string
	// flags and max are of verbIterate; max 0 is no bound.
	flags, max uint32
}

// parseRequest reads a line without its LF. What follows the fields that are
// known is ignored, because versions differ in it.
func parseRequest(line []byte) (r request, err error) {
	if len(line) == 0 || len(line) >= maxLine {
		return r, broken("a line of %d bytes", len(line))
	}
	if bytes.ContainsAny(line, "\r\n\x00") {
		return r, broken("CR, LF or NUL in a line")
	}
	f, err := cutFields(line[1:])
	if err != nil {
		return r, err
	}
	r.verb = verb(line[0])
	switch {
	case r.verb == verbHello:
		return r.parseHello(f)
	case r.verb == verbLookup:
		r.key = f[0]
		if len(f) > 1 {
			r.user = f[1]
		}
		return r, nil
	case r.verb == verbIterate && len(f) >= 3:
		if r.flags, err = number(f[0]); err != nil {
			return r, err
		}
		if r.max, err = number(f[1]); err != nil {
			return r, err
		}
		r.key = f[2]
		if len(f) > 3 {
			r.user = f[3]
		}
		return r, nil
	}
	return r, broken("unknown or short line")
}

func (r request) parseHello(f []string) (request, error) {
	if len(f) < 5 {
		return r, broken("a greeting of %d fields", len(f))
	}
	var err error
	if r.major, err = number(f[0]); err != nil {
		return r, err
	}
	if r.minor, err = number(f[1]); err != nil {
		return r, err
	}
	if r.major < minMajor || r.major > maxMajor {
		return r, broken("version %d", r.major)
	}
	// Field 2 is the type of values. Field 3 is the user in version 2, and
	// empty later.
	r.user, r.name = f[3], f[4]
	return r, nil
}

// appendTo appends the line of r, which parseRequest reads.
func (r request) appendTo(dst []byte) []byte {
	dst = append(dst, byte(r.verb))
	switch r.verb {
	case verbHello:
		dst = fmt.Appendf(dst, "%d\t%d\t0\t", r.major, r.minor)
		dst = append(appendEscaped(dst, r.user), '\t')
		dst = appendEscaped(dst, r.name)
	case verbLookup:
		dst = append(appendEscaped(dst, r.key), '\t')
		dst = appendEscaped(dst, r.user)
	case verbIterate:
		dst = fmt.Appendf(dst, "%d\t%d\t", r.flags, r.max)
		dst = append(appendEscaped(dst, r.key), '\t')
		dst = appendEscaped(dst, r.user)
	}
	return append(dst, '\n')
}

// maxFields is more than any line has.
const maxFields = 8

func cutFields(b []byte) ([]string, error) {
	parts := strings.SplitN(string(b), "\t", maxFields+1)
	if len(parts) > maxFields {
		return nil, broken("more than %d fields", maxFields)
	}
	for i, p := range parts {
		s, err := unescape(p)
		if err != nil {
			return nil, err
		}
		parts[i] = s
	}
	return parts, nil
}

func number(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || s[0] == '+' {
		return 0, broken("no number where one belongs")
	}
	return uint32(n), nil
}

// escapes are the second bytes of Dovecot's escapes, behind 0x01 (lib/strescape).
var (
	escaper   = strings.NewReplacer("\x00", "\x010", "\x01", "\x011", "\t", "\x01t", "\r", "\x01r", "\n", "\x01n")
	unescaper = map[byte]byte{'0': 0, '1': 1, 't': '\t', 'r': '\r', 'n': '\n'}
)

func appendEscaped(dst []byte, s string) []byte { return append(dst, escaper.Replace(s)...) }

func unescape(s string) (string, error) {
	if strings.IndexByte(s, 1) < 0 {
		return s, nil
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != 1 {
			out = append(out, s[i])
			continue
		}
		i++
		if i == len(s) {
			return "", broken("half an escape")
		}
		is, ok := unescaper[s[i]]
		if !ok {
			return "", broken("unknown escape")
		}
		out = append(out, is)
	}
	return string(out), nil
}

// appendAnswer appends the reply to a look-up.
func appendAnswer(dst []byte, a answer) ([]byte, error) {
	switch {
	case a.verdict == verdictTemp:
		// Dovecot logs the text.
		return append(append(dst, replyFail), "accounts can not be read\n"...), nil
	case a.verdict == verdictUnknown:
		return append(dst, replyNotFound, '\n'), nil
	}
	object, err := appendObject(nil, a)
	if err != nil {
		return nil, err
	}
	dst = appendEscaped(append(dst, replyOK), string(object))
	return append(dst, '\n'), nil
}

// appendObject appends the JSON object of an answer.
func appendObject(dst []byte, a answer) ([]byte, error) {
	dst = append(dst, '{')
	put := func(key string, value any) error {
		b, err := json.Marshal(value)
		if err != nil {
			return fmt.Errorf("encode %s: %w", key, err)
		}
		if dst[len(dst)-1] != '{' {
			dst = append(dst, ',')
		}
		dst = strconv.AppendQuote(dst, key)
		dst = append(append(dst, ':'), b...)
		return nil
	}
	if !a.password.IsEmpty() {
		if err := put("password", string(a.password.Reveal())); err != nil {
			return nil, err
		}
	}
	for _, f := range a.fields {
		var value any = f.text
		if f.text == "" && f.number != 0 {
			value = f.number
		}
		if err := put(f.key, value); err != nil {
			return nil, err
		}
	}
	return append(dst, '}'), nil
}

// appendRow appends one row of an iteration.
func appendRow(dst []byte, key, value string) []byte {
	dst = append(appendEscaped(append(dst, replyOK), key), '\t')
	return append(appendEscaped(dst, value), '\n')
}
