package maildir

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/maildirsize"
)

// ReadUsage returns what the file maildirsize of addr's mailbox below root says.
// It is fs.ErrNotExist where there is no such mailbox or no such file,
// maildirsize.ErrBroken where the file does not tell, and ErrUnsafe as with
// Home. It makes nothing, follows no symbolic link below root, does not wait for
// a FIFO and reads no more than maildirsize.MaxBytes.
func ReadUsage(root string, addr mailaddr.Address) (maildirsize.Usage, error) {
	f, err := openUsage(root, addr)
	if err != nil {
		return maildirsize.Usage{}, err
	}
	defer f.Close()
	if fi, err := f.Stat(); err != nil || !fi.Mode().IsRegular() {
		return maildirsize.Usage{}, fmt.Errorf("%s: no regular file: %w", f.Name(), maildirsize.ErrBroken)
	}
	b, err := io.ReadAll(io.LimitReader(f, maildirsize.MaxBytes+1))
	if err != nil {
		return maildirsize.Usage{}, fmt.Errorf("read %s: %w", f.Name(), err)
	}
	u, err := maildirsize.Parse(b)
	if err != nil {
		return u, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return u, nil
}

// openUsage opens the file, each directory from its parent.
func openUsage(root string, addr mailaddr.Address) (*os.File, error) {
	domain, local, err := components(addr)
	if err != nil {
		return nil, err
	}
	var sys kernel
	dir, err := sys.open(unix.AT_FDCWD, root, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, fmt.Errorf("open mail root %s: %w", root, err)
	}
	for _, name := range []string{domain, local, "Maildir"} {
		next, err := sys.open(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
		_ = sys.close(dir) // it was only read
		if err != nil {
			return nil, fmt.Errorf("open directory %s: %w", name, err)
		}
		dir = next
	}
	defer func() { _ = sys.close(dir) }() // as above
	fd, err := sys.open(dir, maildirsize.Name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", maildirsize.Name, err)
	}
	return os.NewFile(uintptr(fd), maildirsize.Name), nil
}
