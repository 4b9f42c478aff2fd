package link

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"github.com/gatepost/gatepost/internal/ascii"
)

// Parse reads a link that has a scheme. It reports false where there is none.
func Parse(s string) (URL, bool) {
	var u URL
	s = u.clean(s)
	scheme, rest, ok := cutScheme(s)
	if !ok {
		return URL{}, false
	}
	u.Scheme = scheme
	switch scheme {
	case "http", "https", "ftp":
		u.authority(rest)
	case "mailto":
		u.Path = rest
		u.mailbox(rest)
	default:
		u.Path = rest
	}
	return u, true
}

// ParseHost reads a link without a scheme, as "www.example.org/x" in text,
// which programs take for http.
func ParseHost(s string) URL {
	var u URL
	u.Scheme = "http"
	u.authority(u.clean(s))
	return u
}

// clean returns s without white space around it and without the tabs and line
// ends inside that browsers drop.
func (u *URL) clean(s string) string {
	s = Clip(strings.TrimFunc(s, func(r rune) bool { return r <= ' ' }), MaxURL)
	plain := true
	for i := range len(s) {
		if c := s[i]; c == '\t' || c == '\n' || c == '\r' {
			plain = false
			break
		}
	}
	if plain {
		return s
	}
	// HTML sources break long links in the path or at a parameter: only a break
	// within scheme and host hides something.
	if strings.IndexAny(s, "\t\r\n") < authorityEnd(s) {
		u.Odd |= Split
	}
	return strings.Map(func(r rune) rune {
		if r == '\t' || r == '\n' || r == '\r' {
			return -1
		}
		return r
	}, s)
}

// authorityEnd returns where scheme and authority end.
func authorityEnd(s string) int {
	from := strings.IndexByte(s, ':') + 1
	for from < len(s) && (s[from] == '/' || s[from] == '\\') {
		from++
	}
	if n := strings.IndexAny(s[from:], "/?#\\"); n >= 0 {
		return from + n
	}
	return len(s)
}

// cutScheme cuts "scheme:" off (RFC 3986 §3.1).
func cutScheme(s string) (scheme, rest string, ok bool) {
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
		case i > 0 && (c >= '0' && c <= '9' || c == '+' || c == '-' || c == '.'):
		case i > 0 && c == ':':
			return lower(s[:i]), s[i+1:], true
		default:
			return "", "", false
		}
		if i > 30 {
			break
		}
	}
	return "", "", false
}

// authority reads what follows "http:".
func (u *URL) authority(s string) {
	for s != "" && (s[0] == '/' || s[0] == '\\') {
		if s[0] == '\\' {
			u.Odd |= Backslash
		}
		s = s[1:]
	}
	end := strings.IndexAny(s, "/\\?#")
	if end < 0 {
		end = len(s)
	}
	auth := s[:end]
	u.Path = s[end:]
	if strings.HasPrefix(u.Path, `\`) {
		u.Odd |= Backslash
	}
	if i := strings.LastIndexByte(auth, '@'); i >= 0 {
		u.User = auth[:i]
		u.Odd |= UserInfo
		if strings.IndexByte(u.User, '@') >= 0 {
			u.Odd |= ManyAt
		}
		auth = auth[i+1:]
	}
	u.host(auth)
}

// host reads an authority without user.
func (u *URL) host(s string) {
	if strings.HasPrefix(s, "[") {
		addr, tail, _ := strings.Cut(s[1:], "]")
		u.Port = strings.TrimPrefix(tail, ":")
		u.ip6(lower(addr))
		return
	}
	s, u.Port, _ = strings.Cut(s, ":")
	if strings.IndexByte(s, '%') >= 0 {
		u.Odd |= Encoded
		s = unescape(s)
	}
	s = strings.TrimSuffix(lower(s), ".")
	if !ascii.Only(s) {
		s = u.unicodeHost(s)
	}
	if s == "" {
		u.Odd |= BadHost
		return
	}
	u.Host = s
	if endsInNumber(s) {
		u.ip4(s)
		return
	}
	if !validHost(s) {
		u.Odd |= BadHost
	}
}

// unicodeHost returns a host in A-labels; one that cannot be is left as it is.
func (u *URL) unicodeHost(s string) string {
	for _, r := range s {
		switch {
		case IsInvisible(r):
			u.Odd |= Invisible
		case IsTurning(r):
			u.Odd |= Turned
		case r == utf8.RuneError:
			u.Odd |= BadHost
		}
	}
	// Dots of other writings are dots (UTS #46 §2.3).
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '。' || r == '．' || r == '｡':
			return '.'
		case IsInvisible(r) || IsTurning(r):
			return -1
		}
		return r
	}, s)
	return strings.TrimSuffix(ToASCII(s), ".")
}

// mailbox takes the domain of the first address of a mailto link.
func (u *URL) mailbox(s string) {
	if i := strings.IndexAny(s, "?,;"); i >= 0 {
		s = s[:i]
	}
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		u.User = s[:i]
		u.Host = ToASCII(strings.TrimRight(lower(s[i+1:]), ". >"))
	}
}

// ToASCII returns a domain in lower case with its labels in ASCII (RFC 5891,
// mapped as UTS #46 has it); one that cannot be is returned in lower case.
func ToASCII(domain string) string {
	domain = lower(domain)
	if ascii.Only(domain) {
		return domain
	}
	if a, err := idna.Lookup.ToASCII(domain); err == nil {
		return a
	}
	if a, err := idna.Punycode.ToASCII(domain); err == nil {
		return a
	}
	return domain
}

// ToUnicode returns a domain with its A-labels undone, as a reader sees it.
func ToUnicode(domain string) string {
	if !strings.Contains(domain, "xn--") {
		return domain
	}
	u, err := idna.Punycode.ToUnicode(domain)
	if err != nil {
		return domain
	}
	return u
}

// validHost reports whether the host, in ASCII, has what a browser takes: no
// forbidden character, no empty label.
func validHost(s string) bool {
	if len(s) > 253 || s[0] == '.' || s[len(s)-1] == '.' || strings.Contains(s, "..") {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '.', c == '_':
		default:
			return false
		}
	}
	return true
}

// unescape undoes percent-encoding; a broken one stays.
func unescape(s string) string {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) && ascii.Unhex(s[i+1]) >= 0 && ascii.Unhex(s[i+2]) >= 0 {
			b = append(b, byte(ascii.Unhex(s[i+1])<<4|ascii.Unhex(s[i+2])))
			i += 2
			continue
		}
		b = append(b, s[i])
	}
	return string(b)
}

// lower is strings.ToLower for text that mostly is in lower case already.
func lower(s string) string {
	for i := range len(s) {
		if c := s[i]; c >= 'A' && c <= 'Z' || c >= 0x80 {
			return strings.ToLower(s)
		}
	}
	return s
}

// Clip returns at most n bytes of s, whole characters.
func Clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
