package sieve

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of variables (RFC 5229 §6 asks for at least 128 of 4000 bytes with
// names of 32, and 9 match variables).
const (
	maxVariableName = 64
	maxVariables    = 255
	maxMatchValue   = 32
)

type scope uint8

const (
	scopeLocal scope = iota
	scopeGlobal
	scopeMatch
	scopeEnvironment
	scopeExtra
)

// variable is a reference. Its index is that of the slot, or of the match
// value.
type variable struct {
	scope scope
	index int
	name  string // of an environment item
	extra func(m *machine, name string) string
}

func (v *variable) value(m *machine) string {
	switch v.scope {
	case scopeLocal:
		return m.frame.locals[v.index]
	case scopeGlobal:
		return m.globals[v.index]
	case scopeMatch:
		if v.index < len(m.matched) {
			return m.matched[v.index]
		}
	case scopeEnvironment:
		s, _ := m.environment(v.name)
		return s
	case scopeExtra:
		return v.extra(m, v.name)
	}
	return ""
}

// assign sets v. The value is cut at the configured size, between characters.
func (v *variable) assign(m *machine, value string) {
	value = cutText(value, m.env.Limits.VariableBytes)
	m.spend(len(value) >> 6)
	switch v.scope {
	case scopeLocal:
		m.frame.locals[v.index] = value
	case scopeGlobal:
		m.globals[v.index] = value
	}
}

// cutText returns at most n bytes of s, without a broken character at the end.
func cutText(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// variables compiles the references in s. What does not follow the grammar of
// a reference stays as it is (RFC 5229 §3).
func (c *compiler) variables(s string, at Pos) text {
	var parts []textPart
	var lit strings.Builder
	for {
		i := strings.Index(s, "${")
		if i < 0 {
			break
		}
		lit.WriteString(s[:i])
		s = s[i+2:]
		end := strings.IndexByte(s, '}')
		if end < 0 || !isVariableName(s[:end]) {
			lit.WriteString("${")
			continue
		}
		if lit.Len() > 0 {
			parts = append(parts, textPart{lit: lit.String()})
			lit.Reset()
		}
		// Behind an error the part is empty, and the text no constant to check.
		parts = append(parts, textPart{ref: c.lookup(s[:end], at)})
		s = s[end+1:]
	}
	lit.WriteString(s)
	if parts == nil {
		return text{lit: lit.String()}
	}
	if lit.Len() > 0 {
		parts = append(parts, textPart{lit: lit.String()})
	}
	return text{parts: parts}
}

// isVariableName reports whether s is [namespace] variable-name.
func isVariableName(s string) bool {
	if s == "" {
		return false
	}
	if isDigit(s[0]) {
		return strings.Trim(s, "0123456789") == ""
	}
	first := true
	for part := range strings.SplitSeq(s, ".") {
		if part == "" || first && isDigit(part[0]) || !isIdentifier(part) {
			return false
		}
		first = false
	}
	return true
}

// isIdentifier takes a number too: a sub-namespace may be one.
func isIdentifier(s string) bool {
	number := isDigit(s[0])
	for i := range len(s) {
		if !isDigit(s[i]) && (number || !isAlpha(s[i])) {
			return false
		}
	}
	return true
}

// lookup returns the variable of that name, or nil behind an error. A variable
// that nobody sets reads as the empty string.
func (c *compiler) lookup(name string, at Pos) *variable {
	name = strings.ToLower(name)
	if isDigit(name[0]) {
		n, err := strconv.Atoi(name)
		if err != nil || n > maxMatchValue {
			c.faults.add(at, "match variable ${%s} is past the last one, ${%d}", cutText(name, 20), maxMatchValue)
			return nil
		}
		return &variable{scope: scopeMatch, index: n}
	}
	space, rest, dotted := strings.Cut(name, ".")
	switch {
	case !dotted:
		return c.slot(name, at)
	case space == "global" && c.has("include"):
		if strings.Contains(rest, ".") || isDigit(rest[0]) {
			c.faults.add(at, "%s is not a name in the namespace global", quoteShort(name))
			return nil
		}
		return c.global(rest, at)
	case space == "env" && c.has("vnd.dovecot.environment"):
		return &variable{scope: scopeEnvironment, name: rest}
	case c.opts.extraVariables[space] != nil:
		return &variable{scope: scopeExtra, name: rest, extra: c.opts.extraVariables[space]}
	}
	c.faults.add(at, "unknown namespace in variable %s", quoteShort(name))
	return nil
}

// slot returns the variable name of this script, new if need be.
func (c *compiler) slot(name string, at Pos) *variable {
	if v := c.names[name]; v != nil {
		return v
	}
	if !c.mayDeclare(name, c.prog.locals, at) {
		return nil
	}
	v := &variable{scope: scopeLocal, index: c.prog.locals}
	c.prog.locals++
	c.names[name] = v
	return v
}

// global returns the variable name that all scripts of one run share.
func (c *compiler) global(name string, at Pos) *variable {
	i, known := c.unit.globals[name]
	if !known {
		i = len(c.unit.globals)
		if !c.mayDeclare(name, i, at) {
			return nil
		}
		c.unit.globals[name] = i
	}
	return &variable{scope: scopeGlobal, index: i}
}

func (c *compiler) mayDeclare(name string, have int, at Pos) bool {
	if len(name) > maxVariableName {
		c.faults.add(at, "variable name %s is longer than %d characters", quoteShort(name), maxVariableName)
		return false
	}
	if have >= maxVariables {
		if !c.tooMany {
			c.faults.add(at, "script has more than %d variables", maxVariables)
		}
		c.tooMany = true
		return false
	}
	return true
}

// target returns the variable that the constant string a names for a value to
// be put there, or nil behind an error.
func (c *compiler) target(a *arg) *variable {
	if !isVariableName(a.text) {
		c.faults.add(a.at, "%s is not a name of a variable", quoteShort(a.text))
		return nil
	}
	v := c.lookup(a.text, a.at)
	if v != nil && v.scope != scopeLocal && v.scope != scopeGlobal {
		c.faults.add(a.at, "variable %s cannot be set", quoteShort(a.text))
		return nil
	}
	return v
}
