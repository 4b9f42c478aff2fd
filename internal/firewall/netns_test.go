package firewall

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// space is a network namespace that lives as long as its thread.
type space struct {
	path string
	fd   int
	work chan func()
}

// newSpace makes a namespace with loopback up, or skips.
func newSpace(t *testing.T) *space {
	t.Helper()
	s := &space{work: make(chan func())}
	ready := make(chan error)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			ready <- err
			return
		}
		fd, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		s.fd, s.path = fd, fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), fd)
		ready <- err
		for f := range s.work {
			f()
		}
	}()
	if err := <-ready; err != nil {
		missing(t, fmt.Sprintf("a network namespace needs root: %v", err))
	}
	t.Cleanup(func() {
		close(s.work)
		<-ended
		_ = unix.Close(s.fd)
	})
	s.ip(t, "link", "set", "lo", "up")
	return s
}

// missing skips at home and fails in CI.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// do runs f on the thread of the namespace.
func (s *space) do(f func()) {
	done := make(chan struct{})
	s.work <- func() { defer close(done); f() }
	<-done
}

// ip runs ip(8) in the namespace.
func (s *space) ip(t *testing.T, arg ...string) {
	t.Helper()
	if _, err := exec.LookPath("ip"); err != nil {
		missing(t, "ip(8) of iproute2 is not here")
	}
	s.do(func() {
		if out, err := exec.Command("ip", arg...).CombinedOutput(); err != nil {
			t.Errorf("ip %s: %v %s", strings.Join(arg, " "), err, out)
		}
	})
}

// pairOfSpaces returns a server at 198.51.100.1 and 2001:db8:1::1 and a client
// with several addresses, joined by a cable.
func pairOfSpaces(t *testing.T) (server, client *space) {
	t.Helper()
	server, client = newSpace(t), newSpace(t)
	server.ip(t, "link", "add", "va", "type", "veth", "peer", "name", "vb", "netns", client.path)
	server.ip(t, "link", "set", "va", "up")
	client.ip(t, "link", "set", "vb", "up")
	for _, a := range []string{"198.51.100.1/24", "2001:db8:1::1/64"} {
		server.ip(t, "addr", "add", a, "dev", "va", "nodad")
	}
	for _, a := range []string{"198.51.100.7/24", "198.51.100.9/24", "2001:db8:1::7/64", "2001:db8:1::9/64"} {
		client.ip(t, "addr", "add", a, "dev", "vb", "nodad")
	}
	return server, client
}

// listen accepts connections in the namespace until the test ends.
func (s *space) listen(t *testing.T, addr string) {
	t.Helper()
	var ln net.Listener
	s.do(func() {
		var err error
		if ln, err = net.Listen("tcp", addr); err != nil {
			t.Fatal(err)
		}
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	t.Cleanup(func() { ln.Close(); <-done })
}

// dropTime is how long a connection that nobody answers is waited for.
const dropTime = 300 * time.Millisecond

// connects reports whether a connection from one address to another is
// answered. A refusal is no drop, and fails the test.
func (s *space) connects(t *testing.T, from, to string) bool {
	t.Helper()
	var conn net.Conn
	var err error
	s.do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), dropTime)
		defer cancel()
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		conn, err = d.DialContext(ctx, "tcp", to)
	})
	if err == nil {
		conn.Close()
		return true
	}
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() || errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("from %s to %s: %v", from, to, err)
	}
	return false
}
