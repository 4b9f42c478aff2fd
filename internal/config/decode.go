package config

import (
	"bytes"
	"cmp"
	"encoding"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// MaxFileBytes is the largest configuration file that is read. The time of the
// YAML parser grows with the square of a file without structure.
const MaxFileBytes = 256 << 10

const (
	// maxDepth bounds the nesting of mappings and lists.
	maxDepth = 20
	// maxBrackets bounds the brackets that are open at a time, quoted ones
	// too: the parser takes a minute for a file of nothing else.
	maxBrackets = 1000
)

// Load reads the file at path into v, a pointer to a struct that holds the
// defaults; see Decode.
func Load(path string, v any) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxFileBytes+1)) // it may be a pipe or a device
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	return Decode(path, data, v)
}

// Decode reads data into v, a pointer to a struct that holds the defaults, and
// then calls v's Validate, if it has one. name is the file's name for faults.
// If v has a method Words, it names the keys that are meant by other words at
// the root of the file. All faults are reported at once, joined, each a *Fault; v is then of no use.
// Validate sees the defaults of settings that could not be read.
// Settings that are absent keep their defaults; lists and maps are replaced.
func Decode(name string, data []byte, v any) error {
	if len(data) > MaxFileBytes {
		return &Fault{File: name, Text: fmt.Sprintf("the file is larger than %d bytes", MaxFileBytes)}
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // some editors begin a file with it
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
		return &Fault{File: name, Text: "the file is in UTF-16, and has to be in UTF-8"}
	}
	if line := tooDeep(data); line > 0 {
		return &Fault{File: name, Line: line, Column: 1, Text: "more brackets are open than any setting needs"}
	}
	file, err := parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return syntaxFault(name, err)
	}
	d := decoder{file: name, places: map[string]*token.Position{}, nested: nestedIn(reflect.TypeOf(v).Elem())}
	if w, ok := v.(interface{ Words() map[string]string }); ok {
		for word, key := range w.Words() {
			d.nested[word] = append(d.nested[word], key)
		}
	}
	docs := 0
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		if docs++; docs > 1 {
			d.fault("", doc.Body, "a second document is in the file")
			break
		}
		d.value("", doc.Body, reflect.ValueOf(v).Elem(), 0)
	}
	if w, ok := v.(interface{ Validate() error }); ok {
		d.place(w.Validate())
	}
	return errors.Join(inOrder(d.faults)...)
}

// inOrder sorts faults by their place in the file; those without come first.
func inOrder(faults []error) []error {
	place := func(err error) (line, column int) {
		var f *Fault
		if errors.As(err, &f) {
			return f.Line, f.Column
		}
		return 0, 0
	}
	slices.SortStableFunc(faults, func(a, b error) int {
		la, ca := place(a)
		lb, cb := place(b)
		return cmp.Or(cmp.Compare(la, lb), cmp.Compare(ca, cb))
	})
	return faults
}

// tooDeep returns the line on which more than maxBrackets are open, or 0.
func tooDeep(data []byte) int {
	open, line := 0, 1
	for _, c := range data {
		switch c {
		case '\n':
			line++
		case '[', '{':
			if open++; open > maxBrackets {
				return line
			}
		case ']', '}':
			open = max(open-1, 0)
		}
	}
	return 0
}

// Under puts prefix before the key of every fault in err, which is what a
// Validate of a struct inside another returned.
func Under(prefix string, err error) error {
	var out []error
	for _, e := range flatten(err) {
		var f *Fault
		if !errors.As(e, &f) {
			f = &Fault{Text: e.Error()}
		}
		g := *f
		g.Key = joinKey(prefix, f.Key)
		out = append(out, &g)
	}
	return errors.Join(out...)
}

// Faults returns the faults in err one by one.
func Faults(err error) []error { return flatten(err) }

func flatten(err error) []error {
	if err == nil {
		return nil
	}
	j, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var out []error
	for _, e := range j.Unwrap() {
		out = append(out, flatten(e)...)
	}
	return out
}

func joinKey(prefix, key string) string {
	if prefix == "" || key == "" || key[0] == '[' {
		return prefix + key
	}
	return prefix + "." + key
}

func syntaxFault(name string, err error) error {
	var s yaml.Error
	if errors.As(err, &s) && s.GetToken() != nil {
		p := s.GetToken().Position
		return &Fault{File: name, Line: p.Line, Column: p.Column, Text: s.GetMessage()}
	}
	return &Fault{File: name, Text: err.Error()}
}

type decoder struct {
	file   string
	faults []error
	places map[string]*token.Position
	nested map[string][]string // where a name stands that is none of the root
}

func (d *decoder) fault(key string, n ast.Node, format string, args ...any) {
	f := &Fault{File: d.file, Key: key, Text: fmt.Sprintf(format, args...)}
	if p := start(n); p != nil {
		f.Line, f.Column = p.Line, p.Column
	}
	d.faults = append(d.faults, f)
}

// start returns where n begins: a mapping's own token is its first colon.
func start(n ast.Node) *token.Position {
	switch m := n.(type) {
	case *ast.MappingNode:
		if len(m.Values) > 0 && m.Start != nil && m.Start.Value != "{" {
			return start(m.Values[0])
		}
	case *ast.MappingValueNode:
		return start(m.Key)
	}
	if t := n.GetToken(); t != nil {
		return t.Position
	}
	return nil
}

// place adds the faults of a Validate, at the lines of their keys. A fault of
// a key that the file does not hold stands at the nearest one above it. One of
// a key that could not be read is left out: its cause is told already.
func (d *decoder) place(err error) {
	told := map[string]bool{}
	for _, e := range d.faults {
		var f *Fault
		if errors.As(e, &f) {
			told[f.Key] = true
		}
	}
	for _, e := range flatten(err) {
		var f *Fault
		if !errors.As(e, &f) {
			f = &Fault{Text: e.Error()}
		}
		if f.Key != "" && told[f.Key] {
			continue
		}
		g := *f
		g.File = d.file
		for key := g.Key; key != ""; key = parentKey(key) {
			if p := d.places[key]; p != nil {
				g.Line, g.Column = p.Line, p.Column
				break
			}
		}
		d.faults = append(d.faults, &g)
	}
}

func parentKey(key string) string {
	for i := len(key) - 1; i > 0; i-- {
		if key[i] == '.' || key[i] == '[' {
			return key[:i]
		}
	}
	return ""
}

// value decodes n, which stands at key, into v.
func (d *decoder) value(key string, n ast.Node, v reflect.Value, depth int) {
	if depth > maxDepth {
		d.fault(key, n, "nested deeper than %d levels", maxDepth)
		return
	}
	switch n.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode, *ast.TagNode:
		d.fault(key, n, "anchors, aliases and tags are not supported")
		return
	case *ast.NullNode:
		return // "key:" with nothing behind it keeps the default
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		d.value(key, n, v.Elem(), depth)
		return
	}
	if _, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		d.scalar(key, n, v)
		return
	}
	if s, ok := v.Addr().Interface().(ShortForm); ok {
		if text, _, single := scalarText(n); single {
			if err := s.UnmarshalScalar(text); err != nil {
				d.fault(key, n, "%v", err)
			}
			return
		}
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(key, n, v, depth)
	case reflect.Map:
		d.mapping(key, n, v, depth)
	case reflect.Slice:
		d.list(key, n, v, depth)
	default:
		d.scalar(key, n, v)
	}
}

// ShortForm is a struct for which a single value may stand, too.
type ShortForm interface{ UnmarshalScalar(text string) error }

// entries returns the key-value pairs of a mapping; ok is false and a fault is
// noted for anything else.
func (d *decoder) entries(key string, n ast.Node) (pairs []*ast.MappingValueNode, ok bool) {
	switch m := n.(type) {
	case *ast.MappingNode:
		return m.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{m}, true
	}
	d.fault(key, n, "settings of the form \"name: value\" are expected here")
	return nil, false
}

// child returns the key of a pair and whether its value is to be decoded.
func (d *decoder) child(key string, pair *ast.MappingValueNode, seen map[string]bool) (name, full string, ok bool) {
	s, isString := pair.Key.(*ast.StringNode)
	if isString {
		name = s.Value
	} else {
		name = pair.Key.GetToken().Value
	}
	full = joinKey(key, name)
	if seen[name] {
		d.fault(full, pair.Key, "is set twice")
		return name, full, false
	}
	seen[name] = true
	d.places[full] = start(pair.Key)
	return name, full, true
}

func (d *decoder) structure(key string, n ast.Node, v reflect.Value, depth int) {
	pairs, ok := d.entries(key, n)
	if !ok {
		return
	}
	fields := fieldsOf(v.Type())
	seen := map[string]bool{}
	for _, pair := range pairs {
		name, full, ok := d.child(key, pair, seen)
		if !ok {
			continue
		}
		i, known := fields[name]
		if !known {
			d.fault(full, pair.Key, "unknown setting%s", d.suggest(key, name, fields))
			continue
		}
		d.value(full, pair.Value, v.Field(i), depth+1)
	}
}

// suggest is suggest, and for a name at the root also what is deeper down under
// just that name.
func (d *decoder) suggest(key, name string, fields map[string]int) string {
	if at := d.nested[name]; key == "" && len(at) > 0 {
		return `, did you mean "` + strings.Join(at, `" or "`) + `"?`
	}
	return suggest(name, fields)
}

func (d *decoder) mapping(key string, n ast.Node, v reflect.Value, depth int) {
	pairs, ok := d.entries(key, n)
	if !ok {
		return
	}
	m := reflect.MakeMapWithSize(v.Type(), len(pairs))
	seen := map[string]bool{}
	for _, pair := range pairs {
		name, full, ok := d.child(key, pair, seen)
		if !ok {
			continue
		}
		e := reflect.New(v.Type().Elem()).Elem()
		d.value(full, pair.Value, e, depth+1)
		m.SetMapIndex(reflect.ValueOf(name).Convert(v.Type().Key()), e)
	}
	v.Set(m)
}

func (d *decoder) list(key string, n ast.Node, v reflect.Value, depth int) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		d.fault(key, n, "a list is expected here")
		return
	}
	out := reflect.MakeSlice(v.Type(), len(seq.Values), len(seq.Values))
	for i, e := range seq.Values {
		full := key + "[" + strconv.Itoa(i) + "]"
		d.places[full] = start(e)
		d.value(full, e, out.Index(i), depth+1)
	}
	v.Set(out)
}
