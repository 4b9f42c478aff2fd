package scan

import (
	"net/netip"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/header"
)

// hop is one Received field (RFC 5321 §4.4) as far as rules look at it.
type hop struct {
	// from says that there is a from clause.
	from bool
	// helo is what the client said, name its verified name, addr its address.
	helo, name string
	addr       netip.Addr
	// nameless says that the server wrote that the address has no name.
	nameless bool
	// by is the server, with the protocol.
	by, with string
	// login says that the client had authenticated, or came over HTTP.
	login bool
	// at is when it was received, zero where that cannot be read.
	at time.Time
}

// maxReceived bounds what is read of one field.
const maxReceived = 1000

// readHop reads the unfolded value of a Received field as Postfix, Exim,
// Sendmail, qmail, Exchange and Gmail write it.
func readHop(v string) hop {
	v = strings.ReplaceAll(clip(v, maxReceived), "\t", " ")
	var h hop
	rest := 0
	if strings.HasPrefix(v, "from ") {
		end := strings.Index(v, " by ")
		if end < 0 {
			end = len(v)
		}
		h.from = true
		h.client(v[len("from "):max(end, len("from "))])
		rest = end
	}
	if _, s, ok := strings.Cut(v[rest:], "by "); ok {
		h.by = strings.ToLower(firstWord(s))
	}
	if _, s, ok := strings.Cut(v[rest:], " with "); ok {
		h.with = strings.ToLower(firstWord(s))
	}
	h.login = isLogin(h.with) || strings.Contains(v, "uthenticated") || strings.Contains(v, "auth=")
	if i := strings.LastIndexByte(v, ';'); i >= 0 {
		h.at, _ = header.ParseDate(strings.TrimSpace(v[i+1:]))
	}
	return h
}

// isLogin reports whether a protocol of RFC 3848 tells that the client had
// authenticated, or is no SMTP.
func isLogin(with string) bool {
	switch with {
	case "esmtpa", "esmtpsa", "asmtp", "lmtpa", "lmtpsa", "utf8smtpa", "utf8smtpsa", "http", "https", "mapi", "httpu":
		return true
	}
	return false
}

// client reads the from clause s: a word, and comments.
func (h *hop) client(s string) {
	first := firstWord(s)
	if strings.HasPrefix(s, "(") {
		first = ""
	}
	comment := s[len(first):]
	h.addr = addressOf(comment)
	if said, ok := saidHelo(comment); ok {
		h.helo = said
		h.name = first
	} else {
		h.helo = first
		h.name = nameBefore(comment)
		if h.name == "" && strings.Contains(comment, "([") {
			h.name = first // Exim: the name and what was said are the same
		}
	}
	if a := addressOf(first); a.IsValid() {
		if !h.addr.IsValid() {
			h.addr = a
		}
		h.nameless = h.name == first || h.name == ""
	}
	if strings.EqualFold(h.name, "unknown") {
		h.nameless = true
	}
	if h.nameless || strings.Contains(comment, "may be forged") {
		h.name = ""
	}
	h.name = strings.ToLower(strings.TrimSuffix(h.name, "."))
}

func firstWord(s string) string {
	s = strings.TrimLeft(s, " \t")
	if i := strings.IndexAny(s, " \t;("); i >= 0 {
		s = s[:i]
	}
	return s
}

// saidHelo returns X of "helo=X" and "HELO X".
func saidHelo(comment string) (string, bool) {
	for _, mark := range []string{"helo=", "HELO ", "EHLO ", "helo "} {
		if _, s, ok := strings.Cut(comment, mark); ok {
			i := strings.IndexAny(s, " )\t")
			if i < 0 {
				i = len(s)
			}
			return strings.Trim(s[:i], "?"), true
		}
	}
	return "", false
}

// nameBefore returns the name of "(user@name [address])".
func nameBefore(comment string) string {
	_, s, ok := strings.Cut(comment, "(")
	if !ok {
		return ""
	}
	s = firstWord(strings.TrimRight(s, ")"))
	s = s[strings.LastIndexByte(s, '@')+1:]
	if strings.HasPrefix(s, "[") || addressOf("["+s+"]").IsValid() {
		return ""
	}
	return s
}

// addressOf returns the first address in brackets or parentheses in s.
func addressOf(s string) netip.Addr {
	for s != "" {
		i := strings.IndexAny(s, "[(@")
		if i < 0 {
			break
		}
		s = s[i+1:]
		end := strings.IndexAny(s, "]) ")
		if end < 0 {
			end = len(s)
		}
		text := s[:end]
		if len(text) > 5 && strings.EqualFold(text[:5], "ipv6:") {
			text = text[5:]
		}
		if a, err := netip.ParseAddr(text); err == nil {
			return a.Unmap()
		}
	}
	return netip.Addr{}
}

// isPublic reports whether a is an address of the Internet at large.
func isPublic(a netip.Addr) bool {
	return a.IsValid() && a.IsGlobalUnicast() && !a.IsPrivate() && !sharedSpace.Contains(a)
}

// sharedSpace is that of carriers behind NAT (RFC 6598).
var sharedSpace = netip.MustParsePrefix("100.64.0.0/10")

// stranger reports whether the server took the message from the Internet
// without a login.
func (h *hop) stranger() bool { return h.from && !h.login && isPublic(h.addr) }
