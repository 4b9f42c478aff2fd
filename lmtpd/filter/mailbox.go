package filter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/maildir"
)

const (
	dirFlags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	// keywordsName is Dovecot's file of the keywords of a folder, and maxKeywords
	// what is read of it: 26 lines.
	keywordsName = "dovecot-keywords"
	maxKeywords  = 64 << 10

	logName  = ".dovecot.sieve.log"
	maxLog   = 10 << 10 // Pigeonhole's
	maxLines = 20
	maxLine  = 500
)

// home is the home directory of one user, which is only looked at, but for the
// log.
type home struct {
	root string
	addr mailaddr.Address
	utf8 bool
	uses SpecialUse
}

// open opens the directory below the home, each from its parent, so that no
// symbolic link is followed.
func (h home) open(below ...string) (int, error) {
	path, err := maildir.Home(h.root, h.addr)
	if err != nil {
		return -1, err
	}
	fd, err := unix.Open(h.root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	names := append([]string{filepath.Base(filepath.Dir(path)), filepath.Base(path)}, below...)
	for _, name := range names {
		if err != nil {
			break
		}
		next, nerr := unix.Openat(fd, name, dirFlags, 0)
		_ = unix.Close(fd) // it was only read
		fd, err = next, nerr
	}
	if err != nil {
		return -1, fmt.Errorf("open home of %s: %w", h.addr, err)
	}
	return fd, nil
}

// parseFolder returns the folder that a script means by name. A Maildir++ name
// holds no "/": where one is, it is the separator of Dovecot's namespace.
func parseFolder(name string) (maildir.Folder, error) {
	return maildir.ParseFolder(strings.ReplaceAll(name, "/", "."))
}

// openFolder opens the directory of a folder.
func (h home) openFolder(f maildir.Folder) (int, error) {
	if f == maildir.Inbox {
		return h.open("Maildir")
	}
	name, err := f.Stored(h.utf8)
	if err != nil {
		return -1, err
	}
	return h.open("Maildir", "."+name)
}

// has reports whether the folder is there; the inbox always is.
func (h home) has(f maildir.Folder) bool {
	if f == maildir.Inbox {
		return true
	}
	fd, err := h.openFolder(f)
	if err != nil {
		return false
	}
	_ = unix.Close(fd)
	return true
}

// Exists reports whether a script can file into the mailbox.
func (h home) Exists(_ context.Context, mailbox string) bool {
	f, err := parseFolder(mailbox)
	return err == nil && h.has(f)
}

// SpecialUse reports whether the mailbox, or any for "", has the special use.
func (h home) SpecialUse(ctx context.Context, mailbox, use string) bool {
	name := h.uses.folder(use)
	if name == "" || !h.Exists(ctx, name) {
		return false
	}
	if mailbox == "" {
		return true
	}
	a, err := parseFolder(mailbox)
	b, err2 := parseFolder(name)
	return err == nil && err2 == nil && a == b
}

// systemFlags are the letters of the Maildir's info.
var systemFlags = map[string]byte{`\seen`: 'S', `\answered`: 'R', `\flagged`: 'F', `\draft`: 'D', `\deleted`: 'T'}

// letters returns the info for the flags in a folder, and the keywords that have
// no letter there: Dovecot gives them out, and nobody else may.
func (h home) letters(f maildir.Folder, flags []string) (info string, unknown []string) {
	var out []byte
	var known map[string]byte
	for _, flag := range flags {
		c, ok := systemFlags[strings.ToLower(flag)]
		if !ok && !strings.HasPrefix(flag, `\`) {
			if known == nil {
				known = h.keywords(f)
			}
			c, ok = known[strings.ToLower(flag)]
		}
		if !ok {
			unknown = append(unknown, flag)
			continue
		}
		if !slices.Contains(out, c) {
			out = append(out, c)
		}
	}
	slices.Sort(out)
	return string(out), unknown
}

// keywords returns the letters of the keywords, in lower case, of a folder. A
// file that is missing or odd has none.
func (h home) keywords(f maildir.Folder) map[string]byte {
	out := map[string]byte{}
	fd, err := h.openFolder(f)
	if err != nil {
		return out
	}
	defer unix.Close(fd)
	file, err := openRegular(fd, keywordsName, unix.O_RDONLY)
	if err != nil {
		return out
	}
	defer file.Close()
	b, err := io.ReadAll(io.LimitReader(file, maxKeywords))
	if err != nil {
		return out
	}
	return parseKeywords(b)
}

// parseKeywords reads dovecot-keywords: a number from 0 to 25, a blank and the
// keyword on each line.
func parseKeywords(b []byte) map[string]byte {
	out := map[string]byte{}
	for line := range bytes.Lines(b) {
		text, whole := strings.CutSuffix(string(line), "\n")
		n, word, ok := strings.Cut(text, " ")
		if !whole || !ok || word == "" || len(n) == 0 || len(n) > 2 || strings.Trim(n, "0123456789") != "" {
			continue
		}
		i := int(n[0] - '0')
		if len(n) == 2 {
			i = i*10 + int(n[1]-'0')
		}
		if i < 26 {
			out[strings.ToLower(word)] = 'a' + byte(i)
		}
	}
	return out
}

// openRegular opens a regular file in a directory. It follows no link and does
// not wait for a FIFO.
func openRegular(dir int, name string, flags int) (*os.File, error) {
	fd, err := unix.Openat(dir, name, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	f := os.NewFile(uintptr(fd), name)
	if fi, err := f.Stat(); err != nil || !fi.Mode().IsRegular() {
		return nil, errors.Join(fmt.Errorf("%s is not a regular file", name), f.Close())
	}
	return f, nil
}

// tell adds lines to the user's log. The log is moved aside once it is full, so
// that there are never more than two of some size.
func (h home) tell(now time.Time, lines []string) error {
	fd, err := h.open()
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	f, err := openRegular(fd, logName, unix.O_WRONLY|unix.O_APPEND|unix.O_CREAT)
	if err != nil {
		return err
	}
	if fi, err := f.Stat(); err == nil && fi.Size() >= maxLog {
		if err := errors.Join(f.Close(), unix.Renameat(fd, logName, fd, logName+".0")); err != nil {
			return fmt.Errorf("rotate %s: %w", logName, err)
		}
		if f, err = openRegular(fd, logName, unix.O_WRONLY|unix.O_APPEND|unix.O_CREAT); err != nil {
			return err
		}
	}
	_, err = f.WriteString(logText(now, lines))
	return errors.Join(err, f.Close())
}

// logText returns lines for the log, each bounded and without control
// characters: a script writes what a stranger's message says.
func logText(now time.Time, lines []string) string {
	var b strings.Builder
	for i, line := range lines {
		if i == maxLines {
			line = fmt.Sprintf("%d more", len(lines)-i)
		}
		line = strings.Map(func(r rune) rune {
			if r < ' ' || r == 0x7f {
				return ' '
			}
			return r
		}, strings.ToValidUTF8(line, "?"))
		if len(line) > maxLine {
			line = strings.ToValidUTF8(line[:maxLine], "") + "..."
		}
		b.WriteString(now.Format("Jan 02 15:04:05 ") + line + "\n")
		if i == maxLines {
			break
		}
	}
	return b.String()
}
