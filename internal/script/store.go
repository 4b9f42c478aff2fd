package script

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gatepost/gatepost/internal/mailaddr"
)

// Errors of a Store, beside ErrName, *QuotaError and those of package maildir.
var (
	ErrNotFound = errors.New("there is no such script")
	ErrExists   = errors.New("there is a script of that name")
	ErrActive   = errors.New("the script is active; activate another one, or none, first")
	// ErrUnsafe means that something is in the way that Pigeonhole would not
	// have put there: a link, a directory, a device. Nothing was changed.
	ErrUnsafe = errors.New("not a script")
)

// maxRead bounds what is read of a script, whoever wrote it.
const maxRead = 16 << 20

// Config says where scripts are and how many. The bounds hold for what is
// written; 0 is none.
type Config struct {
	// Root is the directory above all mailboxes (package maildir).
	Root string
	// MaxBytes bounds one script, MaxStorage all of a user together.
	MaxBytes, MaxStorage int64
	MaxScripts           int
}

// Store keeps scripts. Its methods are safe for concurrent use, and block on the
// disk.
type Store struct{ cfg atomic.Pointer[Config] }

// New returns a Store. The mail root need not be there yet.
func New(cfg Config) *Store {
	s := &Store{}
	s.Reconfigure(cfg)
	return s
}

// Reconfigure takes new bounds.
func (s *Store) Reconfigure(cfg Config) { s.cfg.Store(&cfg) }

// Info is one script of a user.
type Info struct {
	Name string `json:"name"`
	// Size is in bytes.
	Size    int64     `json:"size"`
	Changed time.Time `json:"changed"`
	Active  bool      `json:"active"`
}

// List returns the scripts of user in the order of their names.
func (s *Store) List(user mailaddr.Address) ([]Info, error) {
	b, err := s.open(user, false)
	if errors.Is(err, errNoHome) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list scripts: %w", err)
	}
	defer b.close()
	return b.list()
}

func (b *box) list() ([]Info, error) {
	if b.scripts < 0 {
		return nil, nil
	}
	files, err := names(b.scripts)
	if err != nil {
		return nil, fmt.Errorf("list scripts: %w", err)
	}
	active, err := b.activeName()
	if err != nil && !errors.Is(err, ErrUnsafe) {
		return nil, err
	}
	var out []Info
	for _, f := range files {
		name, ok := scriptName(f)
		if !ok {
			continue
		}
		st, err := stat(b.scripts, f)
		if err != nil || !regular(st) {
			continue // it has gone, or is none
		}
		out = append(out, Info{Name: name, Size: st.Size, Changed: time.Unix(st.Mtim.Unix()), Active: name == active})
	}
	slices.SortFunc(out, func(a, b Info) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

// Read returns the script name of user.
func (s *Store) Read(user mailaddr.Address, name string) ([]byte, error) {
	if err := ValidName(name); err != nil {
		return nil, err
	}
	b, err := s.open(user, false)
	if errors.Is(err, errNoHome) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read script: %w", err)
	}
	defer b.close()
	if b.scripts < 0 {
		return nil, ErrNotFound
	}
	src, _, err := readFile(b.scripts, fileName(name), Identity{})
	return src, err
}

// readFile reads a regular file. It reads nothing if the file is the one that
// is known.
func readFile(dirfd int, name string, known Identity) ([]byte, Identity, error) {
	fd, err := unix.Openat(dirfd, name, readFlags, 0)
	switch err {
	case nil:
	case unix.ENOENT:
		return nil, Identity{}, ErrNotFound
	case unix.ELOOP:
		return nil, Identity{}, fmt.Errorf("%w: it is a link", ErrUnsafe)
	default:
		return nil, Identity{}, fmt.Errorf("open script: %w", err)
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, Identity{}, fmt.Errorf("stat script: %w", err)
	}
	if !regular(st) || st.Size > maxRead {
		return nil, Identity{}, fmt.Errorf("%w: no regular file of at most %d bytes", ErrUnsafe, maxRead)
	}
	id := identityOf(st)
	if id == known {
		return nil, id, nil
	}
	src, err := io.ReadAll(io.LimitReader(f, maxRead))
	if err != nil {
		return nil, Identity{}, fmt.Errorf("read script: %w", err)
	}
	return src, id, nil
}

// HaveSpace returns a *QuotaError if Put would refuse a script of so many bytes.
func (s *Store) HaveSpace(user mailaddr.Address, name string, size int64) error {
	if err := ValidName(name); err != nil {
		return err
	}
	have, err := s.List(user)
	if err != nil {
		return err
	}
	return s.cfg.Load().room(have, name, size)
}

// Put keeps src as the script name, in place of one of that name. It is on the
// disk when Put returns nil.
func (s *Store) Put(user mailaddr.Address, name string, src []byte) error {
	if err := ValidName(name); err != nil {
		return err
	}
	return s.change(user, func(b *box) error {
		have, err := b.list()
		if err != nil {
			return err
		}
		if err := s.cfg.Load().room(have, name, int64(len(src))); err != nil {
			return err
		}
		if st, err := stat(b.scripts, fileName(name)); err == nil && !regular(st) {
			return fmt.Errorf("%w: something else has its name", ErrUnsafe)
		}
		return b.replace(func(dir int, file string) error {
			return write(dir, file, fileMode|b.mode&maxMode&^0o110, src)
		}, b.scripts, fileName(name))
	})
}

// change runs f with the scripts of user locked.
func (s *Store) change(user mailaddr.Address, f func(*box) error) error {
	b, err := s.open(user, true)
	if err != nil {
		return fmt.Errorf("open scripts: %w", err)
	}
	defer b.close()
	return f(b)
}

// replace makes something in tmp, and renames it to file in dirfd.
func (b *box) replace(make func(dir int, file string) error, dirfd int, file string) error {
	t, err := b.openTmp(time.Now())
	if err != nil {
		return err
	}
	defer closeFD(t)
	part := rand.Text()
	if err := make(t, part); err != nil {
		_ = unix.Unlinkat(t, part, 0) // else it goes after a while
		return err
	}
	if err := unix.Renameat(t, part, dirfd, file); err != nil {
		_ = unix.Unlinkat(t, part, 0)
		return fmt.Errorf("rename to %s: %w", file, err)
	}
	if err := unix.Fsync(dirfd); err != nil {
		return fmt.Errorf("sync directory of %s: %w", file, err)
	}
	return nil
}

// write makes a file that is on the disk.
func write(dirfd int, name string, mode uint32, src []byte) error {
	fd, err := unix.Openat(dirfd, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, mode)
	if err != nil {
		return fmt.Errorf("make script: %w", err)
	}
	f := os.NewFile(uintptr(fd), name)
	_, err = f.Write(src)
	if err == nil {
		err = f.Chmod(os.FileMode(mode)) // the umask may have taken the group's bits
	}
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write script: %w", err)
	}
	return nil
}
