package eval

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/header"
	"github.com/gatepost/gatepost/internal/rawmsg"
)

const (
	// maxMessage is what is read of a message, the milter's scan_bytes.
	maxMessage = 4 << 20
	// headBytes is what is read of one to learn when it arrived.
	headBytes = 64 << 10
)

// Read returns the message of it, its first 4 MB if it is longer, and when it
// arrived.
func Read(it Item) (raw []byte, arrived time.Time, err error) {
	raw, mod, err := read(it.Path, maxMessage)
	if err != nil {
		return nil, time.Time{}, err
	}
	if !it.Arrived.IsZero() {
		return raw, it.Arrived, nil
	}
	return raw, arrival(raw, mod), nil
}

func read(path string, most int64) (raw []byte, mod time.Time, err error) {
	// Before it is opened: a pipe would wait for a writer.
	st, err := os.Stat(path)
	if err != nil {
		return nil, mod, err
	}
	if !st.Mode().IsRegular() {
		return nil, mod, fmt.Errorf("%s is no regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, mod, err
	}
	defer f.Close()
	raw = make([]byte, min(st.Size(), most))
	n, err := io.ReadFull(f, raw)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, mod, err
	}
	return raw[:n], st.ModTime(), nil
}

// arrival returns when a message arrived: the time of its first Received field,
// else its Date, else that of the file.
func arrival(raw []byte, mod time.Time) time.Time {
	m := rawmsg.Scan(raw[:min(len(raw), headBytes)], rawmsg.Default())
	if v, ok := m.First("Received"); ok {
		if i := strings.LastIndexByte(v, ';'); i >= 0 {
			if t, err := header.ParseDate(strings.TrimSpace(v[i+1:])); err == nil {
				return t.UTC()
			}
		}
	}
	if v, ok := m.First("Date"); ok {
		if t, err := header.ParseDate(strings.TrimSpace(v)); err == nil {
			return t.UTC()
		}
	}
	return mod.UTC()
}

// headEnd returns where the header block ends, its blank line aside.
func headEnd(raw []byte) int {
	pos := 0
	for pos < len(raw) {
		end := lineEnd(raw, pos)
		line := bytes.TrimRight(raw[pos:end], "\r\n")
		if len(line) == 0 || pos > 0 && !isField(line) && line[0] != ' ' && line[0] != '\t' {
			return pos
		}
		pos = end
	}
	return pos
}

func lineEnd(raw []byte, pos int) int {
	if n := bytes.IndexByte(raw[pos:], '\n'); n >= 0 {
		return pos + n + 1
	}
	return len(raw)
}

// isField reports whether line begins a header field.
func isField(line []byte) bool {
	i := bytes.IndexByte(line, ':')
	return i > 0 && header.ValidName(strings.TrimRight(string(line[:i]), " \t"))
}
