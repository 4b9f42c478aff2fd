package maildir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"time"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/reply"
	"golang.org/x/sys/unix"
)

// bufferBytes is the memory of one delivery, twice: read and write.
const bufferBytes = 32 << 10

// Message is one copy of a message for one mailbox.
type Message struct {
	// To is the owner of the mailbox, without detail.
	To mailaddr.Address
	// Folder is where the message goes; it is made if it is missing.
	Folder Folder
	// Header is put in front of the message: whole fields.
	Header []byte
	// Body is the message as it came, read to its end. It and Header may have
	// CRLF or LF line ends.
	Body io.Reader
}

// Stored says that a message is on the disk for good. Only Deliver makes one
// that is not zero, after the last fsync.
type Stored struct {
	name   string
	folder Folder
	size   int64
}

// IsZero reports whether nothing was stored.
func (s Stored) IsZero() bool { return s.name == "" }

// Name returns the name of the file in new.
func (s Stored) Name() string { return s.name }

// Folder returns where the message is.
func (s Stored) Folder() Folder { return s.folder }

// Size returns the size of the file in bytes.
func (s Stored) Size() int64 { return s.size }

// Store delivers into the mailboxes below one mail root. It is safe for
// concurrent use.
type Store struct {
	root  string
	sys   system
	names *names
	bufs  sync.Pool

	mu      sync.Mutex // guards durable
	durable map[string]identity
}

// New returns a Store for the mailboxes below root, an absolute path; the root
// itself may be a symbolic link and has to be there when mail comes. Host goes
// into file names.
func New(root, host string) (*Store, error) {
	if !filepath.IsAbs(root) {
		return nil, fmt.Errorf("mail root %q is not an absolute path", root)
	}
	return &Store{
		root:    filepath.Clean(root),
		sys:     kernel{},
		names:   newNames(host),
		bufs:    sync.Pool{New: func() any { return new(buffers) }},
		durable: make(map[string]identity),
	}, nil
}

// buffers has room for one CR that was kept back.
type buffers struct {
	in  [bufferBytes]byte
	out [bufferBytes + 1]byte
}

// Deliver writes m and returns once it would survive a power cut. On an error
// nothing is left behind that a reader of the mailbox could see, as far as the
// disk still obeys. Every error is transient; a full disk or quota carries
// reply.DiskFull. A retry after an error is a new message.
func (s *Store) Deliver(ctx context.Context, m Message) (Stored, error) {
	st, err := s.deliver(ctx, m)
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		err = reply.WithError(reply.DiskFull, err)
	}
	if err != nil {
		return Stored{}, fmt.Errorf("deliver to %s: %w", m.To, err)
	}
	return st, nil
}

func (s *Store) deliver(ctx context.Context, m Message) (Stored, error) {
	domain, local, err := components(m.To)
	if err != nil {
		return Stored{}, err
	}
	if err := ctx.Err(); err != nil {
		return Stored{}, err
	}
	c, err := s.openChain(domain, local, m.Folder)
	if err != nil {
		return Stored{}, err
	}
	defer c.close()
	base := s.names.next(time.Now())
	sizes, err := s.writeTemp(ctx, c, base, m)
	if err != nil {
		return Stored{}, err
	}
	name := final(base, sizes.size, sizes.wire())
	if err := s.publish(c, base, name); err != nil {
		return Stored{}, err
	}
	return Stored{name: name, folder: m.Folder, size: sizes.size}, nil
}

// writeTemp writes tmp/base and syncs it. On an error the file is gone.
func (s *Store) writeTemp(ctx context.Context, c *chain, base string, m Message) (lines, error) {
	fd, err := s.sys.open(c.tmp, base, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW, fileMode)
	if err != nil {
		return lines{}, fmt.Errorf("create tmp/%s: %w", base, err)
	}
	sizes, err := s.fill(ctx, fd, m)
	if err == nil {
		err = s.sys.fsync(fd)
	}
	// Close tells of a full disk or quota where write did not (NFS).
	if cerr := s.sys.close(fd); err == nil {
		err = cerr
	}
	if err != nil {
		return lines{}, errors.Join(fmt.Errorf("write tmp/%s: %w", base, err), s.remove(c.tmp, base))
	}
	return sizes, nil
}

// fill writes the header and the body of m to fd.
func (s *Store) fill(ctx context.Context, fd int, m Message) (lines, error) {
	b := s.bufs.Get().(*buffers)
	defer s.bufs.Put(b)
	var l lines
	out := l.append(b.out[:0], m.Header)
	for {
		n, rerr := m.Body.Read(b.in[:])
		if len(out)+n+1 > len(b.out) {
			if err := s.writeAll(fd, out); err != nil {
				return l, err
			}
			out = b.out[:0]
		}
		out = l.append(out, b.in[:n])
		if rerr == io.EOF {
			return l, s.writeAll(fd, l.end(out))
		}
		if rerr != nil {
			return l, fmt.Errorf("read message: %w", rerr)
		}
		if err := ctx.Err(); err != nil {
			return l, err
		}
	}
}

// writeAll writes p, however little the system takes at a time.
func (s *Store) writeAll(fd int, p []byte) error {
	for len(p) > 0 {
		n, err := s.sys.write(fd, p)
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

// publish moves tmp/base to new/name without overwriting, and syncs new. On an
// error neither is left: the message is not promised, and will come again.
func (s *Store) publish(c *chain, base, name string) error {
	if err := s.move(c, base, name); err != nil {
		return errors.Join(fmt.Errorf("rename tmp/%s to new: %w", base, err), s.remove(c.tmp, base))
	}
	if err := s.sys.fsync(c.new); err != nil {
		return errors.Join(fmt.Errorf("sync new: %w", err), s.remove(c.new, name))
	}
	return nil
}

// move renames; where the file system knows no RENAME_NOREPLACE it links and
// unlinks, which does not overwrite either.
func (s *Store) move(c *chain, base, name string) error {
	err := s.sys.rename(c.tmp, base, c.new, name)
	if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSYS) {
		return err
	}
	if err := s.sys.link(c.tmp, base, c.new, name); err != nil {
		return err
	}
	if err := s.sys.unlink(c.tmp, base); err != nil {
		return errors.Join(err, s.remove(c.new, name))
	}
	return nil
}

// remove unlinks what a failed delivery left; a file that is not there is none.
func (s *Store) remove(dirfd int, name string) error {
	if err := s.sys.unlink(dirfd, name); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	return nil
}
