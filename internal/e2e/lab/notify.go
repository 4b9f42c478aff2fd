//go:build linux

package lab

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// notify is the part of systemd that hears sd_notify(3). It reads all the
// time: a sender would block on a full queue.
type notify struct {
	path string
	conn *net.UnixConn
	wg   sync.WaitGroup

	mu   sync.Mutex
	said []string // lines such as READY=1; guarded by mu
}

func newNotify(dir string) (*notify, error) {
	n := &notify{path: filepath.Join(dir, "notify")}
	var err error
	n.conn, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: n.path, Net: "unixgram"})
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(n.path, 0o666); err != nil {
		n.conn.Close()
		return nil, err
	}
	n.wg.Go(n.read)
	return n, nil
}

func (n *notify) read() {
	buf := make([]byte, 4096)
	for {
		size, err := n.conn.Read(buf)
		if err != nil {
			return // closed
		}
		n.mu.Lock()
		n.said = append(n.said, strings.Split(strings.TrimSpace(string(buf[:size])), "\n")...)
		n.mu.Unlock()
	}
}

// count returns how many lines have been said so far.
func (n *notify) count() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.said)
}

// heard returns an error unless the line was said after the first ones.
func (n *notify) heard(line string, after int) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if slices.Contains(n.said[after:], line) {
		return nil
	}
	return fmt.Errorf("it has not said %s", line)
}

func (n *notify) close() {
	n.conn.Close()
	n.wg.Wait()
}
