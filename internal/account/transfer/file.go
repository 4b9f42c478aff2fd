package transfer

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"slices"
)

// writer writes a file. Rows come in the order of Kinds.
type writer struct {
	out    *bufio.Writer
	sum    hash.Hash
	counts map[Kind]int
	line   []byte
}

func newWriter(w io.Writer) (*writer, error) {
	f := &writer{out: bufio.NewWriterSize(w, 64<<10), sum: sha256.New(), counts: map[Kind]int{}}
	return f, f.write(&headerLine{Kind: Header, Format: Format, Version: Version})
}

func (f *writer) write(v any) error {
	line, err := appendLine(f.line[:0], v)
	if err != nil {
		return err
	}
	f.line = line
	_, _ = f.sum.Write(line) // a hash returns no error
	_, err = f.out.Write(line)
	return err
}

func (f *writer) row(r row) error {
	f.counts[r.kind()]++
	return f.write(r)
}

// end writes the last line, and returns it.
func (f *writer) end() (endLine, error) {
	end := endLine{Kind: End, Counts: f.counts, SHA256: hex.EncodeToString(f.sum.Sum(nil))}
	if err := f.write(&end); err != nil {
		return end, err
	}
	return end, f.out.Flush()
}

// reader reads a file from its beginning.
type reader struct {
	in     *bufio.Reader
	sum    hash.Hash
	counts map[Kind]int
	number int // of the line that was read last, from 1
	kind   int // of the last row, in Kinds
	id     string
	seen   map[string]bool // the ids of entries, which are not sorted
	end    *endLine
}

func newReader(r io.Reader) *reader {
	return &reader{in: bufio.NewReaderSize(r, MaxLineBytes), sum: sha256.New(), counts: map[Kind]int{}, seen: map[string]bool{}}
}

// next returns the next row, io.EOF behind the last one of a whole file. Every
// other error names the line.
func (f *reader) next() (row, error) {
	r, err := f.read()
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("line %d: %w", f.number, err)
	}
	return r, err
}

func (f *reader) read() (row, error) {
	for {
		line, err := f.readLine()
		if err != nil {
			return nil, err
		}
		v, err := parseLine(line[:len(line)-1])
		if err != nil {
			return nil, err
		}
		switch v := v.(type) {
		case *headerLine:
			if err := f.header(v); err != nil {
				return nil, err
			}
		case *endLine:
			return nil, f.last(v)
		case row:
			if f.number == 1 {
				return nil, fmt.Errorf("%w: it does not begin with a header", ErrFormat)
			}
			if err := f.inOrder(v); err != nil {
				return nil, err
			}
			f.counts[v.kind()]++
			_, _ = f.sum.Write(line)
			return v, nil
		}
		_, _ = f.sum.Write(line)
	}
}

// readLine returns the next line with its end; it is good until the next call.
func (f *reader) readLine() ([]byte, error) {
	f.number++
	line, err := f.in.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, fmt.Errorf("%w: the line is longer than %d bytes", ErrFormat, MaxLineBytes)
	case errors.Is(err, io.EOF):
		return nil, fmt.Errorf("%w: the file ends here, and its last line is missing", ErrFormat)
	}
	return line, err
}

func (f *reader) header(h *headerLine) error {
	switch {
	case f.number != 1 || h.Format != Format:
		return fmt.Errorf("%w: a header of format %q", ErrFormat, h.Format)
	case h.Version != Version:
		return fmt.Errorf("the file has version %d of the format, and this gatepost reads %d: use the gatepost that wrote it", h.Version, Version)
	}
	return nil
}

// inOrder wants each row once, and behind those that it needs.
func (f *reader) inOrder(r row) error {
	k := slices.Index(Kinds(), r.kind())
	if k < f.kind {
		return fmt.Errorf("%w: %s comes after %s", ErrFormat, r.kind(), Kinds()[f.kind])
	}
	if k > f.kind {
		f.kind, f.id = k, ""
	}
	twice := r.id() <= f.id
	if r.kind() == Access { // in the order in which they were added
		twice = f.seen[r.id()]
		f.seen[r.id()] = true
	}
	if twice {
		return fmt.Errorf("%w: this row is not behind the one before it, or comes twice", ErrFormat)
	}
	f.id = r.id()
	return nil
}

// last holds the last line against what was read; io.EOF if all is well.
func (f *reader) last(end *endLine) error {
	if sum := hex.EncodeToString(f.sum.Sum(nil)); end.SHA256 != sum || !maps.Equal(end.Counts, f.counts) {
		return fmt.Errorf("%w: the lines are not those that were written: the sum or a count is another one", ErrFormat)
	}
	if _, err := f.in.ReadByte(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: something follows the last line", ErrFormat)
	}
	f.end = end
	return io.EOF
}
