package quarantine

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatepost/gatepost/internal/reply"
	"golang.org/x/sys/unix"
)

// Errors that callers branch on.
var (
	// ErrNotFound means that there is no such entry, or no more.
	ErrNotFound = errors.New("not in quarantine")
	// ErrAmbiguous means that a queue id has several entries.
	ErrAmbiguous = errors.New("more than one entry has this queue id")
	// ErrFull means that the disk, or the quarantine, has no room for a message.
	ErrFull = errors.New("no room in quarantine")
	// ErrDamaged means that a file is not what Put wrote.
	ErrDamaged = errors.New("damaged in quarantine")
)

// replyFull is what a sender hears when there is no room.
var replyFull = reply.Must(451, "3.1", "not enough disk space here, please try again later")

// MaxEntries bounds the entries, and with them the memory of the index.
const MaxEntries = 100_000

// Store is the quarantine below one directory. Its methods are safe for
// concurrent use.
type Store struct {
	dir  string
	most int // MaxEntries, but for tests
	sys  system
	log  *slog.Logger
	cfg  atomic.Pointer[Config]

	mu    sync.Mutex // guards what follows
	index index
	// coming are the bytes of messages that are being written.
	coming int64
	stats  Stats
	warned time.Time // when a full quarantine was last told of
	// days are directories that are known to be there for good, writing counts
	// the messages that come into each now.
	days    map[string]bool
	writing map[string]int
}

// Stats are figures for metrics.
type Stats struct {
	// Entries and Bytes are those in the quarantine.
	Entries int
	Bytes   int64
	// Evicted counts entries that went before their time, Refused messages that
	// found no room or could not be written.
	Evicted, Refused uint64
}

// Open opens the quarantine in dir, which it makes if its parent is there, and
// removes what a killed process left half-written. cfg is valid.
func Open(dir string, cfg Config, log *slog.Logger) (*Store, error) {
	return open(dir, cfg, kernel{}, log)
}

func open(dir string, cfg Config, sys system, log *slog.Logger) (*Store, error) {
	s := &Store{dir: dir, most: MaxEntries, sys: sys, log: log, days: map[string]bool{}, writing: map[string]int{}}
	s.cfg.Store(&cfg)
	for _, d := range []string{dir, filepath.Join(dir, tempDir)} {
		if err := s.makeDir(d, false); err != nil {
			return nil, fmt.Errorf("open quarantine: %w", err)
		}
	}
	if err := s.scan(); err != nil {
		return nil, fmt.Errorf("open quarantine: %w", err)
	}
	return s, nil
}

// tempDir is below the directory of the quarantine.
const tempDir = "tmp"

// Config returns the settings in force.
func (s *Store) Config() Config { return *s.cfg.Load() }

// Reconfigure takes new settings, which are valid. They hold for entries that
// are there, too.
func (s *Store) Reconfigure(cfg Config) { s.cfg.Store(&cfg) }

// Stats returns the figures of now.
func (s *Store) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stats
	st.Entries, st.Bytes = len(s.index.order), s.index.bytes
	return st
}

// makeDir makes a directory that is still there after a power cut. Known says
// that an earlier call of this process did.
func (s *Store) makeDir(path string, known bool) error {
	err := s.sys.mkdir(path)
	switch {
	case errors.Is(err, os.ErrExist) && known:
		return nil
	case err != nil && !errors.Is(err, os.ErrExist):
		return err
	}
	return s.sys.syncDir(filepath.Dir(path))
}

// Put keeps a message, whose length e.Size has to tell, and returns its id. When
// it returns without an error the entry survives a power cut; after one, nothing
// is kept. An error is transient and carries a 451; it says what mends it.
func (s *Store) Put(ctx context.Context, e Entry, msg io.Reader) (string, error) {
	id, err := s.put(ctx, e, msg)
	if err == nil {
		return id, nil
	}
	s.mu.Lock()
	s.stats.Refused++
	s.mu.Unlock()
	r := reply.Broken
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		r, err = replyFull, fmt.Errorf("%w: %w; make room on the disk of %s", ErrFull, err, s.dir)
	case errors.Is(err, ErrFull):
		r = replyFull
	case errors.Is(err, os.ErrPermission), errors.Is(err, unix.EROFS):
		err = fmt.Errorf("%w; give %s to the user that gatepost runs as, writable", err, s.dir)
	}
	return "", reply.WithError(r, fmt.Errorf("put into quarantine: %w", err))
}

func (s *Store) put(ctx context.Context, e Entry, msg io.Reader) (string, error) {
	e.ID = e.Arrived.UTC().Format(idTime) + "-" + strings.ToLower(rand.Text()[:6])
	if !plain(e.QueueID) || len(e.QueueID) > maxQueueID {
		e.QueueID = ""
	}
	head, err := appendHead(nil, &e)
	if err != nil {
		return "", err
	}
	it := newItem(name{e.ID, e.QueueID, e.Discard}, int64(len(head))+e.Size)
	if err := s.reserve(ctx, it.bytes); err != nil {
		return "", err
	}
	defer s.leave(e.ID[:dayLen])
	if err = s.enter(e.ID[:dayLen]); err == nil {
		err = s.write(ctx, it.name, head, io.LimitReader(msg, e.Size+1), e.Size)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.coming -= it.bytes
	if err != nil {
		return "", err
	}
	s.index.add(it)
	return e.ID, nil
}

// onDisk returns what a file of n bytes takes of most disks.
func onDisk(n int64) int64 { return (n + 4095) &^ 4095 }

// write makes the file of an entry.
func (s *Store) write(ctx context.Context, n name, head []byte, msg io.Reader, size int64) error {
	return writeFile(s.sys, filepath.Join(s.dir, tempDir, n.id), s.path(n), false, func(w io.Writer) error {
		if _, err := w.Write(head); err != nil {
			return err
		}
		got, err := io.Copy(w, reader{ctx, msg})
		if err == nil && got != size {
			err = fmt.Errorf("the message has %d bytes and not %d", got, size)
		}
		return err
	})
}

// reader ends with its context. It hides what else msg can do, so that io.Copy
// goes by pieces.
type reader struct {
	ctx context.Context
	r   io.Reader
}

func (r reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

// enter makes the directory of a day, and keeps it from being taken away as
// empty until leave.
func (s *Store) enter(day string) error {
	s.mu.Lock()
	s.writing[day]++
	known := s.days[day]
	s.mu.Unlock()
	if err := s.makeDir(filepath.Join(s.dir, day), known); err != nil {
		return err
	}
	s.mu.Lock()
	s.days[day] = true
	s.mu.Unlock()
	return nil
}

func (s *Store) leave(day string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writing[day]--; s.writing[day] == 0 {
		delete(s.writing, day)
	}
}

// path returns the file of an entry.
func (s *Store) path(n name) string { return filepath.Join(s.dir, n.id[:dayLen], n.String()) }

// markPath returns the file with the mark of an entry.
func (s *Store) markPath(id string) string { return filepath.Join(s.dir, id[:dayLen], id+sufMark) }
