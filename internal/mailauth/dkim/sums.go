package dkim

import (
	"crypto/sha256"
	"hash"
	"slices"
)

// Whole is the length of a body hash without l=.
const Whole int64 = -1

// BodyHash is the SHA-256 of the first Length octets of a canonical body. Its
// other fields are good after Message.ReadBody.
type BodyHash struct {
	// Length is l=, or Whole.
	Length int64
	// Sum is the hash. When the body is shorter than Length, it is that of the
	// whole body.
	Sum [sha256.Size]byte
	// Size is the length of the whole canonical body.
	Size int64
}

// sums hashes one canonical body. The hashes of all lengths are stations of
// one SHA-256 over it.
type sums struct {
	hash hash.Hash
	n    int64
	all  []*BodyHash
	due  []*BodyHash // those with a length, shortest first, not yet reached
	// whole says that somebody wants the hash of all.
	whole bool
}

// want returns the hash for a length; equal lengths share one.
func (s *sums) want(length int64) *BodyHash {
	for _, h := range s.all {
		if h.Length == length {
			return h
		}
	}
	h := &BodyHash{Length: length}
	s.all = append(s.all, h)
	if length < 0 {
		s.whole = true
		return h
	}
	at, _ := slices.BinarySearchFunc(s.due, length, func(h *BodyHash, n int64) int { return int(min(max(h.Length-n, -1), 1)) })
	s.due = slices.Insert(s.due, at, h)
	return h
}

// Write takes canonical text.
func (s *sums) Write(p []byte) (int, error) {
	if s.hash == nil {
		s.hash = sha256.New()
	}
	n := len(p)
	for len(s.due) > 0 && s.due[0].Length-s.n <= int64(len(p)) {
		k := s.due[0].Length - s.n
		s.hash.Write(p[:k])
		s.n += k
		p = p[k:]
		s.hash.Sum(s.due[0].Sum[:0])
		s.due = s.due[1:]
	}
	if s.whole || len(s.due) > 0 {
		s.hash.Write(p)
	}
	s.n += int64(len(p))
	return n, nil
}

// finish fills in what the end of the body tells.
func (s *sums) finish() {
	_, _ = s.Write(nil)
	for _, h := range s.all {
		h.Size = s.n
		if h.Length < 0 || h.Length > s.n {
			s.hash.Sum(h.Sum[:0])
		}
	}
}
