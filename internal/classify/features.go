package classify

import (
	"math/bits"
	"slices"

	"github.com/gatepost/gatepost/internal/message"
	"github.com/gatepost/gatepost/internal/rawmsg"
)

// The views, each with a set of features and a table of weights of its own.
const (
	viewText = iota
	viewHead
	viewWords
	views
)

// tableBits is the size of a table: 2^21 weights of 4 bytes are 8 MB.
const (
	tableBits = 21
	tableSize = 1 << tableBits
)

// Features are what the filter sees of a message. The zero Features is that of
// nothing. One that is used again needs next to no new memory: it keeps 260 KB
// for its work. It is not safe for concurrent use.
type Features struct {
	// sets hold indexes into the tables, rising, each once.
	sets  [views][]uint32
	marks *marks
}

// Extract fills f with the features of a message. The text is what
// message.Decode makes of raw.
func (f *Features) Extract(raw *rawmsg.Message, text *message.Message) {
	if f.marks == nil {
		f.marks = new(marks)
	}
	textGrams(f.marks, raw, text)
	f.sets[viewText] = f.marks.take(f.sets[viewText][:0])
	headFeatures(f.marks, raw, text)
	f.sets[viewHead] = f.marks.take(f.sets[viewHead][:0])
	wordFeatures(f.marks, raw, text)
	f.sets[viewWords] = f.marks.take(f.sets[viewWords][:0])
}

// Equal reports whether f and g are the same features.
func (f *Features) Equal(g *Features) bool {
	for v := range f.sets {
		if !slices.Equal(f.sets[v], g.sets[v]) {
			return false
		}
	}
	return true
}

// Len returns the number of features.
func (f *Features) Len() int {
	n := 0
	for _, s := range f.sets {
		n += len(s)
	}
	return n
}

// marks is a set of indexes below tableSize as a bit map, with a second one of
// its words that are not zero.
type marks struct {
	words [tableSize / 64]uint64
	used  [tableSize / 64 / 64]uint64
}

// add takes in the feature that h hashes.
func (m *marks) add(h uint64) {
	h ^= h >> 32
	h *= 0x9e3779b97f4a7c15
	i := h >> (64 - tableBits)
	m.words[i>>6] |= 1 << (i & 63)
	m.used[i>>12] |= 1 << (i >> 6 & 63)
}

// take appends what is in m to dst, rising, and empties m.
func (m *marks) take(dst []uint32) []uint32 {
	for u := range m.used {
		for m.used[u] != 0 {
			w := u<<6 | bits.TrailingZeros64(m.used[u])
			m.used[u] &= m.used[u] - 1
			for b := m.words[w]; b != 0; b &= b - 1 {
				dst = append(dst, uint32(w<<6|bits.TrailingZeros64(b)))
			}
			m.words[w] = 0
		}
	}
	return dst
}

// Seeds keep features of different kinds apart.
const (
	seedFieldName = iota + 1
	seedField
	seedWord
	seedHost
	seedDomain
	seedPath
	seedTag
	seedType
	seedEncoding
	seedCharset
	seedDisposition
	seedFilename
	seedWords
	seedLinks
	seedImages
	seedFields
)

const (
	fnvBasis = 14695981039346656037
	fnvPrime = 1099511628211
	golden   = 0x9e3779b97f4a7c15
)

// hash begins the hash of a feature of that kind.
func hash(seed uint64) uint64 { return fnvBasis ^ seed*golden }

// more goes on with a hash (FNV-1a).
func more[T string | []byte](h uint64, s T) uint64 {
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * fnvPrime
	}
	return h
}

// lower is more with the letters of ASCII in lower case.
func lower[T string | []byte](h uint64, s T) uint64 {
	for i := range len(s) {
		c := s[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		h = (h ^ uint64(c)) * fnvPrime
	}
	return h
}

// neighbours is the feature of two things that stand side by side.
func neighbours(h, previous uint64) uint64 { return h ^ previous*77 }

// about is the feature of a number: that of its order of magnitude.
func about(seed uint64, n int) uint64 {
	return hash(seed) ^ uint64(bits.Len(uint(n)))*golden>>7
}
