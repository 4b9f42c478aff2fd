package rule

import (
	"fmt"
	"net/netip"
	"reflect"
	"regexp"
	"slices"

	"github.com/expr-lang/expr/ast"

	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/netaddr"
)

// builtins are the functions of the language that are let in: none of them
// makes a text, so that none can make a long one.
var builtins = []string{"all", "any", "none", "one", "count", "filter", "map", "sum", "len"}

// costCall is what a call of the consumer's functions costs at most.
const costCall = 50

// guard walks over a condition from the leaves up. It refuses what is not let
// in, and puts what costs through functions that count it.
type guard struct {
	*compiler
	when string
	err  error
	lets []string // names that the condition gives
}

// lets collects the names that a condition gives. It goes before guard, which
// comes to their uses first.
type lets struct{ *guard }

// Visit takes in one node.
func (l *lets) Visit(node *ast.Node) {
	n, ok := (*node).(*ast.VariableDeclaratorNode)
	switch {
	case !ok:
	case !letName.MatchString(n.Name):
		l.refuse(n, "the name of a let is lower case letters and digits")
	case slices.Contains(l.reserved(), n.Name):
		l.refuse(n, "%q has a meaning already", n.Name)
	default:
		l.lets = append(l.lets, n.Name)
	}
}

var letName = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)

// refuse keeps the first thing that is wrong.
func (g *guard) refuse(n ast.Node, format string, args ...any) {
	if g.err == nil {
		g.err = faultAt(g.when, n.Location().From, fmt.Sprintf(format, args...))
	}
}

// Visit judges one node, whose children have been visited.
func (g *guard) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.StringNode, *ast.ConstantNode,
		*ast.PointerNode, *ast.ConditionalNode, *ast.ArrayNode, *ast.VariableDeclaratorNode:
	case *ast.IdentifierNode:
		g.name(n)
	case *ast.UnaryNode:
		if n.Operator == "+" {
			g.refuse(n, "+ before a value is not of this language")
		}
	case *ast.BinaryNode:
		g.binary(node, n)
	case *ast.MemberNode:
		g.member(n)
	case *ast.CallNode:
		g.call(node, n)
	case *ast.BuiltinNode:
		if n.Name == "len" && len(n.Arguments) == 1 && isText(n.Arguments[0]) {
			patch(node, "_textlen", n.Arguments[0])
		}
	case *ast.PredicateNode:
		body := n.Node
		n.Node = &ast.SequenceNode{Nodes: []ast.Node{
			call("_step", body, &ast.IntegerNode{Value: costOf(body)}), body,
		}}
		n.Node.SetLocation(body.Location())
	default:
		g.refuse(n, "this is not of the language of rules")
	}
}

// name marks a fact as used. The checker knows names that are not meant for
// rules, such as the meter.
func (g *guard) name(n *ast.IdentifierNode) {
	if slices.Contains(g.names, n.Value) || slices.Contains(g.calls, n.Value) {
		g.seen[n.Value] = true
		return
	}
	if _, ok := functions[n.Value]; ok || slices.Contains(g.lets, n.Value) {
		return
	}
	g.refuse(n, "there is no %q%s", n.Value, config.Suggest(n.Value, g.known()))
}

func (g *guard) member(n *ast.MemberNode) {
	if n.Optional || n.Method {
		g.refuse(n, "this is not of the language of rules")
	}
}

// binary lets operators in, and counts those that look at whole texts.
func (g *guard) binary(node *ast.Node, n *ast.BinaryNode) {
	switch n.Operator {
	case "and", "&&", "or", "||", "==", "!=", "<", "<=", ">", ">=", "startsWith", "endsWith", "-", "*", "/", "%":
	case "+":
		if isText(n.Left) || isText(n.Right) {
			g.refuse(n, "texts cannot be put together: compare them one by one")
		}
	case "in":
		g.in(node, n)
	case "contains":
		patch(node, "_contains", n.Left, n.Right)
	case "matches":
		s, ok := n.Right.(*ast.StringNode)
		if !ok {
			g.refuse(n.Right, "a pattern has to stand here as a text, not as a fact: nobody may send patterns")
			return
		}
		re, err := regexp.Compile(s.Value)
		if err != nil {
			g.refuse(n.Right, "%v", err)
			return
		}
		patch(node, "_matches", n.Left, &ast.ConstantNode{Value: re})
	case "..":
		g.refuse(n, "there are no ranges: compare with < and >")
	default:
		g.refuse(n, "the operator %s is not of the language of rules", n.Operator)
	}
}

// in lets constant lists and lists of texts in.
func (g *guard) in(node *ast.Node, n *ast.BinaryNode) {
	if list, ok := n.Right.(*ast.ArrayNode); ok {
		for _, e := range list.Nodes {
			switch e.(type) {
			case *ast.StringNode, *ast.IntegerNode:
			default:
				g.refuse(e, "a list behind in holds texts or whole numbers")
			}
		}
		return
	}
	if t := n.Right.Type(); t == nil || t != reflect.TypeFor[[]string]() || !isText(n.Left) {
		g.refuse(n, "in takes a text and a list of texts, or a list of constants: x in [\"a\", \"b\"]")
		return
	}
	patch(node, "_in", n.Left, n.Right)
}

// call checks the arguments of a function, and counts it.
func (g *guard) call(node *ast.Node, n *ast.CallNode) {
	id, ok := n.Callee.(*ast.IdentifierNode)
	if !ok {
		g.refuse(n, "this is no function")
		return
	}
	if slices.Contains(g.calls, id.Value) {
		g.check(id.Value, n)
		return
	}
	args := n.Arguments
	switch id.Value {
	case "ip_in":
		nets, ok := g.networks(n)
		if !ok {
			return
		}
		args = []ast.Node{args[0], &ast.ConstantNode{Value: nets}}
	case "in_map":
		name, ok := args[0].(*ast.StringNode)
		if !ok {
			g.refuse(args[0], "the name of a map has to stand here as a text")
			return
		}
		if m := g.opt.Maps; m != nil && !slices.Contains(m.Names(), name.Value) {
			g.refuse(args[0], "there is no map %q%s", name.Value, config.Suggest(name.Value, m.Names()))
			return
		}
	}
	patch(node, "_"+id.Value, args...)
}

// check asks the consumer about a constant first argument.
func (g *guard) check(function string, n *ast.CallNode) {
	if g.opt.Check == nil || len(n.Arguments) == 0 {
		return
	}
	s, ok := n.Arguments[0].(*ast.StringNode)
	if !ok {
		g.refuse(n.Arguments[0], "%s takes a text that stands here, not a fact", function)
		return
	}
	if err := g.opt.Check(function, s.Value); err != nil {
		g.refuse(n.Arguments[0], "%v", err)
	}
}

// networks reads the constant arguments of ip_in.
func (g *guard) networks(n *ast.CallNode) (*[]netip.Prefix, bool) {
	var nets []netip.Prefix
	for _, a := range n.Arguments[1:] {
		s, ok := a.(*ast.StringNode)
		if !ok {
			g.refuse(a, "a network has to stand here as a text")
			return nil, false
		}
		p, err := netaddr.ParsePrefix(s.Value)
		if err != nil {
			g.refuse(a, "%v", err)
			return nil, false
		}
		nets = append(nets, p)
	}
	if len(nets) == 0 {
		g.refuse(n, "ip_in needs a network")
		return nil, false
	}
	return &nets, true
}

func isText(n ast.Node) bool { return n.Type() != nil && n.Type().Kind() == reflect.String }

// call returns a call of a function of ours at the place of n; the meter is its
// first argument.
func call(name string, at ast.Node, args ...ast.Node) ast.Node {
	c := &ast.CallNode{
		Callee:    &ast.IdentifierNode{Value: name},
		Arguments: append([]ast.Node{&ast.IdentifierNode{Value: "meter"}}, args...),
	}
	for _, n := range append(c.Arguments, c.Callee, c) {
		if n.Location().From == 0 {
			n.SetLocation(at.Location())
		}
	}
	return c
}

func patch(node *ast.Node, name string, args ...ast.Node) {
	ast.Patch(node, call(name, *node, args...))
}

// costOf returns what one evaluation of n costs besides what is counted at run
// time.
func costOf(n ast.Node) int {
	v := &counter{}
	ast.Walk(&n, v)
	return v.cost
}

type counter struct{ cost int }

// Visit counts one node.
func (c *counter) Visit(n *ast.Node) {
	c.cost++
	if _, ok := (*n).(*ast.CallNode); ok {
		c.cost += costCall
	}
}
