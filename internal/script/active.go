package script

import (
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/gatepost/gatepost/internal/mailaddr"
)

// Identity tells one version of a file from another. The zero Identity is none.
type Identity struct {
	dev, ino     uint64
	size         int64
	mtime, ctime int64 // in nanoseconds
}

func identityOf(st unix.Stat_t) Identity {
	return Identity{st.Dev, st.Ino, st.Size, st.Mtim.Nano(), st.Ctim.Nano()}
}

// Active is the script that a user's mail goes through.
type Active struct {
	// Name is "" for a regular file ~/.dovecot.sieve.
	Name   string
	Source []byte
	// ID changes whenever the script does.
	ID Identity
}

// Active returns the active script of user, or ErrNotFound where none is. If it
// is the version known, it is not read, and Source is nil. A link that leads
// elsewhere is ErrUnsafe.
func (s *Store) Active(user mailaddr.Address, known Identity) (Active, error) {
	b, err := s.open(user, false)
	if errors.Is(err, errNoHome) {
		return Active{}, ErrNotFound
	}
	if err != nil {
		return Active{}, fmt.Errorf("active script: %w", err)
	}
	defer b.close()
	var a Active
	if a.Name, err = b.activeName(); err != nil {
		return Active{}, err
	}
	switch {
	case a.Name == "":
		a.Source, a.ID, err = readFile(b.home, link, known)
	case b.scripts < 0:
		err = ErrNotFound
	default:
		a.Source, a.ID, err = readFile(b.scripts, fileName(a.Name), known)
	}
	return a, err
}

// activeName returns what the link names, "" where it is a regular file or is
// not there.
func (b *box) activeName() (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(b.home, link, buf)
	switch err {
	case nil:
		return linkedName(b.path, string(buf[:n]))
	case unix.ENOENT, unix.EINVAL:
		return "", nil
	}
	return "", fmt.Errorf("read %s: %w", link, err)
}

// Activate makes the script name the active one, in place of any other; "" is
// none.
func (s *Store) Activate(user mailaddr.Address, name string) error {
	if name == "" {
		return s.deactivate(user)
	}
	if err := ValidName(name); err != nil {
		return err
	}
	return s.change(user, func(b *box) error {
		if err := b.exists(name); err != nil {
			return err
		}
		if err := b.rescue(); err != nil {
			return err
		}
		return b.point(name)
	})
}

// exists returns an error where name is no script.
func (b *box) exists(name string) error {
	st, err := stat(b.scripts, fileName(name))
	switch {
	case errors.Is(err, unix.ENOENT):
		return ErrNotFound
	case err != nil:
		return fmt.Errorf("stat script: %w", err)
	case !regular(st):
		return fmt.Errorf("%w: something else has its name", ErrUnsafe)
	}
	return nil
}

// point makes the link lead to name.
func (b *box) point(name string) error {
	return b.replace(func(dir int, file string) error {
		if err := unix.Symlinkat(linkTarget(name), dir, file); err != nil {
			return fmt.Errorf("make link: %w", err)
		}
		return nil
	}, b.home, link)
}

// rescue keeps a regular file that is the active script as one of the list, with
// a second name, so that at no time the user is without.
func (b *box) rescue() error {
	st, err := stat(b.home, link)
	if errors.Is(err, unix.ENOENT) || err == nil && st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return nil
	}
	if err != nil {
		return fmt.Errorf("stat %s: %w", link, err)
	}
	if !regular(st) {
		return fmt.Errorf("%w: %s is neither a link nor a file", ErrUnsafe, link)
	}
	name := rescued
	for n := 2; ; n++ {
		err := unix.Linkat(b.home, link, b.scripts, fileName(name), 0)
		if err == nil {
			return unix.Fsync(b.scripts)
		}
		old, statErr := stat(b.scripts, fileName(name))
		if statErr == nil && old.Ino == st.Ino {
			return nil // we were killed behind this
		}
		if err != unix.EEXIST || n > 100 {
			return fmt.Errorf("keep %s as %s: %w", link, name, err)
		}
		name = rescued + "-" + strconv.Itoa(n)
	}
}

func (s *Store) deactivate(user mailaddr.Address) error {
	if there, err := s.hasHome(user); err != nil || !there {
		return err
	}
	return s.change(user, func(b *box) error {
		if err := b.rescue(); err != nil {
			return err
		}
		err := unix.Unlinkat(b.home, link, 0)
		if errors.Is(err, unix.ENOENT) {
			return nil
		}
		if err == nil {
			err = unix.Fsync(b.home)
		}
		if err != nil {
			return fmt.Errorf("remove %s: %w", link, err)
		}
		return nil
	})
}

// Delete removes the script name. The active one stays, and is ErrActive.
func (s *Store) Delete(user mailaddr.Address, name string) error {
	return s.present(user, name, func(b *box, active bool) error {
		if active {
			return ErrActive
		}
		return b.unlink(name)
	})
}

// Rename gives the script from the name to; if it is active, it stays so at any
// time. A script called to is ErrExists.
func (s *Store) Rename(user mailaddr.Address, from, to string) error {
	if err := ValidName(to); err != nil {
		return err
	}
	return s.present(user, from, func(b *box, active bool) error {
		if from == to {
			return nil
		}
		err := unix.Linkat(b.scripts, fileName(from), b.scripts, fileName(to), 0)
		if errors.Is(err, unix.EEXIST) {
			return ErrExists
		}
		if err != nil {
			return fmt.Errorf("rename script: %w", err)
		}
		if err := unix.Fsync(b.scripts); err != nil {
			return fmt.Errorf("sync scripts: %w", err)
		}
		if active {
			if err := b.point(to); err != nil {
				return err
			}
		}
		return b.unlink(from)
	})
}

// present runs f if user has the script name.
func (s *Store) present(user mailaddr.Address, name string, f func(b *box, active bool) error) error {
	if err := ValidName(name); err != nil {
		return err
	}
	there, err := s.hasHome(user)
	if err != nil {
		return err
	}
	if !there {
		return ErrNotFound
	}
	return s.change(user, func(b *box) error {
		if err := b.exists(name); err != nil {
			return err
		}
		active, err := b.activeName()
		if err != nil && !errors.Is(err, ErrUnsafe) {
			return err
		}
		return f(b, err == nil && active == name)
	})
}

func (b *box) unlink(name string) error {
	err := unix.Unlinkat(b.scripts, fileName(name), 0)
	if err == nil {
		err = unix.Fsync(b.scripts)
	}
	if err != nil {
		return fmt.Errorf("remove script: %w", err)
	}
	return nil
}
