package keys

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// State is what a key does, and what is to be in the DNS for it.
type State string

// The states, in the order in which a key goes through them.
const (
	// Pending keys sign nothing yet: their records are to be published.
	Pending State = "pending"
	// Active keys sign. A key of another program without an entry in the file of
	// states is active.
	Active State = "active"
	// Retiring keys sign nothing any more; their records stay for mail that is
	// under way.
	Retiring State = "retiring"
	// Revoked keys are to be published with an empty p= (RFC 6376 §3.6.1).
	Revoked State = "revoked"
	// removed keeps the name of a key that is gone from being used again: an
	// old record of it may still be in a cache.
	removed State = "removed"
)

// entry is what is kept of one key. It is not changed but replaced.
type entry struct {
	State State     `json:"state"`
	Since time.Time `json:"since,omitzero"`
	// Replaces are the selectors that retire when a pending key gets active.
	Replaces []string `json:"replaces,omitempty"`
	// Held says that a pending key waits for a person, not for the DNS.
	Held bool `json:"held,omitempty"`
	// Shown is since when every authoritative server shows the record of a
	// pending key, without a look in between that found otherwise. Wait is for
	// how long after that caches may know an older answer.
	Shown time.Time     `json:"shown,omitzero"`
	Wait  time.Duration `json:"wait_ns,omitempty"`
	// Problem is what the last look at the DNS missed.
	Problem string `json:"problem,omitempty"`
}

// step is one change of states, with what undoes it.
type step struct {
	Name string    `json:"step"`
	At   time.Time `json:"at"`
	// Before has the keys that the step changed as they were; nil for those
	// that it made.
	Before map[string]*entry `json:"before"`
}

// index is the file of states of one domain, DIR/DOMAIN/states.json. It is one
// file, so that a step is one rename however many keys it changes.
type index struct {
	Keys  map[string]entry `json:"keys"`
	Steps []step           `json:"steps,omitempty"`
}

// statesFile is the name of an index.
const statesFile = "states.json"

// Bounds of an index.
const (
	maxIndexBytes = 256 << 10
	maxEntries    = 100
	maxSteps      = 16
)

// errIndex is a file of states that cannot be read as one.
var errIndex = errors.New("not a file of key states")

// parseIndex reads a file of states.
func parseIndex(b []byte) (*index, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	x := new(index)
	if err := d.Decode(x); err != nil {
		return nil, errIndex
	}
	if _, err := d.Token(); err != io.EOF || len(x.Keys) > maxEntries || len(x.Steps) > maxSteps {
		return nil, errIndex
	}
	for sel, e := range x.Keys {
		if err := e.check(sel); err != nil {
			return nil, err
		}
	}
	for _, s := range x.Steps {
		for sel, e := range s.Before {
			if e == nil {
				e = &entry{State: Pending}
			}
			if err := e.check(sel); err != nil {
				return nil, err
			}
		}
	}
	if x.Keys == nil {
		x.Keys = make(map[string]entry)
	}
	return x, nil
}

// check refuses a state that is none: to guess what was meant could sign with
// a key that nobody finds.
func (e *entry) check(selector string) error {
	if s, err := cleanSelector(selector); err != nil || s != selector {
		return errIndex
	}
	if !slices.Contains([]State{Pending, Active, Retiring, Revoked, removed}, e.State) {
		return fmt.Errorf("%w: %q is no state", errIndex, string(e.State))
	}
	if e.Wait < 0 || e.Wait > maxWait {
		return errIndex
	}
	return nil
}

// encode is what parseIndex reads.
func (x *index) encode() ([]byte, error) {
	b, err := json.MarshalIndent(x, "", " ")
	return append(b, '\n'), err
}

// of returns what is kept of a key.
func (x *index) of(selector string) entry {
	if e, ok := x.Keys[selector]; ok && e.State != removed {
		return e
	}
	return entry{State: Active}
}

// clone returns a copy that can be changed.
func (x *index) clone() *index {
	n := &index{Keys: maps.Clone(x.Keys), Steps: slices.Clone(x.Steps)}
	if n.Keys == nil {
		n.Keys = make(map[string]entry)
	}
	return n
}

// change sets what is kept of a key and notes in s how it was.
func (x *index) change(s *step, selector string, to entry) {
	was := x.of(selector)
	s.Before[selector] = &was
	x.Keys[selector] = to
}

// push adds a step; the oldest ones cannot be undone any more.
func (x *index) push(s step) {
	x.Steps = append(x.Steps, s)
	x.Steps = x.Steps[max(0, len(x.Steps)-maxSteps):]
}

// forget makes room for new names, the oldest of those that are gone first.
func (x *index) forget(there func(selector string) bool) {
	var gone []string
	for sel := range x.Keys {
		if !there(sel) {
			gone = append(gone, sel)
		}
	}
	slices.SortFunc(gone, func(a, b string) int { return x.Keys[a].Since.Compare(x.Keys[b].Since) })
	for _, sel := range gone[:max(0, min(len(gone), len(x.Keys)-maxEntries/2))] {
		delete(x.Keys, sel)
	}
}

// readIndex reads the states of the domain's directory; where there are none,
// the index is empty.
func readIndex(dir string) (x *index, there bool, err error) {
	path := filepath.Join(dir, statesFile)
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return &index{}, false, nil
	}
	if err != nil {
		return nil, true, fault(path, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, true, fault(path, err)
	}
	if !info.Mode().IsRegular() {
		return nil, true, &Fault{Path: path, Text: "not a regular file"}
	}
	if err := checkOwner(path, info); err != nil {
		return nil, true, err
	}
	if m := info.Mode().Perm(); m&0o022 != 0 {
		return nil, true, &Fault{Path: path, Text: fmt.Sprintf("mode %04o lets others say which keys sign", m), Fix: "chmod 0600 " + shell(path)}
	}
	b, err := io.ReadAll(io.LimitReader(f, maxIndexBytes+1))
	if err != nil {
		return nil, true, fault(path, err)
	}
	x, err = parseIndex(b)
	if err == nil && len(b) <= maxIndexBytes {
		return x, true, nil
	}
	fix := "mv " + shell(path) + " " + shell(path+".bad")
	kept := filepath.Join(dir, copyFile)
	if b, err := os.ReadFile(kept); err == nil {
		if _, err := parseIndex(b); err == nil {
			fix += " && cp -p " + shell(kept) + " " + shell(path)
		}
	}
	return nil, true, &Fault{Path: path, Text: errIndex.Error(), Fix: fix}
}

// writeIndex puts x in place of the domain's index: after a crash there is the
// old one or the new one. The copy goes first, so that it is never older.
func (s *Store) writeIndex(domain string, x *index) error {
	x.forget(s.set.Load().has(domain))
	b, err := x.encode()
	if err != nil {
		return fmt.Errorf("write key states: %w", err)
	}
	dir := filepath.Join(s.dir, domain)
	if err := mkdir(dir); err != nil {
		return fmt.Errorf("write key states: %w", err)
	}
	for _, name := range []string{copyFile, statesFile} {
		tmp, err := s.temporary(dir, ".states-*", b)
		if err != nil {
			return fmt.Errorf("write key states: %w", err)
		}
		s.reach("rename states")
		if err := os.Rename(tmp, filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("write key states: %w", errors.Join(err, os.Remove(tmp)))
		}
		s.reach("sync states")
		if err := syncDir(dir); err != nil {
			return fmt.Errorf("write key states: %w", err)
		}
	}
	return nil
}

// temporary makes a file (0600) that has b durably, and returns its path.
func (s *Store) temporary(dir, pattern string, b []byte) (string, error) {
	s.reach("make " + pattern)
	f, err := os.CreateTemp(dir, pattern)
	if err != nil {
		return "", err
	}
	s.reach("write " + pattern)
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

// sweep removes the files that a process left that was killed between making
// and placing them. No other process may be at work.
func (s *Store) sweep() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, pattern := range []string{".new-*", ".states-*"} {
		left, err := filepath.Glob(filepath.Join(s.dir, "*", pattern))
		errs = append(errs, err)
		for _, path := range left {
			errs = append(errs, os.Remove(path))
		}
	}
	return errors.Join(errs...)
}

// has returns whether a selector of the domain has a key.
func (t *set) has(domain string) func(selector string) bool {
	return func(selector string) bool {
		return slices.ContainsFunc(t.byDomain[domain], func(k Key) bool { return k.Selector == selector })
	}
}
