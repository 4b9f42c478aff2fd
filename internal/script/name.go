package script

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"unicode/utf8"
)

// ErrName means that a text cannot be the name of a script.
var ErrName = errors.New("not a name for a script: 1 to 249 bytes of UTF-8 without / and control characters")

const (
	suffix    = ".sieve"
	directory = "sieve"
	tmp       = "tmp"
	link      = ".dovecot.sieve"
	// rescued is what a regular file at link is called when it becomes a script
	// of the list. The name is Pigeonhole's.
	rescued = "dovecot.orig"

	maxName = 255 - len(suffix)
)

// ValidName returns ErrName for what no script may be called (RFC 5804 §1.6).
func ValidName(name string) error {
	if name == "" || len(name) > maxName || !utf8.ValidString(name) {
		return ErrName
	}
	for _, r := range name {
		if r < ' ' || r >= 0x7f && r <= 0x9f || r == '/' || r == '\u2028' || r == '\u2029' {
			return ErrName
		}
	}
	return nil
}

// fileName returns the file of the script name, which is valid.
func fileName(name string) string { return name + suffix }

// scriptName returns the script that a file of the directory is.
func scriptName(file string) (string, bool) {
	name, ok := strings.CutSuffix(file, suffix)
	return name, ok && ValidName(name) == nil
}

// linkTarget returns what the link to the script name holds.
func linkTarget(name string) string { return directory + "/" + fileName(name) }

// linkedName returns the script that a link with this target in home means.
// Pigeonhole writes relative ones, its doveadm and old versions absolute ones.
func linkedName(home, target string) (string, error) {
	if !path.IsAbs(target) {
		target = path.Join(home, target)
	}
	dir, file := path.Split(path.Clean(target))
	name, ok := scriptName(file)
	if !ok || path.Clean(dir) != path.Join(home, directory) {
		return "", fmt.Errorf("%w: %s leads out of the directory %s", ErrUnsafe, link, directory)
	}
	return name, nil
}
