package authres

import "strings"

// Own reports whether the value of an incoming Authentication-Results field,
// folded or not, may be read as coming from authservID, so that it has to be
// removed (RFC 8601 §5). When in doubt it says yes: readers differ in how they
// take comments, quotes, escapes and blanks, and a forged field needs only one
// that takes our name for the author. Only what stands before the first ";"
// counts; a name below or beside ours (sub.example.org, xexample.org for
// example.org) is another's.
func Own(value []byte, authservID string) bool {
	id := strings.ToLower(strings.TrimSuffix(authservID, "."))
	if id == "" {
		return false
	}
	h := head(value)
	if strings.IndexFunc(id, func(r rune) bool { return r < 0x80 && !inName(byte(r)) }) >= 0 {
		// An id that is no host name may mean something where it stands.
		return strings.Contains(h, id) || strings.Contains(strings.ToLower(string(value)), id)
	}
	return holds(h, id) || begins(compact(h), id)
}

// head returns what stands before the first ";" outside of comments and
// quotes, in lower case and without backslashes; all of it when a comment or
// quote does not end.
func head(value []byte) string {
	var b strings.Builder
	depth, quoted := 0, false
	for i := 0; i < len(value); i++ {
		c := value[i]
		switch {
		case c == '\\' && (quoted || depth > 0) && i+1 < len(value):
			i++
			b.WriteByte(value[i])
			continue
		case c == '\\':
			continue
		case quoted:
			quoted = c != '"'
		case c == '"' && depth == 0:
			quoted = true
		case c == '(':
			depth++
		case c == ')' && depth > 0:
			depth--
		case c == ';' && depth == 0:
			return strings.ToLower(b.String())
		}
		b.WriteByte(c)
	}
	return strings.ToLower(b.String())
}

// holds reports whether id is a word of h.
func holds(h, id string) bool {
	for from := 0; ; {
		i := strings.Index(h[from:], id)
		if i < 0 {
			return false
		}
		i += from
		if (i == 0 || !inName(h[i-1])) && ends(h[i+len(id):]) {
			return true
		}
		from = i + 1
	}
}

// ends reports whether a name may end before rest: a final dot belongs to it.
func ends(rest string) bool {
	rest = strings.TrimPrefix(rest, ".")
	return rest == "" || !inName(rest[0])
}

// inName reports whether c goes on with a host name.
func inName(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.' || c >= 0x80
}

// compact returns h without comments, quotes, blanks and control characters.
func compact(h string) string {
	var b strings.Builder
	depth := 0
	for i := range len(h) {
		switch c := h[i]; {
		case c == '(':
			depth++
		case c == ')' && depth > 0:
			depth--
		case depth > 0 || c <= ' ' || c == 0x7f || c == '"':
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// begins reports whether h is id, with a final dot and a version (RFC 8601
// §2.2 authres-version) at most behind it.
func begins(h, id string) bool {
	rest, ok := strings.CutPrefix(h, id)
	if !ok {
		return false
	}
	return strings.Trim(strings.TrimPrefix(rest, "."), "/0123456789") == ""
}
