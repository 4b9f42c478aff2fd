package link

import "strings"

// Found is a link or an address that stands in text.
type Found struct {
	// Start and End are offsets into the text.
	Start, End int
	Kind       Kind
}

// Kind says how it was known.
type Kind uint8

// The kinds.
const (
	// Full has a scheme.
	Full Kind = iota
	// Bare has none: "www.example.org", "example.org/x".
	Bare
	// Mailbox is an address of mail, with "mailto:" or without.
	Mailbox
)

// URL reads what was found in text.
func (f Found) URL(text string) URL {
	s := text[f.Start:f.End]
	switch f.Kind {
	case Full:
		u, _ := Parse(s)
		return u
	case Bare:
		return ParseHost(s)
	}
	u := URL{Scheme: "mailto", Path: strings.TrimPrefix(s, "mailto:")}
	u.mailbox(u.Path)
	return u
}

// Classes of bytes for the finder.
const (
	ends  = 1 << iota // ends a word
	marks             // a word with it may be a link: ":" "." "@"
)

var class = func() (t [256]uint8) {
	for c := range 0x21 {
		t[c] = ends
	}
	for _, c := range []byte("<>\"`\x7f") {
		t[c] = ends
	}
	t['.'], t[':'], t['@'] = marks, marks, marks
	return t
}()

// Find appends the links and addresses in s to dst, at most limit in all, and
// returns how many bytes it looked at. It takes time linear in len(s).
func Find(dst []Found, s string, limit int) (found []Found, work int) {
	for i := 0; i < len(s) && len(dst) < limit; i++ {
		start, seen := i, uint8(0)
		for i < len(s) {
			c := class[s[i]]
			seen |= c
			if c&ends != 0 {
				break
			}
			i++
		}
		work += i - start + 1
		if seen&marks != 0 {
			var more int
			dst, more = inWords(dst, s, start, i, limit)
			work += more
		}
	}
	return dst, work
}

// maxInWord bounds the links of one word.
const maxInWord = 16

// inWords finds the links of the word s[start:end]: more than one in text
// without blanks between words, as Chinese has it.
func inWords(dst []Found, s string, start, end, limit int) (found []Found, work int) {
	for range maxInWord {
		f, ok := inWord(s[start:end])
		if !ok || len(dst) == limit {
			return dst, work + min(end-start, MaxURL)
		}
		dst = append(dst, Found{start + f.Start, start + f.End, f.Kind})
		start += f.End
		work += f.End
		if end-start < 8 || s[start] < 0x80 {
			break
		}
	}
	return dst, work
}

// schemes that are looked for in text, longest first where one ends another.
var schemes = []string{"https", "http", "hxxps", "hxxp", "ftp", "file"}

// inWord finds the first link of a word. A word is looked at up to MaxURL.
func inWord(w string) (Found, bool) {
	if len(w) > MaxURL {
		w = w[:MaxURL]
	}
	if i := strings.Index(w, ":"); i >= 0 {
		if f, ok := withScheme(w); ok {
			return f, true
		}
	}
	start := 0
	for start < len(w) && strings.IndexByte("([{'*_|-=,;:!.#&~^+/\\", w[start]) >= 0 {
		start++
	}
	end := trimEnd(w, start)
	if end-start < 4 {
		return Found{}, false
	}
	if strings.IndexByte(w[start:end], '@') > 0 {
		return mailboxIn(w, start, end)
	}
	return bareIn(w, start, end)
}

// withScheme finds the first "scheme:" of w that is known. It accepts one
// slash, two, or backslashes, as browsers do.
func withScheme(w string) (Found, bool) {
	for from := 0; ; {
		i := strings.IndexByte(w[from:], ':')
		if i < 0 {
			return Found{}, false
		}
		i += from
		from = i + 1
		if start, ok := endsInFold(w[:i], "mailto"); ok {
			end := trimEnd(w, i+1)
			return Found{start, end, Mailbox}, end > i+3
		}
		if i+2 >= len(w) || w[i+1] != '/' && w[i+1] != '\\' {
			continue
		}
		for _, sc := range schemes {
			if start, ok := endsInFold(w[:i], sc); ok {
				end := trimEnd(w, i+3)
				if end <= i+3 {
					return Found{}, false
				}
				return Found{start, end, Full}, true
			}
		}
	}
}

// endsInFold returns where suffix begins at the end of s, in whatever case.
func endsInFold(s, suffix string) (int, bool) {
	i := len(s) - len(suffix)
	return i, i >= 0 && strings.EqualFold(s[i:], suffix)
}

// trimEnd returns the end of the link that begins before from: without what
// ends a sentence, without a closing bracket that was not opened inside, and
// before the first full stop, comma or bracket of Chinese and Japanese.
func trimEnd(w string, from int) int {
	end := len(w)
	for i := from; i < end; i++ {
		if w[i] == 0xe3 && strings.HasPrefix(w[i:], "\u3001") || w[i] == 0xe3 && strings.HasPrefix(w[i:], "\u3002") ||
			w[i] == 0xef && isWideStop(w[i:]) || w[i] == 0xe3 && isWideBracket(w[i:]) || w[i] == 0xe2 && isQuote(w[i:]) {
			end = i
			break
		}
	}
	for end > from {
		c := w[end-1]
		open := byte(0)
		switch c {
		case '.', ',', ';', ':', '!', '?', '\'', '*', '|', '_':
		case ')':
			open = '('
		case ']':
			open = '['
		case '}':
			open = '{'
		default:
			return end
		}
		if open != 0 && strings.IndexByte(w[from:end], open) >= 0 {
			return end
		}
		end--
	}
	return end
}

func isWideStop(s string) bool {
	for _, p := range []string{"，", "！", "？", "；", "：", "）", "（"} {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

func isWideBracket(s string) bool {
	for _, p := range []string{"「", "」", "『", "』", "【", "】", "《", "》", "〉"} {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

func isQuote(s string) bool {
	for _, p := range []string{"“", "”", "‘", "’", "…"} {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

// mailboxIn takes w[start:end] for an address when it looks like one.
func mailboxIn(w string, start, end int) (Found, bool) {
	s := w[start:end]
	at := strings.LastIndexByte(s, '@')
	if at > 64 || len(s)-at > 254 || at+4 > len(s) {
		return Found{}, false
	}
	host := s[at+1:]
	if i := strings.IndexAny(host, "/,;:)]}?&=|'*"); i >= 0 {
		host = host[:i]
	}
	local := s[:at]
	if i := strings.LastIndexAny(local, ",;:([{|=/"); i >= 0 {
		start += i + 1
		local = local[i+1:]
	}
	if local == "" || !hostLike(host) || !Real(ToASCII(host)) {
		return Found{}, false
	}
	return Found{start, start + len(local) + 1 + len(host), Mailbox}, true
}

// bareIn takes w[start:end] for a link when it begins with "www.", or with a
// host under a real top-level domain and has a path behind it. A host alone is
// a link only to some programs, and "readme.md" or "e.g.it" only by accident.
func bareIn(w string, start, end int) (Found, bool) {
	s := w[start:end]
	host, path := s, ""
	if i := strings.IndexAny(s, "/?#\\"); i >= 0 {
		host, path = s[:i], s[i:]
	}
	www := len(host) > 6 && strings.EqualFold(host[:4], "www.")
	if !www && len(path) < 2 || len(host) > 253 {
		return Found{}, false
	}
	name, _, _ := strings.Cut(host, ":")
	if !hostLike(name) || !Real(ToASCII(name)) {
		return Found{}, false
	}
	return Found{start, end, Bare}, true
}

// hostLike reports whether s could be a host name that someone typed.
func hostLike(s string) bool {
	dot := strings.LastIndexByte(s, '.')
	if dot < 1 || dot+2 >= len(s) || s[0] == '-' || s[0] == '.' {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '.', c == '_', c >= 0x80:
		default:
			return false
		}
	}
	return true
}
