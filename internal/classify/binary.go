package classify

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// featuresVersion changes whenever Extract gives other features for the same
// message, or a table another size: weights and features of two versions have
// nothing to do with each other.
const featuresVersion = 2

// maxSet bounds the features of one view, above what Extract can give.
const maxSet = 1 << 15

var errFeatures = errors.New("features are damaged")

// AppendBinary appends f in a compact form, about two bytes a feature, to b.
func (f *Features) AppendBinary(b []byte) ([]byte, error) {
	b = append(b, featuresVersion)
	for _, set := range f.sets {
		b = binary.AppendUvarint(b, uint64(len(set)))
		next := uint32(0)
		for _, i := range set {
			b = binary.AppendUvarint(b, uint64(i-next))
			next = i + 1
		}
	}
	return b, nil
}

// UnmarshalBinary reads what AppendBinary wrote. After an error f is empty.
func (f *Features) UnmarshalBinary(b []byte) error {
	err := f.unmarshal(b)
	if err != nil {
		for v := range f.sets {
			f.sets[v] = f.sets[v][:0]
		}
	}
	return err
}

func (f *Features) unmarshal(b []byte) error {
	if len(b) == 0 {
		return errFeatures
	}
	if b[0] != featuresVersion {
		return fmt.Errorf("features are of version %d, this program has %d", b[0], featuresVersion)
	}
	b = b[1:]
	for v := range f.sets {
		n, k := binary.Uvarint(b)
		if k <= 0 || n > maxSet || n > uint64(len(b)) {
			return errFeatures
		}
		b = b[k:]
		set := f.sets[v][:0]
		next := uint64(0)
		for range n {
			d, k := binary.Uvarint(b)
			if k <= 0 || d >= tableSize || next+d >= tableSize {
				return errFeatures
			}
			b = b[k:]
			set = append(set, uint32(next+d))
			next += d + 1
		}
		f.sets[v] = set
	}
	if len(b) > 0 {
		return errFeatures
	}
	return nil
}

// stepSize is the length of a Step in bytes.
const stepSize = 1 + 4 + 4*views

var errStep = errors.New("a learned step is damaged")

// AppendBinary appends s to b, in 17 bytes.
func (s Step) AppendBinary(b []byte) ([]byte, error) {
	class := byte(0)
	if s.spam {
		class = 1
	}
	b = append(b, class)
	b = binary.LittleEndian.AppendUint32(b, math.Float32bits(s.share))
	for _, m := range s.moves {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(m))
	}
	return b, nil
}

// UnmarshalBinary reads what AppendBinary wrote.
func (s *Step) UnmarshalBinary(b []byte) error {
	if len(b) != stepSize || b[0] > 1 {
		return errStep
	}
	var r Step
	r.spam = b[0] == 1
	r.share = float(b[1:])
	for v := range r.moves {
		r.moves[v] = float(b[5+4*v:])
		if !(r.moves[v] >= -rate && r.moves[v] <= rate) {
			return errStep
		}
	}
	if !(r.share >= 0 && r.share <= 1) {
		return errStep
	}
	*s = r
	return nil
}

func float(b []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b)) }
