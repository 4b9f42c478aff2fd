package maildir

import (
	"errors"
	"fmt"
	"time"

	"github.com/gatepost/gatepost/internal/maildirsize"
	"golang.org/x/sys/unix"
)

// ErrQuota means that the message does not fit into its mailbox.
var ErrQuota = errors.New("mailbox is over quota")

// Quota says what is done about the size of a mailbox.
type Quota struct {
	// Keep holds the message against the file maildirsize and adds it there.
	Keep bool
	// Bytes is the limit where the file does not exist yet; 0 is none, and then
	// no file is made. The limits in a file that exists are left as they are:
	// they are those of the program that reads the mailbox.
	Bytes int64
}

// checkQuota is ErrQuota where a message of size bytes does not fit; kept says
// that there is a file to add it to. What the file does not tell, and what
// cannot be read or counted, is a problem and refuses nobody.
func (s *Store) checkQuota(c *chain, q Quota, size int64) (kept bool, problem, err error) {
	if !q.Keep {
		return false, nil, nil
	}
	u, kept, problem := s.usage(c, q)
	if kept && !u.Fits(size) {
		return true, problem, ErrQuota
	}
	return kept, problem, nil
}

// usage reads the file, or counts and writes it where the Maildir++ rules say
// so: missing, broken or too long, or old and over a limit.
func (s *Store) usage(c *chain, q Quota) (u maildirsize.Usage, kept bool, err error) {
	b, modified, err := s.readSizes(c)
	if err != nil {
		return u, false, fmt.Errorf("read %s: %w", maildirsize.Name, err)
	}
	u, err = maildirsize.Parse(b)
	if err == nil && (!u.Over() || time.Since(modified) <= maildirsize.Stale) {
		return u, true, nil
	}
	limits, ok := maildirsize.Limits(b)
	if !ok {
		limits = maildirsize.Usage{MaxBytes: q.Bytes}
	}
	if limits.File() == nil {
		return u, false, nil
	}
	if u, err = s.recount(c, limits); err != nil {
		return u, false, fmt.Errorf("count for %s: %w", maildirsize.Name, err)
	}
	return u, true, nil
}

// readSizes returns the start of the file, nothing where there is none.
func (s *Store) readSizes(c *chain) (b []byte, modified time.Time, err error) {
	fd, err := s.sys.open(c.mailbox(), maildirsize.Name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil, time.Time{}, nil
	}
	if err != nil {
		return nil, time.Time{}, err
	}
	st, err := s.sys.stat(fd, "")
	if err == nil && !st.regular() {
		err = errors.New("no regular file")
	}
	if err == nil {
		b, err = readAll(s.sys, fd, maildirsize.MaxBytes+1)
	}
	return b, st.modified, errors.Join(err, s.sys.close(fd))
}

// recount adds up the whole mailbox and writes the file anew. Changes that
// others append meanwhile are lost until the next count, as the specification
// has it.
func (s *Store) recount(c *chain, u maildirsize.Usage) (maildirsize.Usage, error) {
	fd, err := s.sys.open(c.mailbox(), ".", dirFlags, 0) // a position of its own
	if err != nil {
		return u, err
	}
	names, err := s.sys.list(fd)
	if err == nil {
		err = s.countFolder(fd, &u)
	}
	for _, name := range names {
		if err == nil && len(name) > 1 && name[0] == '.' && name != ".." {
			err = s.countChild(fd, name, &u)
		}
	}
	if err := errors.Join(err, s.sys.close(fd)); err != nil {
		return u, err
	}
	return u, s.writeSizes(c, u.File())
}

// countChild adds up a folder; what is no directory is none.
func (s *Store) countChild(dirfd int, name string, u *maildirsize.Usage) error {
	fd, err := s.sys.open(dirfd, name, dirFlags, 0)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(s.countFolder(fd, u), s.sys.close(fd))
}

func (s *Store) countFolder(dirfd int, u *maildirsize.Usage) error {
	for _, sub := range []string{"new", "cur"} {
		fd, err := s.sys.open(dirfd, sub, dirFlags, 0)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return err
		}
		if err := errors.Join(s.countMessages(fd, u), s.sys.close(fd)); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) countMessages(fd int, u *maildirsize.Usage) error {
	names, err := s.sys.list(fd)
	if err != nil {
		return err
	}
	for _, name := range names {
		if name[0] == '.' {
			continue
		}
		size, ok := maildirsize.FileSize(name)
		if !ok {
			st, err := s.sys.stat(fd, name)
			if errors.Is(err, unix.ENOENT) {
				continue // deleted, or read and renamed, meanwhile
			}
			if err != nil {
				return err
			}
			size = st.size
		}
		u.Bytes += size
		u.Messages++
	}
	return nil
}

// writeSizes puts a new file in place of the old one.
func (s *Store) writeSizes(c *chain, content []byte) error {
	temp := s.names.next(time.Now()).temp()
	fd, err := s.sys.open(c.tmp, temp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW, c.files)
	if err != nil {
		return err
	}
	err = writeAll(s.sys, fd, content)
	if cerr := s.sys.close(fd); err == nil {
		err = cerr
	}
	if err == nil {
		err = s.sys.replace(c.tmp, temp, c.mailbox(), maildirsize.Name)
	}
	if err != nil {
		return errors.Join(err, s.remove(c.tmp, temp))
	}
	return nil
}

// addSize adds one message of size bytes to the file.
func (s *Store) addSize(c *chain, size int64) error {
	fd, err := s.sys.open(c.mailbox(), maildirsize.Name, unix.O_WRONLY|unix.O_APPEND|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("add to %s: %w", maildirsize.Name, err)
	}
	// One write: a piece of a line would be worse than none.
	_, err = s.sys.write(fd, maildirsize.Change(size, 1))
	if err := errors.Join(err, s.sys.close(fd)); err != nil {
		return fmt.Errorf("add to %s: %w", maildirsize.Name, err)
	}
	return nil
}
