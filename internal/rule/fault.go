package rule

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/expr-lang/expr/file"

	"github.com/gatepost/gatepost/internal/config"
)

// shown bounds the columns of a condition that an error shows.
const shown = 64

// faultAt returns an error about the character of when at that number: the
// text, the line, and a caret under the column. Tabs count as blanks.
func faultAt(when string, at int, text string) error {
	line, column, row := place(when, at)
	from := max(0, column-shown/2)
	cut := row[from:min(len(row), from+shown)]
	var b strings.Builder
	fmt.Fprintf(&b, "%s (line %d, column %d)\n    ", text, line+1, column+1)
	for _, r := range cut {
		if !unicode.IsPrint(r) {
			r = ' '
		}
		b.WriteRune(r)
	}
	fmt.Fprintf(&b, "\n    %s^", strings.Repeat(" ", column-from))
	return errors.New(b.String())
}

// place returns line and column of a character, from 0, and the line it is in.
func place(when string, at int) (line, column int, row []rune) {
	for l := range strings.SplitSeq(when, "\n") {
		n := utf8.RuneCountInString(l)
		if at <= n {
			return line, at, []rune(l)
		}
		at -= n + 1
		line++
	}
	return max(0, line-1), 0, nil
}

// compileError tells an error of the compiler in our words.
func (c *compiler) compileError(when string, err error) error {
	var e *file.Error
	if !errors.As(err, &e) {
		return fmt.Errorf("the condition is not valid: %v", firstLine(err.Error()))
	}
	text := e.Message
	if name, ok := strings.CutPrefix(text, "unknown name "); ok {
		text = fmt.Sprintf("there is no %q%s", name, config.Suggest(name, c.known()))
	}
	return faultAt(when, e.From, typeName.ReplaceAllString(text, "this"))
}

// typeName is how the library names types of Go that have fields.
var typeName = regexp.MustCompile(`type \*?[a-z]+\.[A-Za-z]+`)

// known returns all names that a condition may use.
func (c *compiler) known() []string {
	names := append(append([]string{}, c.names...), c.calls...)
	for name := range functions {
		names = append(names, name)
	}
	return append(names, builtins...)
}

// reserved returns the names that a let may not take.
func (c *compiler) reserved() []string { return append(c.known(), "meter") }

// runError tells an error of a run without the condition, which the admin
// knows, and without what the message holds.
func runError(err error) error {
	if errors.Is(err, ErrBudget) {
		return ErrBudget
	}
	var e *file.Error
	if !errors.As(err, &e) {
		return errors.New(firstLine(err.Error()))
	}
	return fmt.Errorf("%s (line %d, column %d)", goValue.ReplaceAllString(firstLine(e.Message), "a fact"), e.Line, e.Column+1)
}

// goValue is how the library names values of Go.
var goValue = regexp.MustCompile(`\*?[a-z]+\.[A-Za-z]+`)

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}
