package maps

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gatepost/gatepost/internal/link"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/netaddr"
)

// Bounds of a file.
const (
	maxFile     = 16 << 20
	maxEntries  = 300_000
	maxLine     = 4096
	maxPatterns = 2000
	// maxProgram bounds the instructions of all patterns of a file together, as
	// package regexp compiles them: time and memory grow with it.
	maxProgram = 500_000
	// maxFaults bounds the faults that are told of one file.
	maxFaults = 10
)

// Faults of a file as a whole.
var (
	errEmpty = errors.New("the file is empty, as if it were being written: an empty map has a comment in it")
	errHalf  = errors.New("the last line has no line end, as if the file were being written")
	errSize  = fmt.Errorf("the file is larger than %d MB", maxFile>>20)
)

// parse reads a file. name begins the faults.
func parse(name string, kind Kind, data []byte) (*table, error) {
	switch {
	case len(data) == 0:
		return nil, fmt.Errorf("%s: %w", name, errEmpty)
	case len(data) > maxFile:
		return nil, fmt.Errorf("%s: %w", name, errSize)
	}
	t := newTable(kind, bytes.Count(data, []byte("\n")))
	if data[len(data)-1] != '\n' {
		return nil, fmt.Errorf("%s:%d: %w", name, bytes.Count(data, []byte("\n"))+1, errHalf)
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	var errs []error
	for n := 1; len(data) > 0; n++ {
		line, rest, _ := bytes.Cut(data, []byte("\n"))
		data = rest
		if err := t.line(line); err != nil {
			errs = append(errs, fmt.Errorf("%s:%d: %w", name, n, err))
			if len(errs) == maxFaults {
				break
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return t, nil
}

// line takes one line in.
func (t *table) line(b []byte) error {
	if len(b) > maxLine {
		return fmt.Errorf("the line is longer than %d bytes", maxLine)
	}
	if !utf8.Valid(b) {
		return errors.New("the line is not UTF-8")
	}
	for _, c := range b {
		if c < ' ' && c != '\t' && c != '\r' || c == 0x7f {
			return errors.New("the line has a control character")
		}
	}
	s := strings.TrimSpace(string(b))
	if s == "" || s[0] == '#' {
		return nil
	}
	key, rest, err := t.cut(s)
	if err != nil {
		return err
	}
	e, err := readEntry(rest)
	if err != nil {
		return err
	}
	if t.count++; t.count > maxEntries {
		return fmt.Errorf("more than %d entries", maxEntries)
	}
	return t.add(key, e)
}

// cut splits a line into its entry and what follows.
func (t *table) cut(s string) (key, rest string, err error) {
	if t.kind != Regexp {
		i := strings.IndexAny(s, " \t")
		if i < 0 {
			return s, "", nil
		}
		return s[:i], strings.TrimSpace(s[i:]), nil
	}
	if s[0] != '/' {
		return "", "", errors.New("a regular expression stands between slashes, as /cheap\\s+watches/i")
	}
	for i := 1; i < len(s); i++ {
		if s[i] == '\\' {
			i++
			continue
		}
		if s[i] != '/' {
			continue
		}
		end := i + 1
		for end < len(s) && s[end] >= 'a' && s[end] <= 'z' {
			end++
		}
		if end < len(s) && s[end] != ' ' && s[end] != '\t' {
			return "", "", fmt.Errorf("%q follows the regular expression: a blank has to stand before points and comment", s[end:])
		}
		return s[:end], strings.TrimSpace(s[end:]), nil
	}
	return "", "", errors.New("the regular expression has no slash at its end")
}

// entry is what a line says beside its key.
type entry struct {
	score   float64 // NaN for that of the map
	comment string
}

// readEntry reads "[points] [# comment]".
func readEntry(s string) (entry, error) {
	e := entry{score: math.NaN()}
	word, comment, ok := strings.Cut(s, "#")
	if ok {
		e.comment = strings.TrimSpace(comment)
	}
	word = strings.TrimSpace(word)
	if word == "" {
		return e, nil
	}
	f, err := strconv.ParseFloat(word, 64)
	if err != nil || !(math.Abs(f) <= maxScore) {
		return e, fmt.Errorf("%q is not a score from -%d to %d; a comment begins with #", word, maxScore, maxScore)
	}
	e.score = f
	return e, nil
}

// add takes one entry in, under the form in which it is looked up.
func (t *table) add(key string, e entry) error {
	switch t.kind {
	case Network:
		p, err := netaddr.ParsePrefix(key)
		if err != nil {
			return err
		}
		return t.addNetwork(p, e)
	case Regexp:
		return t.addPattern(key, e)
	case Address:
		a, err := mailaddr.Parse(key)
		if err != nil || a.Domain == "" {
			return fmt.Errorf("%q is not an address such as bob@example.org", key)
		}
		key = a.Folded().String()
	case Domain:
		d, err := mailaddr.ParseDomain(link.ToASCII(strings.TrimPrefix(key, ".")))
		if err != nil || strings.HasPrefix(d, "[") {
			return fmt.Errorf("%q is not a domain such as example.org", key)
		}
		key = d
	case Hash:
		key = strings.ToLower(key)
		if b, err := hex.DecodeString(key); err != nil || len(b) != 32 {
			return fmt.Errorf("%q is not a SHA-256 of 64 hexadecimal digits", key)
		}
	}
	if _, twice := t.exact[key]; twice {
		return fmt.Errorf("%q is in the file twice", key)
	}
	t.exact[key] = e
	return nil
}

func (t *table) addNetwork(p netip.Prefix, e entry) error {
	if _, twice := t.networks[p]; twice {
		return fmt.Errorf("%s is in the file twice", netaddr.String(p))
	}
	t.networks[p] = e
	lengths := &t.lengths4
	if p.Addr().Is6() {
		lengths = &t.lengths6
	}
	lengths.add(p.Bits())
	return nil
}

// addPattern compiles "/expression/flags".
func (t *table) addPattern(key string, e entry) error {
	if len(t.patterns) == maxPatterns {
		return fmt.Errorf("more than %d regular expressions", maxPatterns)
	}
	end := strings.LastIndexByte(key, '/')
	text, flags := key[1:end], key[end+1:]
	if text == "" {
		return errors.New("the regular expression is empty")
	}
	for i := range len(flags) {
		if strings.IndexByte("ims", flags[i]) < 0 {
			return fmt.Errorf("%q is not a flag of a regular expression: i, m and s are", flags[i:i+1])
		}
	}
	if flags != "" {
		text = "(?" + flags + ")" + text
	}
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return err
	}
	prog, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return err
	}
	if t.program += len(prog.Inst); t.program > maxProgram {
		return errors.New("the regular expressions of this file are too large together")
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return err
	}
	t.patterns = append(t.patterns, pattern{re, e, key})
	return nil
}
