package resolver

import (
	"context"
	"net/netip"
	"sync"

	"github.com/miekg/dns"
)

// maxIdle is how many sockets to one server are kept open.
const maxIdle = 64

// sockets keeps UDP sockets to servers on this host for the next question: to
// make one costs ten system calls, three quarters of a question. To any other
// server each question has a socket of its own, because a port that nobody can
// guess is what keeps forgers out (RFC 5452 §4.5); nobody forges on loopback.
type sockets struct {
	mu   sync.Mutex // guards idle
	idle map[string][]*dns.Conn
}

// exchange is exchange over a socket that is there, if one is. One question at
// a time has a socket, and one whose answer did not come takes it along.
func (s *sockets) exchange(ctx context.Context, network, server string, q *dns.Msg) (*dns.Msg, error) {
	a, err := netip.ParseAddrPort(server)
	if network != "udp" || err != nil || !a.Addr().Unmap().IsLoopback() {
		return exchange(ctx, network, server, q)
	}
	if conn := s.take(server); conn != nil {
		m, err := talk(ctx, network, conn, q)
		if s.put(server, conn, err); err == nil || ctx.Err() != nil {
			return m, err
		}
		// The server may have been started anew since: that says nothing of it.
	}
	conn, err := dial(ctx, network, server)
	if err != nil {
		return nil, err
	}
	m, err := talk(ctx, network, conn, q)
	s.put(server, conn, err)
	return m, err
}

func (s *sockets) take(server string) *dns.Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	idle := s.idle[server]
	n := len(idle) - 1
	if n < 0 {
		return nil
	}
	s.idle[server] = idle[:n]
	return idle[n]
}

// put keeps conn, or closes it after an error or when there are enough.
func (s *sockets) put(server string, conn *dns.Conn, err error) {
	s.mu.Lock()
	keep := err == nil && len(s.idle[server]) < maxIdle
	if keep {
		s.idle[server] = append(s.idle[server], conn)
	}
	s.mu.Unlock()
	if !keep {
		_ = conn.Close() // nothing waits to be written
	}
}
