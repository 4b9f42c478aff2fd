package quarantine

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

const (
	// magic begins each file; its number is that of the format.
	magic = "gatepost-quarantine 1 "
	// maxHead bounds the JSON of one file: a thousand recipients of the greatest
	// length, and the lines of all rules.
	maxHead = 4 << 20
	// maxCuts bounds Edits.Cut.
	maxCuts = 10000
)

var errFormat = errors.New("not a file of the quarantine, or damaged")

// appendHead appends what stands before the message in a file.
func appendHead(b []byte, e *Entry) ([]byte, error) {
	if err := e.check(); err != nil {
		return nil, err
	}
	var j bytes.Buffer
	enc := json.NewEncoder(&j) // ends in LF
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e); err != nil {
		return nil, fmt.Errorf("encode entry: %w", err)
	}
	if j.Len() > maxHead {
		return nil, fmt.Errorf("encode entry: %d bytes are more than %d", j.Len(), maxHead)
	}
	b = append(b, magic...)
	b = strconv.AppendInt(b, int64(j.Len()), 10)
	b = append(b, '\n')
	return append(b, j.Bytes()...), nil
}

// readHead reads what stands before the message, and returns where that begins.
func readHead(r io.Reader) (e Entry, at int64, err error) {
	br := bufio.NewReader(io.LimitReader(r, maxHead+64))
	line, err := br.ReadSlice('\n')
	if err != nil {
		return Entry{}, 0, errFormat
	}
	number, ok := strings.CutPrefix(string(line[:len(line)-1]), magic)
	n, err := strconv.ParseInt(number, 10, 64)
	if !ok || err != nil || n < 2 || n > maxHead || strconv.FormatInt(n, 10) != number {
		return Entry{}, 0, errFormat
	}
	at = int64(len(line)) + n
	var j bytes.Buffer // grows with what is there, not with what was announced
	if _, err := io.CopyN(&j, br, n); err != nil {
		return Entry{}, 0, errFormat
	}
	if err := json.Unmarshal(j.Bytes(), &e); err != nil {
		return Entry{}, 0, fmt.Errorf("%w: %w", errFormat, err)
	}
	if err := e.check(); err != nil {
		return Entry{}, 0, fmt.Errorf("%w: %w", errFormat, err)
	}
	return e, at, nil
}

// check reports what no entry may have.
func (e *Entry) check() error {
	if e.Size < 0 || len(e.Edits.Cut) > maxCuts || e.Arrived.Year() < 1970 || e.Arrived.Year() > 9999 {
		return errors.New("size, edits or time of the entry cannot be")
	}
	at := int64(0)
	for _, c := range e.Edits.Cut {
		if c.Start < at || c.End < c.Start || c.End > e.Size {
			return errors.New("the edits of the entry are not in order")
		}
		at = c.End
	}
	return nil
}

// name is what the name of a file tells.
type name struct {
	id, queueID string
	discard     bool
}

const (
	idTime    = "20060102-150405"
	idLen     = len("20060102-150405-k3f9x2")
	dayLen    = len("20060102")
	sufQuar   = ".quarantine"
	sufDisc   = ".discard"
	sufMark   = ".released"
	noQueueID = "none"
)

// String is the name of the file.
func (n name) String() string {
	q, suffix := n.queueID, sufQuar
	if q == "" {
		q = noQueueID
	}
	if n.discard {
		suffix = sufDisc
	}
	return n.id + "." + q + suffix
}

// parseName reads the name of a file.
func parseName(s string) (name, bool) {
	base, disc := strings.CutSuffix(s, sufDisc)
	base, quar := strings.CutSuffix(base, sufQuar)
	id, q, ok := strings.Cut(base, ".")
	if disc == quar || !ok || !ValidID(id) || !plain(q) || q == "" || len(q) > maxQueueID {
		return name{}, false
	}
	if q == noQueueID {
		q = ""
	}
	return name{id, q, disc}, true
}

// maxQueueID is longer than any of Postfix.
const maxQueueID = 64

// ValidID reports whether s has the form of an entry's id.
func ValidID(s string) bool {
	if len(s) != idLen || s[dayLen] != '-' || s[len(idTime)] != '-' || !plain(s[len(idTime)+1:]) {
		return false
	}
	for i := range idTime {
		if c := s[i]; i != dayLen && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// plain reports whether s holds letters and digits only.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}
