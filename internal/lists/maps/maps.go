package maps

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatepost/gatepost/internal/unit"
	"github.com/gatepost/gatepost/internal/verdict"
)

// meter counts what is worth an alarm.
type meter interface{ Event(name string) }

// Maps are the maps of a configuration. It is safe for concurrent use.
type Maps struct {
	meter meter
	log   *slog.Logger
	all   atomic.Pointer[[]*loaded]
	kick  chan struct{} // tells Run that there are other files

	mu sync.Mutex // one reload or Reconfigure at a time
}

// loaded is one map with what its file held.
type loaded struct {
	Map
	table atomic.Pointer[table]
	hits  atomic.Uint64

	mu    sync.Mutex // guards all below
	seen  stamp      // of the file when it was last read, well or not
	taken time.Time
	fault error
}

// stamp tells one state of a file from another.
type stamp struct {
	size  int64
	mtime time.Time
	inode uint64
}

// New returns the maps of cfg. A file that cannot be read, or has a fault, is
// an error in the log and makes an empty map until it is right: a map is no
// reason to stop mail. m may be nil.
func New(cfg Config, m meter, log *slog.Logger) (*Maps, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	ms := &Maps{meter: m, log: log, kick: make(chan struct{}, 1)}
	all := prepare(cfg, nil)
	for _, l := range all {
		if err := l.load(); err != nil {
			ms.refused(l, err)
		}
	}
	ms.all.Store(&all)
	return ms, nil
}

// Check reads all files of cfg and returns what is wrong with them.
func Check(cfg Config) error {
	var errs []error
	for _, l := range prepare(cfg, nil) {
		errs = append(errs, l.load())
	}
	return errors.Join(errs...)
}

// prepare returns a loaded for each map, without content but what old has for
// the same file and kind.
func prepare(cfg Config, old []*loaded) []*loaded {
	var all []*loaded
	for _, m := range cfg {
		if m.Mode == unit.Off {
			continue
		}
		l := &loaded{Map: m}
		l.table.Store(newTable(m.Kind, 0))
		for _, o := range old {
			if o.Name == m.Name && o.File == m.File && o.Kind == m.Kind {
				l.table.Store(o.table.Load())
				l.hits.Store(o.hits.Load())
				o.mu.Lock()
				l.seen, l.taken, l.fault = o.seen, o.taken, o.fault
				o.mu.Unlock()
			}
		}
		all = append(all, l)
	}
	return all
}

// Reconfigure takes cfg whole. Where the file of a new map has a fault, all
// stays as it was and the error says why; that of a map that was there before
// keeps its last content.
func (ms *Maps) Reconfigure(cfg Config) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	ms.mu.Lock()
	defer ms.mu.Unlock()
	all := prepare(cfg, *ms.all.Load())
	var errs []error
	for _, l := range all {
		if err := l.load(); err != nil && l.taken.IsZero() {
			errs = append(errs, err)
		} else if err != nil {
			ms.refused(l, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	ms.all.Store(&all)
	select {
	case ms.kick <- struct{}{}:
	default:
	}
	return nil
}

// Reload reads all files again and returns what is wrong with them. A file with
// a fault changes nothing.
func (ms *Maps) Reload() error { return ms.reload(true) }

// reload reads the files that have changed, or all.
func (ms *Maps) reload(all bool) error {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	var errs []error
	for _, l := range *ms.all.Load() {
		if !all && !l.changed() {
			continue
		}
		before := l.table.Load()
		if err := l.load(); err != nil {
			ms.refused(l, err)
			errs = append(errs, err)
		} else if t := l.table.Load(); t != before {
			ms.log.LogAttrs(context.Background(), slog.LevelInfo, "map read",
				slog.String("rule", l.Name), slog.Int("entries", t.count))
		}
	}
	return errors.Join(errs...)
}

// refused tells of a file that is not taken, once for each of its faults.
func (ms *Maps) refused(l *loaded, err error) {
	if ms.meter != nil {
		ms.meter.Event("map_not_taken")
	}
	for _, e := range flatten(err) {
		ms.log.LogAttrs(context.Background(), slog.LevelError, "map not taken, the old one goes on",
			slog.String("rule", l.Name), slog.Any("err", e))
	}
}

func flatten(err error) []error {
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		return j.Unwrap()
	}
	return []error{err}
}

// changed reports whether the file is another than the one that was read.
func (l *loaded) changed() bool {
	now, err := stampOf(l.File)
	l.mu.Lock()
	defer l.mu.Unlock()
	return err == nil && now != l.seen || err != nil && l.seen != stamp{}
}

// load reads the file and takes it, if it is good.
func (l *loaded) load() error {
	t, seen, err := read(l.File, l.Kind)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen, l.fault = seen, err
	if err != nil {
		return err
	}
	l.taken = time.Now()
	l.table.Store(t)
	return nil
}

// errChanging is about a file that somebody writes just now.
var errChanging = errors.New("the file changes while it is read")

func read(path string, kind Kind) (*table, stamp, error) {
	before, err := stampOf(path)
	if err != nil {
		return nil, stamp{}, fmt.Errorf("read map: %w", err)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, before, fmt.Errorf("read map: %w", err)
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return nil, before, fmt.Errorf("read map: %s is no file", path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, before, fmt.Errorf("read map: %w", err)
	}
	if after, err := stampOf(path); err != nil || after != before {
		return nil, stamp{}, fmt.Errorf("read map %s: %w", path, errChanging)
	}
	t, err := parse(path, kind, data)
	return t, before, err
}

// Lines returns what the maps say of q.
func (ms *Maps) Lines(q Query) []verdict.Line {
	var out []verdict.Line
	for _, l := range *ms.all.Load() {
		if line, ok := l.look(l.table.Load(), &q); ok {
			l.hits.Add(1)
			out = append(out, line)
		}
	}
	return out
}

// Has reports whether the map of that name has value: an address, a domain or
// an address for a map of domains, a network address, a text or a hash. A map
// that is not there has nothing; Names says which are.
func (ms *Maps) Has(name, value string) bool {
	for _, l := range *ms.all.Load() {
		if l.Name == name {
			_, _, ok := l.table.Load().find(value)
			return ok
		}
	}
	return false
}

// Cost returns what Has costs with a value of that many bytes, in units of 100
// nanoseconds, or some times that where each pattern reads all of it; 0 for what
// costs next to nothing.
func (ms *Maps) Cost(name string, length int) int {
	for _, l := range *ms.all.Load() {
		if l.Name == name {
			return len(l.table.Load().patterns) * min(length, maxValue) / 32
		}
	}
	return 0
}

// Names returns the names of all maps that are not off.
func (ms *Maps) Names() []string {
	var out []string
	for _, l := range *ms.all.Load() {
		out = append(out, l.Name)
	}
	return out
}

// Status is what is known of one map.
type Status struct {
	Name    string    `json:"name"`
	File    string    `json:"file"`
	Kind    Kind      `json:"kind"`
	Of      []string  `json:"of"`
	Mode    unit.Mode `json:"mode"`
	Entries int       `json:"entries"`
	// Hits counts messages, Taken is when the content was read, and Fault what
	// is wrong with the file since then.
	Hits  uint64    `json:"hits"`
	Taken time.Time `json:"taken,omitzero"`
	Fault string    `json:"fault,omitempty"`
}

// Status returns what is known of all maps.
func (ms *Maps) Status() []Status {
	out := []Status{}
	for _, l := range *ms.all.Load() {
		st := Status{Name: l.Name, File: l.File, Kind: l.Kind, Of: append([]string{}, l.Of...), Mode: l.Mode,
			Entries: l.table.Load().count, Hits: l.hits.Load()}
		if st.Mode == "" {
			st.Mode = unit.Enforce
		}
		l.mu.Lock()
		st.Taken = l.taken
		if l.fault != nil {
			st.Fault = strings.ReplaceAll(l.fault.Error(), "\n", "; ")
		}
		l.mu.Unlock()
		out = append(out, st)
	}
	return out
}
