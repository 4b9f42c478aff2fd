package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"
)

// conns are the connections of a client, so that all of them can be ended at
// once: go-redis notices no cancelled context while it reads.
type conns struct {
	timeout time.Duration // of a connect, its TLS handshake included
	secure  *tls.Config   // nil for connections in the clear

	mu   sync.Mutex // guards open
	open map[*conn]bool
}

// conn is a connection that its conns know until it is closed.
type conn struct {
	net.Conn
	all *conns
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.all.mu.Lock()
	delete(c.all.open, c)
	c.all.mu.Unlock()
	return c.Conn.Close()
}

// SyscallConn implements syscall.Conn: by it the pool sees that the server has
// closed a connection.
func (c *conn) SyscallConn() (syscall.RawConn, error) {
	if raw, ok := c.Conn.(syscall.Conn); ok {
		return raw.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// dial connects to a server.
func (c *conns) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	raw, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	known := &conn{Conn: raw, all: c}
	c.mu.Lock()
	c.open[known] = true
	c.mu.Unlock()
	if c.secure == nil {
		return known, nil
	}
	cfg := c.secure
	if cfg.ServerName == "" {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			_ = known.Close()
			return nil, err
		}
		cfg = cfg.Clone()
		cfg.ServerName = host
	}
	over := tls.Client(known, cfg)
	if err := over.HandshakeContext(ctx); err != nil {
		_ = known.Close()
		return nil, err
	}
	return over, nil
}

// end closes all.
func (c *conns) end() {
	c.mu.Lock()
	all := make([]*conn, 0, len(c.open))
	for one := range c.open {
		all = append(all, one)
	}
	c.mu.Unlock()
	for _, one := range all {
		_ = one.Close() // who reads from it is told
	}
}

// Interrupt ends the requests in hand, of which nobody knows whether they were
// done, and the connections with them. The next request makes a new one.
func (s *Store) Interrupt() { s.conns.end() }
