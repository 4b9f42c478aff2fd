package backup

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gatepost/gatepost/internal/sqlite"
)

// renewable are the databases that mail can do without.
var renewable = []string{"journal.db", "features.db"}

// Names of a set and of what is in it.
const (
	manifestFile = "manifest.json"
	sumFile      = "manifest.sha256"
	setPrefix    = "gatepost-"
	setTime      = "20060102T150405Z"
	// partPrefix begins the name of a set that is not whole.
	partPrefix = ".gatepost-"
)

// Builder makes one set. Call Close in the end, whatever happened.
type Builder struct {
	parent   *os.Root
	part     string // the name below parent while it is made; "" once it is whole
	root     *os.Root
	lock     *os.File
	manifest Manifest
}

// Create begins a set below dir, which it makes with mode 0700 if its parent is
// there. It removes what killed backups left there. M has the facts that the
// stream does not bring.
func Create(dir string, m Manifest) (b *Builder, err error) {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("backup: %w", err)
	}
	b = &Builder{manifest: m}
	b.manifest.Format = Format
	if b.parent, err = os.OpenRoot(dir); err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	if err := b.create(); err != nil {
		return nil, errors.Join(fmt.Errorf("backup: %w", err), b.Close())
	}
	return b, nil
}

func (b *Builder) create() (err error) {
	if err := removeParts(b.parent); err != nil {
		return err
	}
	part := partPrefix + strings.ToLower(rand.Text()[:10])
	if err := b.parent.Mkdir(part, 0o700); err != nil {
		return err
	}
	b.part = part
	if b.root, err = b.parent.OpenRoot(part); err != nil {
		return err
	}
	if b.lock, err = b.parent.Open(part); err != nil {
		return err
	}
	return unix.Flock(int(b.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
}

// removeParts removes sets that nobody makes any more.
func removeParts(parent *os.Root) error {
	all, err := fs.ReadDir(parent.FS(), ".")
	if err != nil {
		return err
	}
	for _, e := range all {
		if !strings.HasPrefix(e.Name(), partPrefix) || !e.IsDir() {
			continue
		}
		if err := removePart(parent, e.Name()); err != nil {
			return err
		}
	}
	return nil
}

func removePart(parent *os.Root, name string) error {
	d, err := parent.Open(name)
	if err != nil {
		return gone(err)
	}
	defer d.Close()
	if unix.Flock(int(d.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil { // another backup is at work
		return nil
	}
	return parent.RemoveAll(name)
}

// AddFile takes a file that is not in the data directory: the configuration, or
// one that it names.
func (b *Builder) AddFile(ctx context.Context, target string, isConfig bool) error {
	p := path.Join(filesDir, filepath.ToSlash(target))
	if isConfig {
		p = path.Join(configDir, "gatepost.yaml")
	}
	if !isTarget(target) || !isName(p) {
		return fmt.Errorf("%.200q is no clean absolute path", target)
	}
	if slices.ContainsFunc(b.manifest.Files, func(f File) bool { return f.Path == p }) {
		return nil // two settings name it
	}
	f, err := os.OpenFile(target, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s: no regular file", target)
	}
	sum, err := writeNew(b.root, p, reader{ctx, f}, info.Size(), nil)
	if err != nil {
		return err
	}
	out := File{Path: p, Size: info.Size(), SHA256: sum, Target: target, Mode: uint32(info.Mode().Perm())}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		out.Owner, out.Group = userName(sys.Uid), groupName(sys.Gid)
	}
	b.manifest.Files = append(b.manifest.Files, out)
	return nil
}

// LeaveOut notes that something is not in the set.
func (b *Builder) LeaveOut(why string) {
	b.manifest.LeftOut = append(b.manifest.LeftOut, strings.Map(noControl, strings.ToValidUTF8(why, "?")))
}

func userName(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return id
}

func groupName(gid uint32) string {
	id := strconv.FormatUint(uint64(gid), 10)
	if g, err := user.LookupGroupId(id); err == nil {
		return g.Name
	}
	return id
}

// Commit checks every database, writes the manifest and gives the set its name,
// which is returned with the manifest. Then it is on the disk as a whole.
func (b *Builder) Commit(ctx context.Context) (string, Manifest, error) {
	set, err := b.commit(ctx)
	if err != nil {
		return "", Manifest{}, fmt.Errorf("backup: %w", err)
	}
	return filepath.Join(b.parent.Name(), set), b.manifest, nil
}

func (b *Builder) commit(ctx context.Context) (string, error) {
	if err := b.inspect(ctx); err != nil {
		return "", err
	}
	text, err := b.manifest.encode()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	line := hex.EncodeToString(sum[:]) + "  " + manifestFile + "\n"
	for _, f := range []struct{ name, text string }{{manifestFile, string(text)}, {sumFile, line}} {
		if _, err := writeNew(b.root, f.name, strings.NewReader(f.text), int64(len(f.text)), nil); err != nil {
			return "", err
		}
	}
	if err := syncAll(b.root); err != nil {
		return "", err
	}
	name, err := b.rename(b.manifest.Time)
	if err != nil {
		return "", err
	}
	b.part = ""
	return name, syncIn(b.parent, ".")
}

// inspect checks every database. A damaged one that begins anew by itself when
// Gatepost starts is left out: it must not keep the others from being saved.
func (b *Builder) inspect(ctx context.Context) error {
	kept := b.manifest.Files[:0]
	for _, f := range b.manifest.Files {
		rel, ok := strings.CutPrefix(f.Path, dataDir+"/")
		if !ok || !isDatabase(rel) {
			kept = append(kept, f)
			continue
		}
		c, err := sqlite.Inspect(ctx, filepath.Join(b.parent.Name(), b.part, filepath.FromSlash(f.Path)))
		switch {
		case err == nil:
			f.Schema, f.Rows = c.Schema, c.Rows
			kept = append(kept, f)
		case sqlite.IsCorrupt(err) && slices.Contains(renewable, rel):
			b.LeaveOut(rel + ": it is damaged; gatepost sets it aside and begins a new one when it starts")
			if err := b.root.Remove(f.Path); err != nil {
				return err
			}
		default:
			return fmt.Errorf("check the copy: %w", err)
		}
	}
	b.manifest.Files = kept
	return nil
}

// syncAll syncs all directories below r.
func syncAll(r *os.Root) error {
	return fs.WalkDir(r.FS(), ".", func(p string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return err
		}
		return syncIn(r, p)
	})
}

// rename gives the set its name, with a number when another one of the same
// second has it.
func (b *Builder) rename(at time.Time) (string, error) {
	dir, err := b.parent.Open(".")
	if err != nil {
		return "", err
	}
	defer dir.Close()
	fd := int(dir.Fd())
	name := setPrefix + at.UTC().Format(setTime)
	for n := 2; ; n++ {
		err := unix.Renameat2(fd, b.part, fd, name, unix.RENAME_NOREPLACE)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) { // NFS
			if _, there := b.parent.Lstat(name); there != nil {
				err = b.parent.Rename(b.part, name)
			} else {
				err = unix.EEXIST
			}
		}
		if !errors.Is(err, unix.EEXIST) || n > 99 {
			return name, err
		}
		name = fmt.Sprintf("%s%s-%02d", setPrefix, at.UTC().Format(setTime), n)
	}
}

// Close removes a set that did not become whole, and lets go of the rest.
func (b *Builder) Close() error {
	var errs []error
	if b.part != "" && b.parent != nil {
		errs = append(errs, b.parent.RemoveAll(b.part))
		b.part = ""
	}
	if b.root != nil {
		errs = append(errs, b.root.Close())
	}
	if b.lock != nil {
		errs = append(errs, b.lock.Close())
	}
	if b.parent != nil {
		errs = append(errs, b.parent.Close())
	}
	*b = Builder{}
	return errors.Join(errs...)
}

// isSet reports whether a name is that of a set.
func isSet(name string) bool {
	at, ok := strings.CutPrefix(name, setPrefix)
	if at, number, more := strings.Cut(at, "-"); more {
		n, err := strconv.Atoi(number)
		_, timeErr := time.Parse(setTime, at)
		return ok && err == nil && n > 1 && timeErr == nil
	}
	_, err := time.Parse(setTime, at)
	return ok && err == nil
}

// sets lists the sets in dir, the oldest first.
func sets(dir *os.Root) (names []string, err error) {
	all, err := fs.ReadDir(dir.FS(), ".") // by name, and so by time
	if err != nil {
		return nil, err
	}
	for _, e := range all {
		if !isSet(e.Name()) || !e.IsDir() {
			continue
		}
		if _, err := dir.Lstat(path.Join(e.Name(), sumFile)); err == nil {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// Prune removes the oldest sets in dir beyond keep, and returns their paths. A
// kill leaves none that looks whole.
func Prune(dir string, keep int) (removed []string, err error) {
	r, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("remove old backups: %w", err)
	}
	defer r.Close()
	all, err := sets(r)
	if err != nil {
		return nil, fmt.Errorf("remove old backups: %w", err)
	}
	for _, name := range all[:max(0, len(all)-max(keep, 1))] {
		part := partPrefix + strings.ToLower(rand.Text()[:10])
		err := r.Rename(name, part)
		if err == nil {
			err = r.RemoveAll(part)
		}
		if err != nil {
			return removed, fmt.Errorf("remove old backup %s: %w", name, err)
		}
		removed = append(removed, filepath.Join(dir, name))
	}
	return removed, nil
}
