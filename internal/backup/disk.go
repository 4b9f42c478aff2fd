package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"syscall"

	"golang.org/x/sys/unix"
)

// Progress hears how far a long work is, in bytes. It may be nil.
type Progress func(done, all int64)

func (p Progress) tell(done, all int64) {
	if p != nil {
		p(done, all)
	}
}

// spare stays free on a disk beside what is written.
const spare = 16 << 20

// room returns ENOSPC where the disk of dir has no room for so many bytes in so
// many files.
func room(dir *os.Root, bytes int64, files int) error {
	d, err := dir.Open(".")
	if err != nil {
		return err
	}
	defer d.Close()
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(d.Fd()), &st); err != nil {
		return err
	}
	need := bytes + int64(files)*st.Bsize + spare
	if free := int64(st.Bavail) * st.Bsize; free < need {
		return fmt.Errorf("%s: %d MB are needed and %d MB are free: %w", dir.Name(), need>>20, free>>20, unix.ENOSPC)
	}
	return nil
}

// makeDirs makes the directories above p, each durably, with mode 0700.
func makeDirs(r *os.Root, p string) error {
	dir := path.Dir(p)
	if dir == "." {
		return nil
	}
	if info, err := r.Lstat(dir); err == nil && info.IsDir() {
		return nil
	}
	if err := makeDirs(r, dir); err != nil {
		return err
	}
	if err := r.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncIn(r, path.Dir(dir))
}

// syncIn syncs a directory.
func syncIn(r *os.Root, dir string) error {
	d, err := r.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// owner is who gets a file; nil for who makes it.
type owner struct{ uid, gid int }

// writeNew makes a file of size bytes from src, with mode 0600, durable but for
// its directory, and returns its checksum.
func writeNew(r *os.Root, p string, src io.Reader, size int64, own *owner) (sum string, err error) {
	if err := makeDirs(r, p); err != nil {
		return "", err
	}
	f, err := r.OpenFile(p, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	_, err = io.CopyN(io.MultiWriter(f, h), src, size)
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("%s: it ends too early: %w", p, io.ErrUnexpectedEOF)
	}
	if err == nil && own != nil {
		err = f.Chown(own.uid, own.gid)
	}
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// errReplaced means that another file got the name meanwhile.
var errReplaced = errors.New("it was replaced while it was opened")

// openRegular opens a file for reading: no link, no device. os.Root follows
// links that stay inside, so that what was opened is compared with the name.
func openRegular(r *os.Root, p string) (*os.File, int64, error) {
	named, err := r.Lstat(p)
	switch {
	case err != nil:
		return nil, 0, err
	case named.Mode()&fs.ModeSymlink != 0:
		return nil, 0, fmt.Errorf("%s: it is a symbolic link", p)
	case !named.Mode().IsRegular():
		return nil, 0, fmt.Errorf("%s: no regular file", p)
	}
	f, err := r.OpenFile(p, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && !os.SameFile(named, info) {
		err = fmt.Errorf("%s: %w", p, errReplaced)
	}
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}

// sumOf returns the checksum of a file, whose size is known.
func sumOf(ctx context.Context, r *os.Root, p string, size int64, tell func(int64)) (string, error) {
	f, has, err := openRegular(r, p)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if has != size {
		return "", fmt.Errorf("%s has %d bytes, the manifest says %d", p, has, size)
	}
	h := sha256.New()
	if _, err := io.Copy(h, teller{reader{ctx, f}, tell}); err != nil {
		return "", fmt.Errorf("read %s: %w", p, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// teller tells of each piece that is read.
type teller struct {
	r    io.Reader
	tell func(int64)
}

func (t teller) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	t.tell(int64(n))
	return n, err
}
