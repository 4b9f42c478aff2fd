package maildir

import (
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Folder is a folder of a mailbox by its Maildir++ name in UTF-8, levels joined
// by dots ("Archive.2026"). The zero Folder is the inbox.
type Folder string

const (
	// Inbox is the mailbox itself.
	Inbox Folder = ""
	// Junk is where marked mail goes.
	Junk Folder = "Junk"
)

// String returns the name that IMAP clients see.
func (f Folder) String() string {
	if f == Inbox {
		return "INBOX"
	}
	return string(f)
}

// ParseFolder returns the folder that a user means by s, or ErrUnsafe. "INBOX"
// is the inbox in any case of letters (RFC 3501 §5.1).
func ParseFolder(s string) (Folder, error) {
	if strings.EqualFold(s, "INBOX") {
		return Inbox, nil
	}
	f := Folder(s)
	if _, err := f.Stored(false); err != nil || f == Inbox {
		return Inbox, fmt.Errorf("folder %q: %w", s, ErrUnsafe)
	}
	return f, nil
}

// Stored returns the name of f on the disk, without the dot in front: each
// level in modified UTF-7, or as it is where plain is set.
func (f Folder) Stored(plain bool) (string, error) {
	s := string(f)
	if s == "" {
		return "", nil
	}
	if strings.HasPrefix(s, "~") || strings.HasSuffix(s, ".") || strings.Contains(s, "..") || !safe(s) {
		return "", fmt.Errorf("folder %q: %w", s, ErrUnsafe)
	}
	if !plain {
		s = encodeUTF7(s)
	}
	if len(s) > MaxComponent {
		return "", fmt.Errorf("folder %q: %w", string(f), ErrUnsafe)
	}
	return s, nil
}

// utf7 is the base64 of modified UTF-7: "," for "/", no padding.
var utf7 = base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,").WithPadding(base64.NoPadding)

// encodeUTF7 returns s, which is UTF-8 without control characters, in modified
// UTF-7 (RFC 3501 §5.1.3).
func encodeUTF7(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		if s[i] < utf8.RuneSelf {
			b.WriteByte(s[i])
			if s[i] == '&' {
				b.WriteByte('-')
			}
			i++
			continue
		}
		end := i
		for end < len(s) && s[end] >= utf8.RuneSelf {
			end++
		}
		var units []byte
		for _, u := range utf16.Encode([]rune(s[i:end])) {
			units = append(units, byte(u>>8), byte(u))
		}
		b.WriteString("&" + utf7.EncodeToString(units) + "-")
		i = end
	}
	return b.String()
}
