package maildir

import (
	"errors"

	"golang.org/x/sys/unix"
)

// system is each system call that a delivery makes, so that a test can let the
// n-th one fail.
type system interface {
	open(dirfd int, name string, flags int, mode uint32) (int, error)
	mkdir(dirfd int, name string, mode uint32) error
	write(fd int, p []byte) (int, error)
	fsync(fd int) error
	close(fd int) error
	identity(fd int) (identity, error)
	// rename moves a file and fails with EEXIST where the target is there.
	rename(fromfd int, from string, tofd int, to string) error
	link(fromfd int, from string, tofd int, to string) error
	unlink(dirfd int, name string) error
}

// identity tells one directory from another that later has its path.
type identity struct{ dev, ino uint64 }

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

func (kernel) identity(fd int) (identity, error) {
	var st unix.Stat_t
	err := again(func() error { return unix.Fstat(fd, &st) })
	return identity{dev: uint64(st.Dev), ino: st.Ino}, err
}

func (kernel) rename(fromfd int, from string, tofd int, to string) error {
	return again(func() error { return unix.Renameat2(fromfd, from, tofd, to, unix.RENAME_NOREPLACE) })
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
