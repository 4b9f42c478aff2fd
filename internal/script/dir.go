package script

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/maildir"
)

const (
	dirFlags  = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	readFlags = unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC

	// A directory that we make outside of a home has this mode; what is inside
	// has the bits of the home too. Nothing is open to the world.
	dirMode  = 0o700
	fileMode = 0o600
	maxMode  = 0o770

	// maxEntries bounds how much of a directory is looked at.
	maxEntries = 10000
	// abandoned is the age at which a file in tmp belongs to nobody.
	abandoned = 36 * time.Hour
)

// box is one user's directories, open.
type box struct {
	path string // of the home
	mode uint32 // of the home
	home int
	// scripts is -1 where the directory is missing.
	scripts int
}

// open opens the directories of user and, if write is set, makes those that
// are missing and locks the scripts. The caller closes the box. Without write
// a home that is missing is errNoHome.
func (s *Store) open(user mailaddr.Address, write bool) (_ *box, err error) {
	root := s.cfg.Load().Root
	home, err := maildir.Home(root, user)
	if err != nil {
		return nil, err
	}
	b := &box{path: home, home: -1, scripts: -1}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	if err := b.openHome(root, write); err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(b.home, &st); err != nil {
		return nil, fmt.Errorf("stat home: %w", err)
	}
	if uid := uint32(os.Geteuid()); st.Uid != uid {
		return nil, fmt.Errorf("home of uid %d, this process is %d: %w", st.Uid, uid, maildir.ErrOwner)
	}
	b.mode = st.Mode
	b.scripts, err = openDir(b.home, directory, dirMode|b.mode&maxMode, write)
	if errors.Is(err, unix.ENOENT) {
		return b, nil
	}
	if err == nil && write {
		err = lock(b.scripts)
	}
	return b, err
}

// hasHome tells whether user has a home. What changes nothing makes none.
func (s *Store) hasHome(user mailaddr.Address) (bool, error) {
	b, err := s.open(user, false)
	if errors.Is(err, errNoHome) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("open scripts: %w", err)
	}
	b.close()
	return true, nil
}

// errNoHome means that the user has had no mail yet.
var errNoHome = errors.New("no home yet")

// openHome opens the home, directory by directory, without following a link
// below root.
func (b *box) openHome(root string, write bool) error {
	fd, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open mail root %s: %w", root, err)
	}
	defer closeFD(fd)
	domain, err := openDir(fd, filepath.Base(filepath.Dir(b.path)), dirMode, write)
	if err == nil {
		defer closeFD(domain)
		b.home, err = openDir(domain, filepath.Base(b.path), dirMode, write)
	}
	if errors.Is(err, unix.ENOENT) {
		return errNoHome
	}
	return err
}

// openDir opens the directory name in dirfd. If it is missing and is to be
// made, it gets that mode whatever the umask says.
func openDir(dirfd int, name string, mode uint32, make bool) (int, error) {
	fd, err := unix.Openat(dirfd, name, dirFlags, 0)
	if err == unix.ENOENT && make {
		if err := makeDir(dirfd, name, mode); err != nil {
			return -1, err
		}
		fd, err = unix.Openat(dirfd, name, dirFlags, 0)
	}
	switch err {
	case nil:
		return fd, nil
	case unix.ELOOP, unix.ENOTDIR:
		return -1, fmt.Errorf("%w: %s is no directory", ErrUnsafe, name)
	}
	return -1, fmt.Errorf("open directory %s: %w", name, err)
}

func makeDir(dirfd int, name string, mode uint32) error {
	err := unix.Mkdirat(dirfd, name, mode)
	if err == unix.EEXIST {
		return nil
	}
	if err == nil && mode != dirMode {
		err = setMode(dirfd, name, mode)
	}
	if err == nil {
		err = unix.Fsync(dirfd)
	}
	if err != nil {
		return fmt.Errorf("make directory %s: %w", name, err)
	}
	return nil
}

// setMode gives a directory that was just made the bits that the umask took, and
// leaves the bit that hands on the group. Where systemd forbids to set that one
// (RestrictSUIDSGID), what mkdir made of the mode stays.
func setMode(dirfd int, name string, mode uint32) error {
	st, err := stat(dirfd, name)
	if err != nil || st.Mode&0o777 == mode {
		return err
	}
	err = unix.Fchmodat(dirfd, name, mode|st.Mode&unix.S_ISGID, 0)
	if err == unix.EPERM && st.Mode&unix.S_ISGID != 0 {
		return nil
	}
	return err
}

// lock waits for whoever changes these scripts, which takes a few syncs of the
// disk. The lock ends when the directory is closed.
func lock(fd int) error {
	for {
		if err := unix.Flock(fd, unix.LOCK_EX); err != unix.EINTR {
			return err
		}
	}
}

func (b *box) close() {
	for _, fd := range []int{b.scripts, b.home} {
		if fd >= 0 {
			closeFD(fd)
		}
	}
}

// closeFD closes what was only read, locked or synced: its error says nothing.
func closeFD(fd int) { _ = unix.Close(fd) }

// names returns the entries of the directory dirfd.
func names(dirfd int) ([]string, error) {
	fd, err := unix.Openat(dirfd, ".", dirFlags, 0)
	if err != nil {
		return nil, fmt.Errorf("read directory: %w", err)
	}
	f := os.NewFile(uintptr(fd), directory)
	defer f.Close()
	all, err := f.Readdirnames(maxEntries)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read directory: %w", err)
	}
	return all, nil
}

// stat returns the entry name of dirfd itself, without following it.
func stat(dirfd int, name string) (unix.Stat_t, error) {
	var st unix.Stat_t
	err := unix.Fstatat(dirfd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	return st, err
}

func regular(st unix.Stat_t) bool { return st.Mode&unix.S_IFMT == unix.S_IFREG }

// changed is the later one of the times of content and inode.
func changed(st unix.Stat_t) time.Time {
	m, c := time.Unix(st.Mtim.Unix()), time.Unix(st.Ctim.Unix())
	if m.After(c) {
		return m
	}
	return c
}

// openTmp opens the directory for what is being written, and removes what has
// been left there.
func (b *box) openTmp(now time.Time) (int, error) {
	fd, err := openDir(b.scripts, tmp, dirMode|b.mode&maxMode, true)
	if err != nil {
		return -1, err
	}
	old, err := names(fd)
	if err != nil {
		closeFD(fd)
		return -1, err
	}
	for _, name := range old {
		if st, err := stat(fd, name); err == nil && st.Mode&unix.S_IFMT != unix.S_IFDIR && now.Sub(changed(st)) > abandoned {
			_ = unix.Unlinkat(fd, name, 0) // it is tried again next time
		}
	}
	return fd, nil
}
