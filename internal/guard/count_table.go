package guard

import "hash/maphash"

// chunkLen is by how many cells a table grows: never by a copy of all.
const chunkLen = 1024

// cell is a value in its two lists: of its bucket, and by last use.
type cell[T any] struct {
	key                 uint64
	chain, newer, older uint32
	v                   T
}

// table is a map of a bounded size from which the value goes first that was put
// longest ago. All its operations take constant time. Places are numbered from
// 1; 0 is none. It is not safe for concurrent use.
type table[T any] struct {
	most    int
	seed    maphash.Seed
	buckets []uint32
	chunks  [][]cell[T]
	free    uint32 // a list by chain
	used    uint32 // places ever used
	newest  uint32
	oldest  uint32
	n       int
}

func newTable[T any](most int) *table[T] {
	t := &table[T]{seed: maphash.MakeSeed()}
	t.resize(most)
	return t
}

func (t *table[T]) at(i uint32) *cell[T] { return &t.chunks[(i-1)/chunkLen][(i-1)%chunkLen] }

func (t *table[T]) bucket(key uint64) *uint32 {
	return &t.buckets[maphash.Comparable(t.seed, key)&uint64(len(t.buckets)-1)]
}

// resize sets the bound, drops what is over and orders the buckets anew. It
// returns how many it dropped.
func (t *table[T]) resize(most int) (dropped int) {
	t.most = most
	for t.n > most {
		t.drop(t.oldest)
		dropped++
	}
	size := 8
	for size < most {
		size *= 2
	}
	if size == len(t.buckets) {
		return dropped
	}
	t.buckets = make([]uint32, size)
	for i := t.oldest; i != 0; i = t.at(i).newer {
		c := t.at(i)
		b := t.bucket(c.key)
		c.chain, *b = *b, i
	}
	return dropped
}

// find returns the place of key, or 0.
func (t *table[T]) find(key uint64) uint32 {
	for i := *t.bucket(key); i != 0; i = t.at(i).chain {
		if t.at(i).key == key {
			return i
		}
	}
	return 0
}

// get returns the value of key, nil if there is none. It stays right until the
// next put or drop.
func (t *table[T]) get(key uint64) *T {
	if i := t.find(key); i != 0 {
		return &t.at(i).v
	}
	return nil
}

// put returns the value of key, a zero one if it is new, as the one used last.
// It reports whether another went for it.
func (t *table[T]) put(key uint64) (v *T, dropped bool) {
	if i := t.find(key); i != 0 {
		t.unlink(i)
		t.link(i)
		return &t.at(i).v, false
	}
	if t.n >= t.most {
		t.drop(t.oldest)
		dropped = true
	}
	i := t.free
	if i != 0 {
		t.free = t.at(i).chain
	} else {
		if int(t.used) == len(t.chunks)*chunkLen {
			t.chunks = append(t.chunks, make([]cell[T], chunkLen))
		}
		t.used++
		i = t.used
	}
	b := t.bucket(key)
	*t.at(i) = cell[T]{key: key, chain: *b}
	*b = i
	t.link(i)
	t.n++
	return &t.at(i).v, dropped
}

// remove drops key, if it is there.
func (t *table[T]) remove(key uint64) {
	if i := t.find(key); i != 0 {
		t.drop(i)
	}
}

func (t *table[T]) drop(i uint32) {
	c := t.at(i)
	p := t.bucket(c.key)
	for *p != i {
		p = &t.at(*p).chain
	}
	*p = c.chain
	t.unlink(i)
	*c = cell[T]{chain: t.free}
	t.free = i
	t.n--
}

// link makes i the newest.
func (t *table[T]) link(i uint32) {
	c := t.at(i)
	c.older, c.newer = t.newest, 0
	if t.newest != 0 {
		t.at(t.newest).newer = i
	} else {
		t.oldest = i
	}
	t.newest = i
}

func (t *table[T]) unlink(i uint32) {
	c := t.at(i)
	if c.newer != 0 {
		t.at(c.newer).older = c.older
	} else {
		t.newest = c.older
	}
	if c.older != 0 {
		t.at(c.older).newer = c.newer
	} else {
		t.oldest = c.newer
	}
}

// each calls yield for every value, the oldest first; it may remove that one.
func (t *table[T]) each(yield func(key uint64, v *T)) {
	for i := t.oldest; i != 0; {
		c := t.at(i)
		i = c.newer
		yield(c.key, &c.v)
	}
}
