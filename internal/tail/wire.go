package tail

import (
	"encoding/json"
	"errors"
	"strings"
)

const (
	// maxLine bounds a line of a file, maxEntry one of the journal, in JSON.
	maxLine  = 8 << 10
	maxEntry = 256 << 10
)

var errEntry = errors.New("not an entry of journalctl")

// cutSyslog splits a line of a syslog file into the program and its text. The
// header is that of RFC 3164 §4.1 as files have it ("Nov 20 14:00:01 host
// sshd[123]: text"), or begins with a time of RFC 3339.
func cutSyslog(line string) (program, text string, ok bool) {
	rest := line
	if len(line) >= 16 && line[3] == ' ' && line[6] == ' ' && line[9] == ':' && line[12] == ':' && line[15] == ' ' {
		rest = line[16:]
	} else if at, after, found := strings.Cut(line, " "); found && len(at) >= 20 && len(at) <= 40 && at[4] == '-' && at[7] == '-' && at[10] == 'T' {
		rest = after
	} else {
		return "", "", false
	}
	_, rest, ok = strings.Cut(rest, " ") // the host
	if !ok {
		return "", "", false
	}
	tag, text, ok := strings.Cut(rest, ": ")
	if !ok || strings.ContainsAny(tag, " \t") {
		return "", "", false
	}
	program, pid, has := strings.Cut(tag, "[")
	if has && (!strings.HasSuffix(pid, "]") || strings.Trim(pid[:len(pid)-1], "0123456789") != "") {
		return "", "", false
	}
	return program, text, true
}

// entry is one entry of the journal.
type entry struct {
	cursor, program, text string
}

// parseEntry reads a line of "journalctl -o json". A message that is no UTF-8 is
// an array of bytes there, one that is too long is null.
func parseEntry(line []byte) (entry, error) {
	var e struct {
		Cursor  string          `json:"__CURSOR"`
		Program json.RawMessage `json:"SYSLOG_IDENTIFIER"`
		Message json.RawMessage `json:"MESSAGE"`
	}
	if len(line) > maxEntry || json.Unmarshal(line, &e) != nil || e.Cursor == "" || len(e.Cursor) > 500 ||
		strings.ContainsFunc(e.Cursor, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return entry{}, errEntry
	}
	return entry{e.Cursor, textOf(e.Program), textOf(e.Message)}, nil
}

// textOf reads a field: a string, or an array of bytes.
func textOf(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	var numbers []uint8
	var wide []int
	if json.Unmarshal(raw, &wide) != nil {
		return ""
	}
	for _, n := range wide {
		if n < 0 || n > 255 {
			return ""
		}
		numbers = append(numbers, uint8(n))
	}
	return string(numbers)
}
