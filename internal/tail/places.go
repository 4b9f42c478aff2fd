package tail

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"sync"
)

// maxPlaces bounds the file of places.
const maxPlaces = 1 << 20

// places keeps where each source is, in a file.
type places struct {
	path string

	mu sync.Mutex
	// all is guarded by mu.
	all map[string]place
}

// readPlaces reads the file at path. One that is not there, or is none of ours,
// has no places: sources then begin at their end.
func readPlaces(path string) (*places, error) {
	p := &places{path: path, all: map[string]place{}}
	st, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err != nil || st.Size() > maxPlaces {
		return p, fmt.Errorf("read places of logs: %s: %w", path, errors.Join(err, fs.ErrInvalid))
	}
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, &p.all)
	}
	if err != nil {
		p.all = map[string]place{}
		return p, fmt.Errorf("read places of logs: %w", err)
	}
	return p, nil
}

func (p *places) of(name string) place {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.all[name]
}

// set keeps a place, and writes the file when that is wanted now.
func (p *places) set(name string, at place, now bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all[name] = at
	if !now {
		return nil
	}
	return p.write()
}

// keep forgets all sources but these, and writes the file.
func (p *places) keep(names map[string]bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(p.all, func(name string, _ place) bool { return !names[name] })
	return p.write()
}

// write replaces the file. It is not synced: what a power cut takes is a place,
// and the log is read from its end then, or a few lines twice.
func (p *places) write() error {
	b, err := json.Marshal(p.all)
	if err != nil {
		return fmt.Errorf("write places of logs: %w", err)
	}
	tmp := p.path + ".new"
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return fmt.Errorf("write places of logs: %w", err)
	}
	if err := os.Rename(tmp, p.path); err != nil {
		return fmt.Errorf("write places of logs: %w", err)
	}
	return nil
}
