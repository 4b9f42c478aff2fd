package eval

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Item is one labelled message.
type Item struct {
	Spam bool
	// Path is where it lies.
	Path string
	// Arrived is zero where the index does not say; see Time.
	Arrived time.Time
}

// Bounds of an index.
const (
	maxLine  = 64 << 10
	maxItems = 5_000_000
)

// ReadIndex reads the index at path.
func ReadIndex(path string) ([]Item, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	items, err := parseIndex(f, filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return items, nil
}

// parseIndex reads an index whose paths are relative to dir.
func parseIndex(r io.Reader, dir string) ([]Item, error) {
	var items []Item
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4096), maxLine)
	cols := columns{path: 1, epoch: -1}
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimRight(lines.Text(), "\r")
		if n == 1 && cols.head(line) || strings.TrimSpace(line) == "" {
			continue
		}
		it, err := cols.item(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if len(items) == maxItems {
			return nil, fmt.Errorf("line %d: more than %d messages", n, maxItems)
		}
		it.Path = filepath.Join(dir, it.Path)
		items = append(items, it)
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return nil, fmt.Errorf("a line of more than %d bytes", maxLine)
	}
	return items, lines.Err()
}

// columns says which column holds what; -1 for none. The label is the first.
type columns struct{ path, epoch int }

// head takes in the head line and reports whether line is one.
func (c *columns) head(line string) bool {
	names := strings.Split(line, "\t")
	if names[0] != "label" {
		return false
	}
	if i := slices.Index(names, "path"); i > 0 {
		c.path = i
	}
	c.epoch = slices.Index(names, "epoch")
	return true
}

// item reads one line.
func (c columns) item(line string) (Item, error) {
	fields := strings.Split(line, "\t")
	if len(fields) == 1 { // as TREC has it
		label, path, _ := strings.Cut(strings.TrimSpace(line), " ")
		fields = []string{label, strings.TrimSpace(path)}
		c = columns{path: 1, epoch: -1}
	}
	var it Item
	switch strings.ToLower(fields[0]) {
	case "spam":
		it.Spam = true
	case "ham":
	default:
		return it, fmt.Errorf("%q is neither spam nor ham", cut(fields[0]))
	}
	if c.path >= len(fields) || fields[c.path] == "" {
		return it, errors.New("no path")
	}
	it.Path = fields[c.path]
	if filepath.IsAbs(it.Path) || strings.ContainsRune(it.Path, 0) {
		return it, fmt.Errorf("%q is no path relative to the index", cut(it.Path))
	}
	if c.epoch < 0 || c.epoch >= len(fields) || fields[c.epoch] == "" {
		return it, nil
	}
	sec, err := strconv.ParseFloat(strings.TrimSpace(fields[c.epoch]), 64)
	if err != nil || !(sec >= 0 && sec < 1<<40) {
		return it, fmt.Errorf("%q is no time in seconds of Unix", cut(fields[c.epoch]))
	}
	it.Arrived = time.Unix(int64(sec), 0).UTC()
	return it, nil
}

// cut shortens what an error tells of a file.
func cut(s string) string { return s[:min(len(s), 100)] }
