package maildir

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// A directory that we make has the mode of the one above it inside of a
	// mailbox, and this outside. Nothing is open to the world.
	dirMode  = 0o700
	fileMode = 0o600
	maxMode  = 0o770

	dirFlags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW

	// maxDurable bounds the mailboxes whose directories are known to be on the
	// disk; when there are more, all are forgotten and synced once again.
	maxDurable = 20000

	// cleanEvery is how often tmp is looked through while we run, and abandoned
	// the age at which a file there belongs to nobody (the Maildir standard).
	cleanEvery = 24 * time.Hour
	abandoned  = 36 * time.Hour
)

var (
	// ErrOwner means that a mailbox belongs to another user: what we would write
	// its owner could not read, and one such file makes a whole folder unusable.
	ErrOwner = errors.New("the mailbox belongs to another uid than this process has; chown -R it, one mail user owns all mailboxes")
	// ErrLayout means that the folders of a mailbox are plain directories.
	ErrLayout = errors.New("the mailbox has folders of LAYOUT=fs, only Maildir++ is known; convert it, or let Dovecot deliver")
	// ErrNoFolder means that the folder is missing and is not to be made.
	ErrNoFolder = errors.New("no such folder")
)

// chain is the directories from the mail root down to one folder, open.
type chain struct {
	sys system
	// fds are the root, the domain, the home, Maildir and, but for the inbox,
	// the folder: each holds the entry of the next, the last one tmp, new, cur.
	fds      []int
	tmp, new int
	// id is that of new.
	id identity
	// files is the mode of a new file.
	files uint32
	// made says that a directory was missing, madeFolder that the folder was.
	made, madeFolder bool
}

// maildirDepth is where Maildir is in chain.fds.
const maildirDepth = 3

// mailbox returns the directory Maildir.
func (c *chain) mailbox() int { return c.fds[maildirDepth] }

// last returns the lowest directory of the chain so far.
func (c *chain) last() int { return c.fds[len(c.fds)-1] }

// openChain opens the directories that m goes to, and makes those that are
// missing. A problem is what went wrong without harm to the message.
func (s *Store) openChain(m *Message) (_ *chain, problem, err error) {
	domain, local, err := components(m.To)
	if err != nil {
		return nil, nil, err
	}
	folder, err := m.Folder.Stored(s.cfg.UTF8)
	if err != nil {
		return nil, nil, err
	}
	c := &chain{sys: s.sys, tmp: -1, new: -1}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	fd, err := s.sys.open(unix.AT_FDCWD, s.cfg.Root, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("open mail root %s: %w", s.cfg.Root, err)
	}
	c.fds = append(c.fds, fd)
	for _, name := range []string{domain, local, "Maildir"} {
		fd, err := c.openDir(c.last(), name)
		if err != nil {
			return nil, nil, err
		}
		c.fds = append(c.fds, fd)
	}
	if folder != "" {
		if err := c.openFolder(folder, m.NoCreate); err != nil {
			return nil, nil, err
		}
	}
	problem, err = s.openLeaves(c, domain+"/"+local+"/"+folder)
	if err == nil && c.madeFolder && m.Subscribe {
		problem = errors.Join(problem, s.subscribe(c, folder))
	}
	return c, problem, err
}

// openFolder opens the directory of a folder, or makes it.
func (c *chain) openFolder(folder string, noCreate bool) error {
	fd, err := c.sys.open(c.last(), "."+folder, dirFlags, 0)
	if errors.Is(err, unix.ENOENT) {
		if err := c.refuseLayout(folder); err != nil {
			return err
		}
		if noCreate {
			return ErrNoFolder
		}
		c.madeFolder = true
		fd, err = c.openDir(c.last(), "."+folder)
	}
	if err != nil {
		return fmt.Errorf("open folder .%s: %w", folder, err)
	}
	c.fds = append(c.fds, fd)
	return nil
}

// refuseLayout is ErrLayout where the first level of folder is a directory
// without a dot: a folder of ours beside it would be seen by nobody.
func (c *chain) refuseLayout(folder string) error {
	first, _, _ := strings.Cut(folder, ".")
	if first == "tmp" || first == "new" || first == "cur" {
		return nil
	}
	st, err := c.sys.stat(c.last(), first)
	switch {
	case errors.Is(err, unix.ENOENT):
		return nil
	case err != nil:
		return fmt.Errorf("stat %s: %w", first, err)
	case st.mode&unix.S_IFMT == unix.S_IFDIR:
		return ErrLayout
	}
	return nil
}

// openLeaves opens tmp and new. Where the path is not known to be durable it
// also makes cur and, in a folder, the file maildirfolder, and syncs every
// directory of the chain: another process, or this one before it was killed,
// may have made an entry that is not on the disk yet.
func (s *Store) openLeaves(c *chain, path string) (problem, err error) {
	if c.tmp, err = c.openDir(c.last(), "tmp"); err != nil {
		return nil, err
	}
	if c.new, err = c.openDir(c.last(), "new"); err != nil {
		return nil, err
	}
	st, err := s.sys.stat(c.new, "")
	if err != nil {
		return nil, fmt.Errorf("stat new: %w", err)
	}
	if uid := uint32(os.Geteuid()); st.uid != uid {
		return nil, fmt.Errorf("uid %d, this process is %d: %w", st.uid, uid, ErrOwner)
	}
	c.id, c.files = st.identity, fileMode|st.mode&maxMode&^0o110
	now := time.Now()
	known := s.isDurable(path, c.id)
	if !known.cleaned.IsZero() && now.Sub(known.cleaned) < cleanEvery && !c.made {
		return nil, nil
	}
	if known.cleaned.IsZero() || c.made {
		if err := s.settle(c); err != nil {
			return nil, err
		}
	}
	s.setDurable(path, settled{c.id, now})
	return s.clean(c, now), nil
}

// settle makes what belongs to a mailbox or a folder, and puts the chain on the
// disk.
func (s *Store) settle(c *chain) error {
	if err := c.makeDir(c.last(), "cur"); err != nil {
		return err
	}
	if len(c.fds) > maildirDepth+1 {
		if err := c.touch("maildirfolder"); err != nil {
			return err
		}
	}
	for i := len(c.fds) - 1; i >= 0; i-- {
		if err := s.sys.fsync(c.fds[i]); err != nil {
			return fmt.Errorf("sync directory above new: %w", err)
		}
	}
	return nil
}

// openDir opens the directory name in dirfd and makes it if it is missing. It
// follows no symbolic link.
func (c *chain) openDir(dirfd int, name string) (int, error) {
	fd, err := c.sys.open(dirfd, name, dirFlags, 0)
	if errors.Is(err, unix.ENOENT) {
		c.made = true
		if err := c.makeDir(dirfd, name); err != nil {
			return -1, err
		}
		fd, err = c.sys.open(dirfd, name, dirFlags, 0)
	}
	if err != nil {
		return -1, fmt.Errorf("open directory %s: %w", name, err)
	}
	return fd, nil
}

// makeDir makes the directory name in dirfd, if nothing of that name is there.
// Within a mailbox it gets the mode of dirfd, whatever the umask says.
func (c *chain) makeDir(dirfd int, name string) error {
	mode := uint32(dirMode)
	if len(c.fds) > maildirDepth {
		st, err := c.sys.stat(dirfd, "")
		if err != nil {
			return fmt.Errorf("stat directory above %s: %w", name, err)
		}
		mode |= st.mode & maxMode
	}
	err := c.sys.mkdir(dirfd, name, mode)
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	if err == nil && mode != dirMode {
		err = c.setMode(dirfd, name, mode)
	}
	if err != nil {
		return fmt.Errorf("make directory %s: %w", name, err)
	}
	return nil
}

// setMode gives a directory that was just made the bits that the umask took,
// and leaves the bit that hands on the group. Where that bit may not be set anew
// (RestrictSUIDSGID= of systemd's units) the directory stays as it was made, for
// its owner alone: mail is not refused for that.
func (c *chain) setMode(dirfd int, name string, mode uint32) error {
	fd, err := c.sys.open(dirfd, name, dirFlags, 0)
	if err != nil {
		return err
	}
	st, err := c.sys.stat(fd, "")
	if err == nil {
		err = c.sys.chmod(fd, mode|st.mode&unix.S_ISGID)
		if errors.Is(err, unix.EPERM) && st.mode&unix.S_ISGID != 0 {
			err = nil
		}
	}
	return errors.Join(err, c.sys.close(fd))
}

// touch makes an empty file in the folder, if nothing of that name is there:
// to open what is could wait for ever, if it is a FIFO.
func (c *chain) touch(name string) error {
	fd, err := c.sys.open(c.last(), name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW, c.files)
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

// clean removes what is abandoned in tmp. The time that counts is the later one
// of content and inode: a program may set the former to that of an old message.
func (s *Store) clean(c *chain, now time.Time) error {
	names, err := s.sys.list(c.tmp)
	if err != nil {
		return fmt.Errorf("look for abandoned files: %w", err)
	}
	var errs []error
	for _, name := range names {
		st, err := s.sys.stat(c.tmp, name)
		if err == nil && st.regular() && now.Sub(st.changed) > abandoned {
			err = s.sys.unlink(c.tmp, name)
		}
		if err != nil && !errors.Is(err, unix.ENOENT) {
			errs = append(errs, fmt.Errorf("remove abandoned tmp/%s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// settled is a directory "new" whose chain is on the disk.
type settled struct {
	identity
	// cleaned is when tmp was looked through.
	cleaned time.Time
}

// isDurable returns what is known of the chain at path, if it still ends in the
// same directory; the zero value is nothing.
func (s *Store) isDurable(path string, id identity) settled {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.durable[path]; known.identity == id {
		return known
	}
	return settled{}
}

func (s *Store) setDurable(path string, known settled) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.durable) >= maxDurable {
		clear(s.durable)
	}
	s.durable[path] = known
}
