package sieve

import "strings"

// glob is a pattern of :matches (RFC 5228 §2.7.1), cut at its stars.
type glob struct {
	segs []segment
}

// segment is literal text with a "?" between each two pieces. The pieces are
// folded by the comparator.
type segment []string

// compileGlob reads a pattern. A backslash makes the next character itself.
func compileGlob(pattern string) glob {
	var g glob
	var seg segment
	var lit strings.Builder
	flush := func() {
		seg = append(seg, lit.String())
		lit.Reset()
	}
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; c {
		case '*':
			flush()
			g.segs = append(g.segs, seg)
			seg = nil
		case '?':
			flush()
		case '\\':
			if i+1 < len(pattern) {
				i++
			}
			lit.WriteByte(pattern[i])
		default:
			lit.WriteByte(c)
		}
	}
	flush()
	g.segs = append(g.segs, seg)
	return g
}

// globber matches one value.
type globber struct {
	s        string // folded
	orig     string // the same length: captures are cut from it
	captures []string
	want     bool
	budget   int // steps left
}

// at matches seg at offset i and returns the offset behind it, or -1.
func (g *globber) at(seg segment, i int) int {
	for n, lit := range seg {
		if n > 0 {
			if i >= len(g.s) {
				return -1
			}
			i += runeSize(g.s[i:])
		}
		if !strings.HasPrefix(g.s[i:], lit) {
			return -1
		}
		g.budget -= 1 + len(lit)>>4
		i += len(lit)
	}
	return i
}

// find returns the first place from offset i where seg matches.
func (g *globber) find(seg segment, i int) (start, end int) {
	for g.budget > 0 {
		n := strings.Index(g.s[i:], seg[0])
		if n < 0 {
			return -1, -1
		}
		i += n
		if end := g.at(seg, i); end >= 0 {
			return i, end
		}
		if i >= len(g.s) {
			return -1, -1
		}
		i += runeSize(g.s[i:])
	}
	return -1, -1
}

// last returns the place where seg matches up to the end, not before i.
func (g *globber) last(seg segment, i int) int {
	if len(seg) == 1 {
		start := len(g.s) - len(seg[0])
		if start < i || g.s[start:] != seg[0] {
			return -1
		}
		return start
	}
	for g.budget > 0 {
		start, end := g.find(seg, i)
		if start < 0 || end == len(g.s) {
			return start
		}
		i = start + runeSize(g.s[start:])
	}
	return -1
}

// keep notes what a star and the question marks behind it took.
func (g *globber) keep(seg segment, star bool, from, start int) {
	if !g.want || len(g.captures) > maxMatchValue {
		return
	}
	if star {
		g.captures = append(g.captures, g.orig[from:start])
	}
	for n, lit := range seg {
		if n > 0 {
			size := runeSize(g.s[start:])
			g.captures = append(g.captures, g.orig[start:start+size])
			start += size
		}
		start += len(lit)
	}
}

// match reports whether p matches the whole value. A star takes as little as
// it can, the first one first.
func (g *globber) match(p glob) bool {
	end := g.at(p.segs[0], 0)
	if end < 0 || len(p.segs) == 1 && end != len(g.s) {
		return false
	}
	g.keep(p.segs[0], false, 0, 0)
	for n, seg := range p.segs[1:] {
		if n == len(p.segs)-2 {
			start := g.last(seg, end)
			if start < 0 {
				return false
			}
			g.keep(seg, true, end, start)
			return true
		}
		start, after := g.find(seg, end)
		if start < 0 {
			return false
		}
		g.keep(seg, true, end, start)
		end = after
	}
	return true
}
