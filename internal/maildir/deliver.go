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

const (
	// outBytes is what one delivery writes at a time, inBytes what it reads of a
	// message that is in a file. A write that ends within a page costs the kernel
	// as much as the page once more: a fifth of the CPU of a message of 1 MB.
	outBytes = 128 << 10
	inBytes  = 32 << 10
)

// Message is one copy of a message for one mailbox.
type Message struct {
	// To is the owner of the mailbox, without detail.
	To mailaddr.Address
	// Folder is where the message goes. It is made if it is missing, unless
	// NoCreate is set, and then subscribed if Subscribe is.
	Folder              Folder
	NoCreate, Subscribe bool
	// Header is put in front of the message: whole fields.
	Header []byte
	// Body returns the message as it came, from its first byte, as often as it is
	// called. It and Header may have CRLF or LF line ends.
	Body func() io.Reader
	// Flags are letters of the info (":2,"): S, R, F, T, D, and those of Dovecot's
	// keywords. The file is in new even so, where Dovecot takes them over.
	Flags string
	// Share is the file that all copies of the message share, nil for a file of
	// its own. All have the same Header and the same bytes in Body.
	Share *Share
	// Source makes a retry known.
	Source Source
	Quota  Quota
}

// Stored says that a message is on the disk for good. Only Deliver makes one
// that is not zero, after the last fsync.
type Stored struct {
	name    string
	folder  Folder
	size    int64
	again   bool
	problem error
}

// IsZero reports whether nothing was stored.
func (s Stored) IsZero() bool { return s.name == "" }

// Name returns the name of the file; it is in new, or in cur where Again is set
// and somebody has read it.
func (s Stored) Name() string { return s.name }

// Folder returns where the message is.
func (s Stored) Folder() Folder { return s.folder }

// Size returns the size of the file in bytes, 0 where Again is set.
func (s Stored) Size() int64 { return s.size }

// Again reports that an earlier delivery was found and nothing was written.
func (s Stored) Again() bool { return s.again }

// Problem returns what went wrong beside: the message is safe, but abandoned
// files, the subscription, the size of the mailbox or an earlier delivery could
// not be seen to.
func (s Stored) Problem() error { return s.problem }

// Config is what a Store works with.
type Config struct {
	// Root is the directory above all mailboxes, an absolute path. It may be a
	// symbolic link and has to be there when mail comes.
	Root string
	// Host goes into file names.
	Host string
	// UTF8 has the names of folders in UTF-8 on the disk (Dovecot's mail_location
	// with ":UTF-8"), not in modified UTF-7.
	UTF8 bool
}

// Store delivers into the mailboxes below one mail root. It is safe for
// concurrent use.
type Store struct {
	cfg     Config
	sys     system
	names   *names
	bufs    sync.Pool
	commits commits
	retries *retries

	mu      sync.Mutex // guards durable
	durable map[string]settled
}

// errPanicked is what others hear whose work was done by one that panicked.
var errPanicked = errors.New("the delivery that this one waited for panicked")

// New returns a Store.
func New(cfg Config) (*Store, error) {
	if !filepath.IsAbs(cfg.Root) {
		return nil, fmt.Errorf("mail root %q is not an absolute path", cfg.Root)
	}
	cfg.Root = filepath.Clean(cfg.Root)
	return &Store{
		cfg:     cfg,
		sys:     kernel{},
		names:   newNames(cfg.Host),
		bufs:    sync.Pool{New: func() any { return new(buffers) }},
		retries: newRetries(time.Now()),
		durable: make(map[string]settled),
	}, nil
}

// buffers is the memory of one delivery.
type buffers struct {
	in  [inBytes]byte
	out [outBytes + 1]byte // with a CR that was kept back
}

// Deliver writes m and returns once it would survive a power cut. On an error
// nothing is left behind that a reader of the mailbox could see, as far as the
// disk still obeys. Every error is transient but ErrQuota, whose class is the
// caller's choice; a full disk or quota of the file system carries
// reply.DiskFull. A retry after an error is a new message, unless it has a
// Source.
func (s *Store) Deliver(ctx context.Context, m Message) (Stored, error) {
	st, err := s.deliver(ctx, &m)
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		err = reply.WithError(reply.DiskFull, err)
	}
	if err != nil {
		return Stored{}, fmt.Errorf("deliver to %s: %w", m.To, err)
	}
	return st, nil
}

func (s *Store) deliver(ctx context.Context, m *Message) (Stored, error) {
	if err := ctx.Err(); err != nil {
		return Stored{}, err
	}
	c, problem, err := s.openChain(m)
	if err != nil {
		return Stored{}, err
	}
	defer c.close()
	maybe, release, err := s.retries.hold(ctx, m.Source, time.Now())
	if err != nil {
		return Stored{}, err
	}
	defer release()
	if maybe {
		name, missed, err := s.find(c, m.Source.Key)
		if err != nil || name != "" {
			return Stored{name: name, folder: m.Folder, again: true, problem: problem}, err
		}
		problem = errors.Join(problem, missed)
	}
	st, err := s.store(ctx, c, m)
	st.problem = errors.Join(problem, st.problem)
	return st, err
}

// store writes the file or shares it, holds it against the quota, and makes it
// visible.
func (s *Store) store(ctx context.Context, c *chain, m *Message) (Stored, error) {
	turn := m.Share.enter()
	defer turn.named()
	name := s.names.next(time.Now())
	f, err := s.obtain(ctx, c, name, m)
	if err != nil {
		return Stored{}, err
	}
	kept, problem, err := s.checkQuota(c, m.Quota, f.sizes.size)
	if err != nil {
		return Stored{}, errors.Join(err, s.drop(f))
	}
	final := name.final(m.Source.Key, f.sizes)
	if err := s.publish(ctx, c, f, final+info(m.Flags), m, turn); err != nil {
		return Stored{}, err
	}
	if kept {
		problem = errors.Join(problem, s.addSize(c, f.sizes.size))
	}
	return Stored{name: final, folder: m.Folder, size: f.sizes.size, problem: problem}, nil
}

// written is a whole file in a directory tmp, synced.
type written struct {
	tmp   int
	name  string
	sizes lines
	// shared says that it stays in tmp for other copies.
	shared bool
}

// obtain returns the file for m: a new one in c, or the shared one.
func (s *Store) obtain(ctx context.Context, c *chain, name base, m *Message) (written, error) {
	if m.Share != nil {
		return m.Share.obtain(ctx, c, name, m)
	}
	return s.writeTemp(ctx, c, name.temp(), m)
}

// writeTemp writes a file in the tmp of c and syncs it. On an error the file is
// gone.
func (s *Store) writeTemp(ctx context.Context, c *chain, name string, m *Message) (written, error) {
	fd, err := s.sys.open(c.tmp, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW, c.files)
	if err != nil {
		return written{}, fmt.Errorf("create tmp/%s: %w", name, err)
	}
	if c.files != fileMode { // the umask may have taken the group's bits
		err = s.sys.chmod(fd, c.files)
	}
	var sizes lines
	if err == nil {
		sizes, err = s.fill(ctx, fd, m)
	}
	if err == nil {
		err = s.sys.fsync(fd)
	}
	// Close tells of a full disk or quota where write did not (NFS).
	if cerr := s.sys.close(fd); err == nil {
		err = cerr
	}
	if err != nil {
		return written{}, errors.Join(fmt.Errorf("write tmp/%s: %w", name, err), s.remove(c.tmp, name))
	}
	return written{tmp: c.tmp, name: name, sizes: sizes}, nil
}

// fill writes the header and the body of m to fd.
func (s *Store) fill(ctx context.Context, fd int, m *Message) (lines, error) {
	b := s.bufs.Get().(*buffers)
	defer s.bufs.Put(b)
	w := filler{ended: ctx.Err, sys: s.sys, fd: fd, out: b.out[:0]}
	w.out = w.lines.append(w.out, m.Header)
	// A message in memory writes itself, without a copy.
	if _, err := io.CopyBuffer(&w, m.Body(), b.in[:]); err != nil {
		return w.lines, fmt.Errorf("copy message: %w", err)
	}
	return w.lines, writeAll(s.sys, fd, w.lines.end(w.out))
}

// filler writes a message to fd in its form on the disk.
type filler struct {
	ended func() error // whether to stop
	sys   system
	fd    int
	lines lines
	// out waits to be written, until it has outBytes.
	out []byte
}

// Write implements io.Writer.
func (w *filler) Write(p []byte) (int, error) {
	for from := 0; from < len(p); {
		room := outBytes - len(w.out)
		if room <= 0 {
			if err := w.flush(); err != nil {
				return from, err
			}
			continue
		}
		piece := p[from:min(len(p), from+room)]
		w.out = w.lines.append(w.out, piece)
		from += len(piece)
	}
	return len(p), nil
}

// flush writes outBytes of what waits.
func (w *filler) flush() error {
	if err := w.ended(); err != nil {
		return err
	}
	err := writeAll(w.sys, w.fd, w.out[:outBytes])
	w.out = w.out[:copy(w.out, w.out[outBytes:])]
	return err
}

// publish puts f into new under the final name without overwriting, and syncs
// new. On an error neither is left: the message is not promised, and will come
// again.
func (s *Store) publish(ctx context.Context, c *chain, f written, final string, m *Message, t *turn) error {
	err := s.name(c, f, final)
	if f.shared && notShareable(err) {
		// This mailbox cannot have the file: it gets its own.
		if f, err = s.writeTemp(ctx, c, s.names.next(time.Now()).temp(), m); err != nil {
			return err
		}
		err = s.name(c, f, final)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("put tmp/%s into new: %w", f.name, err), s.drop(f))
	}
	if others := t.named(); others != nil {
		<-others
	}
	if err := s.commits.sync(c.id, func() error { return s.sys.fsync(c.new) }); err != nil {
		return errors.Join(fmt.Errorf("sync new: %w", err), s.remove(c.new, final))
	}
	return nil
}

// name gives f its final name: a shared file gets one more, another moves;
// where the file system knows no RENAME_NOREPLACE it links and unlinks, which
// does not overwrite either.
func (s *Store) name(c *chain, f written, final string) error {
	if f.shared {
		return s.sys.link(f.tmp, f.name, c.new, final)
	}
	err := s.sys.rename(f.tmp, f.name, c.new, final)
	if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSYS) {
		return err
	}
	if err := s.sys.link(f.tmp, f.name, c.new, final); err != nil {
		return err
	}
	if err := s.sys.unlink(f.tmp, f.name); err != nil {
		return errors.Join(err, s.remove(c.new, final))
	}
	return nil
}

// drop removes a file that has no name in new; a shared one is its Share's.
func (s *Store) drop(f written) error {
	if f.shared {
		return nil
	}
	return s.remove(f.tmp, f.name)
}

// remove unlinks what a failed delivery left; a file that is not there is none.
func (s *Store) remove(dirfd int, name string) error {
	if err := s.sys.unlink(dirfd, name); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	return nil
}
