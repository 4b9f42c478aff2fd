package redis

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/gatepost/gatepost/internal/state"
)

var errDamaged = errors.New("damaged row")

// A row is the expiry of its entry in Unix milliseconds, by the clock of who put
// it, and the value. In a hash, where one field can not have a life of its own,
// the end by Redis's clock goes before it.
const (
	rowHead = 8
	endHead = 8
)

// appendRow encodes an entry without its key.
func appendRow(dst []byte, e *state.Entry) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(e.Expires.UnixMilli()))
	return append(dst, e.Value...)
}

// parseRow is the reverse of appendRow; the value is a part of b.
func parseRow(key string, b []byte) (state.Entry, error) {
	if len(b) < rowHead || len(b) > rowHead+state.MaxValueBytes {
		return state.Entry{}, errDamaged
	}
	ms := int64(binary.BigEndian.Uint64(b))
	return state.Entry{Key: key, Value: b[rowHead:len(b):len(b)], Expires: time.UnixMilli(ms)}, nil
}

// parseField reads a row of a hash, and tells when it ends in Redis's
// milliseconds.
func parseField(key string, b []byte) (e state.Entry, end int64, err error) {
	if len(b) < endHead {
		return state.Entry{}, 0, errDamaged
	}
	e, err = parseRow(key, b[endHead:])
	return e, int64(binary.BigEndian.Uint64(b)), err
}

// What a message to other hosts says.
const (
	opPut    = 'p'
	opDelete = 'd'
)

// writerLen is the length of a writer's name, by which it knows its own.
const writerLen = 8

// appendNotice encodes a message but for the row, which a script adds.
func appendNotice(dst []byte, writer string, op byte, t state.Table, key string) []byte {
	dst = append(dst, writer...)
	dst = append(dst, op, byte(len(t)))
	dst = append(dst, t...)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(key)))
	return append(dst, key...)
}

// parseNotice reads a message.
func parseNotice(b []byte) (writer string, c state.Change, err error) {
	if len(b) < writerLen+2 {
		return "", c, errDamaged
	}
	writer, op, n := string(b[:writerLen]), b[writerLen], int(b[writerLen+1])
	if b = b[writerLen+2:]; len(b) < n+2 {
		return "", c, errDamaged
	}
	c.Table = state.Table(b[:n])
	size := int(binary.BigEndian.Uint16(b[n:]))
	if b = b[n+2:]; len(b) < size || size > state.MaxKeyBytes {
		return "", c, errDamaged
	}
	key, b := string(b[:size]), b[size:]
	switch {
	case op == opDelete && len(b) == 0:
		c.Entry.Key, c.Deleted = key, true
		return writer, c, nil
	case op == opPut:
		c.Entry, err = parseRow(key, b)
		return writer, c, err
	}
	return "", c, errDamaged
}

// micros is a window in microseconds, Redis's measure of time. A part of one
// counts as a whole: a window is never shorter than was asked for.
func micros(d time.Duration) int64 { return int64((d-1)/time.Microsecond) + 1 }

// appendUint appends the low bytes of v, most significant first, as struct.pack
// of the scripts does.
func appendUint(dst []byte, v int64, bytes int) []byte {
	for i := bytes - 1; i >= 0; i-- {
		dst = append(dst, byte(v>>(8*i)))
	}
	return dst
}

func readUint(b []byte) (v int64) {
	for _, c := range b {
		v = v<<8 | int64(c)
	}
	return v
}

// Sizes in the scripts: a count or window has 6 bytes, a time 7. A count is at
// most MaxCount = 2^40 for each of 64 buckets, and a window 366 days, 2^45.
const (
	countLen   = 6
	timeLen    = 7
	claimLen   = 3*countLen + 1
	answerLen  = 1 + countLen + timeLen
	headLen    = 3 * countLen
	bucketLen  = timeLen + countLen
	maxBuckets = 64 // as in the embedded store
)

func appendClaim(dst []byte, c *state.Claim) []byte {
	dst = appendUint(dst, c.N, countLen)
	dst = appendUint(dst, c.Max, countLen)
	dst = appendUint(dst, micros(c.Window), countLen)
	if c.Soft {
		return append(dst, 1)
	}
	return append(dst, 0)
}

// parseAnswers reads what the script take says of n claims.
func parseAnswers(b string, n int) ([]state.Usage, error) {
	if len(b) != timeLen+n*answerLen {
		return nil, errDamaged
	}
	at := time.UnixMicro(readUint([]byte(b[:timeLen])))
	all := make([]state.Usage, n)
	for i := range all {
		a := []byte(b[timeLen+i*answerLen:][:answerLen])
		all[i] = state.Usage{
			OK: a[0] == 1, Used: readUint(a[1 : 1+countLen]),
			Ends: time.UnixMicro(readUint(a[1+countLen:])), At: at,
		}
	}
	return all, nil
}

// parseCounter reads a counter as it is at now, in Redis's microseconds. What
// has left the window is not counted; live is false if that is all.
func parseCounter(key string, b []byte, now int64) (c state.Counter, live bool, err error) {
	if len(b) < headLen+bucketLen || (len(b)-headLen)%bucketLen != 0 || (len(b)-headLen)/bucketLen > maxBuckets {
		return c, false, errDamaged
	}
	c = state.Counter{
		Key: key, Max: readUint(b[:countLen]),
		Window: time.Duration(readUint(b[countLen:2*countLen])) * time.Microsecond,
	}
	window, used, said := readUint(b[countLen:2*countLen]), int64(0), readUint(b[2*countLen:headLen])
	for b = b[headLen:]; len(b) > 0; b = b[bucketLen:] {
		at, n := readUint(b[:timeLen]), readUint(b[timeLen:bucketLen])
		used += n
		if now-at < window {
			c.Used += n
			c.Ends = time.UnixMicro(min(at, now) + window)
		}
	}
	if used != said {
		return c, false, errDamaged
	}
	return c, c.Used > 0, nil
}
