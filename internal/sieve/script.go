package sieve

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"unicode/utf8"
)

// Options say what a script may use.
type Options struct {
	// Name is the name of the script in errors.
	Name string
	// Extensions are the names that require and ihave take; nil is all of
	// Extensions().
	Extensions []string
	// Limits holds those of Includes, IncludeDepth, HeaderBytes and
	// Notifications; its zero value is DefaultLimits().
	Limits Limits
	// Include returns the source of a script that another one includes; nil
	// knows none. global tells :global from :personal. The error of one that is
	// not there satisfies errors.Is(err, fs.ErrNotExist). The name holds no
	// slash and no control character.
	Include func(global bool, name string) (string, error)

	// What the conformance suite adds.
	extraDefs       []*def
	extraExtensions []string
	extraVariables  map[string]func(m *machine, name string) string
}

// Limits bound what one script, or one message's scripts, may do.
type Limits struct {
	// Actions bounds the actions of one result.
	Actions int
	// Redirects bounds the redirects of one result.
	Redirects int
	// Notifications bounds the notify actions of one result; 0 forbids notify.
	Notifications int
	// VariableBytes bounds the value of a variable: longer ones are cut, as
	// RFC 5229 §6 allows. It is at least 4000.
	VariableBytes int
	// HeaderBytes bounds a field that addheader makes.
	HeaderBytes int
	// Includes bounds the scripts that one script includes, IncludeDepth how
	// deep.
	Includes, IncludeDepth int
	// Steps bounds the work of one run: a command, a test, a comparison and 64
	// bytes that are looked at take one each. The default is some 0.2 s.
	Steps int
}

// DefaultLimits returns Pigeonhole's limits, and ours for steps.
func DefaultLimits() Limits {
	return Limits{Actions: 32, Redirects: 4, Notifications: 10, VariableBytes: 4000, HeaderBytes: 8 << 10,
		Includes: 255, IncludeDepth: 10, Steps: 5_000_000}
}

// Script is a compiled script with the scripts it includes. It does not
// change: any number of goroutines may run it.
type Script struct {
	unit *unit
}

// Name returns the name that the script was compiled under.
func (s *Script) Name() string { return s.unit.opts.Name }

// Extensions returns the extensions that the script and what it includes
// require, sorted.
func (s *Script) Extensions() []string {
	var out []string
	for _, p := range s.unit.progs {
		out = append(out, p.exts...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// unit is what is compiled together.
type unit struct {
	opts    Options
	defs    map[string]*def
	progs   []*program // the root is the first
	keys    map[includeKey]int
	regexes int // their sizes together
	bytes   int // of included source
	globals map[string]int
	// load returns the commands of an included script, from its source or out
	// of a binary.
	load func(key includeKey, f *faults) ([]*node, error)
}

// program is one script of a unit.
type program struct {
	key    includeKey
	nodes  []*node
	body   []step
	locals int
	exts   []string
	open   bool // is being compiled
}

type includeKey struct {
	global bool
	name   string
}

// Compile checks src and compiles it. The error is of type Errors and tells
// everything that is wrong.
func Compile(src string, opts Options) (*Script, error) {
	f := &faults{script: opts.Name}
	if len(src) > maxScript {
		f.add(Pos{1, 1}, "script of %d bytes is too large: %d are allowed", len(src), maxScript)
		return nil, f.close("parse failed")
	}
	if !utf8.ValidString(src) {
		line, col := invalidAt(src)
		f.add(Pos{line, col}, "script is not UTF-8")
		return nil, f.close("parse failed")
	}
	nodes := parse(strings.TrimPrefix(src, "\ufeff"), f)
	if f.any() {
		return nil, f.close("parse failed")
	}
	u := newUnit(opts)
	u.load = u.loadSource
	return u.link(nodes)
}

func newUnit(opts Options) *unit {
	if opts.Limits == (Limits{}) {
		opts.Limits = DefaultLimits()
	}
	u := &unit{opts: opts, defs: definitions(), keys: map[includeKey]int{}, globals: map[string]int{}}
	for _, d := range opts.extraDefs {
		u.defs[d.name] = d
	}
	return u
}

// link compiles the root script and what it includes.
func (u *unit) link(nodes []*node) (*Script, error) {
	p := &program{nodes: nodes, open: true}
	u.progs = append(u.progs, p)
	f := &faults{script: u.opts.Name}
	u.compile(p, f, 0)
	if f.any() {
		return nil, f.close("validation failed")
	}
	return &Script{unit: u}, nil
}

// compile fills p from its nodes.
func (u *unit) compile(p *program, f *faults, depth int) {
	c := &compiler{unit: u, opts: &u.opts, prog: p, faults: f, exts: map[string]bool{},
		names: map[string]*variable{}, unknown: map[string]bool{}, depth: depth}
	p.body = c.block(p.nodes)
	if c.has("extracttext") && (!c.has("variables") || !c.has("foreverypart")) {
		f.add(Pos{1, 1}, "extension extracttext needs require [\"variables\", \"foreverypart\"] too")
	}
	p.open = false
}

// allowed reports whether require may name the extension.
func (u *unit) allowed(name string) bool {
	if basic[name] || slices.Contains(u.opts.extraExtensions, name) {
		return true
	}
	return slices.Contains(extensions, name) && (u.opts.Extensions == nil || slices.Contains(u.opts.Extensions, name))
}

// loadSource asks the administrator's part for a script.
func (u *unit) loadSource(key includeKey, f *faults) ([]*node, error) {
	if u.opts.Include == nil {
		return nil, fs.ErrNotExist
	}
	src, err := u.opts.Include(key.global, key.name)
	if err != nil {
		return nil, err
	}
	if u.bytes += len(src); u.bytes > maxUnit {
		return nil, fmt.Errorf("included scripts have more than %d bytes together", maxUnit)
	}
	if len(src) > maxScript || !utf8.ValidString(src) {
		return nil, fmt.Errorf("script is not UTF-8 of at most %d bytes", maxScript)
	}
	return parse(strings.TrimPrefix(src, "\ufeff"), f), nil
}

// include returns the number of a script that the command at the place
// includes, compiling it the first time; -1 for one that is not there and need
// not be, or behind an error.
func (c *compiler) include(key includeKey, at Pos, optional, once bool, depth int) int {
	u := c.unit
	if i, known := u.keys[key]; known {
		if u.progs[i].open && !once {
			c.faults.add(at, "script %s includes itself", quoteShort(key.name))
			return -1
		}
		return i
	}
	if depth > u.opts.Limits.IncludeDepth {
		c.faults.add(at, "scripts are included deeper than %d", u.opts.Limits.IncludeDepth)
		return -1
	}
	if len(u.keys) >= u.opts.Limits.Includes {
		c.faults.add(at, "more than %d scripts are included", u.opts.Limits.Includes)
		return -1
	}
	f := &faults{script: key.name}
	nodes, err := u.load(key, f)
	switch {
	case errors.Is(err, fs.ErrNotExist) && optional:
		return -1
	case errors.Is(err, fs.ErrNotExist):
		c.faults.add(at, "included script %s does not exist", quoteShort(key.name))
		return -1
	case err != nil:
		c.faults.add(at, "included script %s cannot be read: %s", quoteShort(key.name), err)
		return -1
	}
	i := len(u.progs)
	p := &program{key: key, nodes: nodes, open: true}
	u.progs = append(u.progs, p)
	u.keys[key] = i
	if !f.any() {
		u.compile(p, f, depth)
	}
	p.open = false
	if f.any() {
		for _, e := range f.close("included script " + quoteShort(key.name) + " failed to compile") {
			c.faults.put(at, e)
		}
		return -1
	}
	return i
}

// invalidAt returns the place of the first byte that is not UTF-8.
func invalidAt(src string) (line, col int) {
	line, col = 1, 1
	for len(src) > 0 {
		r, n := utf8.DecodeRuneInString(src)
		if r == utf8.RuneError && n == 1 {
			break
		}
		col += n
		if r == '\n' {
			line, col = line+1, 1
		}
		src = src[n:]
	}
	return line, col
}
