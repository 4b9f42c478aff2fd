package backup

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/sqlite"
)

const (
	// stagePrefix begins the name of the directory that a set is copied into.
	stagePrefix = ".restore-"
	// asidePrefix begins the name of the directory that gets what was there.
	asidePrefix = "before-restore-"
	asideTime   = "20060102T150405.000Z"
	// unfinished is there while entries move into their places.
	unfinished = "restore.unfinished"
)

var (
	// ErrNotEmpty means that something is where the set goes.
	ErrNotEmpty = errors.New("something is there already")
	// ErrUnfinished means that a restore was killed while it moved files into
	// their places.
	ErrUnfinished = errors.New("a restore into this directory did not end")
)

// Unfinished returns ErrUnfinished if a restore into the data directory was
// killed halfway: what is there must not be served.
func Unfinished(dataDirectory string) error {
	if _, err := os.Lstat(filepath.Join(dataDirectory, unfinished)); err == nil {
		return fmt.Errorf("%s: %w", dataDirectory, ErrUnfinished)
	}
	return nil
}

// Place is where a set goes. The caller holds the lock of the data directory.
type Place struct {
	// DataDirectory is there; what is below it belongs to UID and GID, unless
	// UID is negative: then to who runs.
	DataDirectory string
	UID, GID      int
	// Config is the file of the configuration; "" leaves it and the files that
	// it names as they are.
	Config string
	// Force moves aside what is there.
	Force bool
	// Check opens the stores in a directory as their owner, or tells why that can
	// not be; nil opens nothing.
	Check func(ctx context.Context, dir string) error
}

// restorer is one restore.
type restorer struct {
	set   *Set
	place Place
	root  *os.Root // the data directory
	aside string   // below root
	stamp string
}

func (s *Set) restorer(place Place, now time.Time) (*restorer, error) {
	r := &restorer{set: s, place: place, stamp: now.UTC().Format(asideTime)}
	r.aside = asidePrefix + r.stamp
	root, err := os.OpenRoot(place.DataDirectory)
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // a plan can be made without it
		return nil, fmt.Errorf("restore: %w", err)
	}
	r.root = root
	return r, nil
}

// Restore puts the set in its place, after Verify. It returns what it did. What
// Plan refuses it refuses with nothing touched; an error before the first move
// leaves everything as it was.
func (s *Set) Restore(ctx context.Context, place Place, now time.Time, p Progress) (steps []Step, err error) {
	r, err := s.restorer(place, now)
	if err != nil {
		return nil, err
	}
	if r.root == nil {
		return nil, fmt.Errorf("restore: %s: %w", place.DataDirectory, fs.ErrNotExist)
	}
	defer r.root.Close()
	if steps, err = r.plan(ctx); err != nil {
		return nil, err
	}
	if err := r.run(ctx, p); err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	return steps, nil
}

func (r *restorer) run(ctx context.Context, p Progress) (err error) {
	if err := r.clean(); err != nil {
		return err
	}
	if err := room(r.root, r.set.Manifest.Bytes(), len(r.set.Manifest.Files)); err != nil {
		return err
	}
	stage := stagePrefix + strings.ToLower(rand.Text()[:10])
	if err := r.root.Mkdir(stage, 0o700); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.root.RemoveAll(stage)) }()
	at, err := r.root.OpenRoot(stage)
	if err != nil {
		return err
	}
	defer at.Close()
	if err := r.fill(ctx, at, p); err != nil {
		return err
	}
	dir := filepath.Join(r.place.DataDirectory, stage)
	r.set.at("filled")
	if err := r.inspect(ctx, dir); err != nil {
		return err
	}
	if err := r.give(at); err != nil {
		return err
	}
	if r.place.Check != nil {
		if err := r.place.Check(ctx, dir); err != nil {
			return fmt.Errorf("the backup can not be used by this gatepost: %w", err)
		}
	}
	more, err := r.stageOthers(ctx)
	r.set.at("staged")
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = r.swap(stage)
	}
	if err != nil {
		return errors.Join(err, more.drop())
	}
	return more.commit(r)
}

// clean removes what killed restores left.
func (r *restorer) clean() error {
	all, err := fs.ReadDir(r.root.FS(), ".")
	if err != nil {
		return err
	}
	for _, e := range all {
		if strings.HasPrefix(e.Name(), stagePrefix) {
			if err := r.root.RemoveAll(e.Name()); err != nil {
				return err
			}
		}
	}
	return nil
}

// fill copies the files, and compares them once more with the manifest.
func (r *restorer) fill(ctx context.Context, at *os.Root, p Progress) error {
	var done int64
	all := r.set.Manifest.Bytes()
	for _, f := range r.set.Manifest.Files {
		rel, ok := strings.CutPrefix(f.Path, dataDir+"/")
		if !ok {
			continue
		}
		if err := copyFile(ctx, r.set.root, f, at, rel, r.owner(), func(n int64) { done += n; p.tell(done, all) }); err != nil {
			return err
		}
	}
	return nil
}

func (r *restorer) owner() *owner {
	if r.place.UID < 0 {
		return nil
	}
	return &owner{r.place.UID, r.place.GID}
}

// copyFile copies a file of the set that has to be as the manifest says.
func copyFile(ctx context.Context, from *os.Root, f File, to *os.Root, rel string, own *owner, tell func(int64)) error {
	src, size, err := openRegular(from, f.Path)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	defer src.Close()
	sum, err := writeNew(to, rel, teller{reader{ctx, src}, tell}, f.Size, own)
	if err != nil {
		return err
	}
	if size != f.Size || sum != f.SHA256 {
		return fmt.Errorf("%w: %s has changed since it was looked at", ErrDamaged, f.Path)
	}
	return nil
}

// inspect checks the databases in their new place.
func (r *restorer) inspect(ctx context.Context, dir string) error {
	for _, f := range r.set.Manifest.Files {
		rel, ok := strings.CutPrefix(f.Path, dataDir+"/")
		if !ok || !isDatabase(rel) {
			continue
		}
		c, err := sqlite.Inspect(ctx, filepath.Join(dir, rel))
		if err != nil {
			return err
		}
		if c.Schema != f.Schema || !maps.Equal(c.Rows, f.Rows) && len(c.Rows)+len(f.Rows) > 0 {
			return fmt.Errorf("%w: %s has other rows than the manifest says", ErrDamaged, f.Path)
		}
	}
	return nil
}

// give gives the directories to the owner, the outermost last, and has all of
// them written to the disk.
func (r *restorer) give(at *os.Root) error {
	own := r.owner()
	var dirs []string
	err := fs.WalkDir(at.FS(), ".", func(p string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			dirs = append(dirs, p)
		}
		return err
	})
	if err != nil {
		return err
	}
	slices.Reverse(dirs)
	for _, d := range dirs {
		if err := syncIn(at, d); err != nil {
			return err
		}
		if own == nil {
			continue
		}
		if err := at.Lchown(d, own.uid, own.gid); err != nil {
			return err
		}
	}
	return nil
}

// swap moves what is there aside and the new entries into their places. When a
// move fails, those before it are taken back.
func (r *restorer) swap(stage string) (err error) {
	there, err := r.there()
	if err != nil {
		return err
	}
	f, err := r.root.OpenFile(unfinished, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close(), syncIn(r.root, ".")); err != nil {
		return err
	}
	var moves [][2]string
	if len(there) > 0 {
		if err := r.root.Mkdir(r.aside, 0o700); err != nil {
			return err
		}
		if own := r.owner(); own != nil {
			err = r.root.Lchown(r.aside, own.uid, own.gid)
		}
		for _, name := range there {
			moves = append(moves, [2]string{name, path.Join(r.aside, name)})
		}
	}
	entries, readErr := fs.ReadDir(r.root.FS(), stage)
	for _, e := range entries {
		moves = append(moves, [2]string{path.Join(stage, e.Name()), e.Name()})
	}
	if err := errors.Join(err, readErr); err != nil {
		return errors.Join(err, r.root.Remove(unfinished))
	}
	if err := r.move(moves); err != nil {
		return err
	}
	if err := syncIn(r.root, "."); err != nil {
		return err
	}
	r.set.at("moved")
	if err := r.root.Remove(unfinished); err != nil {
		return err
	}
	return syncIn(r.root, ".")
}

// move makes the moves, or none of them. The marker stays only where some could
// not be taken back.
func (r *restorer) move(moves [][2]string) error {
	for i, m := range moves {
		r.set.at("move " + m[1])
		err := r.root.Rename(m[0], m[1])
		if err == nil {
			continue
		}
		for _, back := range slices.Backward(moves[:i]) {
			if backErr := r.root.Rename(back[1], back[0]); backErr != nil {
				return fmt.Errorf("%w; and then %w: what was there is in %s", err, backErr, filepath.Join(r.place.DataDirectory, r.aside))
			}
		}
		return errors.Join(err, r.root.Remove(unfinished))
	}
	return nil
}
