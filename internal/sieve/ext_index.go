package sieve

import "slices"

// indexTags are those of RFC 5260 §6.
var indexTags = []tagDef{
	{name: "index", ext: "index", param: argNumber},
	{name: "last", ext: "index"},
}

// index picks one of several fields; n 0 is all of them.
type index struct {
	n    uint64
	last bool
}

// index compiles the tags into to.
func (c *compiler) index(cl *call, to *index) bool {
	a := cl.param("index")
	to.last = cl.has("last")
	if a == nil {
		if to.last {
			c.faults.add(cl.tags["last"].at, "the :last tag cannot be specified without the :index tag")
		}
		return !to.last
	}
	if to.n = a.num; to.n == 0 {
		c.faults.add(a.at, "the :index tag counts from 1")
		return false
	}
	return true
}

func pickOne[T any](x index, vs []T) []T {
	if x.n == 0 {
		return vs
	}
	if x.n > uint64(len(vs)) {
		return nil
	}
	i := int(x.n) - 1
	if x.last {
		i = len(vs) - int(x.n)
	}
	return vs[i : i+1]
}

func (x index) pick(vs []string) []string { return pickOne(x, vs) }

// pickAddresses counts fields, not addresses (RFC 5260 §6).
func (x index) pickAddresses(m *machine, block *fields, name string) []address {
	fs := pickOne(x, block.addresses(m, name))
	if len(fs) == 1 {
		return fs[0]
	}
	return slices.Concat(fs...)
}
