package maildir

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

const (
	dirMode  = 0o700
	fileMode = 0o600

	// maxDurable bounds the mailboxes whose directories are known to be on the
	// disk; when there are more, all are forgotten and synced once again.
	maxDurable = 20000
)

// chain is the directories from the mail root down to one folder, open.
type chain struct {
	sys system
	// fds are the root, the domain, the home, Maildir and, but for the inbox,
	// the folder: each holds the entry of the next, the last one tmp, new, cur.
	fds      []int
	tmp, new int
	// made says that a directory was missing.
	made bool
}

// openChain opens the directories of f in the mailbox of local and domain, and
// makes those that are missing.
func (s *Store) openChain(domain, local string, f Folder) (_ *chain, err error) {
	folder, err := f.dir()
	if err != nil {
		return nil, err
	}
	c := &chain{sys: s.sys, tmp: -1, new: -1}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	fd, err := s.sys.open(unix.AT_FDCWD, s.root, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, fmt.Errorf("open mail root %s: %w", s.root, err)
	}
	c.fds = append(c.fds, fd)
	for _, name := range []string{domain, local, "Maildir", folder} {
		if name == "" {
			break // the inbox
		}
		fd, err := c.openDir(c.last(), name)
		if err != nil {
			return nil, err
		}
		c.fds = append(c.fds, fd)
	}
	return c, s.openLeaves(c, domain+"/"+local+"/"+string(f), folder != "")
}

// openLeaves opens tmp and new. Where the path is not known to be durable it
// also makes cur and, in a folder, the file maildirfolder, and syncs every
// directory of the chain: another process, or this one before it was killed,
// may have made an entry that is not on the disk yet.
func (s *Store) openLeaves(c *chain, path string, isFolder bool) (err error) {
	if c.tmp, err = c.openDir(c.last(), "tmp"); err != nil {
		return err
	}
	if c.new, err = c.openDir(c.last(), "new"); err != nil {
		return err
	}
	id, err := s.sys.identity(c.new)
	if err != nil {
		return fmt.Errorf("stat new: %w", err)
	}
	if !c.made && s.isDurable(path, id) {
		return nil
	}
	if err := s.sys.mkdir(c.last(), "cur", dirMode); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("make cur: %w", err)
	}
	if isFolder {
		if err := c.touch("maildirfolder"); err != nil {
			return err
		}
	}
	for i := len(c.fds) - 1; i >= 0; i-- {
		if err := s.sys.fsync(c.fds[i]); err != nil {
			return fmt.Errorf("sync directory above new: %w", err)
		}
	}
	s.setDurable(path, id)
	return nil
}

// last returns the lowest directory of the chain so far.
func (c *chain) last() int { return c.fds[len(c.fds)-1] }

// openDir opens the directory name in dirfd and makes it if it is missing. It
// follows no symbolic link.
func (c *chain) openDir(dirfd int, name string) (int, error) {
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW
	fd, err := c.sys.open(dirfd, name, flags, 0)
	if errors.Is(err, unix.ENOENT) {
		c.made = true
		if err := c.sys.mkdir(dirfd, name, dirMode); err != nil && !errors.Is(err, unix.EEXIST) {
			return -1, fmt.Errorf("make directory %s: %w", name, err)
		}
		fd, err = c.sys.open(dirfd, name, flags, 0)
	}
	if err != nil {
		return -1, fmt.Errorf("open directory %s: %w", name, err)
	}
	return fd, nil
}

// touch makes an empty file in the folder, if nothing of that name is there:
// to open what is could wait for ever, if it is a FIFO.
func (c *chain) touch(name string) error {
	fd, err := c.sys.open(c.last(), name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW, fileMode)
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("make %s: %w", name, err)
	}
	if err := c.sys.close(fd); err != nil {
		return fmt.Errorf("make %s: %w", name, err)
	}
	return nil
}

// close closes the directories. They were only read and synced: an error here
// says nothing about a message.
func (c *chain) close() {
	for _, fd := range append(c.fds, c.tmp, c.new) {
		if fd >= 0 {
			_ = c.sys.close(fd)
		}
	}
	c.fds, c.tmp, c.new = nil, -1, -1
}

// isDurable reports whether the chain at path was synced and still ends in the
// same directory.
func (s *Store) isDurable(path string, id identity) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	known, ok := s.durable[path]
	return ok && known == id
}

func (s *Store) setDurable(path string, id identity) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.durable) >= maxDurable {
		clear(s.durable)
	}
	s.durable[path] = id
}
