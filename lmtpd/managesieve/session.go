package managesieve

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/gatepost/gatepost/internal/mailaddr"
)

// session is one connection of a mail program.
type session struct {
	srv *Server
	// cfg is that of the connection's begin.
	cfg  *Config
	id   string
	conn net.Conn // in clear text
	peer net.Conn // conn, or TLS over it
	in   *decoder

	client, server netip.AddrPort
	standing
	mechs []string         // what the client was told, nil before TLS
	user  mailaddr.Address // while loggedIn
	// login is when all before the login has to be over.
	login time.Time
	bad   int

	ctxDone <-chan struct{}
	mu      sync.Mutex // guards the order of deadlines and interrupt
}

func (s *Server) newSession(c net.Conn, ctxDone <-chan struct{}) *session {
	k := &session{srv: s, cfg: s.cfg.Load(), id: rand.Text()[:12], conn: c, client: addrPort(c.RemoteAddr()), server: addrPort(c.LocalAddr()), ctxDone: ctxDone}
	k.take(c)
	k.login = time.Now().Add(k.cfg.LoginTimeout.Std())
	return k
}

func addrPort(a net.Addr) netip.AddrPort {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort()
	}
	return netip.AddrPort{}
}

// take speaks over c from now on.
func (k *session) take(c net.Conn) {
	k.peer, k.in = c, &decoder{in: bufio.NewReaderSize(c, 4<<10)}
}

// interrupt ends the wait for a command.
func (k *session) interrupt() {
	k.mu.Lock()
	defer k.mu.Unlock()
	_ = k.conn.SetReadDeadline(time.Unix(1, 0)) // a closed connection ends it too
}

// deadline bounds the following reads. After interrupt it changes nothing.
func (k *session) deadline(t time.Time) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.interrupted() {
		return nil
	}
	return k.conn.SetReadDeadline(t)
}

func (k *session) interrupted() bool {
	select {
	case <-k.ctxDone:
		return true
	default:
		return false
	}
}

// errEnd ends a connection after its last reply.
var errEnd = errors.New("end")

// run speaks until the peer or we are done.
func (k *session) run(ctx context.Context) error {
	err := k.greet(ctx, k.cfg.Hostname+" is ready")
	for err == nil {
		err = k.step(ctx)
	}
	if errors.Is(err, errEnd) || errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// step reads one command and answers it.
func (k *session) step(ctx context.Context) error {
	c, err := k.read()
	if err != nil {
		return k.unreadable(err)
	}
	if err := c.check(); err != nil {
		return k.fault(err.Error())
	}
	start := time.Now()
	if r := decideAllowed(k.standing, c.name); !r.isZero() {
		k.count(r, start)
		return k.refuse(r)
	}
	switch c.name {
	case cmdStartTLS:
		return k.startTLS(ctx)
	case cmdCapability:
		return k.greet(ctx, "that is all")
	case cmdLogout:
		return errors.Join(k.send(ok("goodbye")), errEnd)
	case cmdNoop:
		r := ok("done")
		if len(c.args) > 0 {
			r = r.with(codeTag, c.text(0))
		}
		return k.send(r)
	case cmdAuthenticate:
		return k.authenticate(ctx, c)
	case cmdUnauthenticate:
		k.loggedIn, k.user = false, mailaddr.Address{}
		k.login = time.Now().Add(k.cfg.LoginTimeout.Std())
		return k.send(ok("logged out"))
	}
	return k.edit(ctx, c)
}

// read reads a command.
func (k *session) read() (command, error) {
	most := int64(maxCommand)
	if !k.loggedIn {
		if err := k.deadline(k.login); err != nil {
			return command{}, err
		}
		return k.in.read(most)
	}
	if err := k.deadline(time.Now().Add(k.cfg.IdleTimeout.Std())); err != nil {
		return command{}, err
	}
	if _, err := k.in.in.Peek(1); err != nil {
		return command{}, err
	}
	if err := k.deadline(time.Now().Add(commandTime)); err != nil {
		return command{}, err
	}
	return k.in.read(most + int64(k.cfg.MaxScriptSize))
}

// unreadable answers what could not be read.
func (k *session) unreadable(err error) error {
	var syntax *syntaxError
	var large *tooLarge
	switch {
	case errors.As(err, &syntax):
		return k.fault(syntax.text)
	case errors.As(err, &large) && k.loggedIn && large.size <= maxDiscard:
		if err := k.in.discard(large.size); err != nil {
			return k.unreadable(err)
		}
		return k.refuse(no(codeMaxSize, "a script has at most "+k.cfg.MaxScriptSize.String()))
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errors.Join(k.send(k.late()), errEnd)
	case errors.As(err, &large), errors.Is(err, errTooLong), errors.Is(err, errBroken):
		return errors.Join(k.send(decideFault(err)), err)
	}
	return err
}

// late says why nothing more is read.
func (k *session) late() reply {
	switch {
	case k.interrupted():
		return bye(codeTryLater, "the service is stopping, please come back")
	case k.loggedIn:
		return bye("", "you were silent for too long")
	}
	return bye("", "the login took too long")
}

// fault answers what is no command.
func (k *session) fault(text string) error { return k.refuse(no("", text)) }

// refuse answers NO, too often BYE.
func (k *session) refuse(r reply) error {
	if k.bad++; k.bad > maxBad {
		return errors.Join(k.send(bye("", "too many faults")), errEnd)
	}
	return k.send(r)
}

// send writes one reply.
func (k *session) send(r reply) error { return k.write(r.appendTo(nil)) }

func (k *session) write(b []byte) error {
	if err := k.conn.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return fmt.Errorf("set deadline: %w", err)
	}
	if _, err := k.peer.Write(b); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// greet tells the capabilities.
func (k *session) greet(ctx context.Context, text string) error {
	if k.secured && k.mechs == nil {
		var err error
		if k.mechs, err = k.srv.mechanisms(ctx); err != nil {
			k.warn(ctx, "auth server not asked", err)
		}
	}
	b := appendCapabilities(nil, k.cfg.capabilities(k.standing, k.user.String(), k.mechs))
	return k.write(ok(text).appendTo(b))
}

// startTLS changes to TLS. What has come in clear text behind the command could
// be anybody's.
func (k *session) startTLS(ctx context.Context) error {
	if k.in.in.Buffered() > 0 {
		return errors.Join(k.send(bye("", "nothing may follow STARTTLS before TLS")), errEnd)
	}
	if err := k.send(ok("begin TLS now")); err != nil {
		return err
	}
	if err := errors.Join(k.deadline(k.login), k.conn.SetWriteDeadline(k.login)); err != nil {
		return fmt.Errorf("set deadline: %w", err)
	}
	t := tls.Server(k.conn, k.srv.tls)
	if err := t.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("TLS: %w", err)
	}
	k.take(t)
	k.secured = true
	return k.greet(ctx, "TLS is there")
}

// warn logs a fault of ours that has no user.
func (k *session) warn(ctx context.Context, text string, err error) {
	k.srv.log.LogAttrs(ctx, slog.LevelWarn, text, slog.String("session", k.id),
		slog.String("client_addr", k.client.Addr().String()), slog.Any("err", err))
}

// rescue ends a session that panics.
func (s *Server) rescue(ctx context.Context, k *session) {
	if v := recover(); v != nil {
		s.log.LogAttrs(ctx, slog.LevelError, "panic", slog.String("session", k.id), slog.Any("err", v), slog.String("stack", string(debug.Stack())))
		_ = k.send(bye(codeTryLater, textFault))
	}
}
