package limit

import (
	"net/netip"

	"github.com/gatepost/gatepost/internal/state"
)

// Memo is what one asker keeps from one question to the next: room for it, and
// the keys that were built for the last one. Who asks about one mail after the
// other of the same users and clients, as a connection does, builds few anew and
// allocates nothing for the results. The zero Memo is ready. It serves one
// question at a time.
type Memo struct {
	question question
	keys     [memoKeys]builtKey
	key      int // how many keys the question in hand has had

	client  netip.Addr
	network string // of client
}

// memoKeys bounds the keys that are kept: with the limits of the shipped
// configuration a mail has three.
const memoKeys = 8

// builtKey is a counter's key, and the two parts that it was built of.
type builtKey struct{ prefix, key, counter string }

// question is one call of Ask or Take.
type question struct {
	memo    *Memo
	mail    *Mail
	ask     bool
	byHand  byHand
	results []Result
	claims  []state.Claim
	claimed []int // the results that claims are for
	members []*members
}

// begin returns the question about m, in the room of the one before.
func (o *Memo) begin(m *Mail, ask bool, hand byHand) *question {
	q := &o.question
	*q = question{memo: o, mail: m, ask: ask, byHand: hand, claims: q.claims[:0], claimed: q.claimed[:0], results: q.results[:0]}
	o.key = 0
	return q
}

// maxRoom bounds the room that is kept: a mail to many domains may need much.
const maxRoom = 64

// end lets go of what belongs to the asker, and of room that is seldom needed.
func (o *Memo) end() {
	q := &o.question
	q.mail, q.byHand, q.members = nil, nil, nil
	if cap(q.results) > maxRoom {
		q.results, q.claims, q.claimed = nil, nil, nil
	}
}

// counter returns prefix + key. The text is built once for questions that have
// it at the same place; it never changes, so that stores and results may keep
// it.
func (o *Memo) counter(prefix, key string) string {
	if o.key == memoKeys {
		return prefix + key
	}
	k := &o.keys[o.key]
	o.key++
	if k.prefix != prefix || k.key != key {
		*k = builtKey{prefix, key, prefix + key}
	}
	return k.counter
}

// networkOf returns the network of a client as a key has it.
func (o *Memo) networkOf(client netip.Addr) string {
	if o.client != client || o.network == "" {
		var room [48]byte
		o.client, o.network = client, string(network(client).AppendTo(room[:0]))
	}
	return o.network
}
