package sieve

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// MaxErrors bounds what Compile tells about one script; what comes after is
// not looked for.
const MaxErrors = 100

// Pos is a place in a script. Both count from 1, columns in bytes.
type Pos struct{ Line, Col int }

// Error is one fault of a script.
type Error struct {
	// Script is the name of the script, as Options or an include gave it.
	Script string
	Pos    Pos
	// Text says what is wrong, with what mends it where that is known.
	Text string
}

// Error returns "script:line:column: text".
func (e *Error) Error() string {
	var b strings.Builder
	if e.Script != "" {
		b.WriteString(e.Script + ":")
	}
	if e.Pos.Line > 0 {
		fmt.Fprintf(&b, "%d:%d:", e.Pos.Line, e.Pos.Col)
	}
	if b.Len() > 0 {
		b.WriteByte(' ')
	}
	b.WriteString(e.Text)
	return b.String()
}

// Errors are all faults of a script, in the order of the script. The last one
// has no position: it says at which step compiling ended, so that a script with
// three faults has four errors, as Pigeonhole counts them.
type Errors []*Error

// Error returns one line for each fault.
func (es Errors) Error() string {
	lines := make([]string, len(es))
	for i, e := range es {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// Errors of Run. Each means that the message has to be kept as it came.
var (
	// ErrBudget is wrapped by every error about a limit of Limits.
	ErrBudget = errors.New("script exceeds its budget")
	// ErrScript is wrapped by what the script itself got wrong.
	ErrScript = errors.New("script failed")
)

func scriptError(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrScript, fmt.Sprintf(format, args...))
}

// fault is an error with its place in the script that is compiled: one of an
// included script stands where the include does.
type fault struct {
	err *Error
	key Pos
}

// faults collects errors of one script while it is compiled.
type faults struct {
	script string
	list   []fault
	full   bool
}

func (f *faults) add(at Pos, format string, args ...any) {
	f.put(at, &Error{Script: f.script, Pos: at, Text: fmt.Sprintf(format, args...)})
}

// put notes an error at the place key.
func (f *faults) put(key Pos, err *Error) {
	if len(f.list) >= MaxErrors {
		f.full = true
		return
	}
	f.list = append(f.list, fault{err: err, key: key})
}

func (f *faults) any() bool { return len(f.list) > 0 }

// close returns what was found, sorted by place, with a last line.
func (f *faults) close(last string) Errors {
	slices.SortStableFunc(f.list, func(a, b fault) int {
		return cmp.Or(cmp.Compare(a.key.Line, b.key.Line), cmp.Compare(a.key.Col, b.key.Col))
	})
	es := make(Errors, 0, len(f.list)+1)
	for _, ft := range f.list {
		es = append(es, ft.err)
	}
	return append(es, &Error{Script: f.script, Text: last})
}
