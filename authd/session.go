package authd

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// session is one connection of Postfix or of a Dovecot login process.
type session struct {
	srv  *Server
	kind Kind
	conn net.Conn
	in   *line
	// offered are the mechanisms that the peer was told.
	offered []string
	cookie  cookie
	hello   bool // VERSION came
	minor   uint32
	pid     uint32 // CPID, 0 before it came
	// spare is the last request that was answered at once, for the next one.
	spare *request

	work sync.WaitGroup // goroutines and timers of requests

	mu sync.Mutex
	// The fields below are guarded by mu.
	open   map[uint32]*request
	grants map[uint32]granted
	out    []byte
	closed bool
	// writeSet is when the deadline of writes was set.
	writeSet time.Time
}

func (s *Server) newSession(c net.Conn, kind Kind, in *line) *session {
	ss := &session{srv: s, kind: kind, conn: c, in: in, offered: s.cfg.Load().Mechanisms,
		open: make(map[uint32]*request), grants: make(map[uint32]granted)}
	_, _ = rand.Read(ss.cookie[:]) // it never returns an error
	in.limit(maxClientLine)
	return ss
}

// run speaks until the peer or we are done. It returns nil when the peer closed.
// hard ends with the grace that logins in hand have when the daemon ends.
func (ss *session) run(hard context.Context) error {
	// What waits for a processor dies with the connection. What is being hashed
	// goes on, and the guard learns of it.
	ctx, cancel := context.WithCancel(hard)
	defer func() {
		if ss.in.interrupted() {
			stop := context.AfterFunc(hard, ss.end)
			ss.work.Wait()
			ss.linger(hard)
			stop()
		}
		ss.end()
		cancel()
		ss.work.Wait()
	}()
	if err := ss.in.deadline(time.Now().Add(handshakeTime)); err != nil {
		return fmt.Errorf("set deadline: %w", err)
	}
	ss.mu.Lock()
	ss.out = appendHandshake(ss.out, ss.offered, ss.srv.spid, ss.srv.cuid.Add(1), ss.cookie)
	ss.mu.Unlock()
	for {
		if !ss.in.waiting() {
			if err := ss.sendAll(); err != nil {
				return err
			}
		}
		b, err := ss.in.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		l, err := parseClient(b)
		if err != nil {
			return err
		}
		if err := ss.handle(ctx, l); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// end forgets the connection: late answers go nowhere, and no mail process can
// take over one of its logins.
func (ss *session) end() {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	_ = ss.flush() // what was decided before the fault
	ss.shut()
	for _, r := range ss.open {
		ss.stop(r)
	}
	clear(ss.open)
	clear(ss.grants)
	if ss.kind == Login && ss.pid != 0 {
		ss.srv.forgetPID(ss.pid, ss)
	}
}

// stop ends the delay of r. It needs mu.
func (ss *session) stop(r *request) {
	if r.timer != nil && r.timer.Stop() {
		ss.work.Done()
	}
}

// shut closes the connection. It needs mu.
func (ss *session) shut() {
	ss.closed = true
	ss.out = nil
	_ = ss.conn.Close()
}

// sendAll sends what is in out.
func (ss *session) sendAll() error {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return ss.flush()
}

// flush sends what is in out. It needs mu.
func (ss *session) flush() error {
	if ss.closed || len(ss.out) == 0 {
		return nil
	}
	// A deadline that is about right saves most of the calls.
	if now := time.Now(); now.After(ss.writeSet.Add(writeTime / 10)) {
		ss.writeSet = now
		if err := ss.conn.SetWriteDeadline(now.Add(writeTime)); err != nil {
			return fmt.Errorf("set deadline: %w", err)
		}
	}
	_, err := ss.conn.Write(ss.out)
	ss.out = ss.out[:0]
	if err != nil {
		ss.shut()
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// handle does what one line asks for. An error closes the connection.
func (ss *session) handle(ctx context.Context, l clientLine) error {
	if !ss.hello && l.verb != verbVersion {
		return broken("%s before VERSION", l.verb)
	}
	if ss.pid == 0 && l.verb != verbVersion && l.verb != verbCPID {
		return broken("%s before CPID", l.verb)
	}
	switch l.verb {
	case verbVersion:
		if ss.hello {
			return broken("second VERSION")
		}
		ss.hello, ss.minor = true, l.version.minor
		return nil
	case verbCPID:
		if ss.pid != 0 {
			return broken("second CPID")
		}
		if ss.kind == Login && !ss.srv.rememberPID(l.pid, ss) {
			return broken("CPID %d is connected already", l.pid)
		}
		ss.pid = l.pid
		// From now on silence is no fault.
		return ss.in.deadline(time.Time{})
	case verbAuth:
		return ss.auth(ctx, l)
	case verbCont:
		return ss.cont(ctx, l)
	}
	ss.take(l.id) // CANCEL: no reply before 1.4
	return nil
}
