package watch

import (
	"slices"
	"strings"
	"time"
)

const (
	// remember is how long a message outside of Junk is remembered.
	remember = 30 * 24 * time.Hour
	// restored is after how long a message that comes back did not move.
	restored = time.Minute
	// keptFor is how long a message that was read has to stay to be weak ham.
	keptFor = 7 * 24 * time.Hour
)

// found is one message that is there now.
type found struct {
	base  string
	inode uint64
	// in has the classes of all folders that hold it.
	in []class
	// path is that of one of its files, flags are its flags; the file in a
	// wanted folder comes first.
	path, flags string
}

// listing is what a mailbox holds.
type listing struct {
	dirs map[uint64]class
	// full says that all folders were looked at, and not only the inbox and Junk.
	full  bool
	files map[uint64]found
}

// move is a message that a user moved.
type move struct {
	found
	spam bool
}

// compare returns what to remember, and the moves. Before is nil when the
// mailbox is new to us: then nothing moved. Arrived reports whether a message
// that nobody saw elsewhere was put outside of Junk when it came.
func compare(before *seen, l listing, now time.Time, arrived func(base string) bool) (after *seen, moves []move) {
	after = &seen{dirs: l.dirs, entries: make(map[uint64]entry, len(l.files))}
	if before != nil && !l.full {
		after.dirs = before.dirs
	}
	if before == nil || renamed(before.dirs, after.dirs) {
		for name, f := range l.files {
			after.add(name, f, now)
		}
		after.bound()
		return after, nil
	}
	byInode := lost(before, l, now)
	for name, f := range l.files {
		e, known := before.entries[name]
		if !known {
			if e, known = byInode[f.inode]; known {
				e.name = name
			}
		}
		from := e.class
		switch {
		case known && e.gone != 0 && now.Sub(time.Unix(int64(e.gone), 0)) > restored:
			from = nowhere // it comes back from somewhere
		case !known && only(f.in, junk) && arrived(f.base):
			from = inbox
		}
		after.add(name, f, now)
		n, ok := after.entries[name]
		if !ok {
			continue
		}
		if known {
			n.since, n.weak = e.since, e.weak
		}
		if slices.Contains(f.in, from) { // a copy may be elsewhere
			n.class = from
		}
		after.entries[name] = n
		switch {
		case from.ham() && n.class == junk:
			moves = append(moves, move{f, true})
		case from == junk && n.class.ham():
			moves = append(moves, move{f, false})
		}
	}
	after.remember(before, l, now)
	after.bound()
	slices.SortFunc(moves, func(a, b move) int { return deliveredAt(a.base).Compare(deliveredAt(b.base)) })
	return after, moves
}

// lost returns the entries by inode that are not where they were, for mail
// programs that give a new name.
func lost(before *seen, l listing, now time.Time) map[uint64]entry {
	out := map[uint64]entry{}
	for name, e := range before.entries {
		if _, ok := l.files[name]; ok || e.inode == 0 || e.gone != 0 && now.Sub(time.Unix(int64(e.gone), 0)) > restored {
			continue
		}
		if l.full || e.class == inbox || e.class == junk {
			out[e.inode] = e
		}
	}
	return out
}

// add notes a message. One outside of Junk is noted only while it is young.
func (s *seen) add(name uint64, f found, now time.Time) {
	e := entry{name: name, inode: f.inode, class: f.in[0], since: uint32(now.Unix())}
	for _, c := range f.in {
		if rank(c) < rank(e.class) {
			e.class = c
		}
	}
	at := deliveredAt(f.base)
	if at.IsZero() || at.After(now) {
		at = now
	}
	if e.class != junk && now.Sub(at) > remember {
		return
	}
	e.since = uint32(at.Unix())
	s.entries[name] = e
}

// rank orders the places of a message with copies: who has it in a wanted
// folder wants it.
func rank(c class) int {
	return map[class]int{inbox: 0, other: 1, trash: 2, junk: 3}[c]
}

// remember takes over what is not there now: gone, or in a folder that was not
// looked at.
func (s *seen) remember(before *seen, l listing, now time.Time) {
	taken := map[uint64]bool{}
	for _, e := range s.entries {
		taken[e.inode] = true
	}
	for name, e := range before.entries {
		if _, ok := s.entries[name]; ok || now.Sub(time.Unix(int64(e.since), 0)) > remember && e.class != junk {
			continue
		}
		if e.inode != 0 && taken[e.inode] {
			continue // it has another name now
		}
		if e.gone == 0 && (l.full || e.class == inbox || e.class == junk) {
			e.gone = uint32(now.Unix())
		}
		if e.gone != 0 && now.Sub(time.Unix(int64(e.gone), 0)) > remember {
			continue
		}
		s.entries[name] = e
	}
}

// renamed reports whether a folder became Junk, or was Junk, by another name.
func renamed(before, after map[uint64]class) bool {
	for inode, c := range after {
		was, ok := before[inode]
		if ok && (was == junk) != (c == junk) {
			return true
		}
	}
	return false
}

func only(in []class, c class) bool {
	return !slices.ContainsFunc(in, func(x class) bool { return x != c })
}

// changed reports whether something came into Junk, or left it or the inbox:
// then all folders have to be looked at.
func changed(before *seen, l listing) bool {
	if before == nil {
		return true
	}
	for name, f := range l.files {
		if e, ok := before.entries[name]; slices.Contains(f.in, junk) && (!ok || e.class != junk || e.gone != 0) {
			return true
		}
	}
	for name, e := range before.entries {
		if e.gone != 0 || e.class != junk && e.class != inbox {
			continue
		}
		if f, ok := l.files[name]; !ok || !slices.Contains(f.in, e.class) {
			return true
		}
	}
	return false
}

// weakHam returns messages that nobody has called ham and that are probably:
// answered, or read and kept for a week. Of a correspondent it is enough that
// they were read.
func weakHam(s *seen, l listing, now time.Time, most int, correspondent func(found) bool) (out []found) {
	for name, f := range l.files {
		e, ok := s.entries[name]
		if !ok || e.weak || !e.class.ham() || slices.Contains(f.in, junk) || slices.Contains(f.in, trash) {
			continue
		}
		has := func(flag byte) bool { return slices.Contains([]byte(f.flags), flag) }
		age := now.Sub(time.Unix(int64(e.since), 0))
		switch {
		case has('T') || has('D'):
		case has('R'), has('S') && age >= keptFor, has('S') && correspondent(f):
			out = append(out, f)
		}
	}
	slices.SortFunc(out, func(a, b found) int { return strings.Compare(a.base, b.base) })
	return out[:min(len(out), most)]
}
