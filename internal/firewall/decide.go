package firewall

import (
	"net/netip"
	"slices"
	"time"
)

// until is a network of one service and when its ban ends.
type until struct {
	network netip.Prefix
	end     time.Time
}

// span is what a set holds: addresses from first to last, both in it.
type span struct {
	first, last netip.Addr
	end         time.Time
}

// flatten turns networks, which may lie in one another, into ranges that do
// not overlap. Each ends when the last ban of its addresses does.
func flatten(in []until) []span {
	in = slices.Clone(in)
	slices.SortFunc(in, func(a, b until) int {
		if c := a.network.Addr().Compare(b.network.Addr()); c != 0 {
			return c
		}
		return a.network.Bits() - b.network.Bits()
	})
	var f flattening
	for _, u := range in {
		f.push(u)
	}
	f.closeBefore(netip.Addr{})
	return f.out
}

// flattening walks over sorted networks. open are those around the current
// address, the widest first; each has the end of the latest above it.
type flattening struct {
	out  []span
	open []span
	next netip.Addr // first address that no span has yet, within open
}

// push enters a network. One that ends no later than what is around it changes
// nothing.
func (f *flattening) push(u until) {
	first := u.network.Addr()
	f.closeBefore(first)
	s := span{first, last(u.network), u.end}
	if n := len(f.open); n > 0 {
		around := f.open[n-1]
		if !s.end.After(around.end) {
			return
		}
		if f.next.Less(first) {
			f.emit(f.next, first.Prev(), around.end)
		}
	}
	f.open = append(f.open, s)
	f.next = first
}

// closeBefore ends the networks that end before a; all of them for the zero
// address.
func (f *flattening) closeBefore(a netip.Addr) {
	for n := len(f.open); n > 0; n = len(f.open) {
		s := f.open[n-1]
		if a.IsValid() && a.BitLen() == s.last.BitLen() && !s.last.Less(a) {
			return
		}
		f.open = f.open[:n-1]
		if f.next.IsValid() && !s.last.Less(f.next) {
			f.emit(f.next, s.last, s.end)
			f.next = s.last.Next() // not valid behind the last address there is
		}
	}
}

// emit writes a range. Neighbours are never joined: what depends on one network
// has to stay what it is when another comes or goes.
func (f *flattening) emit(first, last netip.Addr, end time.Time) {
	f.out = append(f.out, span{first, last, end})
}

// last returns the last address of p.
func last(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// change is what to do to the set of one service and IP version.
type change struct {
	set      set
	del, add []span
}

// set is one set of the table.
type set struct {
	service string
	v6      bool
}

// sets returns all sets of the table, in the order of their rules.
func sets() []set {
	var all []set
	for _, s := range Services() {
		all = append(all, set{s, false}, set{s, true})
	}
	return all
}

// held is a ban as the helper remembers it.
type held struct {
	services []string
	end      time.Time
}

// book has the bans that hold. It is not safe for concurrent use.
type book map[netip.Prefix]held

// drop forgets the bans that are over.
func (b book) drop(now time.Time) {
	for p, h := range b {
		if !now.Before(h.end) {
			delete(b, p)
		}
	}
}

// in returns what the book has for a set within root; the zero prefix stands
// for all.
func (b book) in(s set, root netip.Prefix, now time.Time) []until {
	var out []until
	for p, h := range b {
		if p.Addr().Is6() == s.v6 && now.Before(h.end) && slices.Contains(h.services, s.service) &&
			(!root.IsValid() || root.Bits() <= p.Bits() && root.Contains(p.Addr())) {
			out = append(out, until{p, h.end})
		}
	}
	return out
}

// root returns the widest network of the book that p lies in, for one set; p
// itself when there is none. No range within it depends on one outside.
func (b book) root(s set, p netip.Prefix, now time.Time) netip.Prefix {
	for bits := range p.Bits() {
		wide, err := p.Addr().Prefix(bits)
		if err != nil {
			return p
		}
		if h, ok := b[wide]; ok && now.Before(h.end) && slices.Contains(h.services, s.service) {
			return wide
		}
	}
	return p
}

// put replaces what the book has of p, nothing for a zero h, and returns what
// that changes in the sets.
func (b book) put(p netip.Prefix, h held, now time.Time) []change {
	var touched []set
	roots := map[set]netip.Prefix{}
	widest := p
	for _, s := range sets() {
		if s.v6 != p.Addr().Is6() || !slices.Contains(b[p].services, s.service) && !slices.Contains(h.services, s.service) {
			continue
		}
		touched = append(touched, s)
		roots[s] = b.root(s, p, now)
		if roots[s].Bits() < widest.Bits() {
			widest = roots[s]
		}
	}
	near := b.within(widest)
	before := map[set][]span{}
	for _, s := range touched {
		before[s] = flatten(near.in(s, roots[s], now))
	}
	if h.end.IsZero() {
		delete(b, p)
		delete(near, p)
	} else {
		b[p], near[p] = h, h
	}
	var all []change
	for _, s := range touched {
		del, add := differ(before[s], flatten(near.in(s, roots[s], now)))
		if len(del)+len(add) > 0 {
			all = append(all, change{s, del, add})
		}
	}
	return all
}

// within returns the part of the book that lies in a network.
func (b book) within(wide netip.Prefix) book {
	part := book{}
	for p, h := range b {
		if wide.Bits() <= p.Bits() && wide.Contains(p.Addr()) {
			part[p] = h
		}
	}
	return part
}

// differ returns the spans that only one of the two has.
func differ(before, after []span) (del, add []span) {
	has := map[span]bool{}
	for _, s := range before {
		has[s] = true
	}
	for _, s := range after {
		if has[s] {
			delete(has, s)
		} else {
			add = append(add, s)
		}
	}
	for _, s := range before {
		if has[s] {
			del = append(del, s)
		}
	}
	return del, add
}

// pair joins the first addresses of ranges with the ends that a set has. An end
// is the address behind the last one; where there is none, the range goes to
// the last address there is.
func pair(s set, starts []start, ends []netip.Addr) []Range {
	slices.SortFunc(starts, func(a, b start) int { return a.first.Compare(b.first) })
	slices.SortFunc(ends, netip.Addr.Compare)
	var out []Range
	for _, st := range starts {
		i, _ := slices.BinarySearchFunc(ends, st.first.Next(), netip.Addr.Compare)
		to := last(netip.PrefixFrom(st.first, 0))
		if i < len(ends) {
			to = ends[i].Prev()
		}
		out = append(out, Range{From: st.first, To: to, Service: s.service, Left: st.left})
	}
	return out
}

// start is the first address of a range in the kernel, and how long it lasts.
type start struct {
	first netip.Addr
	left  time.Duration
}
