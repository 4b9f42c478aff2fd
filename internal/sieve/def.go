package sieve

// tagDef is a tagged argument that a command takes.
type tagDef struct {
	name string
	ext  string // the extension that brings it, "" for the command's own
	// group names tags of which one may be given; "" is the tag's own name.
	group string
	// param is the kind of the argument behind the tag, 0 for none. A list
	// takes a single string, too.
	param    argKind
	constant bool // no variables in the parameter
}

func (t *tagDef) key() string {
	if t.group != "" {
		return t.group
	}
	return t.name
}

// position is a positional argument.
type position struct {
	what string
	kind argKind
	// constant says that no variable may stand in it.
	constant bool
}

type subtests uint8

const (
	noTests subtests = iota
	oneTest
	testList
)

// def is what the language knows about one command or test.
type def struct {
	name string
	ext  string
	test bool
	// either is a command and a test at once, as some of the conformance suite.
	either bool
	min    int // positional arguments that must be there
	pos    []position
	tests  subtests
	block  bool
	tags   [][]tagDef
	// open is called before the block is compiled; its result is called
	// behind it.
	open func(c *compiler, call *call) func()
	// build returns a command or a test, nil behind an error or for nothing
	// to do.
	build func(c *compiler, call *call) any
}

// kind says what d is, for messages.
func (d *def) kind() string {
	if d.test {
		return "test"
	}
	return "command"
}

func (d *def) tag(name string) *tagDef {
	for _, set := range d.tags {
		for i := range set {
			if set[i].name == name {
				return &set[i]
			}
		}
	}
	return nil
}

// tagUse is a tag that was given.
type tagUse struct {
	def *tagDef
	at  Pos
	arg *arg // its parameter, nil for none
}

// call is one checked use of a def.
type call struct {
	n     *node
	def   *def
	tags  map[string]*tagUse // by group; nil for none
	pos   []*arg
	tests []test
	block []step
}

// has reports whether a tag of that group was given.
func (c *call) has(group string) bool { return c.tags[group] != nil }

// param returns the parameter of the tag, nil when it was not given.
func (c *call) param(group string) *arg {
	if u := c.tags[group]; u != nil {
		return u.arg
	}
	return nil
}

// command and test are what a script is compiled to.
type command interface{ exec(m *machine) error }
type test interface {
	eval(m *machine) (bool, error)
}

// positional arguments that many commands share.
func str(what string) position  { return position{what: what, kind: argString} }
func list(what string) position { return position{what: what, kind: argList} }

// definitions holds all commands and tests that scripts can use.
func definitions() map[string]*def {
	m := map[string]*def{}
	for _, set := range [][]*def{controlDefs(), testDefs(), actionDefs(), headerDefs(), extensionDefs()} {
		for _, d := range set {
			m[d.name] = d
		}
	}
	return m
}

// step is a command with its place.
type step struct {
	at  Pos
	cmd command
}

// placed is a test with its place.
type placed struct {
	test
	name string
	at   Pos
}
