package eval

import (
	"bytes"
	"fmt"
	"os"
	"path"
	"strings"
)

// Mask names header fields that are deleted before a message is looked at,
// because they tell the label: what an earlier filter found, what the list
// that archived the message added. The zero Mask deletes nothing.
type Mask struct{ patterns []string }

// secondPass begins the line of a mask file above which stands what is always
// deleted, and below what a list adds.
const secondPass = "# second pass"

// ReadMask reads a mask file: a name a line, in whatever case, * for any
// characters, # before a comment. Without all the reading ends at the line
// "# second pass".
func ReadMask(file string, all bool) (Mask, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return Mask{}, err
	}
	m, err := parseMask(string(b), all)
	if err != nil {
		return Mask{}, fmt.Errorf("%s: %w", file, err)
	}
	return m, nil
}

func parseMask(s string, all bool) (Mask, error) {
	var m Mask
	n := 0
	for line := range strings.Lines(s) {
		n++
		line = strings.TrimSpace(line)
		if !all && strings.HasPrefix(strings.ToLower(line), secondPass) {
			break
		}
		if line == "" || line[0] == '#' {
			continue
		}
		p := strings.ToLower(line)
		if _, err := path.Match(p, ""); err != nil || strings.ContainsAny(p, "/: \t") {
			return m, fmt.Errorf("line %d: %q is no name of a header field", n, cut(line))
		}
		m.patterns = append(m.patterns, p)
	}
	return m, nil
}

// Apply returns raw without the fields of its header block that m names. It
// may change raw.
func (m Mask) Apply(raw []byte) []byte {
	if len(m.patterns) == 0 {
		return raw
	}
	end := headEnd(raw)
	out := raw[:0]
	drop := false
	for pos := 0; pos < end; {
		next := lineEnd(raw, pos)
		line := raw[pos:next]
		if line[0] != ' ' && line[0] != '\t' {
			name, _, _ := bytes.Cut(line, []byte(":"))
			drop = isField(line) && m.names(strings.ToLower(strings.TrimRight(string(name), " \t")))
		}
		if !drop {
			out = append(out, line...)
		}
		pos = next
	}
	return append(out, raw[end:]...)
}

func (m Mask) names(field string) bool {
	for _, p := range m.patterns {
		if ok, err := path.Match(p, field); ok && err == nil {
			return true
		}
	}
	return false
}
