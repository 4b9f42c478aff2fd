package watch

import (
	"encoding/binary"
	"errors"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// maxEntries bounds what is noted of one mailbox; the oldest go first.
	maxEntries = 20_000
	// maxDirs bounds the folders of a mailbox that are looked at.
	maxDirs = 500

	entryBytes = 26
	dirBytes   = 9
	version    = 1
)

// entry is a message that was seen.
type entry struct {
	name, inode uint64 // a hash of the base name
	class       class
	// weak says that it was looked at as weak ham.
	weak bool
	// since is when it was delivered, or seen first; gone is when it was found
	// to be in no folder any more, 0 while it is in one. In seconds.
	since, gone uint32
}

// seen is what a mailbox held when it was last looked at.
type seen struct {
	// dirs has the class of each folder by the inode of its directory.
	dirs map[uint64]class
	// entries are by name.
	entries map[uint64]entry
}

// nameOf returns the hash of a base name.
func nameOf(base string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(base))
	return h.Sum64()
}

// baseOf returns a file's base name, "" for what is no message, and its flags.
func baseOf(file string) (base, flags string) {
	if file == "" || file[0] == '.' {
		return "", ""
	}
	base, info, _ := strings.Cut(file, ":")
	return base, strings.TrimPrefix(info, "2,")
}

// deliveredAt returns the time in a base name, zero where it has none.
func deliveredAt(base string) time.Time {
	digits, _, _ := strings.Cut(base, ".")
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 1 || n > 1<<32-1 {
		return time.Time{}
	}
	return time.Unix(n, 0)
}

// appendBinary appends s to b.
func (s *seen) appendBinary(b []byte) []byte {
	b = append(b, version)
	b = binary.BigEndian.AppendUint32(b, uint32(len(s.dirs)))
	for inode, c := range s.dirs {
		b = append(binary.BigEndian.AppendUint64(b, inode), byte(c))
	}
	for _, e := range s.entries {
		b = binary.BigEndian.AppendUint64(b, e.name)
		b = binary.BigEndian.AppendUint64(b, e.inode)
		weak := byte(0)
		if e.weak {
			weak = 1
		}
		b = append(b, byte(e.class), weak)
		b = binary.BigEndian.AppendUint32(b, e.since)
		b = binary.BigEndian.AppendUint32(b, e.gone)
	}
	return b
}

var errSeen = errors.New("what was seen of a mailbox can not be read")

// decodeSeen reads what appendBinary wrote.
func decodeSeen(b []byte) (*seen, error) {
	if len(b) < 5 || b[0] != version {
		return nil, errSeen
	}
	n := int(binary.BigEndian.Uint32(b[1:5]))
	b = b[5:]
	if n > maxDirs || len(b) < n*dirBytes || (len(b)-n*dirBytes)%entryBytes != 0 {
		return nil, errSeen
	}
	s := &seen{dirs: make(map[uint64]class, n), entries: make(map[uint64]entry, (len(b)-n*dirBytes)/entryBytes)}
	for range n {
		if b[8] < byte(inbox) || b[8] > byte(junk) {
			return nil, errSeen
		}
		s.dirs[binary.BigEndian.Uint64(b)] = class(b[8])
		b = b[dirBytes:]
	}
	for ; len(b) > 0; b = b[entryBytes:] {
		e := entry{name: binary.BigEndian.Uint64(b), inode: binary.BigEndian.Uint64(b[8:]), class: class(b[16]), weak: b[17] == 1,
			since: binary.BigEndian.Uint32(b[18:]), gone: binary.BigEndian.Uint32(b[22:])}
		if e.class < inbox || e.class > junk || b[17] > 1 {
			return nil, errSeen
		}
		s.entries[e.name] = e
	}
	return s, nil
}

// bound forgets entries that are too many, the oldest first.
func (s *seen) bound() {
	if len(s.entries) <= maxEntries {
		return
	}
	times := make([]uint32, 0, len(s.entries))
	for _, e := range s.entries {
		times = append(times, e.since)
	}
	slices.Sort(times)
	oldest := times[len(times)-maxEntries]
	for name, e := range s.entries {
		if e.since < oldest {
			delete(s.entries, name)
		}
	}
}
