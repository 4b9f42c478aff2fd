package backup

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gatepost/gatepost/internal/sqlite"
)

// ErrBusy means that another backup is under way.
var ErrBusy = errors.New("another backup is under way")

// Source writes the data directory as a stream. It runs in the process that owns
// the files.
type Source struct {
	// Dir is the data directory.
	Dir string
	// Flush brings to the disk what waits in memory, as far as it can.
	Flush []func(context.Context) error

	busy sync.Mutex
}

// Entries of a stream that are no file.
const (
	beginEntry = "begin"
	endEntry   = "end"
)

// maxNote bounds both.
const maxNote = 4 << 20

// begin is the first entry of a stream.
type begin struct {
	Format int       `json:"format"`
	Time   time.Time `json:"time"`
	// Files and Bytes are about what follows.
	Files int   `json:"files"`
	Bytes int64 `json:"bytes"`
}

// end is the last one. Without it the stream is not whole.
type end struct {
	// Error is what kept the stream from being whole.
	Error   string   `json:"error,omitempty"`
	LeftOut []string `json:"left_out,omitempty"`
}

// order is that of the databases; see the doc of this package.
var order = []string{"learn.db", "features.db", "accounts.db", "state.db", "journal.db"}

// weights is opened before any of them.
const weights = "classifier.weights"

// keysDir has a directory for each domain, which is read as one.
const keysDir = "dkim"

// Stream writes the directory to w as a tar. An error before the first byte is
// returned with nothing written; a later one is in the stream, too, so that who
// reads it hears why.
func (s *Source) Stream(ctx context.Context, w io.Writer) error {
	if !s.busy.TryLock() {
		return ErrBusy
	}
	defer s.busy.Unlock()
	st := &stream{dir: s.Dir, tar: tar.NewWriter(w)}
	for _, flush := range s.Flush {
		if err := flush(ctx); err != nil && ctx.Err() == nil {
			st.leave("what waited in memory could not be written: " + err.Error())
		}
	}
	defer st.close()
	if err := st.open(ctx); err != nil {
		return fmt.Errorf("backup of %s: %w", s.Dir, err)
	}
	if err := st.write(ctx); err != nil {
		return fmt.Errorf("backup of %s: %w", s.Dir, err)
	}
	return nil
}

// stream is one run.
type stream struct {
	dir  string
	root *os.Root
	tar  *tar.Writer
	now  time.Time

	weights   *os.File // nil for none
	databases []database
	rest      []string // other files, sorted
	bytes     int64    // of all
	leftOut   []string
}

type database struct {
	name string
	snap *sqlite.Snapshot
}

func (st *stream) leave(why string) {
	if why = strings.ToValidUTF8(why, "?"); len(st.leftOut) < 1000 {
		st.leftOut = append(st.leftOut, strings.Map(noControl, why[:min(len(why), 500)]))
	}
}

func noControl(r rune) rune {
	if r < ' ' || r == 0x7f {
		return ' '
	}
	return r
}

// open fixes what the set is: after it, changes are not in it.
func (st *stream) open(ctx context.Context) (err error) {
	if st.root, err = os.OpenRoot(st.dir); err != nil {
		return err
	}
	if st.weights, err = st.openFile(weights); gone(err) != nil {
		return err
	}
	found, err := fs.Glob(st.root.FS(), "*.db")
	if err != nil {
		return err
	}
	slices.SortStableFunc(found, func(a, b string) int { return place(a) - place(b) })
	for _, name := range found {
		if info, err := st.root.Lstat(name); err != nil || !info.Mode().IsRegular() {
			st.leave(name + ": no regular file")
			continue
		}
		snap, err := sqlite.Snap(ctx, filepath.Join(st.dir, name))
		if sqlite.IsCorrupt(err) && slices.Contains(renewable, name) {
			st.leave(name + ": it is damaged; gatepost sets it aside and begins a new one when it starts")
			continue
		}
		if err != nil {
			return err
		}
		st.databases = append(st.databases, database{name, snap})
		st.bytes += snap.Size()
	}
	st.now = time.Now().UTC()
	return st.list()
}

// place is where a database stands in the order; one that it does not name comes
// last.
func place(name string) int {
	if i := slices.Index(order, name); i >= 0 {
		return i
	}
	return len(order)
}

// list finds all other files.
func (st *stream) list() error {
	return fs.WalkDir(st.root.FS(), ".", func(p string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it was there a moment ago
		}
		if err != nil {
			return err
		}
		if p == "." {
			return nil
		}
		if passing(p) {
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		switch {
		case e.IsDir() || isDatabase(p) || p == weights:
			return nil
		case !e.Type().IsRegular():
			st.leave(fmt.Sprintf("%s: no regular file", p))
			return nil
		case !isName(path.Join(dataDir, p)):
			st.leave(fmt.Sprintf("%.100q: its name is not one of ours", p))
			return nil
		}
		if info, err := e.Info(); err == nil {
			st.bytes += info.Size()
		}
		if st.rest = append(st.rest, p); len(st.rest) > maxFiles/2 {
			return fmt.Errorf("more than %d files", maxFiles/2)
		}
		return nil
	})
}

// passing reports whether something is not worth keeping: it is there for a
// moment only, or another copy of what is kept.
func passing(p string) bool {
	name := path.Base(p)
	switch p {
	case "lock", "spool", "outgoing/tmp", "quarantine/tmp", "lost+found", unfinished:
		return true
	}
	for _, suffix := range []string{".db-wal", ".db-shm", ".db-journal", ".next", ".tmp"} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	top := !strings.Contains(p, "/")
	return strings.HasPrefix(name, ".") || top && (strings.Contains(name, ".corrupt-") || strings.Contains(name, ".before-") || strings.HasPrefix(name, asidePrefix))
}

// write sends what open fixed.
func (st *stream) write(ctx context.Context) error {
	files := len(st.databases) + len(st.rest)
	if err := st.note(beginEntry, begin{Format, st.now, files, st.bytes}); err != nil {
		return err
	}
	err := st.files(ctx)
	if err == nil {
		err = ctx.Err()
	}
	last := end{LeftOut: st.leftOut}
	if err != nil {
		last.Error = err.Error()
	}
	return errors.Join(err, st.note(endEntry, last), st.tar.Close())
}

func (st *stream) files(ctx context.Context) error {
	if st.weights != nil {
		if err := st.file(ctx, weights, st.weights); err != nil {
			return err
		}
	}
	for _, d := range st.databases {
		err := st.entry(d.name, d.snap.Size(), func(w io.Writer) error { return d.snap.Copy(ctx, w) })
		if err := errors.Join(err, d.snap.Close()); err != nil { // its WAL may be folded from now on
			return err
		}
	}
	last := ""
	for _, p := range st.rest {
		if dir := path.Dir(p); path.Dir(dir) == keysDir {
			if dir != last {
				if err := st.domain(dir); err != nil {
					return err
				}
			}
			last = dir
			continue
		}
		f, err := st.openFile(p)
		if errors.Is(err, fs.ErrNotExist) {
			continue // sent, released or removed since
		}
		if err == nil {
			err = errors.Join(st.file(ctx, p, f), f.Close())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// openFile opens a file that a rename may replace at any time.
func (st *stream) openFile(p string) (*os.File, error) {
	for n := 1; ; n++ {
		f, _, err := openRegular(st.root, p)
		if err == nil || !errors.Is(err, errReplaced) || n == keyTries {
			return f, err
		}
	}
}

// file sends an open file.
func (st *stream) file(ctx context.Context, name string, f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		st.leave(name + ": no regular file")
		return nil
	}
	return st.entry(name, info.Size(), func(w io.Writer) error {
		_, err := io.CopyN(w, reader{ctx, f}, info.Size())
		return err
	})
}

// entry sends a file of that size. Where fill fails, the rest is zeros, so that
// the end of the stream can tell.
func (st *stream) entry(name string, size int64, fill func(io.Writer) error) error {
	h := &tar.Header{Typeflag: tar.TypeReg, Name: path.Join(dataDir, name), Size: size, Mode: 0o600, ModTime: st.now, Format: tar.FormatPAX}
	if err := st.tar.WriteHeader(h); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	w := &counter{w: st.tar}
	err := fill(w)
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%s: %w", name, err)
	if w.err == nil {
		_, cause := io.CopyN(st.tar, zeros{}, size-w.n)
		err = errors.Join(err, cause)
	}
	return err
}

func (st *stream) note(name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(b)), Mode: 0o600, ModTime: st.now, Format: tar.FormatPAX}
	if err := st.tar.WriteHeader(h); err != nil {
		return fmt.Errorf("send %s: %w", name, err)
	}
	if _, err := st.tar.Write(b); err != nil {
		return fmt.Errorf("send %s: %w", name, err)
	}
	return st.tar.Flush()
}

func (st *stream) close() {
	for _, d := range st.databases {
		_ = d.snap.Close() // of what was only read
	}
	if st.weights != nil {
		_ = st.weights.Close()
	}
	if st.root != nil {
		_ = st.root.Close()
	}
}

// counter counts what was written, and keeps the first error of writing.
type counter struct {
	w   io.Writer
	n   int64
	err error
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	if c.err == nil {
		c.err = err
	}
	return n, err
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// reader ends with its context.
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

// gone returns err unless it says that there is no such file.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
