package guard

import (
	"time"
)

// proof is that an account logged in from a network.
type proof struct {
	host, wide uint64
	at         uint32 // Unix seconds
	wrote      uint32 // when it was last written
}

// proofs are the pairs that proved themselves. Guesses cannot fill it, only
// right passwords do. It is not safe for concurrent use.
type proofs struct {
	pairs *table[proof]
	// hosts and wides count them.
	hosts, wides map[uint64]int
}

func newProofs(most int) *proofs {
	return &proofs{pairs: newTable[proof](most), hosts: map[uint64]int{}, wides: map[uint64]int{}}
}

// has reports whether a pair proved itself within d.
func (p *proofs) has(pair uint64, now time.Time, d time.Duration) bool {
	e := p.pairs.get(pair)
	return e != nil && e.lately(now, d)
}

func (e *proof) lately(now time.Time, d time.Duration) bool {
	return now.Unix()-int64(e.at) < int64(d/time.Second)
}

// put notes a success. It reports whether the pair is new, and whether it has
// to be written.
func (p *proofs) put(v view, now time.Time, d time.Duration) (fresh, write bool) {
	e := p.pairs.get(v.pair)
	if e == nil {
		if p.pairs.n == p.pairs.most {
			p.drop(p.pairs.oldest)
		}
		e, _ = p.pairs.put(v.pair)
		e.host, e.wide = v.host, v.wide
		p.hosts[v.host]++
		p.wides[v.wide]++
		fresh = true
	} else {
		fresh = !e.lately(now, d)
		e, _ = p.pairs.put(v.pair)
	}
	e.at = max(e.at, seconds(now)) // another host may tell of an older one
	if write = now.Unix()-int64(e.wrote) >= int64(day/time.Second); write {
		e.wrote = e.at
	}
	return fresh, write
}

// expire drops up to two that are over: no more are added at a time.
func (p *proofs) expire(now time.Time, d time.Duration) {
	for range 2 {
		i := p.pairs.oldest
		if i == 0 || p.pairs.at(i).v.lately(now, d) {
			return
		}
		p.drop(i)
	}
}

func (p *proofs) drop(i uint32) {
	e := p.pairs.at(i).v
	less(p.hosts, e.host)
	less(p.wides, e.wide)
	p.pairs.drop(i)
}

func less(m map[uint64]int, key uint64) {
	if m[key]--; m[key] <= 0 {
		delete(m, key)
	}
}
