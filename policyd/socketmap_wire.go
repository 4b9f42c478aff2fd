package policyd

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Bounds of the socketmap protocol (socketmap_table(5)).
const (
	// MaxLookupBytes bounds a request without its length and comma. Postfix
	// bounds an address at some 2,048 bytes.
	MaxLookupBytes = 8 << 10
	// MaxLookupReplyBytes is the longest reply that Postfix reads.
	MaxLookupReplyBytes = 100_000
)

// ErrNetstring is wrapped by the errors of a netstring that is none, or that is
// too long: the connection is closed without an answer.
var ErrNetstring = errors.New("malformed netstring")

// maxLengthDigits is that of MaxLookupBytes.
const maxLengthDigits = 4

// cutNetstring returns the first netstring in b and the length with which it
// stands there; a length of 0 means that more bytes are needed. It knows from
// the length alone that one is too long.
func cutNetstring(b []byte) (data []byte, length int, err error) {
	size, digits := 0, 0
	for digits < len(b) && b[digits] >= '0' && b[digits] <= '9' {
		size = size*10 + int(b[digits]-'0')
		if digits++; digits > maxLengthDigits || size > MaxLookupBytes {
			return nil, 0, fmt.Errorf("%w: longer than %d bytes", ErrNetstring, MaxLookupBytes)
		}
	}
	if digits == len(b) {
		return nil, 0, nil
	}
	if digits == 0 || b[digits] != ':' || digits > 1 && b[0] == '0' {
		return nil, 0, fmt.Errorf("%w: no length", ErrNetstring)
	}
	end := digits + 1 + size
	if len(b) <= end {
		return nil, 0, nil
	}
	if b[end] != ',' {
		return nil, 0, fmt.Errorf("%w: no comma at the end", ErrNetstring)
	}
	return b[digits+1 : end], end + 1, nil
}

// appendNetstring writes data as a netstring.
func appendNetstring(dst []byte, data string) []byte {
	dst = strconv.AppendInt(dst, int64(len(data)), 10)
	dst = append(dst, ':')
	dst = append(dst, data...)
	return append(dst, ',')
}

// Lookup is one request: the name of a map and a key.
type Lookup struct{ Map, Key string }

// ParseLookup reads "name SP key", the content of a request's netstring. A key
// may hold spaces and be empty.
func ParseLookup(data []byte) (Lookup, error) {
	name, key, ok := strings.Cut(string(data), " ")
	if !ok || name == "" {
		return Lookup{}, errors.New("request is not a name, a space and a key")
	}
	return Lookup{Map: name, Key: key}, nil
}

// Append writes l as a request.
func (l Lookup) Append(dst []byte) ([]byte, error) {
	if l.Map == "" || strings.Contains(l.Map, " ") || len(l.Map)+1+len(l.Key) > MaxLookupBytes {
		return nil, fmt.Errorf("look-up in %q is too long or has no name of a map", l.Map)
	}
	return appendNetstring(dst, l.Map+" "+l.Key), nil
}

// Status is the first word of a reply.
type Status string

// The statuses of socketmap_table(5); its TIMEOUT is never sent.
const (
	StatusOK       Status = "OK"
	StatusNotFound Status = "NOTFOUND"
	StatusTemp     Status = "TEMP"
	StatusPerm     Status = "PERM"
)

// word is s for metrics.
func (s Status) word() string {
	switch s {
	case StatusOK:
		return "ok"
	case StatusNotFound:
		return "notfound"
	case StatusTemp:
		return "temp"
	}
	return "perm"
}

// Answer is one reply: data for OK, a reason for TEMP and PERM.
type Answer struct {
	Status Status
	Text   string
}

// Append writes a as a reply. It refuses data that is empty (Postfix would take
// it for a fault of the table), too long, or that holds a control character.
func (a Answer) Append(dst []byte) ([]byte, error) {
	switch a.Status {
	case StatusOK:
		if a.Text == "" {
			return nil, errors.New("table answer OK without data")
		}
	case StatusNotFound:
		if a.Text != "" {
			return nil, errors.New("table answer NOTFOUND with data")
		}
	case StatusTemp, StatusPerm:
	default:
		return nil, fmt.Errorf("table answer has status %q", a.Status)
	}
	if len(a.Status)+1+len(a.Text) > MaxLookupReplyBytes {
		return nil, fmt.Errorf("table answer is longer than %d bytes", MaxLookupReplyBytes)
	}
	for i := range len(a.Text) {
		if a.Text[i] < ' ' || a.Text[i] == 0x7f {
			return nil, errors.New("table answer holds a control character")
		}
	}
	return appendNetstring(dst, string(a.Status)+" "+a.Text), nil
}
