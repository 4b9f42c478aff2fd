package lists

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"sort"
	"strings"

	"github.com/gatepost/gatepost/internal/mailaddr"
)

// hash makes a label of an e-mail address.
type hash struct {
	sum  func([]byte) []byte
	text func([]byte) string
}

var (
	sumMD5    = func(b []byte) []byte { s := md5.Sum(b); return s[:] }
	sumSHA1   = func(b []byte) []byte { s := sha1.Sum(b); return s[:] }
	sumSHA256 = func(b []byte) []byte { s := sha256.Sum256(b); return s[:] }
	base32ed  = func(b []byte) string {
		return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b))
	}
)

// hashes are the forms in which lists want addresses. The hexadecimal form of
// SHA-256 is longer than a label can be (RFC 1035 §2.3.4). None of them hides
// an address from who guesses it; the lists know that.
var hashes = map[string]hash{
	"md5":           {sumMD5, hex.EncodeToString},
	"md5-base32":    {sumMD5, base32ed},
	"sha1":          {sumSHA1, hex.EncodeToString},
	"sha1-base32":   {sumSHA1, base32ed},
	"sha256-base32": {sumSHA256, base32ed},
}

func hashNames() []string {
	out := make([]string, 0, len(hashes))
	for n := range hashes {
		out = append(out, n)
	}
	sort.Strings(out)
	return out
}

// hashed returns the label for a, "" without a hash.
func hashed(h hash, a mailaddr.Address) string {
	if h.sum == nil {
		return ""
	}
	return h.text(h.sum([]byte(canonical(a))))
}

// canonical returns a in the one spelling under which lists keep a mailbox:
// lower case, without what stands behind a plus; Gmail's without dots, which it
// does not look at, and under its first name.
func canonical(a mailaddr.Address) string {
	a = a.Folded()
	a, _, _ = a.CutDetail("+")
	if a.Domain == "googlemail.com" {
		a.Domain = "gmail.com"
	}
	if a.Domain == "gmail.com" {
		a.LocalPart = strings.ReplaceAll(a.LocalPart, ".", "")
	}
	return a.LocalPart + "@" + a.Domain
}

// maxEmailText bounds the text in which addresses are looked for.
const maxEmailText = 64 << 10

// findEmails returns up to most addresses that stand in text, in order. It
// looks at each "@" once and at no more than a path's length around it.
func findEmails(text string, most int) []mailaddr.Address {
	text = text[:min(len(text), maxEmailText)]
	var out []mailaddr.Address
	for at := 0; len(out) < most; {
		i := strings.IndexByte(text[at:], '@')
		if i < 0 {
			break
		}
		at += i
		if a, ok := emailAround(text, at); ok {
			out = append(out, a)
		}
		at++
	}
	return out
}

// emailAround returns the address whose "@" is at text[at].
func emailAround(text string, at int) (mailaddr.Address, bool) {
	start, end := at, at+1
	for start > 0 && at-start <= mailaddr.MaxLocalPart && isLocal(text[start-1]) {
		start--
	}
	for end < len(text) && end-at <= mailaddr.MaxDomain && isDomain(text[end]) {
		end++
	}
	local := strings.Trim(text[start:at], ".-'")
	domain := strings.Trim(text[at+1:end], ".-")
	if local == "" || len(local) > mailaddr.MaxLocalPart || !strings.Contains(domain, ".") {
		return mailaddr.Address{}, false
	}
	a, err := mailaddr.Parse(local + "@" + domain)
	return a, err == nil
}

func isLocal(c byte) bool {
	return isDomain(c) || strings.IndexByte("_+%=&'", c) >= 0
}

func isDomain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.'
}
