package maildir

import (
	"context"
	"errors"
	"sync"

	"golang.org/x/sys/unix"
)

// Share is one file for all copies of a message, which become hard links of it:
// the mailboxes have one owner and as a rule one file system. The first copy
// writes the file, in the tmp of its mailbox; where that cannot be, the next one
// tries in its own. It is safe for concurrent use.
type Share struct {
	store *Store

	mu sync.Mutex // guards file; held while it is written
	// file is what was written; its tmp is a descriptor of the Share's own.
	file written

	gate    sync.Mutex    // guards running and open
	running int           // copies that have no name yet
	open    chan struct{} // closed when running is 0
}

// turn is one copy under way. Copies that are made at once wait with their sync
// until all have their name, so that one commit of the file system does for
// all. Who has not begun is not waited for.
type turn struct {
	share *Share
	over  bool
}

// enter begins a copy; on a nil Share nobody is waited for.
func (h *Share) enter() *turn {
	if h == nil {
		return nil
	}
	h.gate.Lock()
	defer h.gate.Unlock()
	if h.running == 0 {
		h.open = make(chan struct{})
	}
	h.running++
	return &turn{share: h}
}

// named says that the copy has its name, or will not get one. The channel is
// closed when the others have theirs; nil is for one that has said so before.
func (t *turn) named() <-chan struct{} {
	if t == nil || t.over {
		return nil
	}
	t.over = true
	h := t.share
	h.gate.Lock()
	defer h.gate.Unlock()
	if h.running--; h.running == 0 {
		close(h.open)
	}
	return h.open
}

// Share returns a Share that holds nothing. It has to be closed when the last
// Deliver with it has returned.
func (s *Store) Share() *Share { return &Share{store: s} }

// obtain returns the file, which is written if nobody has done it.
func (h *Share) obtain(ctx context.Context, c *chain, name base, m *Message) (written, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.file.shared {
		return h.file, nil
	}
	f, err := h.store.writeTemp(ctx, c, name.temp(), m)
	if err != nil {
		return written{}, err
	}
	tmp, err := h.store.sys.open(c.last(), "tmp", dirFlags, 0)
	if err != nil {
		return written{}, errors.Join(err, h.store.remove(c.tmp, f.name))
	}
	f.tmp, f.shared = tmp, true
	h.file = f
	return f, nil
}

// Close removes the name in tmp. An error leaves a file there that nobody sees,
// until it is abandoned.
func (h *Share) Close() error {
	if h == nil || !h.file.shared {
		return nil
	}
	err := h.store.remove(h.file.tmp, h.file.name)
	_ = h.store.sys.close(h.file.tmp) // it was only read
	h.file = written{}
	return err
}

// notShareable reports whether err says that a file cannot have a name in
// another directory: another file system or project quota, too many links, or
// none known.
func notShareable(err error) bool {
	for _, e := range []error{unix.EXDEV, unix.EMLINK, unix.EPERM, unix.EOPNOTSUPP, unix.ENOSYS} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
