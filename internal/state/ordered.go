package state

import (
	"slices"
	"strings"
)

// blockKeys is the size at which a block of keys is split.
const blockKeys = 256

// ordered is a sorted set of keys in blocks, none of which is empty. Adding and
// removing cost a move within one block and one within the list of blocks.
type ordered struct{ blocks [][]string }

// block returns the index of the block that holds key, or would.
func (o *ordered) block(key string) int {
	i, found := slices.BinarySearchFunc(o.blocks, key, func(b []string, key string) int {
		return strings.Compare(b[0], key)
	})
	if !found && i > 0 {
		i--
	}
	return i
}

// add adds key, which must not be there.
func (o *ordered) add(key string) {
	if len(o.blocks) == 0 {
		o.blocks = [][]string{{key}}
		return
	}
	i := o.block(key)
	b := o.blocks[i]
	at, _ := slices.BinarySearch(b, key)
	b = slices.Insert(b, at, key)
	if len(b) < blockKeys {
		o.blocks[i] = b
		return
	}
	half := len(b) / 2
	o.blocks[i] = b[:half:half]
	o.blocks = slices.Insert(o.blocks, i+1, slices.Clone(b[half:]))
}

// remove removes key, which must be there.
func (o *ordered) remove(key string) {
	i := o.block(key)
	b := o.blocks[i]
	at, _ := slices.BinarySearch(b, key)
	b = slices.Delete(b, at, at+1)
	if len(b) == 0 {
		o.blocks = slices.Delete(o.blocks, i, i+1)
		return
	}
	o.blocks[i] = b
}

// prefixed calls yield for each key with the prefix, in order.
func (o *ordered) prefixed(prefix string, yield func(key string)) {
	if len(o.blocks) == 0 {
		return
	}
	for i := o.block(prefix); i < len(o.blocks); i++ {
		for _, key := range o.blocks[i] {
			if strings.HasPrefix(key, prefix) {
				yield(key)
			} else if key > prefix {
				return
			}
		}
	}
}
