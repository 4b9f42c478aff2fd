// Package listen makes the sockets that daemons are handed: Unix sockets with
// the right mode, those that systemd passes, and listeners with a cap.
package listen

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// maxPath is what sockaddr_un holds on Linux, less the final NUL.
const maxPath = 107

// Unix returns a listener on a Unix socket at path with the given mode. The
// group is that of the directory where it has the set-group-ID bit. A socket
// that a killed process left behind is replaced; one that answers is not.
func Unix(path string, mode fs.FileMode) (net.Listener, error) {
	if len(path) > maxPath {
		return nil, fmt.Errorf("socket path %s is longer than %d bytes", path, maxPath)
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	old := syscall.Umask(0o777 &^ int(mode.Perm()))
	ln, err := net.Listen("unix", path)
	syscall.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	if err := os.Chmod(path, mode.Perm()); err != nil {
		return nil, errors.Join(fmt.Errorf("listen: %w", err), ln.Close())
	}
	return ln, nil
}

// removeStale removes a socket that nobody answers on.
func removeStale(path string) error {
	st, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if st.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("listen on %s: a file that is no socket is there", path)
	}
	var d net.Dialer
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if c, err := d.DialContext(ctx, "unix", path); err == nil {
		return errors.Join(fmt.Errorf("listen on %s: another process answers there", path), c.Close())
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	return nil
}

// Cred is who holds the other end of a Unix socket, as the kernel says.
type Cred struct{ UID, GID, PID int }

// PeerCred returns the peer's credentials at the time when it connected
// (SO_PEERCRED, unix(7)).
func PeerCred(c net.Conn) (Cred, error) {
	if u, ok := c.(interface{ Unwrap() net.Conn }); ok {
		c = u.Unwrap()
	}
	sc, ok := c.(syscall.Conn)
	if !ok {
		return Cred{}, errors.New("peer credentials: not a socket")
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return Cred{}, fmt.Errorf("peer credentials: %w", err)
	}
	var cred *unix.Ucred
	var cerr error
	if err := raw.Control(func(fd uintptr) {
		cred, cerr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return Cred{}, fmt.Errorf("peer credentials: %w", err)
	}
	if cerr != nil {
		return Cred{}, fmt.Errorf("peer credentials: %w", cerr)
	}
	return Cred{UID: int(cred.Uid), GID: int(cred.Gid), PID: int(cred.Pid)}, nil
}
