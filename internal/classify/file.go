package classify

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"path/filepath"
)

// A file of weights is the magic, the version of the features, the counts and
// masses, the tables, all little-endian, and a CRC-32C of all before it.
const (
	magic    = "gatepost weights\n"
	headSize = len(magic) + 1 + 4*8
	fileSize = int64(headSize + views*tableSize*4 + 4)
	// maxWeight bounds a weight, far above what learning gives.
	maxWeight = 1e6
	// chunk is how much is read or written at a time.
	chunk = 64 << 10
)

// ErrDamaged is the error of a file that is cut, changed, or no file of weights.
var ErrDamaged = errors.New("the file of learned weights is damaged: remove it and learn again, from the learn journal or by hand")

// Open reads the model at path; where there is no file, it is a new one.
func Open(path string) (*Model, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return New(), nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() || st.Size() != fileSize {
		return nil, fmt.Errorf("%s: %w", path, ErrDamaged)
	}
	m, err := read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

// read reads a model. It takes the memory of one, whatever r holds.
func read(r io.Reader) (*Model, error) {
	sum := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	body := io.TeeReader(r, sum)
	head := make([]byte, headSize)
	if _, err := io.ReadFull(body, head); err != nil || string(head[:len(magic)]) != magic {
		return nil, damaged(err)
	}
	if v := head[len(magic)]; v != featuresVersion {
		return nil, fmt.Errorf("weights of version %d, this program has %d: %w", v, featuresVersion, ErrDamaged)
	}
	m := New()
	n := head[len(magic)+1:]
	m.ham, m.spam = int(binary.LittleEndian.Uint64(n)), int(binary.LittleEndian.Uint64(n[8:]))
	m.hamMass = math.Float64frombits(binary.LittleEndian.Uint64(n[16:]))
	m.spamMass = math.Float64frombits(binary.LittleEndian.Uint64(n[24:]))
	buf := make([]byte, chunk)
	for v := range m.w {
		if err := readTable(body, m.w[v], buf); err != nil {
			return nil, err
		}
	}
	want := sum.Sum32()
	if _, err := io.ReadFull(r, buf[:4]); err != nil || binary.LittleEndian.Uint32(buf) != want {
		return nil, damaged(err)
	}
	if !count(m.ham, m.hamMass) || !count(m.spam, m.spamMass) {
		return nil, ErrDamaged
	}
	return m, nil
}

// count reports whether n messages may have that mass.
func count(n int, mass float64) bool { return n >= 0 && mass >= 0 && mass <= float64(n)+1 }

func readTable(r io.Reader, w []float32, buf []byte) error {
	for len(w) > 0 {
		if _, err := io.ReadFull(r, buf); err != nil {
			return damaged(err)
		}
		for i := 0; i < len(buf); i += 4 {
			x := float(buf[i:])
			if !(x >= -maxWeight && x <= maxWeight) {
				return ErrDamaged
			}
			w[i/4] = x
		}
		w = w[len(buf)/4:]
	}
	return nil
}

// damaged tells a file that is too short from a disk that cannot read.
func damaged(err error) error {
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrDamaged
	}
	return err
}

// Save writes the model to path in one step: whoever opens it afterwards, after
// a power cut too, finds the old file or the new one. Learning waits meanwhile,
// scoring does not.
func (m *Model) Save(path string) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, filepath.Base(path)+".tmp-")
	if err != nil {
		return err
	}
	if err = errors.Join(m.write(f), f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("save learned weights: %w", err), os.Remove(f.Name()))
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (m *Model) write(w io.Writer) error {
	// Not mu: a Learn that waited for it would keep scores waiting too.
	m.learning.Lock()
	defer m.learning.Unlock()
	sum := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	out := bufio.NewWriterSize(io.MultiWriter(w, sum), chunk)
	head := append([]byte(magic), featuresVersion)
	for _, n := range []uint64{uint64(m.ham), uint64(m.spam), math.Float64bits(m.hamMass), math.Float64bits(m.spamMass)} {
		head = binary.LittleEndian.AppendUint64(head, n)
	}
	out.Write(head) // a bufio.Writer keeps its first error for Flush
	var b [4]byte
	for _, table := range m.w {
		for _, x := range table {
			binary.LittleEndian.PutUint32(b[:], math.Float32bits(x))
			out.Write(b[:])
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	_, err := w.Write(binary.LittleEndian.AppendUint32(nil, sum.Sum32()))
	return err
}
