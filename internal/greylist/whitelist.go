package greylist

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"regexp"
	"strings"

	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/netaddr"
)

// Bounds of a file, and of the patterns of all files: each is tried with each
// mail of a suspicious client.
const (
	maxFileBytes = 4 << 20
	maxEntries   = 50_000
	maxPatterns  = 500
	maxPattern   = 1000
)

// Whitelist is who is never asked to come back, from files. The zero value is
// empty.
type Whitelist struct {
	entries  int
	networks networks
	// names are clients, with all names below them.
	names map[string]bool
	// rcpts are "user@example.org", "user@" for any domain, and domains as
	// "@example.org", with all below them.
	rcpts map[string]bool
	// patterns are for the client's name or address, rcptPatterns for the whole
	// recipient.
	patterns, rcptPatterns []*regexp.Regexp
}

// Entry is one line of a whitelist file: "client WHAT" or "recipient WHAT".
type Entry struct {
	Recipient bool
	// What is a network, a name, an address or "/REGEXP/" in RE2.
	What string
}

// String returns the line.
func (e Entry) String() string {
	if e.Recipient {
		return "recipient " + e.What
	}
	return "client " + e.What
}

// parseEntry reads a line that is neither empty nor a comment.
func parseEntry(line string) (Entry, error) {
	kind, what, _ := strings.Cut(line, " ")
	e := Entry{Recipient: kind == "recipient", What: strings.TrimSpace(what)}
	if kind != "client" && kind != "recipient" {
		return e, fmt.Errorf("%q is neither \"client WHAT\" nor \"recipient WHAT\": a file of postgrey goes through gatepost greylist import", line)
	}
	return e, nil
}

// add takes an entry, or says what is wrong with it.
func (w *Whitelist) add(e Entry) error {
	if w.entries++; w.entries > maxEntries {
		return fmt.Errorf("there are more than %d entries", maxEntries)
	}
	if w.names == nil {
		w.names, w.rcpts = map[string]bool{}, map[string]bool{}
	}
	if s, ok := cutPattern(e.What); ok {
		re, err := pattern(s)
		if err != nil {
			return err
		}
		if len(w.patterns)+len(w.rcptPatterns) >= maxPatterns {
			return fmt.Errorf("there are more than %d regular expressions", maxPatterns)
		}
		if e.Recipient {
			w.rcptPatterns = append(w.rcptPatterns, re)
		} else {
			w.patterns = append(w.patterns, re)
		}
		return nil
	}
	if e.Recipient {
		return w.addRecipient(e.What)
	}
	if p, err := netaddr.ParsePrefix(e.What); err == nil {
		w.networks.add(p)
		return nil
	}
	name := strings.ToLower(e.What)
	if !hostName(name) {
		return fmt.Errorf("%q is not a name, an address, a network or /REGEXP/", e.What)
	}
	w.names[name] = true
	return nil
}

func (w *Whitelist) addRecipient(what string) error {
	what = strings.ToLower(what)
	local, domain, ok := cutLast(what)
	switch {
	case strings.ContainsAny(what, " \t/"), what == "", what == "@":
	case !ok && hostName(what):
		w.rcpts["@"+what] = true
		return nil
	case ok && local != "" && (domain == "" || hostName(domain)), ok && hostName(domain):
		w.rcpts[what] = true
		return nil
	}
	return fmt.Errorf("%q is not an address, \"user@\", a domain or /REGEXP/", what)
}

// cutPattern takes the slashes off a regular expression.
func cutPattern(s string) (string, bool) {
	if len(s) < 3 || s[0] != '/' || s[len(s)-1] != '/' {
		return "", false
	}
	return s[1 : len(s)-1], true
}

// pattern compiles a regular expression, blind to case as postgrey's are.
func pattern(s string) (*regexp.Regexp, error) {
	if len(s) > maxPattern {
		return nil, fmt.Errorf("a regular expression of %d bytes is longer than %d", len(s), maxPattern)
	}
	re, err := regexp.Compile("(?i)" + s)
	if err != nil {
		return nil, fmt.Errorf("not a regular expression of RE2: %w", err)
	}
	return re, nil
}

// hostName reports whether s, in lower case, can be the name of a host or the
// end of one.
func hostName(s string) bool {
	if s == "" || len(s) > 253 || s[0] == '.' || s[len(s)-1] == '.' || strings.Contains(s, "..") {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !alphanumeric(c) && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return true
}

// client reports whether the client is in the list. name is verified, or "".
func (w *Whitelist) client(addr netip.Addr, name string) bool {
	if w.entries == 0 {
		return false
	}
	if w.networks.has(addr) || name != "" && below(w.names, "", strings.ToLower(name)) {
		return true
	}
	if len(w.patterns) == 0 {
		return false
	}
	text := addr.String()
	for _, re := range w.patterns {
		if name != "" && re.MatchString(name) || re.MatchString(text) {
			return true
		}
	}
	return false
}

// recipient reports whether an address, folded, is in the list.
func (w *Whitelist) recipient(rcpt string) bool {
	if w.entries == 0 {
		return false
	}
	local, domain, ok := cutLast(rcpt)
	if ok && (w.rcpts[rcpt] || w.rcpts[local+"@"] || below(w.rcpts, "@", domain)) {
		return true
	}
	for _, re := range w.rcptPatterns {
		if re.MatchString(rcpt) {
			return true
		}
	}
	return false
}

// below reports whether set has name, or a name that it is below, behind prefix.
func below(set map[string]bool, prefix, name string) bool {
	if len(name) > 255 {
		return false
	}
	for {
		if set[prefix+name] {
			return true
		}
		_, rest, ok := strings.Cut(name, ".")
		if !ok {
			return false
		}
		name = rest
	}
}

// readFiles adds the entries of files, and reports all that is wrong with them,
// by key.
func (w *Whitelist) readFiles(paths []string) error {
	var errs []error
	for i, path := range paths {
		if err := w.readFile(path); err != nil {
			errs = append(errs, config.Invalid(fmt.Sprintf("whitelist_files[%d]", i), "%v", err))
		}
	}
	return errors.Join(errs...)
}

// readFile adds the entries of a file.
func (w *Whitelist) readFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return err
	}
	if len(b) > maxFileBytes {
		return fmt.Errorf("%s is larger than %d bytes", path, maxFileBytes)
	}
	return w.Read(path, b)
}

// Read adds the entries of a file's text, and reports all that is wrong with
// it; the good lines hold.
func (w *Whitelist) Read(name string, text []byte) error {
	const most = 20
	var errs []error
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan() && len(errs) < most; n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		e, err := parseEntry(line)
		if err == nil {
			err = w.add(e)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s:%d: %w", name, n, err))
		}
	}
	if err := lines.Err(); err != nil {
		errs = append(errs, fmt.Errorf("%s: %w", name, err))
	}
	return errors.Join(errs...)
}
