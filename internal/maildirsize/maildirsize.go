// Package maildirsize reads and writes the file of that name in a Maildir++ mailbox: what
// the mailbox may hold, and what it holds by the last count and the changes
// since (Maildir++, "The maildirsize file"). Dovecot keeps it with quota =
// maildir, and Courier does.
//
//	20480S,50C
//	9312 12
//	234 1
//	-1024 -2
//
// The first line has the limits, of bytes and of messages; either may be
// missing, and 0 is none. Each other line adds to both counts; blanks pad it. A
// file that a program would have to count anew by that specification, because
// it is too long or its sum is below zero, is an error here: nobody knows then
// what the mailbox holds. Counting, and the file itself, are package maildir's.
package maildirsize

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Name is that of the file, beside new, cur and tmp.
const Name = "maildirsize"

// MaxBytes bounds the file: who finds a longer one counts anew.
const MaxBytes = 5120

// ErrBroken means that the file does not tell what the mailbox holds.
var ErrBroken = errors.New("maildirsize is broken, doveadm quota recalc writes it anew")

// Usage is what a mailbox holds and may hold.
type Usage struct {
	// Bytes and Messages are what is in it, not below 0.
	Bytes, Messages int64
	// MaxBytes and MaxMessages are its limits; 0 is none.
	MaxBytes, MaxMessages int64
}

// Over reports whether a limit is reached, so that not one byte more fits.
func (u Usage) Over() bool {
	return u.MaxBytes > 0 && u.Bytes >= u.MaxBytes || u.MaxMessages > 0 && u.Messages >= u.MaxMessages
}

// Stale is how old a file has to be to be counted anew because it says that a
// limit is reached: a user may have deleted mail with a program that does not
// tell.
const Stale = 15 * time.Minute

// gracePercent is what the last message may have above the limit, as Dovecot's
// quota_grace has it by default: without it a nearly full mailbox takes small
// messages and refuses large ones for weeks.
const gracePercent = 10

// Fits reports whether a message of size bytes may still come.
func (u Usage) Fits(size int64) bool {
	if u.Over() {
		return false
	}
	return u.MaxBytes <= 0 || size <= u.MaxBytes-u.Bytes || size-(u.MaxBytes-u.Bytes) <= u.MaxBytes/100*gracePercent
}

// File returns a whole file that says what u says. Without a limit there is
// none to write, and it is nil.
func (u Usage) File() []byte {
	var limits []string
	if u.MaxBytes > 0 {
		limits = append(limits, strconv.FormatInt(u.MaxBytes, 10)+"S")
	}
	if u.MaxMessages > 0 {
		limits = append(limits, strconv.FormatInt(u.MaxMessages, 10)+"C")
	}
	if limits == nil {
		return nil
	}
	return append([]byte(strings.Join(limits, ",")+"\n"), Change(u.Bytes, u.Messages)...)
}

// Change returns the line that adds messages and their bytes. It is appended
// with one write, which is whole or not there at all.
func Change(bytes, messages int64) []byte {
	return fmt.Appendf(nil, "%d %d\n", bytes, messages)
}

// Limits returns the limits in the first line of b, whatever follows; ok is
// false where there is no such line.
func Limits(b []byte) (u Usage, ok bool) {
	line, _, whole := bytes.Cut(b, []byte("\n"))
	if !whole || !u.limits(string(line)) {
		return Usage{}, false
	}
	return u, true
}

// FileSize returns the size that the name of a message tells (",S=123"), which
// is that on the disk.
func FileSize(name string) (size int64, ok bool) {
	base, _, _ := strings.Cut(name, ":")
	for item := range strings.SplitSeq(base, ",") {
		if text, is := strings.CutPrefix(item, "S="); is {
			n, err := strconv.ParseUint(text, 10, 63)
			return int64(n), err == nil
		}
	}
	return 0, false
}

// Parse reads a whole file. All errors are ErrBroken.
func Parse(b []byte) (Usage, error) {
	if len(b) > MaxBytes {
		return Usage{}, fmt.Errorf("longer than %d bytes: %w", MaxBytes, ErrBroken)
	}
	body, whole := bytes.CutSuffix(b, []byte("\n"))
	if !whole { // somebody is writing, or was killed at it
		return Usage{}, fmt.Errorf("no end of the last line: %w", ErrBroken)
	}
	lines := strings.Split(string(body), "\n")
	var u Usage
	if !u.limits(lines[0]) {
		return Usage{}, fmt.Errorf("limits %q: %w", lines[0], ErrBroken)
	}
	for _, l := range lines[1:] {
		if !u.add(l) {
			return Usage{}, fmt.Errorf("line %q: %w", l, ErrBroken)
		}
	}
	if u.Bytes < 0 || u.Messages < 0 {
		return Usage{}, fmt.Errorf("%d bytes in %d messages: %w", u.Bytes, u.Messages, ErrBroken)
	}
	return u, nil
}

// limits takes the first line, and reports whether it is one.
func (u *Usage) limits(line string) bool {
	seen := ""
	for item := range strings.SplitSeq(strings.TrimSpace(line), ",") {
		if item == "" {
			return false
		}
		kind := item[len(item)-1:]
		n, err := strconv.ParseUint(item[:len(item)-1], 10, 63)
		if err != nil || strings.Contains(seen, kind) {
			return false
		}
		seen += kind
		switch kind {
		case "S":
			u.MaxBytes = int64(n)
		case "C":
			u.MaxMessages = int64(n)
		default:
			return false
		}
	}
	return true
}

// add takes one change, and reports whether it is one.
func (u *Usage) add(line string) bool {
	f := strings.Fields(line)
	if len(f) != 2 {
		return false
	}
	size, err := strconv.ParseInt(f[0], 10, 64)
	count, err2 := strconv.ParseInt(f[1], 10, 64)
	if err != nil || err2 != nil || overflows(u.Bytes, size) || overflows(u.Messages, count) {
		return false
	}
	u.Bytes += size
	u.Messages += count
	return true
}

func overflows(a, b int64) bool {
	return b > 0 && a > math.MaxInt64-b || b < 0 && a < math.MinInt64-b
}
