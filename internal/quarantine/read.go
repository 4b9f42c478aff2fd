package quarantine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Filter says which entries List returns.
type Filter struct {
	// From has to be in the reverse-path or the header From, To in a recipient,
	// whatever the case; "" is in all.
	From, To string
	// Since leaves out what arrived before.
	Since time.Time
	// Limit is how many are returned at most; 0 means all.
	Limit int
}

// matches reports whether e is one that f wants.
func (f Filter) matches(e *Entry) bool {
	in := func(s, part string) bool { return strings.Contains(strings.ToLower(s), strings.ToLower(part)) }
	if !in(e.MailFrom, f.From) && !in(e.Header.From, f.From) {
		return false
	}
	return f.To == "" || slices.ContainsFunc(e.RcptTo, func(r string) bool { return in(r, f.To) })
}

// maxListed bounds the recipients that a list shows of one entry.
const maxListed = 5

// List returns the entries that f wants, the newest first, without lines and
// edits, and with the first recipients. One whose file is damaged is wanted by a filter without addresses.
func (s *Store) List(ctx context.Context, f Filter) ([]Item, error) {
	s.mu.Lock()
	all := slices.Clone(s.index.order)
	s.mu.Unlock()
	var out []Item
	for _, it := range slices.Backward(all) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if it.arrived().Before(f.Since.Truncate(time.Second)) || f.Limit > 0 && len(out) == f.Limit {
			break
		}
		got, err := s.load(it)
		switch {
		case errors.Is(err, ErrNotFound): // it went meanwhile
			continue
		case errors.Is(err, ErrDamaged):
			if f.From != "" || f.To != "" {
				continue
			}
		case err != nil:
			return nil, err
		case !f.matches(&got.Entry):
			continue
		}
		got.Lines, got.Edits, got.RcptTo = nil, Edits{}, got.RcptTo[:min(len(got.RcptTo), maxListed)]
		out = append(out, got)
	}
	return out, nil
}

// Show returns one entry, by its id or by a queue id that only one has.
func (s *Store) Show(id string) (Item, error) {
	it, err := s.lookUp(id)
	if err != nil {
		return Item{}, err
	}
	return s.load(it)
}

// load reads an entry. With ErrDamaged the item has what its name tells.
func (s *Store) load(it item) (Item, error) {
	f, e, _, err := s.openEntry(it)
	if err != nil {
		e = Entry{ID: it.id, QueueID: it.queueID, Arrived: it.arrived(), Discard: it.discard}
		return Item{Entry: e, Verdict: e.Kind(), Expires: it.expires(s.Config()), State: Damaged}, err
	}
	defer f.Close()
	m, err := s.readMark(it.id)
	if err != nil {
		m = Mark{} // told at the start
	}
	return Item{Entry: e, Verdict: e.Kind(), Expires: it.expires(s.Config()), State: m.state(), Recipients: len(e.RcptTo), Mark: m}, nil
}

// openEntry opens the file of an entry and returns where the message begins.
func (s *Store) openEntry(it item) (*os.File, Entry, int64, error) {
	f, err := os.OpenFile(s.path(it.name), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil, Entry{}, 0, fmt.Errorf("%s: %w", it.id, ErrNotFound)
	}
	if err != nil {
		return nil, Entry{}, 0, fmt.Errorf("open entry: %w", err)
	}
	e, at, err := readHead(f)
	if err == nil {
		var info os.FileInfo
		if info, err = f.Stat(); err == nil && (info.Size() != at+e.Size || e.ID != it.id) {
			err = errFormat
		}
	}
	if err != nil {
		return nil, Entry{}, 0, errors.Join(fmt.Errorf("%s: %w: %w", it.id, ErrDamaged, err), f.Close())
	}
	return f, e, at, nil
}

// Message is the bytes of a message, from the disk. It has to be closed.
type Message struct {
	*io.SectionReader
	file *os.File
}

// Close frees the file.
func (m *Message) Close() error { return m.file.Close() }

// Message returns an entry with the message as it came.
func (s *Store) Message(id string) (Entry, *Message, error) {
	it, err := s.lookUp(id)
	if err != nil {
		return Entry{}, nil, err
	}
	f, e, at, err := s.openEntry(it)
	if err != nil {
		return Entry{}, nil, err
	}
	return e, &Message{io.NewSectionReader(f, at, e.Size), f}, nil
}

// Leaving returns what of msg, the message of e, is delivered: all but what
// Edits cuts.
func (e *Entry) Leaving(msg io.ReaderAt) io.Reader {
	var parts []io.Reader
	at := int64(0)
	for _, c := range e.Edits.Cut {
		parts = append(parts, io.NewSectionReader(msg, at, c.Start-at))
		at = c.End
	}
	return io.MultiReader(append(parts, io.NewSectionReader(msg, at, e.Size-at))...)
}

// Mark returns the mark of an entry.
func (s *Store) Mark(id string) (Mark, error) {
	it, err := s.lookUp(id)
	if err != nil {
		return Mark{}, err
	}
	return s.readMark(it.id)
}

// SetMark keeps the mark of an entry, durably.
func (s *Store) SetMark(id string, m Mark) error {
	it, err := s.lookUp(id)
	if err != nil {
		return err
	}
	b, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("mark %s: %w", it.id, err)
	}
	temp := filepath.Join(s.dir, tempDir, it.id+sufMark)
	if err := gone(s.sys.remove(temp)); err != nil { // of a mark that failed
		return fmt.Errorf("mark %s: %w", it.id, err)
	}
	err = writeFile(s.sys, temp, s.markPath(it.id), true, func(w io.Writer) error {
		_, err := io.Copy(w, bytes.NewReader(b))
		return err
	})
	if errors.Is(err, os.ErrNotExist) { // it went meanwhile
		return fmt.Errorf("mark %s: %w", it.id, ErrNotFound)
	}
	if err != nil {
		return fmt.Errorf("mark %s: %w", it.id, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if i, ok := s.index.find(it.id); ok {
		s.index.order[i].set(m)
	}
	return nil
}

// Unlearned returns the ids of released entries that are yet to be learned.
func (s *Store) Unlearned() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []string
	for _, it := range s.index.order {
		if it.unlearned {
			ids = append(ids, it.id)
		}
	}
	return ids
}

// readAll reads a file of at most most bytes.
func readAll(path string, most int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(b)) > most {
		err = errFormat
	}
	return b, err
}
