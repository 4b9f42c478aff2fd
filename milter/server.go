package milter

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	gomilter "github.com/emersion/go-milter"

	"github.com/gatepost/gatepost/internal/listen"
	"github.com/gatepost/gatepost/internal/scan"
	"github.com/gatepost/gatepost/internal/spool"
)

// Server is the milter daemon. All methods may be called concurrently.
type Server struct {
	deps Deps
	log  *slog.Logger
	cfg  atomic.Pointer[Config]

	// bufs has *buffers of connections that have ended.
	bufs sync.Pool

	mu     sync.Mutex
	alarms map[string]bool // domains whose key failed, guarded by mu
}

// New returns a Server that asks deps.
func New(cfg Config, deps Deps, log *slog.Logger) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.Meter == nil {
		deps.Meter = noMeter{}
	}
	s := &Server{deps: deps, log: log}
	s.Reconfigure(cfg)
	return s, nil
}

// noMeter is the meter that is off.
type noMeter struct{}

func (noMeter) Request(string, string, time.Duration) {}
func (noMeter) Sessions(string, int)                  {}

// Reconfigure takes new settings, which are valid. A message that has begun
// keeps those it began with; timeouts hold from the next connection on, and
// MaxConnections from the next Serve on. It also lets a failing key be told of
// anew.
func (s *Server) Reconfigure(cfg Config) {
	s.cfg.Store(&cfg)
	s.mu.Lock()
	s.alarms = map[string]bool{}
	s.mu.Unlock()
}

// alarm reports whether the trouble with domain's key is news. Only domains
// with a key and that of Config.ARCSeal come here, so the map stays small.
func (s *Server) alarm(domain string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	news := !s.alarms[domain]
	s.alarms[domain] = true
	return news
}

// Serve answers on ln, whose mail comes from direction, until ctx ends. It then
// stops accepting, lets sessions go on to their QUIT for up to Config.Grace,
// closes the rest and returns nil. It closes ln. No goroutine of it outlives it.
func (s *Server) Serve(ctx context.Context, ln net.Listener, direction scan.Direction) error {
	cfg := s.cfg.Load()
	ln = listen.Limit(ln, cfg.MaxConnections)
	stop := context.AfterFunc(ctx, func() { _ = ln.Close() })
	defer stop()
	work, kill := context.WithCancel(context.WithoutCancel(ctx))
	defer kill()

	var sessions sync.WaitGroup
	err := listen.Accept(ctx, ln, s.log, func(c net.Conn) {
		sessions.Go(func() { s.serveConn(work, c, direction) })
	})
	_ = ln.Close() // closed already, unless accept failed
	timer := time.AfterFunc(s.cfg.Load().Grace.Std(), kill)
	defer timer.Stop()
	sessions.Wait()
	return err
}

// serveConn serves one connection to its end.
func (s *Server) serveConn(ctx context.Context, conn net.Conn, direction scan.Direction) {
	s.deps.Meter.Sessions("milter", 1)
	defer s.deps.Meter.Sessions("milter", -1)
	cfg := s.cfg.Load()
	id := rand.Text()[:12]
	bufs, ok := s.bufs.Get().(*buffers)
	if !ok {
		bufs = newBuffers()
	}
	defer s.bufs.Put(bufs)
	g := newGuard(conn, bufs, cfg.IdleTimeout.Std(), cfg.FrameTimeout.Std())
	g.answersConnect = s.deps.Guard != nil && direction == scan.Inbound
	sess := &session{
		srv: s, g: g, listener: direction, id: id, ctx: ctx,
		log: s.log.With(slog.String("session", id)),
	}
	// Only the library closes the guard: that is how its end is known.
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	serveLibrary(g, sess)
	sess.drop()
	sess.logEnd(g.err)
	g.release(bufs)
}

// serveLibrary lets the library serve one connection with one session object,
// and returns when the library is done with it. A Server of the library is for
// one connection only, because it tells a session nothing about its own.
func serveLibrary(g *guard, m gomilter.Milter) {
	one := &oneConn{conn: g}
	lib := gomilter.Server{NewMilter: func() gomilter.Milter { return m }}
	_ = lib.Serve(one) // ends with net.ErrClosed once the connection is handed over
	<-g.done
}

// oneConn is a listener with one connection.
type oneConn struct{ conn net.Conn }

func (l *oneConn) Accept() (net.Conn, error) {
	c := l.conn
	l.conn = nil
	if c == nil {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (l *oneConn) Close() error   { return nil }
func (l *oneConn) Addr() net.Addr { return &net.UnixAddr{Net: "unix"} }

// logEnd tells why a connection ended, unless it ended as it should.
func (s *session) logEnd(err error) {
	level, text := slog.LevelDebug, "milter session ended"
	switch {
	case err == nil, errors.Is(err, io.EOF):
	case errors.Is(err, net.ErrClosed):
	case errors.Is(err, errLength), errors.Is(err, errShape), errors.Is(err, errCommand), errors.Is(err, errOrder):
		level, text = slog.LevelWarn, "peer breaks the milter protocol"
	case errors.Is(err, os.ErrDeadlineExceeded):
		level, text = slog.LevelWarn, "milter peer is silent"
	case errors.Is(err, errPanic):
		level, text = slog.LevelError, "panic in a session"
	}
	var attrs []slog.Attr
	if err != nil {
		attrs = append(attrs, slog.Any("err", err))
	}
	if s.connect.Addr.IsValid() {
		attrs = append(attrs, slog.String("client_addr", s.connect.Addr.String()))
	}
	s.log.LogAttrs(s.ctx, level, text, attrs...)
}

// newMessage begins a message: path and ESMTP parameters of MAIL.
func (s *Server) newMessage(sess *session, mail []string, now time.Time) *message {
	cfg := s.cfg.Load()
	m := &message{
		cfg: cfg, arrived: now,
		origin:   originOf(cfg, sess.listener, sess.g.macros.value("{auth_authen}"), sess.connect.Addr),
		mailFrom: strings.ToValidUTF8(mail[0], "?"), params: mail[1:],
		fields: fieldIndex{authservID: cfg.AuthservID},
		keep:   int64(cfg.ScanBytes),
	}
	m.fields.receivedSPF = cfg.ReceivedSPF && m.origin.Direction == scan.Inbound
	if m.origin.Direction == scan.Outbound {
		m.fields.private = cfg.RemoveHeadersOutbound
	}
	// Signatures are over the whole message, and all of it goes into quarantine.
	m.tail = tail{
		Always: s.deps.Keys != nil && m.origin.signs() || (cfg.ARCSeal != "" || s.seals()) && m.origin.Direction == scan.Inbound,
		Signed: s.deps.Auth != nil && m.origin.Direction == scan.Inbound,
		Aside:  s.deps.Quarantine != nil && m.origin.Direction == scan.Inbound,
	}
	m.buf = spool.New(cfg.SpoolDirectory, int64(cfg.SpoolMemory))
	return m
}
