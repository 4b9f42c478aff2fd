package backup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// ErrNoSet means that a directory is no set and has none.
var ErrNoSet = errors.New("no whole backup is there")

// ErrDamaged means that a set is not what a backup wrote.
var ErrDamaged = errors.New("the backup is damaged")

// Set is a set to be put back. Its Manifest was read and is sound; what it says
// of files is not proven before Verify.
type Set struct {
	Manifest Manifest
	// Dir is the set; Older counts the sets beside it that were passed over.
	Dir   string
	Older int
	root  *os.Root
	// reach is called before each step that a kill may follow; nil outside of
	// tests.
	reach func(at string)
}

// Open reads the manifest of the set in dir, or of the newest set there.
func Open(dir string) (*Set, error) {
	s := &Set{Dir: dir}
	r, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	if _, err := r.Lstat(manifestFile); err != nil {
		all, err := sets(r)
		if err == nil && len(all) == 0 {
			err = ErrNoSet
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", dir, err), r.Close())
		}
		newest := all[len(all)-1]
		s.Dir, s.Older = filepath.Join(dir, newest), len(all)-1
		below, err := r.OpenRoot(newest)
		if err := errors.Join(err, r.Close()); err != nil {
			return nil, fmt.Errorf("backup: %w", err)
		}
		r = below
	}
	s.root = r
	if err := s.read(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", s.Dir, err), s.Close())
	}
	return s, nil
}

func (s *Set) at(point string) {
	if s.reach != nil {
		s.reach(point)
	}
}

// Close lets go of the set.
func (s *Set) Close() error { return s.root.Close() }

// read reads the manifest, and compares it with its checksum.
func (s *Set) read() error {
	text, err := readAll(s.root, manifestFile, maxManifest)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	line, err := readAll(s.root, sumFile, 1000)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	sum := sha256.Sum256(text)
	if !bytes.Equal(bytes.TrimSpace(line), []byte(hex.EncodeToString(sum[:])+"  "+manifestFile)) {
		return fmt.Errorf("%w: %s has another checksum than %s says", ErrDamaged, manifestFile, sumFile)
	}
	s.Manifest, err = parse(text)
	return err
}

func readAll(r *os.Root, name string, most int64) ([]byte, error) {
	f, size, err := openRegular(r, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if size > most {
		return nil, fmt.Errorf("%s has %d bytes, more than any of ours", name, size)
	}
	return io.ReadAll(io.LimitReader(f, most))
}

// Verify compares every file with the manifest, and reports the first faults.
// Extra are files that the manifest does not name; they are never put back.
func (s *Set) Verify(ctx context.Context, p Progress) (extra []string, err error) {
	var faults []error
	var done int64
	all := s.Manifest.Bytes()
	named := make(map[string]bool, len(s.Manifest.Files))
	for _, f := range s.Manifest.Files {
		named[f.Path] = true
		sum, err := sumOf(ctx, s.root, f.Path, f.Size, func(n int64) { done += n; p.tell(done, all) })
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err == nil && sum != f.SHA256 {
			err = fmt.Errorf("%s has another checksum than the manifest says", f.Path)
		}
		if err != nil {
			if faults = append(faults, err); len(faults) == 10 {
				break
			}
		}
	}
	if len(faults) > 0 {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, errors.Join(faults...))
	}
	err = fs.WalkDir(s.root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		if err == nil && e.Type()&fs.ModeSymlink != 0 {
			return fmt.Errorf("%w: %s: it is a symbolic link", ErrDamaged, name)
		}
		if err != nil || e.IsDir() || named[name] || name == manifestFile || name == sumFile || len(extra) >= 1000 {
			return err
		}
		extra = append(extra, name)
		return nil
	})
	return extra, err
}

// File returns the entry of a set's file.
func (s *Set) File(p string) (File, bool) {
	i := slices.IndexFunc(s.Manifest.Files, func(f File) bool { return f.Path == p })
	if i < 0 {
		return File{}, false
	}
	return s.Manifest.Files[i], true
}

// ConfigFile is the path of the configuration in the set.
func (s *Set) ConfigFile() string { return filepath.Join(s.Dir, configDir, "gatepost.yaml") }
