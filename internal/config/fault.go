package config

import "fmt"

// Fault is one thing that is wrong with the configuration.
type Fault struct {
	// Key is the setting with a dot between levels and [n] for list entries,
	// from 0: "policyd.limits[0].rate". Relative to the struct that Validate
	// was called on; Under prefixes it.
	Key string
	// Text says what is wrong, lower case, without a full stop.
	Text string
	// File, Line and Column say where; Line 0 means that the file does not
	// hold the key.
	File         string
	Line, Column int
}

// Error returns "file:line:column: key: text" with what is known of it.
func (f *Fault) Error() string {
	s := f.Text
	if f.Key != "" {
		s = f.Key + ": " + s
	}
	if f.Line > 0 {
		return fmt.Sprintf("%s:%d:%d: %s", f.File, f.Line, f.Column, s)
	}
	if f.File != "" {
		return f.File + ": " + s
	}
	return s
}

// Invalid returns a Fault for key, for use in a Validate method.
func Invalid(key, format string, args ...any) error {
	return &Fault{Key: key, Text: fmt.Sprintf(format, args...)}
}
