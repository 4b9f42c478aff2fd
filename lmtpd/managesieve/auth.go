package managesieve

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/gatepost/gatepost/internal/secret"
)

// authConn is a connection to the auth server, for one login or to learn what is
// offered. A temporary fault of authd ends it, as for Postfix.
type authConn struct {
	conn  net.Conn
	in    *bufio.Reader
	mechs []string
}

// dialAuth connects to the auth server and shakes hands. The connection ends
// with ctx.
func (s *Server) dialAuth(ctx context.Context) (*authConn, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTime)
	defer cancel()
	conn, err := s.dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect to the auth server: %w", err)
	}
	a := &authConn{conn: conn, in: bufio.NewReaderSize(conn, maxAuthLine)}
	if err := a.handshake(); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return a, nil
}

// handshake says who we are, and reads what is offered.
func (a *authConn) handshake() error {
	hello := fmt.Appendf(nil, "VERSION\t1\t2\nCPID\t%d\n", os.Getpid())
	if err := a.send(hello, handshakeTime); err != nil {
		return err
	}
	for range 100 {
		l, err := a.read()
		if err != nil {
			return err
		}
		switch {
		case l.verb == authDone:
			return nil
		case l.verb == authMech && l.mech != "":
			a.mechs = append(a.mechs, l.mech)
		case l.verb == authOK || l.verb == authFail || l.verb == authCont:
			return fmt.Errorf("%w: %s in the handshake", errAuth, l.verb)
		}
	}
	return fmt.Errorf("%w: no end of the handshake", errAuth)
}

// send writes b, and bounds the time for that and for the answer.
func (a *authConn) send(b []byte, within time.Duration) error {
	if err := a.conn.SetDeadline(time.Now().Add(within)); err != nil {
		return fmt.Errorf("auth server: %w", err)
	}
	if _, err := a.conn.Write(b); err != nil {
		return fmt.Errorf("write to the auth server: %w", err)
	}
	return nil
}

func (a *authConn) read() (authLine, error) {
	b, err := a.in.ReadSlice('\n')
	if err != nil {
		return authLine{}, fmt.Errorf("read from the auth server: %w", err)
	}
	return parseAuthLine(b[:len(b)-1])
}

// authID is that of the one request of a connection.
const authID = 1

// begin sends an AUTH and returns the answer.
func (a *authConn) begin(r authRequest) (authLine, error) {
	r.id = authID
	return a.ask(r.appendTo(nil))
}

// next sends the client's next message and returns the answer.
func (a *authConn) next(data secret.Value) (authLine, error) {
	return a.ask(appendCont(nil, authID, data))
}

func (a *authConn) ask(line []byte, err error) (authLine, error) {
	if err != nil {
		return authLine{}, err
	}
	if err := a.send(line, authTime); err != nil {
		return authLine{}, err
	}
	for range 100 {
		l, err := a.read()
		if err != nil {
			return l, err
		}
		if l.id == authID && (l.verb == authOK || l.verb == authCont || l.verb == authFail) {
			return l, nil
		}
	}
	return authLine{}, fmt.Errorf("%w: no answer", errAuth)
}

func (a *authConn) close() { _ = a.conn.Close() }

// mechanisms asks what is offered. When the auth server is away it is PLAIN,
// which every one has: a login then hears that.
func (s *Server) mechanisms(ctx context.Context) ([]string, error) {
	a, err := s.dialAuth(ctx)
	if err != nil {
		return []string{"PLAIN"}, err
	}
	a.close()
	return a.mechs, nil
}
