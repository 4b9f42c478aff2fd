package tail

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

const (
	// maxBehind is how much of a file is caught up with.
	maxBehind = 4 << 20
	chunk     = 64 << 10
)

// place is where a source is. A file has the first three, the journal the last.
type place struct {
	Device uint64 `json:"device,omitempty"`
	Inode  uint64 `json:"inode,omitempty"`
	Offset int64  `json:"offset,omitempty"`
	Cursor string `json:"cursor,omitempty"`
}

// follower reads a file as it grows. It is used by one goroutine.
type follower struct {
	path string
	file *os.File
	at   place // Offset: behind the last whole line
	// rest is what was read of a line that has no end yet; over says that it is
	// too long, or was not read from its begin, and is skipped up to its end.
	rest []byte
	over bool
	// skipped counts lines that were too long.
	skipped uint64
	started bool
}

// look calls line for each new whole line. moved says that the place is another.
func (f *follower) look(line func(string)) (moved bool, err error) {
	before := f.at
	defer func() { moved = f.at != before }()
	if f.file == nil {
		if err := f.open(line); err != nil {
			return false, err
		}
	}
	if err := f.read(line); err != nil {
		return false, err
	}
	id, _, err := identify(os.Stat(f.path))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil // between two files
	}
	if err == nil && (id.Device != f.at.Device || id.Inode != f.at.Inode) {
		// Rotated. The old one may have grown since it was read above.
		err = f.read(line)
		f.close()
		if err == nil {
			f.at = place{Device: id.Device, Inode: id.Inode}
			err = f.open(line)
		}
		if err == nil {
			err = f.read(line)
		}
	}
	return false, err
}

// identify tells which file it is.
func identify(st os.FileInfo, err error) (place, int64, error) {
	if err != nil {
		return place{}, 0, err
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok || !st.Mode().IsRegular() {
		return place{}, 0, errors.New("it is no regular file")
	}
	return place{Device: uint64(sys.Dev), Inode: sys.Ino}, st.Size(), nil
}

// open opens the file where it was left.
func (f *follower) open(line func(string)) error {
	file, err := os.OpenFile(f.path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a FIFO must not hang us
	if errors.Is(err, fs.ErrNotExist) {
		f.started = true // what comes into it from now on is new
	}
	if err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	id, size, err := identify(file.Stat())
	if err != nil {
		_ = file.Close()
		return fmt.Errorf("read log %s: %w", f.path, err)
	}
	first := !f.started
	f.started = true
	switch {
	case f.at == place{}:
		id.Offset = size // what was before us is not ours
		if !first {
			id.Offset = 0
		}
	case id.Device == f.at.Device && id.Inode == f.at.Inode:
		id.Offset = f.at.Offset
	case first:
		f.old(line)
	}
	f.file, f.at, f.rest, f.over = file, id, nil, false
	return nil
}

// old reads the rest of a file that was rotated while we were down.
func (f *follower) old(line func(string)) {
	file, err := os.OpenFile(f.path+".1", os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return
	}
	id, _, err := identify(file.Stat())
	if err != nil || id.Device != f.at.Device || id.Inode != f.at.Inode {
		_ = file.Close()
		return
	}
	f.file = file
	_ = f.read(line)
	f.close()
}

func (f *follower) close() {
	if f.file != nil {
		_ = f.file.Close()
	}
	f.file, f.rest, f.over = nil, nil, false
}

// read takes what is new in the open file.
func (f *follower) read(line func(string)) error {
	st, err := f.file.Stat()
	if err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	if st.Size() < f.at.Offset+int64(len(f.rest)) { // cut
		f.at.Offset, f.over = 0, false
	}
	// A line that has no end yet is read anew: the file may have been cut and have
	// grown again.
	f.rest = f.rest[:0]
	pos := f.at.Offset
	if !f.over && !f.atLine(pos) {
		f.over = true
	}
	if st.Size()-pos > maxBehind {
		pos = st.Size() - maxBehind
		f.at.Offset, f.rest, f.over = pos, nil, true // the first line is not whole
		f.skipped++
	}
	buf := make([]byte, chunk)
	for {
		n, err := f.file.ReadAt(buf, pos)
		pos += int64(n)
		f.take(buf[:n], line)
		if errors.Is(err, io.EOF) || n == 0 && err == nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read log: %w", err)
		}
	}
}

// atLine reports whether a line begins at pos. In a file that was cut and has
// grown again pos may be anywhere, also in a name that somebody typed so that it
// looks like a line.
func (f *follower) atLine(pos int64) bool {
	var b [1]byte
	if pos == 0 {
		return true
	}
	_, err := f.file.ReadAt(b[:], pos-1)
	return err == nil && b[0] == '\n'
}

// take splits bytes into lines.
func (f *follower) take(b []byte, line func(string)) {
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\n')
		part := b
		if i >= 0 {
			part = b[:i]
		}
		switch {
		case f.over:
			f.at.Offset += int64(len(part))
		case len(f.rest)+len(part) > maxLine:
			f.at.Offset += int64(len(f.rest) + len(part))
			f.rest, f.over = nil, true
			f.skipped++
		default:
			f.rest = append(f.rest, part...)
		}
		if i < 0 {
			return
		}
		b = b[i+1:]
		f.at.Offset += int64(len(f.rest)) + 1
		if !f.over {
			line(string(bytes.TrimSuffix(f.rest, []byte("\r"))))
		}
		f.rest, f.over = f.rest[:0], false
	}
}
