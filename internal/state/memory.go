package state

import (
	"container/heap"
	"time"
)

// bound is the cap of a table in memory.
type bound struct {
	entries int
	bytes   int64 // of keys, values and overhead
	// onDisk says that memory holds the newest rows only, and drops none that
	// is not on disk.
	onDisk bool
}

// bounds has every table.
var bounds = map[Table]bound{
	Delivery:   {20_000, 16 << 20, true},
	Ban:        {50_000, 16 << 20, false},
	Login:      {100_000, 32 << 20, false},
	Limit:      {50_000, 16 << 20, false},
	Seen:       {200_000, 64 << 20, false},
	Sent:       {200_000, 64 << 20, false},
	Author:     {200_000, 64 << 20, false},
	Reputation: {100_000, 40 << 20, false},
	TLSPolicy:  {20_000, 32 << 20, false},
	Sieve:      {200_000, 64 << 20, false},
	Outbox:     {200_000, 64 << 20, false},
}

// counterBound is that of the counters, each of which has at most maxBuckets.
var counterBound = bound{entries: 100_000, bytes: 64 << 20}

const (
	// overhead is roughly what an entry takes in memory beside key and value.
	overhead = 270
	// overflow is how many times its cap a table on disk may take in memory
	// while the disk can not be written.
	overflow = 4
)

// item is what memory holds under a key: an entry or a counter.
type item interface {
	name() string
	expires() time.Time
	size() int64
}

func (e *Entry) name() string       { return e.Key }
func (e *Entry) expires() time.Time { return e.Expires }
func (e *Entry) size() int64        { return int64(len(e.Key)+len(e.Value)) + overhead }

// node is an item in its place.
type node struct {
	item  item
	due   time.Time // its key in the heap: item.expires(), or earlier
	size  int64     // item.size() as it was counted
	index int       // in the heap
}

// memory holds the items of one table: by key, in order, and by expiry. The
// store's mutex guards it.
type memory struct {
	bound
	rows  map[string]*node
	keys  ordered
	first byExpiry
	bytes int64

	evicted uint64    // items that went before their time
	warned  time.Time // when that was last told
}

func newMemory(b bound) *memory {
	return &memory{bound: b, rows: map[string]*node{}}
}

// get returns the item of a key that has not expired, or nil.
func (m *memory) get(key string, now time.Time) item {
	n := m.rows[key]
	if n == nil || !n.item.expires().After(now) {
		return nil
	}
	return n.item
}

// put adds or replaces an item.
func (m *memory) put(it item) {
	key := it.name()
	if n := m.rows[key]; n != nil {
		m.change(n, it)
		return
	}
	n := &node{item: it, due: it.expires(), size: it.size()}
	m.rows[key] = n
	m.keys.add(key)
	heap.Push(&m.first, n)
	m.bytes += n.size
}

// change gives n another item of the same key. One that now ends later, as a
// counter with each grant, keeps its place until oldest comes to it.
func (m *memory) change(n *node, it item) {
	size := it.size()
	m.bytes += size - n.size
	n.item, n.size = it, size
	if ends := it.expires(); ends.Before(n.due) {
		n.due = ends
		heap.Fix(&m.first, n.index)
	}
}

// remove forgets a key and reports whether it was there.
func (m *memory) remove(key string) bool {
	n := m.rows[key]
	if n == nil {
		return false
	}
	delete(m.rows, key)
	m.keys.remove(key)
	heap.Remove(&m.first, n.index)
	m.bytes -= n.size
	return true
}

// full reports whether the cap is passed.
func (m *memory) full() bool { return len(m.rows) > m.entries || m.bytes > m.bound.bytes }

// overflows reports whether so much waits for the disk that no more fits.
func (m *memory) overflows() bool {
	return len(m.rows) > overflow*m.entries || m.bytes > overflow*m.bound.bytes
}

// oldest returns what expires first, or nil. It puts those in their place that
// were extended and came first: one for each change before at most, and all of them
// at once where they are many, which takes linear time.
func (m *memory) oldest() *node {
	for moved := 0; len(m.first) > 0; moved++ {
		n := m.first[0]
		ends := n.item.expires()
		switch {
		case ends.Equal(n.due):
			return n
		case moved < manyMoved:
			n.due = ends
			heap.Fix(&m.first, n.index)
		default:
			m.arrange()
		}
	}
	return nil
}

// manyMoved is how many rows are put in their place one by one.
const manyMoved = 1000

// arrange puts all rows in their place.
func (m *memory) arrange() {
	for _, n := range m.first {
		n.due = n.item.expires()
	}
	heap.Init(&m.first)
}

// over returns one that has expired, or nil.
func (m *memory) over(now time.Time) *node {
	if len(m.first) == 0 || m.first[0].due.After(now) {
		return nil
	}
	if n := m.oldest(); !n.due.After(now) {
		return n
	}
	return nil
}

// list returns the items with the prefix that have not expired, by key.
func (m *memory) list(prefix string, now time.Time) []item {
	var all []item
	m.keys.prefixed(prefix, func(key string) {
		if it := m.get(key, now); it != nil {
			all = append(all, it)
		}
	})
	return all
}

// byExpiry is a heap.Interface: what expires first is first, and among equals
// the lesser key, so that it is always the same one that goes.
type byExpiry []*node

func (h byExpiry) Len() int { return len(h) }

func (h byExpiry) Less(i, j int) bool {
	if c := h[i].due.Compare(h[j].due); c != 0 {
		return c < 0
	}
	return h[i].item.name() < h[j].item.name()
}

func (h byExpiry) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements heap.Interface.
func (h *byExpiry) Push(x any) {
	n := x.(*node)
	n.index = len(*h)
	*h = append(*h, n)
}

// Pop implements heap.Interface.
func (h *byExpiry) Pop() any {
	old := *h
	n := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return n
}
