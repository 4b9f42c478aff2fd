package watch

import (
	"encoding/base64"
	"strings"
	"unicode/utf16"
)

// class is what kind of folder a message is in.
type class uint8

const (
	nowhere class = iota
	inbox
	other
	trash
	junk
)

// ham reports whether mail in that folder is wanted.
func (c class) ham() bool { return c == inbox || c == other }

// folders knows the directories of Junk and Trash, without their leading dot.
type folders struct{ junk, trash []string }

// newFolders takes names as a mail program shows them, with "/" between levels.
func newFolders(junk, trash []string) folders {
	return folders{diskNames(junk), diskNames(trash)}
}

// diskNames returns the names in modified UTF-7, and in UTF-8 where that differs
// (mail_location …:UTF-8).
func diskNames(names []string) (out []string) {
	for _, n := range names {
		n = strings.ReplaceAll(n, "/", ".")
		out = append(out, n)
		if m := modifiedUTF7(n); m != n {
			out = append(out, m)
		}
	}
	return out
}

// classOf returns the class of a folder by its directory, "" for the inbox.
// Folders below Junk and Trash count with them.
func (f folders) classOf(dir string) class {
	in := func(names []string) bool {
		for _, n := range names {
			for _, d := range [2]string{dir, strings.TrimPrefix(dir, "INBOX.")} {
				if strings.EqualFold(d, n) || len(d) > len(n) && d[len(n)] == '.' && strings.EqualFold(d[:len(n)], n) {
					return true
				}
			}
		}
		return false
	}
	switch {
	case dir == "":
		return inbox
	case in(f.junk):
		return junk
	case in(f.trash):
		return trash
	}
	return other
}

// modifiedUTF7 returns s as IMAP names mailboxes (RFC 3501 §5.1.3).
func modifiedUTF7(s string) string {
	coding := base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,").WithPadding(base64.NoPadding)
	var b strings.Builder
	var wide []rune
	flush := func() {
		if len(wide) == 0 {
			return
		}
		var raw []byte
		for _, u := range utf16.Encode(wide) {
			raw = append(raw, byte(u>>8), byte(u))
		}
		b.WriteString("&" + coding.EncodeToString(raw) + "-")
		wide = wide[:0]
	}
	for _, r := range s {
		if r < ' ' || r > '~' {
			wide = append(wide, r)
			continue
		}
		flush()
		b.WriteRune(r)
		if r == '&' {
			b.WriteByte('-')
		}
	}
	flush()
	return b.String()
}
