package greylist

import (
	"crypto/sha256"
	"encoding/base64"
	"net/netip"
	"strings"
	"unicode/utf8"
)

// Rows are named by their kind and their words, with a tab between. No word
// holds one.
const (
	tripletRow   = "t" // client, sender, recipient
	clientRow    = "c" // client
	recipientRow = "r" // address, or "@" and a domain
	wishRow      = "w" // network, sender
)

const sep = "\t"

// maxWord bounds a word of a row's name: three of them fit state.MaxKeyBytes,
// and no address is longer (RFC 5321 §4.5.3.1).
const maxWord = 320

func rowKey(kind string, words ...string) string {
	n := len(kind)
	for _, w := range words {
		n += len(sep) + len(w)
	}
	var b strings.Builder
	b.Grow(n)
	b.WriteString(kind)
	for _, w := range words {
		b.WriteString(sep)
		b.WriteString(w)
	}
	return b.String()
}

// networkOf returns the client's network as a word: its /24 or /64.
func networkOf(a netip.Addr) string {
	bits := 24
	if a.Is6() {
		bits = 64
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return a.String()
	}
	return p.String()
}

// word makes s fit a row's name: what is too long keeps its start and is told
// from others by a hash.
func word(s string) string {
	clean := true
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			clean = false
			break
		}
	}
	if !clean || !utf8.ValidString(s) {
		s = strings.Map(func(r rune) rune {
			if r < ' ' || r == 0x7f {
				return '?'
			}
			return r
		}, strings.ToValidUTF8(s, "?"))
	}
	if len(s) <= maxWord {
		return s
	}
	sum := sha256.Sum256([]byte(s))
	cut := maxWord / 2
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "#" + base64.RawURLEncoding.EncodeToString(sum[:12])
}

// foldRecipient returns the address in the form in which two spellings are one.
func foldRecipient(s, delim string) string {
	s = strings.ToLower(s)
	local, domain, ok := cutLast(s)
	if !ok {
		return word(s)
	}
	local = cutDetail(local, delim)
	return word(s[:len(local)] + "@" + strings.TrimRight(domain, "."))
}

// foldSender returns the address without what changes with each mail. A "+" is
// what most of the world has for a detail.
func foldSender(s string) string {
	s = strings.ToLower(s)
	local, domain, ok := cutLast(s)
	if !ok {
		return word(s)
	}
	local = numbers(cutDetail(cutStamp(local), "+"))
	return word(local + "@" + strings.TrimRight(domain, "."))
}

func cutLast(s string) (local, domain string, ok bool) {
	i := strings.LastIndexByte(s, '@')
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// cutDetail cuts the detail, unless nothing would be left.
func cutDetail(local, delim string) string {
	if i := strings.IndexAny(local, delim); delim != "" && i > 0 {
		return local[:i]
	}
	return local
}

// cutStamp takes the stamp of SRS ("srs0=hash=time=domain=user"; SRS1 has the
// forwarder before it) and of BATV ("prvs=tag=user") off a local part in lower
// case.
func cutStamp(local string) string {
	switch {
	case strings.HasPrefix(local, "srs0"), strings.HasPrefix(local, "srs1"):
		part := strings.Split(local, "=")
		if len(part) >= 5 {
			return strings.Join(part[len(part)-2:], "=")
		}
	case strings.HasPrefix(local, "prvs="), strings.HasPrefix(local, "btv1="):
		tag, user, ok := strings.Cut(local[5:], "=")
		switch {
		case !ok || user == "":
		case isTag(user) && !isTag(tag):
			return tag // some servers write them the other way round
		default:
			return user
		}
	}
	return local
}

// isTag reports whether s can be a tag of BATV: a digit for the key, three for
// the day and six of a hash.
func isTag(s string) bool {
	return len(s) == 10 && strings.Trim(s[:4], "0123456789") == "" && strings.Trim(s[4:], "0123456789abcdef") == ""
}

// numbers writes "#" for each word with a digit: newsletters have the number of
// the mail, or that of the reader, in the sender's address. "bob2" becomes "#",
// too, which is worse by no more than that a colleague of his need not wait.
func numbers(local string) string {
	if !strings.ContainsAny(local, "0123456789") {
		return local
	}
	out := make([]byte, 0, len(local))
	for i := 0; i < len(local); {
		j, digits := i, false
		for j < len(local) && alphanumeric(local[j]) {
			digits = digits || local[j] <= '9'
			j++
		}
		switch {
		case j == i:
			out = append(out, local[i])
			j++
		case digits:
			out = append(out, '#')
		default:
			out = append(out, local[i:j]...)
		}
		i = j
	}
	return string(out)
}

// alphanumeric reports what is part of a word; local is in lower case, and all
// of a character beyond ASCII is.
func alphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 0x80
}
