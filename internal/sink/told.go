package sink

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
)

// told is the file that has what a command was called for, so that a ban that
// ended, or was lifted, while nobody watched is lifted after a restart. Each line
// is a change; a list in whole takes their place now and then. It survives this
// process, not always the host: nor do the rules of most firewalls. Without a
// path it keeps nothing. It is used by one goroutine.
type told struct {
	path string
	f    *os.File
}

// maxToldLine bounds a line: a ban has 1 KB at most.
const maxToldLine = 64 << 10

// read returns what the file has. What can be read of a damaged one is returned
// with the error.
func (t *told) read() (map[netip.Prefix]Ban, error) {
	all := map[netip.Prefix]Ban{}
	if t.path == "" {
		return all, nil
	}
	f, err := os.Open(t.path)
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	if err != nil {
		return all, fmt.Errorf("read what a command was told: %w", err)
	}
	defer f.Close()
	in := bufio.NewScanner(f)
	in.Buffer(nil, maxToldLine)
	for in.Scan() {
		c, e := parseTold(in.Bytes())
		switch {
		case e != nil:
			err = fmt.Errorf("%s: %w", t.path, e)
		case c.Lifted:
			delete(all, c.Ban.Network)
		default:
			all[c.Ban.Network] = c.Ban
		}
	}
	return all, errors.Join(err, in.Err())
}

// toldLine is a line of the file.
type toldLine struct {
	Ban    Ban  `json:"ban"`
	Lifted bool `json:"lifted,omitempty"`
}

// parseTold reads a line.
func parseTold(line []byte) (Change, error) {
	var l toldLine
	if err := json.Unmarshal(line, &l); err != nil {
		return Change{}, fmt.Errorf("what a command was told has a line that is none: %w", err)
	}
	if p := l.Ban.Network; !p.IsValid() || p != p.Masked() || len(closable(l.Ban.Services)) == 0 {
		return Change{}, errors.New("what a command was told has a ban that none can be")
	}
	return Change{Ban: l.Ban, Lifted: l.Lifted}, nil
}

// appendTold appends the line of c, its end included.
func appendTold(dst []byte, c Change) ([]byte, error) {
	b, err := json.Marshal(toldLine{c.Ban, c.Lifted})
	if err != nil {
		return dst, fmt.Errorf("write what a command was told: %w", err)
	}
	return append(append(dst, b...), '\n'), nil
}

// note keeps one change.
func (t *told) note(c Change) error {
	if t.path == "" {
		return nil
	}
	line, err := appendTold(nil, c)
	if err == nil && t.f == nil {
		t.f, err = os.OpenFile(t.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	}
	if err == nil {
		_, err = t.f.Write(line)
	}
	if err != nil {
		return fmt.Errorf("write what a command was told: %w", err)
	}
	return nil
}

// replace keeps these and no others, in one step.
func (t *told) replace(lists ...map[netip.Prefix]Ban) (err error) {
	if t.path == "" {
		return nil
	}
	var out bytes.Buffer
	for _, all := range lists {
		for _, b := range all {
			line, err := appendTold(nil, Change{Ban: b})
			if err != nil {
				return err
			}
			out.Write(line)
		}
	}
	f, err := os.CreateTemp(filepath.Dir(t.path), ".told-*")
	if err != nil {
		return fmt.Errorf("write what a command was told: %w", err)
	}
	_, err = f.Write(out.Bytes())
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), t.path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write what a command was told: %w", err), os.Remove(f.Name()))
	}
	return t.close() // the next change opens the new one
}

func (t *told) close() error {
	if t.f == nil {
		return nil
	}
	err := t.f.Close()
	t.f = nil
	return err
}
