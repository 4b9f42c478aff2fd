package dkim

import "strings"

// maxTags bounds the tags of one list.
const maxTags = 100

// maxTagName bounds what a reason says of a tag's name: it is a stranger's, and
// goes into fields and logs.
const maxTagName = 20

// fws is folding white space.
const fws = " \t\r\n"

// tag is one tag of a list.
type tag struct {
	name string
	// value is without the white space around it.
	value string
	// start and end are where everything between "=" and ";" stands.
	start, end int
}

// tags is a tag-list in the order of the text.
type tags []tag

// parseTags reads a tag-list (RFC 6376 §3.2). The second result says what is
// wrong with it, "" for nothing. Octets above 127 may stand in a value
// (RFC 8616 §5); control characters may not.
func parseTags(s string) (tags, string) {
	var list tags
	for pos := 0; ; {
		end := strings.IndexByte(s[pos:], ';')
		last := end < 0
		if last {
			end = len(s)
		} else {
			end += pos
		}
		spec := s[pos:end]
		if last && len(list) > 0 && strings.Trim(spec, fws) == "" {
			return list, ""
		}
		if len(list) == maxTags {
			return list, "too many tags"
		}
		name, v, ok := strings.Cut(spec, "=")
		at := pos + len(name) + 1
		name, v = strings.Trim(name, fws), strings.Trim(v, fws)
		if !ok || !isTagName(name) || !isTagValue(v) {
			return list, "malformed tags"
		}
		if _, twice := list.find(name); twice {
			return list, "tag " + name[:min(len(name), maxTagName)] + " stands twice"
		}
		list = append(list, tag{name, v, at, end})
		if last {
			return list, ""
		}
		pos = end + 1
	}
}

// find returns the tag of that name; names are case-sensitive.
func (t tags) find(name string) (tag, bool) {
	for _, t := range t {
		if t.name == name {
			return t, true
		}
	}
	return tag{}, false
}

// get returns the value of a tag, "" for none.
func (t tags) get(name string) string {
	f, _ := t.find(name)
	return f.value
}

// has reports whether there is such a tag.
func (t tags) has(name string) bool {
	_, ok := t.find(name)
	return ok
}

func isTagName(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (i == 0 || (c < '0' || c > '9') && c != '_') {
			return false
		}
	}
	return s != ""
}

func isTagValue(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c < ' ' && c != '\t' && c != '\n' && (c != '\r' || i+1 == len(s) || s[i+1] != '\n') || c == 0x7f {
			return false
		}
	}
	return true
}

// squeeze returns s without white space.
func squeeze(s string) string {
	if !strings.ContainsAny(s, fws) {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for i := range len(s) {
		if strings.IndexByte(fws, s[i]) < 0 {
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

// each returns the pieces of a colon-separated value without the white space
// around them.
func each(v string, yield func(piece string) bool) {
	for p := range strings.SplitSeq(v, ":") {
		if !yield(strings.Trim(p, fws)) {
			return
		}
	}
}
