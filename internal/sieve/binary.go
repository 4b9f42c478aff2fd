package sieve

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"
)

// The binary form of a script holds what the parser read, of the script and of
// those it includes; what the checker makes of it is made anew. A file that
// somebody changed can thus do nothing that a script could not, and an
// extension that was forbidden meanwhile is found.

// magic begins a binary; its last byte is the version of the form.
const magic = "gpsieve\x01"

// ErrBinary is the error of Load for bytes that Binary did not write. The
// caller compiles the source again.
var ErrBinary = errors.New("not a compiled script of this version")

// Binary returns the script in the form that Load reads.
func (s *Script) Binary() []byte {
	w := &binaryWriter{}
	w.WriteString(magic)
	w.number(uint64(len(s.unit.progs)))
	for _, p := range s.unit.progs {
		w.flag(p.key.global)
		w.text(p.key.name)
		w.nodes(p.nodes)
	}
	return w.Bytes()
}

// Load returns the script that Binary wrote. Options are those of Compile, but
// Include is not asked: the included scripts are in the binary.
func Load(b []byte, opts Options) (*Script, error) {
	rest, ok := bytes.CutPrefix(b, []byte(magic))
	if !ok {
		return nil, ErrBinary
	}
	r := &binaryReader{b: rest}
	u := newUnit(opts)
	stored := map[includeKey][]*node{}
	var root []*node
	for i := range r.count(len(rest)) {
		key := includeKey{global: r.flag(), name: r.text()}
		nodes := r.nodes(0)
		if i == 0 {
			root = nodes
		} else {
			stored[key] = nodes
		}
	}
	if r.bad || len(r.b) > 0 {
		return nil, ErrBinary
	}
	u.load = func(key includeKey, _ *faults) ([]*node, error) {
		if nodes, ok := stored[key]; ok {
			return nodes, nil
		}
		return nil, fs.ErrNotExist
	}
	s, err := u.link(root)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBinary, err)
	}
	return s, nil
}

type binaryWriter struct{ bytes.Buffer }

func (w *binaryWriter) number(n uint64) { w.Write(binary.AppendUvarint(nil, n)) }

func (w *binaryWriter) text(s string) {
	w.number(uint64(len(s)))
	w.WriteString(s)
}

func (w *binaryWriter) flag(b bool) {
	if b {
		w.WriteByte(1)
		return
	}
	w.WriteByte(0)
}

func (w *binaryWriter) at(p Pos) {
	w.number(uint64(p.Line))
	w.number(uint64(p.Col))
}

func (w *binaryWriter) nodes(list []*node) {
	w.number(uint64(len(list)))
	for _, n := range list {
		w.text(n.name)
		w.at(n.at)
		w.number(uint64(len(n.args)))
		for i := range n.args {
			w.arg(&n.args[i])
		}
		w.flag(n.list)
		w.nodes(n.tests)
		w.flag(n.hasBlock)
		w.nodes(n.block)
	}
}

func (w *binaryWriter) arg(a *arg) {
	w.WriteByte(byte(a.kind))
	w.at(a.at)
	w.number(a.num)
	w.text(a.text)
	w.number(uint64(len(a.list)))
	for _, s := range a.list {
		w.text(s)
	}
}

// binaryReader reads what binaryWriter wrote. Behind the first fault it gives
// zeros.
type binaryReader struct {
	b   []byte
	bad bool
}

func (r *binaryReader) number() uint64 {
	n, size := binary.Uvarint(r.b)
	if size <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *binaryReader) fail() { r.bad, r.b = true, nil }

// count reads a number of things of one byte and more each.
func (r *binaryReader) count(most int) int {
	n := r.number()
	if n > uint64(min(most, len(r.b))) {
		r.fail()
		return 0
	}
	return int(n)
}

func (r *binaryReader) text() string {
	n := r.count(len(r.b))
	if r.bad {
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}

func (r *binaryReader) flag() bool {
	if len(r.b) == 0 || r.b[0] > 1 {
		r.fail()
		return false
	}
	v := r.b[0] == 1
	r.b = r.b[1:]
	return v
}

func (r *binaryReader) at() Pos {
	return Pos{Line: int(min(r.number(), maxScript)), Col: int(min(r.number(), maxScript))}
}

func (r *binaryReader) nodes(depth int) []*node {
	if depth > 2*maxNesting+2 {
		r.fail()
		return nil
	}
	var list []*node
	for range r.count(len(r.b)) {
		n := &node{name: r.text(), at: r.at()}
		for range r.count(maxArguments) {
			n.args = append(n.args, r.arg())
		}
		n.list = r.flag()
		n.tests = r.nodes(depth + 1)
		n.hasBlock = r.flag()
		n.block = r.nodes(depth + 1)
		if r.bad || n.name == "" {
			r.fail()
			return nil
		}
		list = append(list, n)
	}
	return slices.Clip(list)
}

func (r *binaryReader) arg() arg {
	var a arg
	if len(r.b) > 0 {
		a.kind = argKind(r.b[0])
		r.b = r.b[1:]
	}
	if a.kind < argNumber || a.kind > argTag {
		r.fail()
		return a
	}
	a.at, a.num, a.text = r.at(), r.number(), r.text()
	for range r.count(maxListItems) {
		a.list = append(a.list, r.text())
	}
	return a
}
