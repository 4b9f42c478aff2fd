package greylist

import (
	"encoding/binary"
	"errors"
	"time"
)

// triplet is what is remembered of client, sender and recipient.
type triplet struct {
	First  time.Time // of the first try
	Passed time.Time // zero while it waits
	Tries  uint64    // that were deferred
}

// client is what is remembered of a network or an organization.
type client struct {
	Passes uint64 // different triplets that passed
	// Allowed says that the administrator let it in.
	Allowed bool
}

var errRow = errors.New("damaged greylist row")

// rowVersion is the first byte of each value.
const rowVersion = 1

func (t triplet) append(b []byte) []byte {
	b = append(b, rowVersion)
	b = binary.AppendUvarint(b, millis(t.First))
	b = binary.AppendUvarint(b, millis(t.Passed))
	return binary.AppendUvarint(b, t.Tries)
}

func parseTriplet(b []byte) (triplet, error) {
	n, err := parse(b, 3)
	if err != nil {
		return triplet{}, err
	}
	return triplet{First: instant(n[0]), Passed: instant(n[1]), Tries: n[2]}, nil
}

func (c client) append(b []byte) []byte {
	b = append(b, rowVersion)
	b = binary.AppendUvarint(b, c.Passes)
	if c.Allowed {
		return append(b, 1)
	}
	return append(b, 0)
}

func parseClient(b []byte) (client, error) {
	n, err := parse(b, 2)
	if err != nil || n[1] > 1 {
		return client{}, errRow
	}
	return client{Passes: n[0], Allowed: n[1] == 1}, nil
}

// parse reads so many numbers behind the version, and nothing after them.
func parse(b []byte, count int) (n [3]uint64, err error) {
	if len(b) == 0 || b[0] != rowVersion {
		return n, errRow
	}
	b = b[1:]
	for i := range count {
		v, size := binary.Uvarint(b)
		if size <= 0 || size > 1 && b[size-1] == 0 || v > 1<<50 {
			return n, errRow
		}
		n[i], b = v, b[size:]
	}
	if len(b) > 0 {
		return n, errRow
	}
	return n, nil
}

func millis(t time.Time) uint64 {
	if t.IsZero() || t.UnixMilli() < 0 {
		return 0
	}
	return uint64(t.UnixMilli())
}

func instant(n uint64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(n))
}
