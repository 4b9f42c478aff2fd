package maildir

import (
	"errors"
	"io"
	"time"

	"golang.org/x/sys/unix"
)

// system is each system call that a delivery makes, so that a test can let the
// n-th one fail.
type system interface {
	open(dirfd int, name string, flags int, mode uint32) (int, error)
	mkdir(dirfd int, name string, mode uint32) error
	chmod(fd int, mode uint32) error
	read(fd int, p []byte) (int, error)
	write(fd int, p []byte) (int, error)
	fsync(fd int) error
	close(fd int) error
	// stat tells of fd, or with a name of what has it in the directory fd; it
	// follows no link.
	stat(fd int, name string) (status, error)
	// list gives the names in a directory that was opened for it, in no order.
	list(fd int) ([]string, error)
	// rename moves a file and fails with EEXIST where the target is there.
	rename(fromfd int, from string, tofd int, to string) error
	// replace moves a file over the target.
	replace(fromfd int, from string, tofd int, to string) error
	link(fromfd int, from string, tofd int, to string) error
	unlink(dirfd int, name string) error
}

// identity tells one directory from another that later has its path.
type identity struct{ dev, ino uint64 }

// status is what is asked about a file.
type status struct {
	identity
	mode, uid uint32
	size      int64
	// changed is the later of the times of content and inode.
	changed, modified time.Time
}

func (s status) regular() bool { return s.mode&unix.S_IFMT == unix.S_IFREG }

// kernel is the system of this machine.
type kernel struct{}

func (kernel) open(dirfd int, name string, flags int, mode uint32) (fd int, err error) {
	err = again(func() error {
		fd, err = unix.Openat(dirfd, name, flags|unix.O_CLOEXEC, mode)
		return err
	})
	return fd, err
}

func (kernel) mkdir(dirfd int, name string, mode uint32) error {
	return again(func() error { return unix.Mkdirat(dirfd, name, mode) })
}

func (kernel) chmod(fd int, mode uint32) error {
	return again(func() error { return unix.Fchmod(fd, mode) })
}

func (kernel) read(fd int, p []byte) (n int, err error) {
	err = again(func() error {
		n, err = unix.Read(fd, p)
		return err
	})
	return n, err
}

func (kernel) write(fd int, p []byte) (n int, err error) {
	err = again(func() error {
		n, err = unix.Write(fd, p)
		return err
	})
	return n, err
}

func (kernel) fsync(fd int) error { return again(func() error { return unix.Fsync(fd) }) }

// close is not tried again: on Linux the descriptor is gone even after EINTR.
func (kernel) close(fd int) error {
	if err := unix.Close(fd); err != nil && !errors.Is(err, unix.EINTR) {
		return err
	}
	return nil
}

func (kernel) stat(fd int, name string) (status, error) {
	var st unix.Stat_t
	err := again(func() error {
		if name == "" {
			return unix.Fstat(fd, &st)
		}
		return unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	})
	out := status{
		identity: identity{dev: uint64(st.Dev), ino: st.Ino},
		mode:     st.Mode, uid: st.Uid, size: st.Size,
		changed: time.Unix(st.Ctim.Unix()), modified: time.Unix(st.Mtim.Unix()),
	}
	if out.modified.After(out.changed) {
		out.changed = out.modified
	}
	return out, err
}

func (kernel) list(fd int) (names []string, err error) {
	buf := make([]byte, 32<<10)
	for {
		n := 0
		err = again(func() error {
			n, err = unix.ReadDirent(fd, buf)
			return err
		})
		if err != nil || n <= 0 {
			return names, err
		}
		_, _, names = unix.ParseDirent(buf[:n], -1, names)
	}
}

func (kernel) rename(fromfd int, from string, tofd int, to string) error {
	return again(func() error { return unix.Renameat2(fromfd, from, tofd, to, unix.RENAME_NOREPLACE) })
}

func (kernel) replace(fromfd int, from string, tofd int, to string) error {
	return again(func() error { return unix.Renameat(fromfd, from, tofd, to) })
}

func (kernel) link(fromfd int, from string, tofd int, to string) error {
	return again(func() error { return unix.Linkat(fromfd, from, tofd, to, 0) })
}

func (kernel) unlink(dirfd int, name string) error {
	return again(func() error { return unix.Unlinkat(dirfd, name, 0) })
}

// again repeats f while a signal interrupts it.
func again(f func() error) error {
	for {
		if err := f(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// readAll reads at most limit bytes of fd.
func readAll(sys system, fd, limit int) ([]byte, error) {
	buf := make([]byte, limit)
	n := 0
	for n < limit {
		k, err := sys.read(fd, buf[n:])
		if err != nil {
			return nil, err
		}
		if k == 0 {
			break
		}
		n += k
	}
	return buf[:n], nil
}

// writeAll writes p, however little the system takes at a time.
func writeAll(sys system, fd int, p []byte) error {
	for len(p) > 0 {
		n, err := sys.write(fd, p)
		if err != nil {
			return err
		}
		if n <= 0 {
			return io.ErrShortWrite
		}
		p = p[n:]
	}
	return nil
}
