// Package spool keeps the bytes of one message: in memory while it is small,
// in an unlinked temporary file above that, so that the memory of a session is
// bounded whatever a stranger sends and a crash leaves no litter.
package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// Buffer is an io.Writer whose bytes can be read any number of times. Writing
// and reading must not overlap; several readers may. Its zero value is not
// usable, see New.
type Buffer struct {
	dir      string
	inMemory int64

	mem  []byte
	file *os.File
	size int64
}

var errClosed = errors.New("spool buffer is closed")

// New returns an empty Buffer that keeps up to inMemory bytes in memory and
// moves to a file in dir (mode 0600, unlinked at once) above that. An empty
// dir is the system's directory for temporary files.
func New(dir string, inMemory int64) *Buffer {
	return &Buffer{dir: dir, inMemory: inMemory}
}

// Write appends p. On an error (a full disk) nothing of p counts, and the
// Buffer holds what it held before.
func (b *Buffer) Write(p []byte) (int, error) {
	if b.size < 0 {
		return 0, errClosed
	}
	if b.file == nil && b.size+int64(len(p)) <= b.inMemory {
		b.mem = append(b.mem, p...)
		b.size += int64(len(p))
		return len(p), nil
	}
	if b.file == nil {
		if err := b.toFile(); err != nil {
			return 0, err
		}
	}
	if _, err := b.file.WriteAt(p, b.size); err != nil {
		return 0, fmt.Errorf("write spool file: %w", err)
	}
	b.size += int64(len(p))
	return len(p), nil
}

// toFile moves what is in memory to a new temporary file.
func (b *Buffer) toFile() error {
	f, err := os.CreateTemp(b.dir, "gatepost-")
	if err != nil {
		return fmt.Errorf("create spool file: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		return errors.Join(fmt.Errorf("unlink spool file: %w", err), f.Close())
	}
	if _, err := f.WriteAt(b.mem, 0); err != nil {
		return errors.Join(fmt.Errorf("write spool file: %w", err), f.Close())
	}
	b.file, b.mem = f, nil
	return nil
}

// Size returns the number of bytes written.
func (b *Buffer) Size() int64 { return max(b.size, 0) }

// Head returns the first n bytes, or all if there are fewer. The slice is the
// Buffer's own while the message is in memory: it must not be changed, and is
// good until the next Write, Reset or Close.
func (b *Buffer) Head(n int64) ([]byte, error) {
	n = min(n, b.Size())
	if b.file == nil {
		return b.mem[:n:n], nil
	}
	p := make([]byte, n)
	if _, err := io.ReadFull(io.NewSectionReader(b.file, 0, n), p); err != nil {
		return nil, fmt.Errorf("read spool file: %w", err)
	}
	return p, nil
}

// Reader returns a reader of all bytes from the first on. It is good until the
// next Reset or Close.
func (b *Buffer) Reader() io.Reader {
	if b.file == nil {
		return bytes.NewReader(b.mem) // which io.Copy needs no buffer for
	}
	return io.NewSectionReader(b, 0, b.Size())
}

// ReadAt implements io.ReaderAt.
func (b *Buffer) ReadAt(p []byte, off int64) (int, error) {
	switch {
	case b.size < 0:
		return 0, errClosed
	case off < 0:
		return 0, errors.New("negative offset")
	case off >= b.size:
		return 0, io.EOF
	case b.file != nil:
		return b.file.ReadAt(p, off)
	}
	n := copy(p, b.mem[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Reset empties the Buffer for the next message. Memory is kept, a file is not.
func (b *Buffer) Reset() {
	b.mem, b.size = b.mem[:0], 0
	if b.file != nil {
		_ = b.file.Close() // unlinked: nothing is lost
		b.file = nil
	}
}

// Close frees everything. A second Close does nothing.
func (b *Buffer) Close() error {
	b.Reset()
	b.mem, b.size = nil, -1
	return nil
}
