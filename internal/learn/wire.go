package learn

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/gatepost/gatepost/internal/learn/trace"
	"github.com/gatepost/gatepost/internal/state"
)

// An event is wireMagic, a byte of version and one of kind; then the stamp, the
// facts and the items. Numbers are varints, runs and campaigns eight bytes big-endian, and
// texts have their length before them.
//
// wireVersion changes with the format, and also when features become others,
// Decide comes to decide otherwise or the model to learn otherwise: hosts that
// perform the same events have to come to the same end.
const wireVersion = 1

// wireMagic tells a newer event from what is none.
const wireMagic = "GL"

// Flags of an event, and of an item.
const (
	flagApproved = 1 << iota
	flagHeld
	flagsEvent = flagApproved | flagHeld
)

const (
	flagSpam = 1 << iota
	flagNamed
	flagNamedSpam
	flagsItem = flagSpam | flagNamed | flagNamedSpam
)

// Bounds of what an event says.
const (
	maxUser   = 320
	maxSource = 16
	maxQueue  = 64
	maxID     = 500
	maxNumber = math.MaxInt32
)

var (
	// errWire means that the bytes are no event.
	errWire = errors.New("not an event of learning")
	// errNewer and errOlder mean that another version of Gatepost has written it.
	errNewer = errors.New("event of a newer version of gatepost: upgrade this host")
	errOlder = errors.New("event of an older version of gatepost: upgrade the other hosts")
	// errBound means that an event is larger than it may be.
	errBound = errors.New("event breaks a bound")
)

// appendTo appends e to b.
func (e *event) appendTo(b []byte) ([]byte, error) {
	start := len(b)
	if e.run == 0 || len(e.user) > maxUser || len(e.source) > maxSource || len(e.items) > MaxItems {
		return nil, errBound
	}
	var flags byte
	if e.approved {
		flags |= flagApproved
	}
	if e.held {
		flags |= flagHeld
	}
	b = append(append(b, wireMagic...), wireVersion, byte(e.kind))
	b = binary.BigEndian.AppendUint64(b, uint64(e.run))
	b = binary.AppendUvarint(b, e.seq)
	b = binary.BigEndian.AppendUint64(b, uint64(e.prevRun))
	b = binary.AppendUvarint(b, e.prevSeq)
	if !inTime(e.prevTime) || !inTime(e.time) {
		return nil, errBound
	}
	b = binary.AppendVarint(b, milli(e.prevTime))
	b = binary.AppendVarint(b, milli(e.time))
	b = append(b, flags)
	b = appendText(b, string(e.source))
	b = appendText(b, e.user)
	for _, n := range []int{e.minute, e.mailboxes, e.daily, e.keepDays, len(e.items)} {
		if n < 0 || n > maxNumber {
			return nil, errBound
		}
		b = binary.AppendUvarint(b, uint64(n))
	}
	for i := range e.items {
		var err error
		if b, err = e.items[i].appendTo(b); err != nil {
			return nil, err
		}
	}
	if len(b)-start > state.MaxValueBytes {
		return nil, fmt.Errorf("%w: %d bytes", errBound, len(b)-start)
	}
	return b, nil
}

func (it *actItem) appendTo(b []byte) ([]byte, error) {
	if len(it.Features) > maxFeatures || len(it.Trace.MessageID) > maxID || len(it.Trace.QueueID) > maxQueue || len(it.of.user) > maxUser ||
		len(it.of.source) > maxSource || it.of.item < 0 || it.of.item >= MaxItems || !inTime(it.Trace.Arrived) || !inTime(it.of.time) {
		return nil, errBound
	}
	var flags byte
	if it.spam {
		flags |= flagSpam
	}
	if !it.of.none() {
		flags |= flagNamed
	}
	if it.of.spam {
		flags |= flagNamedSpam
	}
	b = append(b, flags)
	b = appendText(b, it.Trace.MessageID)
	b = appendText(b, it.Trace.QueueID)
	b = binary.AppendVarint(b, milli(it.Trace.Arrived)/1000)
	b = binary.BigEndian.AppendUint64(b, uint64(it.Campaign))
	b = binary.BigEndian.AppendUint64(b, it.File)
	b = appendText(b, string(it.Features))
	if it.of.none() {
		return b, nil
	}
	b = binary.BigEndian.AppendUint64(b, uint64(it.of.run))
	b = binary.AppendUvarint(b, it.of.seq)
	b = binary.AppendUvarint(b, uint64(it.of.item))
	b = append(b, it.of.key[:]...)
	b = appendText(b, it.of.user)
	b = appendText(b, string(it.of.source))
	return binary.AppendVarint(b, milli(it.of.time)), nil
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// milli returns t in milliseconds since 1970, 0 for the zero Time.
func milli(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// maxMilli is how far from 1970 a time may be: a thousand years.
const maxMilli = 1 << 45

// inTime reports whether an event can carry t.
func inTime(t time.Time) bool {
	n := milli(t)
	return n > -maxMilli && n < maxMilli
}

// parseEvent reads what appendTo wrote. The features in it are parts of b.
func parseEvent(b []byte) (e event, err error) {
	head := len(wireMagic)
	if len(b) <= head || len(b) > state.MaxValueBytes || string(b[:head]) != wireMagic {
		return e, errWire
	}
	switch {
	case b[head] > wireVersion:
		return e, errNewer
	case b[head] < wireVersion:
		return e, errOlder
	}
	r := reader{b: b[head+1:]}
	e.kind = kind(r.byte())
	e.run, e.seq = int64(r.fixed()), r.uvarint()
	e.prevRun, e.prevSeq, e.prevTime = int64(r.fixed()), r.uvarint(), r.time(1)
	e.time = r.time(1)
	flags := r.byte()
	e.approved, e.held = flags&flagApproved != 0, flags&flagHeld != 0
	e.source, e.user = Source(r.text(maxSource)), string(r.text(maxUser))
	e.minute, e.mailboxes, e.daily, e.keepDays = r.number(), r.number(), r.number(), r.number()
	n := r.number()
	if r.bad || flags&^flagsEvent != 0 || e.run == 0 || n > MaxItems || e.kind < kindLearn || e.kind > kindDrop {
		return event{}, errWire
	}
	for range n {
		e.items = append(e.items, r.item())
		if r.bad {
			return event{}, errWire
		}
	}
	if len(r.b) > 0 || !e.valid() {
		return event{}, errWire
	}
	return e, nil
}

// valid reports whether e says what its kind has to.
func (e *event) valid() bool {
	if e.kind == kindLearn && (!e.source.Known() || e.source.byUser() && e.user == "") {
		return false
	}
	for i := range e.items {
		it := &e.items[i]
		if e.kind == kindLearn && len(it.Features) == 0 || e.kind == kindUndo && it.of.none() {
			return false
		}
	}
	return e.kind != kindDrop || e.user != "" && len(e.items) == 0
}

// reader takes parts from the front of b. After a part that is not there it is
// bad, and gives zeros.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n uint64) []byte {
	if r.bad || n > uint64(len(r.b)) {
		r.bad = true
		return nil
	}
	part := r.b[:n:n]
	r.b = r.b[n:]
	return part
}

func (r *reader) byte() byte {
	if p := r.take(1); len(p) == 1 {
		return p[0]
	}
	return 0
}

func (r *reader) fixed() uint64 {
	if p := r.take(8); len(p) == 8 {
		return binary.BigEndian.Uint64(p)
	}
	return 0
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || r.bad {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 || r.bad {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

// time reads a time that was divided by unit milliseconds.
func (r *reader) time(unit int64) time.Time {
	n := r.varint()
	if n <= -maxMilli/unit || n >= maxMilli/unit {
		r.bad = true
		return time.Time{}
	}
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMilli(n * unit)
}

func (r *reader) number() int {
	v := r.uvarint()
	if v > maxNumber {
		r.bad = true
		return 0
	}
	return int(v)
}

func (r *reader) text(most uint64) []byte {
	n := r.uvarint()
	if n > most {
		r.bad = true
		return nil
	}
	return r.take(n)
}

func (r *reader) item() (it actItem) {
	flags := r.byte()
	it.spam = flags&flagSpam != 0
	it.Trace = trace.Trace{MessageID: string(r.text(maxID)), QueueID: string(r.text(maxQueue)), Arrived: r.time(1000)}
	it.Campaign, it.File = int64(r.fixed()), r.fixed()
	it.Features = r.text(maxFeatures)
	if flags&^flagsItem != 0 {
		r.bad = true
	}
	if flags&flagNamed == 0 {
		r.bad = r.bad || flags&flagNamedSpam != 0
		return it
	}
	it.of = name{run: int64(r.fixed()), seq: r.uvarint(), item: r.number(), spam: flags&flagNamedSpam != 0}
	copy(it.of.key[:], r.take(keyBytes))
	it.of.user, it.of.source, it.of.time = string(r.text(maxUser)), Source(r.text(maxSource)), r.time(1)
	r.bad = r.bad || it.of.item >= MaxItems || it.of.none()
	return it
}
