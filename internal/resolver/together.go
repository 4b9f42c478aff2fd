package resolver

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/ipv4"
)

// Bounds of the sockets of batches.
const (
	// readAtOnce is how many answers one system call takes.
	readAtOnce = 16
	// maxTogetherIdle is how many sockets to one server are kept.
	maxTogetherIdle = 32
)

// together is a connected UDP socket that has many questions under way. One
// goroutine uses it at a time; interrupt may be called from any.
//
// A forger has to hit the port and the id of a question, as with a socket for
// each (RFC 5452 §4): the port is the kernel's choice anew for each batch, ids
// are random and differ within a batch, no two questions of it are the same, and
// nobody learns the port from the questions, which go to a recursive server and
// not to whoever chose the names. Only to a server on this host, where nobody
// forges, the socket is kept for the next batch.
type together struct {
	server    string
	conn      *net.UDPConn
	batch     *ipv4.PacketConn // it takes IPv6 as well
	questions []ipv4.Message
	wire      []byte // of the questions
	answers   []ipv4.Message
	got       [][]byte
	ctx       context.Context
}

// sharedSockets has those that are idle.
type sharedSockets struct {
	mu   sync.Mutex // guards idle
	idle map[string][]*together
}

// open returns a socket to server, for one batch, which ends with ctx.
func (s *sharedSockets) open(ctx context.Context, server string) (*together, error) {
	s.mu.Lock()
	if n := len(s.idle[server]) - 1; n >= 0 {
		t := s.idle[server][n]
		s.idle[server] = s.idle[server][:n]
		s.mu.Unlock()
		t.ctx = ctx
		return t, nil
	}
	s.mu.Unlock()
	var d net.Dialer
	c, err := d.DialContext(ctx, "udp", server)
	if err != nil {
		return nil, err
	}
	conn, ok := c.(*net.UDPConn)
	if !ok {
		return nil, fmt.Errorf("dial %s: a %T is no UDP socket", server, c)
	}
	t := &together{server: server, conn: conn, batch: ipv4.NewPacketConn(conn), ctx: ctx}
	buf := make([]byte, readAtOnce*udpSize)
	for i := range readAtOnce {
		t.answers = append(t.answers, ipv4.Message{Buffers: [][]byte{buf[i*udpSize : (i+1)*udpSize]}})
	}
	return t, nil
}

// done gives t back. One with a question left unanswered is closed: a late
// answer must not meet the next batch.
func (s *sharedSockets) done(t *together, spoilt bool) {
	a, err := netip.ParseAddrPort(t.server)
	s.mu.Lock()
	keep := !spoilt && err == nil && a.Addr().Unmap().IsLoopback() && t.ctx.Err() == nil && len(s.idle[t.server]) < maxTogetherIdle
	if keep {
		s.idle[t.server] = append(s.idle[t.server], t)
	}
	s.mu.Unlock()
	if !keep {
		_ = t.conn.Close() // nothing waits to be written
	}
}

// interrupt wakes who reads.
func (t *together) interrupt() { _ = t.conn.SetDeadline(time.Unix(1, 0)) }

// wait sets until when the next read waits. It does not outlive the context.
func (t *together) wait(until time.Time) {
	_ = t.conn.SetDeadline(until)
	if t.ctx.Err() != nil {
		t.interrupt()
	}
}

// add appends a question to those that write sends.
func (t *together) add(k key, id uint16, ad bool) error {
	if len(t.questions) == 0 {
		t.wire = t.wire[:0]
	}
	from := len(t.wire)
	wire, err := appendQuery(t.wire, k, id, ad)
	if err != nil {
		return err
	}
	t.wire = wire
	t.questions = append(t.questions, ipv4.Message{Buffers: [][]byte{wire[from:]}})
	return nil
}

// write sends the questions, whose answers are waited for up to until.
func (t *together) write(until time.Time) error {
	t.wait(until)
	for ms := t.questions; len(ms) > 0; {
		n, err := t.batch.WriteBatch(ms, 0)
		if err != nil {
			return err
		}
		ms = ms[n:]
	}
	return nil
}

// read waits for answers. They are good until the next read.
func (t *together) read() ([][]byte, error) {
	n, err := t.batch.ReadBatch(t.answers, 0)
	if err != nil {
		return nil, err
	}
	t.got = t.got[:0]
	for i := range n {
		t.got = append(t.got, t.answers[i].Buffers[0][:t.answers[i].N])
	}
	return t.got, nil
}

// appendQuery appends the question k on the wire, as query builds it: with
// recursion desired, and with EDNS.
func appendQuery(to []byte, k key, id uint16, ad bool) ([]byte, error) {
	from := len(to)
	flags := uint16(0x0100) // RD
	if ad {
		flags |= 0x0020 // AD
	}
	to = binary.BigEndian.AppendUint16(to, id)
	to = binary.BigEndian.AppendUint16(to, flags)
	to = append(to, 0, 1, 0, 0, 0, 0, 0, 1) // one question, one additional record
	at := len(to)
	to = append(to, make([]byte, maxName+2)...)
	n, err := dns.PackDomainName(k.name, to, at, nil, false)
	if err != nil {
		return to[:from], fmt.Errorf("write question: %w", err)
	}
	to = binary.BigEndian.AppendUint16(to[:n], k.rtype)
	to = binary.BigEndian.AppendUint16(to, dns.ClassINET)
	to = append(to, 0) // the root
	to = binary.BigEndian.AppendUint16(to, dns.TypeOPT)
	to = binary.BigEndian.AppendUint16(to, udpSize)
	return append(to, 0, 0, 0, 0, 0, 0), nil // no extended code, version 0, no flags, no data
}
