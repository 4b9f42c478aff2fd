package maildir

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	subscriptions     = "subscriptions"
	subscriptionsLock = "subscriptions.lock"
	// maxSubscriptions bounds the file that is read.
	maxSubscriptions = 1 << 20
	// version2 begins a file in which levels are divided by TAB, not by dots.
	version2 = "V\t2\n\n"
)

// subscribe adds a folder that we made to the list that Dovecot keeps, so that
// mail programs show it. Dovecot's lock is the new file, which takes the old
// one's place. While somebody else has it, nothing is done and that is an
// error: no message waits for it.
func (s *Store) subscribe(c *chain, folder string) error {
	if err := s.addSubscription(c, folder); err != nil {
		return fmt.Errorf("subscribe %s: %w", folder, err)
	}
	return nil
}

func (s *Store) addSubscription(c *chain, folder string) error {
	const flags = unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW
	lock, err := s.sys.open(c.mailbox(), subscriptionsLock, flags, c.files)
	if err != nil {
		return err
	}
	list, err := s.readSubscriptions(c)
	if err == nil {
		list = withSubscription(list, folder)
		err = writeAll(s.sys, lock, list)
	}
	if err == nil {
		err = s.sys.fsync(lock)
	}
	if cerr := s.sys.close(lock); err == nil {
		err = cerr
	}
	if err == nil {
		err = s.sys.replace(c.mailbox(), subscriptionsLock, c.mailbox(), subscriptions)
	}
	if err != nil {
		return errors.Join(err, s.remove(c.mailbox(), subscriptionsLock))
	}
	return nil
}

func (s *Store) readSubscriptions(c *chain) ([]byte, error) {
	fd, err := s.sys.open(c.mailbox(), subscriptions, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	list, err := readAll(s.sys, fd, maxSubscriptions+1)
	if err == nil && len(list) > maxSubscriptions {
		err = fmt.Errorf("longer than %d bytes", maxSubscriptions)
	}
	return list, errors.Join(err, s.sys.close(fd))
}

// withSubscription returns list with folder in it, in the version that list
// has.
func withSubscription(list []byte, folder string) []byte {
	if len(list) == 0 {
		list = []byte(version2)
	}
	if bytes.HasPrefix(list, []byte("V\t")) {
		folder = strings.ReplaceAll(folder, ".", "\t")
	}
	for line := range bytes.Lines(list) {
		if string(bytes.TrimSuffix(line, []byte("\n"))) == folder {
			return list
		}
	}
	if list[len(list)-1] != '\n' {
		list = append(list, '\n')
	}
	return append(append(list, folder...), '\n')
}
