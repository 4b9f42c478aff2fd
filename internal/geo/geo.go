// Package geo tells the country and the network operator of an address, from a
// plain file that the administrator supplies: lines of prefix,asn,country, for
// example
//
//	192.0.2.0/24,64500,DE
//	2001:db8::/32,AS64501,
//
// Of two prefixes the longer one holds. Empty lines, lines that begin with "#"
// and a first line of names ("prefix,asn,cc") are left out. The file is made
// into one sorted table; a look-up is a binary search.
package geo

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Bounds of a file.
const (
	// MaxPrefixes bounds its lines: the whole routing table of today is 1.3
	// million, some 60 MB here.
	MaxPrefixes = 3_000_000

	maxLine = 1000
)

// Place is where an address belongs. The zero Place is unknown.
type Place struct {
	// ASN is the number of the operator's autonomous system; 0 is unknown.
	ASN uint32
	// Country is two capital letters of ISO 3166; empty is unknown.
	Country string
}

// Table finds places. It does not change, and is safe for concurrent use. A nil
// Table knows nothing.
type Table struct {
	// starts are the addresses at which another place begins.
	starts []netip.Addr
	places []packed
}

// packed is a Place without a pointer.
type packed struct {
	asn     uint32
	country [2]byte
}

// Open reads the file at path.
func Open(path string) (*Table, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	t, err := Read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

// row is one line.
type row struct {
	prefix netip.Prefix
	packed
}

// Read reads a file. An error names the line.
func Read(r io.Reader) (*Table, error) {
	in := bufio.NewScanner(r)
	in.Buffer(make([]byte, 0, 4096), maxLine)
	var rows []row
	n := 0
	for in.Scan() {
		n++
		line := strings.TrimSpace(in.Text())
		if line == "" || line[0] == '#' || n == 1 && strings.HasPrefix(strings.ToLower(line), "prefix,") {
			continue
		}
		one, err := parseRow(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if len(rows) == MaxPrefixes {
			return nil, fmt.Errorf("line %d: more than %d prefixes", n, MaxPrefixes)
		}
		rows = append(rows, one)
	}
	if err := in.Err(); err != nil {
		return nil, fmt.Errorf("line %d: %w", n+1, err)
	}
	return build(rows), nil
}

var errRow = errors.New(`it is not prefix,asn,country such as "192.0.2.0/24,64500,DE"`)

func parseRow(line string) (row, error) {
	field := strings.Split(line, ",")
	if len(field) != 3 {
		return row{}, errRow
	}
	for i := range field {
		field[i] = strings.Trim(strings.TrimSpace(field[i]), `"`)
	}
	p, err := netip.ParsePrefix(field[0])
	if err != nil || p != p.Masked() || p.Addr().Is4In6() || p.Addr().Zone() != "" {
		return row{}, errRow
	}
	out := row{prefix: p}
	number := strings.ToUpper(field[1])
	if number = strings.TrimPrefix(number, "AS"); number != "" {
		asn, err := strconv.ParseUint(number, 10, 32)
		if err != nil {
			return row{}, errRow
		}
		out.asn = uint32(asn)
	}
	cc := strings.ToUpper(field[2])
	switch {
	case cc == "":
	case len(cc) == 2 && isLetter(cc[0]) && isLetter(cc[1]):
		out.country = [2]byte{cc[0], cc[1]}
	default:
		return row{}, errRow
	}
	return out, nil
}

func isLetter(c byte) bool { return c >= 'A' && c <= 'Z' }

// build makes one sequence of places that do not overlap: it walks over the
// prefixes by their start, keeps those that are open, and goes back to the outer
// one where an inner one ends.
func build(rows []row) *Table {
	slices.SortStableFunc(rows, func(a, b row) int {
		if c := a.prefix.Addr().Compare(b.prefix.Addr()); c != 0 {
			return c
		}
		return cmp.Compare(a.prefix.Bits(), b.prefix.Bits())
	})
	t := &Table{}
	var open []row
	closeUntil := func(at netip.Addr) {
		for len(open) > 0 {
			top := open[len(open)-1]
			end := after(top.prefix)
			if at.IsValid() && at.BitLen() == top.prefix.Addr().BitLen() && (!end.IsValid() || at.Less(end)) {
				return
			}
			open = open[:len(open)-1]
			if !end.IsValid() {
				continue
			}
			outer := packed{}
			if len(open) > 0 {
				outer = open[len(open)-1].packed
			}
			t.begin(end, outer)
		}
	}
	for _, r := range rows {
		closeUntil(r.prefix.Addr())
		t.begin(r.prefix.Addr(), r.packed)
		open = append(open, r)
	}
	closeUntil(netip.Addr{})
	return t
}

// begin says that another place begins at an address, which is not before the
// one of the last call.
func (t *Table) begin(at netip.Addr, p packed) {
	if n := len(t.starts); n > 0 && t.starts[n-1] == at {
		t.places[n-1] = p
		return
	}
	t.starts, t.places = append(t.starts, at), append(t.places, p)
}

// after returns the first address behind a prefix, the zero Addr behind the last
// of all.
func after(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	last, _ := netip.AddrFromSlice(b)
	return last.Next()
}

// Len returns the number of places in a row.
func (t *Table) Len() int {
	if t == nil {
		return 0
	}
	return len(t.starts)
}

// Find returns where an address belongs, the zero Place if that is unknown.
func (t *Table) Find(a netip.Addr) Place {
	a = a.Unmap().WithZone("")
	if t.Len() == 0 || !a.IsValid() {
		return Place{}
	}
	i, found := slices.BinarySearchFunc(t.starts, a, netip.Addr.Compare)
	if !found {
		i--
	}
	if i < 0 || t.starts[i].BitLen() != a.BitLen() {
		return Place{}
	}
	p := t.places[i]
	out := Place{ASN: p.asn}
	if p.country != [2]byte{} {
		out.Country = string(p.country[:])
	}
	return out
}
