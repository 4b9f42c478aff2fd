package mailauth

import (
	"strconv"
	"strings"
	"time"
)

// signature is a DKIM-Signature field as far as we read it ourselves: the
// library tells neither selector nor algorithm.
type signature struct {
	tags map[string]string
	// names are those of h=, as typed.
	names []string
	// bad says what is wrong with the field, "" when nothing is.
	bad string
}

// maxTags bounds the tags of one signature.
const maxTags = 100

// parseSignature reads the value of a DKIM-Signature field (RFC 6376 §3.5). It
// takes what it can from a bad one, for the result to name it.
func parseSignature(value string) signature {
	s := signature{tags: make(map[string]string)}
	n := 0
	for part := range strings.SplitSeq(value, ";") {
		if n++; n > maxTags {
			s.bad = "too many tags"
			return s
		}
		name, v, ok := strings.Cut(part, "=")
		name = strings.Trim(name, fws)
		if !ok && name == "" {
			continue
		}
		_, twice := s.tags[name]
		if !ok || twice {
			s.bad = "malformed signature"
			return s
		}
		s.tags[name] = strings.Trim(v, fws)
	}
	s.names = strings.FieldsFunc(s.tags["h"], func(r rune) bool { return r == ':' || strings.ContainsRune(fws, r) })
	if !isDomain(s.tag("d")) || !isDomain(s.tag("s")) {
		s.bad = "malformed signature"
	}
	return s
}

// fws is folding white space.
const fws = " \t\r\n"

// tag returns the value of a tag without the white space that folding left
// within it.
func (s signature) tag(name string) string {
	v := s.tags[name]
	if strings.ContainsAny(v, fws) {
		v = strings.Join(strings.FieldsFunc(v, func(r rune) bool { return strings.ContainsRune(fws, r) }), "")
	}
	return v
}

// time returns the time that a tag holds, zero for none.
func (s signature) time(name string) time.Time {
	sec, err := strconv.ParseInt(s.tag(name), 10, 64)
	if err != nil || sec < 0 || sec > 1<<40 {
		return time.Time{}
	}
	return time.Unix(sec, 0).UTC()
}

// isDomain reports whether s can be d= or s= of a signature: labels of
// letters, digits, "-" and "_" with dots between. Whatever else stands there
// (NUL, blanks, quotes, brackets) is meant for another parser than ours.
func isDomain(s string) bool {
	if len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
		for i := range len(label) {
			c := label[i]
			if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return false
			}
		}
	}
	return true
}

// keyRecord is what we want to know of a key record beside the library's
// verdict (RFC 6376 §3.6.1).
type keyRecord struct {
	testing bool // t=y
	strict  bool // t=s
	public  string
	rsa     bool
}

// parseKeyRecord reads what it can; the library refuses what is malformed.
func parseKeyRecord(txt string) keyRecord {
	k := keyRecord{rsa: true}
	n := 0
	for part := range strings.SplitSeq(txt, ";") {
		if n++; n > maxTags {
			break
		}
		name, v, _ := strings.Cut(part, "=")
		v = strings.Trim(v, fws)
		switch strings.Trim(name, fws) {
		case "t":
			for f := range strings.SplitSeq(v, ":") {
				switch strings.Trim(f, fws) {
				case "y":
					k.testing = true
				case "s":
					k.strict = true
				}
			}
		case "p":
			k.public = strings.ReplaceAll(v, " ", "")
		case "k":
			k.rsa = v == "" || v == "rsa"
		}
	}
	return k
}
