package maildir

import (
	"errors"
	"fmt"
	"path/filepath"
	"unicode/utf8"

	"github.com/gatepost/gatepost/internal/mailaddr"
)

// ErrUnsafe means that an address or a folder cannot be the name of a
// directory: nothing was looked up or made for it.
var ErrUnsafe = errors.New("not a safe directory name")

// MaxComponent bounds a local part, and a domain, as a directory name.
const MaxComponent = 200

// Home returns the home directory of addr, ROOT/DOMAIN/LOCALPART, both folded
// to lower case; the mailbox is "Maildir" in it. It is ErrUnsafe where the
// domain or the local part is not one plain path component: empty, longer than
// MaxComponent bytes, with a leading dot, with "/", a control character or
// bytes that are not UTF-8. It does not touch the disk.
func Home(root string, addr mailaddr.Address) (string, error) {
	domain, local, err := components(addr)
	if err != nil {
		return "", err
	}
	return filepath.Join(root, domain, local), nil
}

// components returns the two directory names of addr.
func components(addr mailaddr.Address) (domain, local string, err error) {
	folded := addr.Folded() // which may be longer, and hides what is not UTF-8
	if !safe(addr.Domain) {
		return "", "", fmt.Errorf("domain %q: %w", addr.Domain, ErrUnsafe)
	}
	if !safe(addr.LocalPart) || !safe(folded.LocalPart) {
		return "", "", fmt.Errorf("local part %q: %w", addr.LocalPart, ErrUnsafe)
	}
	return folded.Domain, folded.LocalPart, nil
}

// safe reports whether s is one path component that is not hidden. The leading
// dot covers "." and "..".
func safe(s string) bool {
	if s == "" || len(s) > MaxComponent || s[0] == '.' || !utf8.ValidString(s) {
		return false
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f || s[i] == '/' {
			return false
		}
	}
	return true
}
