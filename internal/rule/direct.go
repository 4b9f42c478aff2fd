package rule

import (
	"cmp"
	"net/netip"
	"reflect"
	"regexp"
	"strings"

	"github.com/expr-lang/expr/ast"
)

// Most conditions compare a few texts and numbers, and the library's machine
// costs more than that: it boxes each value and finds each fact by reflection
// twice. So what is made only of the nodes below runs as a tree of functions.
// It asks in the same order, spends the same, and gives the same answer; a node
// that is not known here leaves the whole condition to the machine
// (TestDirect, FuzzDirect).

// A direct condition or value gets the struct of the facts and its meter. It
// fails only by spending too much, which Meter.left tells at the end: what is
// asked after that fails at once, too.
type (
	directBool func(facts reflect.Value, m *Meter) bool
	directText func(facts reflect.Value, m *Meter) string
	directInt  func(facts reflect.Value, m *Meter) int
)

// director builds direct conditions over one type of facts.
type director struct {
	facts reflect.Type
	maps  Maps
	price pricer // nil: no map has a price
}

// direct returns the condition of a compiled program, or nil.
func (c *compiler) direct(n ast.Node) directBool {
	d := director{facts: reflect.TypeOf(c.env).Elem(), maps: c.opt.Maps}
	d.price, _ = c.opt.Maps.(pricer)
	return d.condition(n)
}

// field returns the place of a fact of that type, nil for none.
func (d *director) field(n ast.Node, want reflect.Type) []int {
	at, t := d.place(n)
	if t != want {
		return nil
	}
	return at
}

// place returns where a fact, or a field of one, is.
func (d *director) place(n ast.Node) ([]int, reflect.Type) {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		return within(d.facts, n.Value)
	case *ast.MemberNode:
		name, ok := n.Property.(*ast.StringNode)
		if !ok || n.Optional || n.Method {
			return nil, nil
		}
		at, t := d.place(n.Node)
		if t == nil || t.Kind() != reflect.Struct {
			return nil, nil
		}
		in, t := within(t, name.Value)
		return append(at, in...), t
	}
	return nil, nil
}

// within returns the place of the field of that name in a struct.
func within(t reflect.Type, name string) ([]int, reflect.Type) {
	for i := range t.NumField() {
		f := t.Field(i)
		tag, ok := f.Tag.Lookup("expr")
		if !ok {
			tag = f.Name
		}
		if f.IsExported() && !f.Anonymous && tag == name {
			return []int{i}, f.Type
		}
	}
	return nil, nil
}

// fieldIn returns the field at a place.
func fieldIn(facts reflect.Value, at []int) reflect.Value {
	for _, i := range at {
		facts = facts.Field(i)
	}
	return facts
}

// condition returns what a node of type bool asks, or nil.
func (d *director) condition(n ast.Node) directBool {
	switch n := n.(type) {
	case *ast.BoolNode:
		value := n.Value
		return func(reflect.Value, *Meter) bool { return value }
	case *ast.IdentifierNode, *ast.MemberNode:
		if at := d.field(n, reflect.TypeFor[bool]()); at != nil {
			return func(facts reflect.Value, _ *Meter) bool { return fieldIn(facts, at).Bool() }
		}
	case *ast.UnaryNode:
		if of := d.condition(n.Node); of != nil && (n.Operator == "not" || n.Operator == "!") {
			return func(facts reflect.Value, m *Meter) bool { return !of(facts, m) }
		}
	case *ast.BinaryNode:
		return d.binary(n)
	case *ast.CallNode:
		return d.question(n)
	}
	return nil
}

// binary returns what an operator asks, or nil.
func (d *director) binary(n *ast.BinaryNode) directBool {
	switch n.Operator {
	case "and", "&&", "or", "||":
		return d.joined(n)
	case "in":
		return d.in(n)
	}
	if a, b := d.text(n.Left), d.text(n.Right); a != nil && b != nil {
		return texts(n.Operator, a, b)
	}
	if a, b := d.int(n.Left), d.int(n.Right); a != nil && b != nil {
		return ordered(n.Operator, a, b)
	}
	return nil
}

func (d *director) joined(n *ast.BinaryNode) directBool {
	a, b := d.condition(n.Left), d.condition(n.Right)
	switch {
	case a == nil || b == nil:
		return nil
	case n.Operator == "and" || n.Operator == "&&":
		return func(facts reflect.Value, m *Meter) bool { return a(facts, m) && b(facts, m) }
	}
	return func(facts reflect.Value, m *Meter) bool { return a(facts, m) || b(facts, m) }
}

// in returns what "in" asks of a list of constants.
func (d *director) in(n *ast.BinaryNode) directBool {
	list, ok := n.Right.(*ast.ConstantNode)
	if !ok {
		return nil
	}
	switch all := list.Value.(type) {
	case map[string]struct{}:
		if a := d.text(n.Left); a != nil {
			return func(facts reflect.Value, m *Meter) bool { _, ok := all[a(facts, m)]; return ok }
		}
	case map[int]struct{}:
		if a := d.int(n.Left); a != nil {
			return func(facts reflect.Value, m *Meter) bool { _, ok := all[a(facts, m)]; return ok }
		}
	}
	return nil
}

func texts(operator string, a, b directText) directBool {
	switch operator {
	case "startsWith":
		return func(facts reflect.Value, m *Meter) bool { return strings.HasPrefix(a(facts, m), b(facts, m)) }
	case "endsWith":
		return func(facts reflect.Value, m *Meter) bool { return strings.HasSuffix(a(facts, m), b(facts, m)) }
	}
	return ordered(operator, a, b)
}

// ordered compares two texts or two numbers.
func ordered[T cmp.Ordered](operator string, a, b func(reflect.Value, *Meter) T) directBool {
	switch operator {
	case "==":
		return func(facts reflect.Value, m *Meter) bool { return a(facts, m) == b(facts, m) }
	case "!=":
		return func(facts reflect.Value, m *Meter) bool { return a(facts, m) != b(facts, m) }
	case "<":
		return func(facts reflect.Value, m *Meter) bool { return a(facts, m) < b(facts, m) }
	case "<=":
		return func(facts reflect.Value, m *Meter) bool { return a(facts, m) <= b(facts, m) }
	case ">":
		return func(facts reflect.Value, m *Meter) bool { return a(facts, m) > b(facts, m) }
	case ">=":
		return func(facts reflect.Value, m *Meter) bool { return a(facts, m) >= b(facts, m) }
	}
	return nil
}

// called returns the function that a call is of, and its arguments without the
// meter; guard has put the meter there.
func called(n *ast.CallNode) (string, []ast.Node) {
	id, ok := n.Callee.(*ast.IdentifierNode)
	if !ok || len(n.Arguments) == 0 {
		return "", nil
	}
	if m, ok := n.Arguments[0].(*ast.IdentifierNode); !ok || m.Value != "meter" {
		return "", nil
	}
	return id.Value, n.Arguments[1:]
}

// question returns what a call that answers yes or no asks, or nil.
func (d *director) question(n *ast.CallNode) directBool {
	name, args := called(n)
	if len(args) != 2 {
		return nil
	}
	if c, ok := args[1].(*ast.ConstantNode); ok {
		return d.constant(name, args[0], c.Value)
	}
	a, b := d.text(args[0]), d.text(args[1])
	switch {
	case a == nil || b == nil:
	case name == "_contains":
		return func(facts reflect.Value, m *Meter) bool {
			s, part := a(facts, m), b(facts, m)
			return m.spend(costContains(s)) == nil && strings.Contains(s, part)
		}
	case name == "_under":
		return func(facts reflect.Value, m *Meter) bool {
			domain, parent := a(facts, m), b(facts, m)
			return m.spend(costUnder(domain)) == nil && under(domain, parent)
		}
	case name == "_in_map" && d.maps != nil:
		return func(facts reflect.Value, m *Meter) bool {
			table, value := a(facts, m), b(facts, m)
			return m.spend(costMap(d.price, table, value)) == nil && d.maps.Has(table, value)
		}
	}
	return nil
}

// constant returns what a call asks whose second argument was read already.
func (d *director) constant(name string, arg ast.Node, value any) directBool {
	a := d.text(arg)
	if a == nil {
		return nil
	}
	switch value := value.(type) {
	case *regexp.Regexp:
		if name != "_matches" {
			return nil
		}
		return func(facts reflect.Value, m *Meter) bool {
			s := a(facts, m)
			return m.spend(costMatches(s)) == nil && value.MatchString(s)
		}
	case *[]netip.Prefix:
		if name != "_ip_in" {
			return nil
		}
		nets := *value
		return func(facts reflect.Value, m *Meter) bool {
			s := a(facts, m)
			return m.spend(costNets(nets)) == nil && ipIn(s, nets)
		}
	}
	return nil
}

// text returns a value of type string, or nil.
func (d *director) text(n ast.Node) directText {
	switch n := n.(type) {
	case *ast.StringNode:
		value := n.Value
		return func(reflect.Value, *Meter) string { return value }
	case *ast.IdentifierNode, *ast.MemberNode:
		if at := d.field(n, reflect.TypeFor[string]()); at != nil {
			return func(facts reflect.Value, _ *Meter) string { return fieldIn(facts, at).String() }
		}
	case *ast.CallNode:
		return d.made(n)
	}
	return nil
}

// made returns the text that a call makes of another, or nil.
func (d *director) made(n *ast.CallNode) directText {
	name, args := called(n)
	if len(args) != 1 {
		return nil
	}
	a := d.text(args[0])
	switch {
	case a == nil:
	case name == "_lower":
		return func(facts reflect.Value, m *Meter) string {
			s := a(facts, m)
			if m.spend(costLower(s)) != nil {
				return ""
			}
			return strings.ToLower(s)
		}
	case name == "_domain_of":
		return func(facts reflect.Value, m *Meter) string {
			s := a(facts, m)
			if m.spend(costDomain) != nil {
				return ""
			}
			return domainOf(s)
		}
	}
	return nil
}

// int returns a value of type int, or nil.
func (d *director) int(n ast.Node) directInt {
	switch n := n.(type) {
	case *ast.IntegerNode:
		value := n.Value
		return func(reflect.Value, *Meter) int { return value }
	case *ast.IdentifierNode, *ast.MemberNode:
		if at := d.field(n, reflect.TypeFor[int]()); at != nil {
			return func(facts reflect.Value, _ *Meter) int { return int(fieldIn(facts, at).Int()) }
		}
	case *ast.CallNode:
		name, args := called(n)
		if len(args) != 1 || name != "_textlen" {
			return nil
		}
		if a := d.text(args[0]); a != nil {
			return func(facts reflect.Value, m *Meter) int {
				s := a(facts, m)
				if m.spend(costLen) != nil {
					return 0
				}
				return len(s)
			}
		}
	}
	return nil
}
