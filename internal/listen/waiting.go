package listen

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// What linux/unix_diag.h has and golang.org/x/sys/unix has not.
const (
	udiagShowRQLen = 0x10 // UDIAG_SHOW_RQLEN
	unixDiagRQLen  = 4    // UNIX_DIAG_RQLEN
	sizeofDiagReq  = 24   // struct unix_diag_req
	sizeofDiagMsg  = 16   // struct unix_diag_msg
)

// diagPatience is how long the kernel may take; it answers while it is asked.
const diagPatience = time.Second

// Waiting returns how many connections to a Unix listener wait in the kernel to
// be accepted: those above a cap, or of a process that does not keep up. It
// asks sock_diag(7), for which systemd's sandbox has to allow AF_NETLINK.
func Waiting(ln net.Listener) (int, error) {
	inode, err := inode(ln)
	if err != nil {
		return 0, fmt.Errorf("count waiting connections: %w", err)
	}
	answer, err := sockDiag(diagRequest(inode))
	if err != nil {
		return 0, fmt.Errorf("count waiting connections: %w", err)
	}
	n, err := parseDiag(answer)
	if err != nil {
		return 0, fmt.Errorf("count waiting connections: %w", err)
	}
	return n, nil
}

// inode is the kernel's number of a socket.
func inode(ln net.Listener) (uint32, error) {
	sc, ok := ln.(syscall.Conn)
	if !ok {
		return 0, errors.New("not a socket")
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return 0, err
	}
	var st unix.Stat_t
	var statErr error
	if err := raw.Control(func(fd uintptr) { statErr = unix.Fstat(int(fd), &st) }); err != nil {
		return 0, err
	}
	return uint32(st.Ino), statErr // socket inodes are 32 bits wide in sock_diag(7)
}

// diagRequest asks for the queue of one Unix socket.
func diagRequest(inode uint32) []byte {
	e := binary.NativeEndian
	b := e.AppendUint32(nil, unix.SizeofNlMsghdr+sizeofDiagReq)
	b = e.AppendUint16(b, unix.SOCK_DIAG_BY_FAMILY)
	b = e.AppendUint16(b, unix.NLM_F_REQUEST)
	b = append(b, make([]byte, 8)...)     // sequence and port: one answer to one request
	b = append(b, unix.AF_UNIX, 0, 0, 0)  // sdiag_family, sdiag_protocol, pad
	b = e.AppendUint32(b, ^uint32(0))     // udiag_states: all
	b = e.AppendUint32(b, inode)          // udiag_ino
	b = e.AppendUint32(b, udiagShowRQLen) // udiag_show
	return e.AppendUint64(b, ^uint64(0))  // udiag_cookie: none
}

func sockDiag(request []byte) ([]byte, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, fmt.Errorf("netlink: %w", err)
	}
	defer unix.Close(fd)
	wait := unix.NsecToTimeval(diagPatience.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait); err != nil {
		return nil, fmt.Errorf("netlink: %w", err)
	}
	if err := unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, fmt.Errorf("netlink: %w", err)
	}
	answer := make([]byte, 1024)
	n, _, err := unix.Recvfrom(fd, answer, 0)
	if err != nil {
		return nil, fmt.Errorf("netlink: %w", err)
	}
	return answer[:n], nil
}

var errDiag = errors.New("netlink: an answer of another form")

// parseDiag takes the length of the queue out of an answer. Of a listening
// socket that is the number of its connections.
func parseDiag(b []byte) (int, error) {
	e := binary.NativeEndian
	if len(b) < unix.SizeofNlMsghdr {
		return 0, errDiag
	}
	size, kind := uint64(e.Uint32(b)), e.Uint16(b[4:])
	if size < unix.SizeofNlMsghdr || size > uint64(len(b)) {
		return 0, errDiag
	}
	b = b[unix.SizeofNlMsghdr:size]
	switch {
	case kind == unix.NLMSG_ERROR && len(b) >= 4:
		return 0, fmt.Errorf("netlink: %w", syscall.Errno(-int32(e.Uint32(b))))
	case kind != unix.SOCK_DIAG_BY_FAMILY || len(b) < sizeofDiagMsg:
		return 0, errDiag
	}
	// Attributes: length, type, value, filled up to four bytes.
	for b = b[sizeofDiagMsg:]; len(b) >= 4; {
		size, kind := int(e.Uint16(b)), e.Uint16(b[2:])
		if size < 4 || size > len(b) {
			return 0, errDiag
		}
		if kind == unixDiagRQLen && size >= 8 {
			return int(e.Uint32(b[4:])), nil
		}
		b = b[min((size+3)&^3, len(b)):]
	}
	return 0, errDiag
}
