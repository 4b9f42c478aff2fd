package message

import "strings"

// node is one word of a phrase in the tree of all phrases.
type node struct {
	next []edge
	// topics are those of the phrase that ends here, as bits; id tells it apart
	// from others.
	topics uint16
	id     uint16
	text   string
}

type edge struct {
	word uint16
	to   *node
}

// lexicon is phrases made ready: each word of a phrase has a number, found by
// its hash in a table of open addressing. Two words of one hash are taken for
// each other, which is one in a million and harms nobody.
type lexicon struct {
	words [1 << lexiconBits]struct {
		hash uint32
		id   uint16
	}
	// first leads from the number of a word to the phrases that begin with it.
	first   []*node
	phrases uint16
}

const lexiconBits = 12

var saying = newLexicon()

func newLexicon() *lexicon {
	x := &lexicon{first: make([]*node, 1)}
	for t := range Topics {
		for p := range strings.SplitSeq(phrases[t], "|") {
			x.add(t, strings.Fields(p))
		}
	}
	return x
}

// hashWord is FNV-1a, as reader computes it while it reads.
func hashWord(w string) uint32 {
	h := uint32(hashStart)
	for i := range len(w) {
		h = (h ^ uint32(w[i])) * hashPrime
	}
	return h
}

const (
	hashStart = 2166136261
	hashPrime = 16777619
)

// id returns the number of a word, 0 for one that is in no phrase.
func (x *lexicon) id(hash uint32) uint16 {
	for i := hash >> (32 - lexiconBits); ; i = (i + 1) & (1<<lexiconBits - 1) {
		if e := &x.words[i]; e.hash == hash || e.id == 0 {
			return e.id
		}
	}
}

func (x *lexicon) add(t Topic, words []string) {
	var n *node
	for i, w := range words {
		id := x.number(hashWord(w))
		if i == 0 {
			if x.first[id] == nil {
				x.first[id] = &node{}
			}
			n = x.first[id]
			continue
		}
		n = n.grow(id)
	}
	if n.topics == 0 {
		x.phrases++
		n.id = x.phrases
		n.text = strings.Join(words, " ")
	}
	n.topics |= 1 << t
}

// number returns the number of a word, a new one where it has none.
func (x *lexicon) number(hash uint32) uint16 {
	if id := x.id(hash); id != 0 {
		return id
	}
	i := hash >> (32 - lexiconBits)
	for x.words[i].id != 0 {
		i = (i + 1) & (1<<lexiconBits - 1)
	}
	id := uint16(len(x.first))
	x.words[i].hash, x.words[i].id = hash, id
	x.first = append(x.first, nil)
	return id
}

func (n *node) step(word uint16) *node {
	for i := range n.next {
		if n.next[i].word == word {
			return n.next[i].to
		}
	}
	return nil
}

func (n *node) grow(word uint16) *node {
	if to := n.step(word); to != nil {
		return to
	}
	to := &node{}
	n.next = append(n.next, edge{word, to})
	return to
}
