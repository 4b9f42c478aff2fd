package guard

import (
	"container/heap"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// kept is a ban in its place, also one that is over and not forgotten.
type kept struct {
	Ban
	gone time.Time
	i    int // in order
}

// bans is the set of bans in memory. It is not safe for concurrent use.
type bans struct {
	// by has those that close logins, and those that close port 25.
	by [2]map[netip.Prefix]*kept
	// lengths counts the bans of each prefix length, for IPv4 and IPv6.
	lengths [2][129]int
	order   byGone
}

func newBans() *bans {
	return &bans{by: [2]map[netip.Prefix]*kept{{}, {}}}
}

// byGone is a heap: first what is forgotten first.
type byGone []*kept

func (h byGone) Len() int           { return len(h) }
func (h byGone) Less(a, b int) bool { return h[a].gone.Before(h[b].gone) }
func (h byGone) Swap(a, b int) {
	h[a], h[b] = h[b], h[a]
	h[a].i, h[b].i = a, b
}
func (h *byGone) Push(x any) {
	k := x.(*kept)
	k.i = len(*h)
	*h = append(*h, k)
}
func (h *byGone) Pop() any {
	old := *h
	k := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return k
}

func family(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

func kindOf(mx bool) int {
	if mx {
		return 1
	}
	return 0
}

// find returns the ban that holds for a at now: one that enforces before one
// that observes, then the one that ends last. manual looks at those alone that
// a person added.
func (s *bans) find(a netip.Addr, mx, manual bool, now time.Time) (best Ban, ok bool) {
	if len(s.order) == 0 {
		return Ban{}, false
	}
	found, lengths := (*kept)(nil), &s.lengths[family(a)]
	for bits := range a.BitLen() + 1 {
		if lengths[bits] == 0 {
			continue
		}
		p, err := a.Prefix(bits)
		if err != nil {
			continue
		}
		k := s.by[kindOf(mx)][p]
		if k == nil || !now.Before(k.Until) || manual && !k.Manual {
			continue
		}
		if found == nil || found.Observe && !k.Observe || found.Observe == k.Observe && k.Until.After(found.Until) {
			found = k
		}
	}
	if found == nil {
		return Ban{}, false
	}
	return found.Ban, true
}

// at returns the place of the ban of exactly that network, nil for none.
func (s *bans) at(p netip.Prefix, mx bool) *kept { return s.by[kindOf(mx)][p] }

// last returns the ban of exactly that network, also one that is over.
func (s *bans) last(p netip.Prefix, mx bool) (Ban, bool) {
	if k := s.by[kindOf(mx)][p]; k != nil {
		return k.Ban, true
	}
	return Ban{}, false
}

// put adds or replaces b, which is forgotten at gone. When there are too many,
// one of those that are forgotten first goes; put returns what it dropped.
func (s *bans) put(b Ban, gone time.Time, most int) (dropped []Ban) {
	s.remove(b)
	s.expire(b.Since)
	for len(s.order) >= most {
		first := s.victim()
		s.remove(first)
		dropped = append(dropped, first)
	}
	k := &kept{Ban: b, gone: gone}
	s.by[kindOf(b.mx())][b.Network] = k
	s.lengths[family(b.Network.Addr())][b.Network.Bits()]++
	heap.Push(&s.order, k)
	return dropped
}

// lookedThrough is among how many the one is sought that goes first.
const lookedThrough = 128

// victim is the ban that goes first: near the top of the heap, and rather not one
// that a person added, which whoever has many addresses could else push out.
func (s *bans) victim() Ban {
	for _, k := range s.order[:min(len(s.order), lookedThrough)] {
		if !k.Manual {
			return k.Ban
		}
	}
	return s.order[0].Ban
}

func (s *bans) remove(b Ban) {
	k := s.by[kindOf(b.mx())][b.Network]
	if k == nil {
		return
	}
	delete(s.by[kindOf(b.mx())], b.Network)
	s.lengths[family(b.Network.Addr())][b.Network.Bits()]--
	heap.Remove(&s.order, k.i)
}

// expire drops what is forgotten.
func (s *bans) expire(now time.Time) {
	for len(s.order) > 0 && !now.Before(s.order[0].gone) {
		s.remove(s.order[0].Ban)
	}
}

// list returns the bans that hold, oldest first.
func (s *bans) list(now time.Time) []Ban {
	s.expire(now)
	all := make([]Ban, 0, len(s.order))
	for _, k := range s.order {
		if now.Before(k.Until) {
			all = append(all, k.Ban)
		}
	}
	sortBans(all)
	return all
}

// holding counts the bans that hold.
func (s *bans) holding(now time.Time) (n int) {
	for _, k := range s.order {
		if now.Before(k.Until) {
			n++
		}
	}
	return n
}

func sortBans(all []Ban) {
	slices.SortFunc(all, func(a, b Ban) int {
		if c := a.Since.Compare(b.Since); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
}
