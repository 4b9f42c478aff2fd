package quarantine

import (
	"errors"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// system is each call by which an entry comes and goes, so that a test can let
// the n-th one fail, or kill the process before it.
type system interface {
	mkdir(path string) error
	create(path string) (file, error)
	// rename moves a file and fails where the target is there, unless over.
	rename(from, to string, over bool) error
	remove(path string) error
	syncDir(path string) error
	// free returns the bytes that are free on the disk of dir.
	free(dir string) (int64, error)
}

// file is one that is being written.
type file interface {
	io.Writer
	Sync() error
	Close() error
}

// kernel is the system of this machine.
type kernel struct{}

func (kernel) mkdir(path string) error { return os.Mkdir(path, 0o700) }

func (kernel) create(path string) (file, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
}

func (kernel) rename(from, to string, over bool) error {
	if over {
		return os.Rename(from, to)
	}
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSYS) {
		return err
	}
	if err := os.Link(from, to); err != nil {
		return err
	}
	return os.Remove(from)
}

func (kernel) remove(path string) error { return os.Remove(path) }

func (kernel) syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (kernel) free(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * st.Bsize, nil
}

// writeFile makes a file at path by way of temp, and both are gone after an
// error. Over lets it replace one that is there.
func writeFile(sys system, temp, path string, over bool, fill func(io.Writer) error) error {
	f, err := sys.create(temp)
	if err != nil {
		return err
	}
	if err = fill(f); err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil { // tells of a full disk where write did not (NFS)
		err = cerr
	}
	if err == nil {
		err = sys.rename(temp, path, over)
	}
	if err != nil {
		return errors.Join(err, gone(sys.remove(temp)))
	}
	if err = sys.syncDir(filepath.Dir(path)); err != nil && !over {
		return errors.Join(err, gone(sys.remove(path)))
	}
	return err
}

// gone returns err unless it says that there is no such file.
func gone(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
