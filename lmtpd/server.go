package lmtpd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/gatepost/gatepost/internal/listen"
	"github.com/gatepost/gatepost/internal/maildir"
	"github.com/gatepost/gatepost/internal/spool"
)

// Deps are the parts that delivery stands on; all are needed.
type Deps struct {
	// Accounts is an account.Reader.
	Accounts accounts
	// Verdicts is a *delivery.Verdicts.
	Verdicts verdicts
	Journal  recorder
	Meter    meter
	// Filed is told of every file; nil for nobody.
	Filed filings
	// SRS is a *srs.Live; nil for none.
	SRS senders
	// Filter runs users' scripts; nil for none.
	Filter filters
	// Seals is a *seal.Live: it proves verdicts of other hosts. Nil proves none.
	Seals unsealer
}

// Server delivers mail. Its methods are safe for concurrent use.
type Server struct {
	accounts accounts
	verdicts verdicts
	journal  recorder
	meter    meter
	filed    filings
	srs      senders
	filter   filters
	seals    unsealer
	log      *slog.Logger

	snap atomic.Pointer[snapshot]

	mu    sync.Mutex // guards conns and stopping
	conns map[*conn]struct{}
	// stopping is set when Serve ends.
	stopping bool
}

// snapshot is a configuration and what is made of it. A message sees one.
type snapshot struct {
	cfg  Config
	box  maildir.Config // what mail was made with
	mail writer
	bufs *buffers
}

const (
	// largeBuffers messages of up to largeBytes are kept in memory at a time,
	// whatever Config.SpoolMemory says, if their SIZE tells so: to write them to a
	// file first would cost as much as the delivery.
	largeBuffers = 8
	largeBytes   = 2 << 20
)

// buffers has the memory of messages, which is used again.
type buffers struct {
	cfg   Config
	small sync.Pool          // of *spool.Buffer
	large chan *spool.Buffer // nil for one that was not made yet
}

func newBuffers(cfg Config) *buffers {
	b := &buffers{cfg: cfg, large: make(chan *spool.Buffer, largeBuffers)}
	b.small.New = func() any { return spool.New(cfg.SpoolDirectory, int64(cfg.SpoolMemory)) }
	for range largeBuffers {
		b.large <- nil
	}
	return b
}

// take returns an empty buffer for a message of size bytes, as far as is known,
// and what gives it back.
func (b *buffers) take(size int64) (buf *spool.Buffer, free func()) {
	if size > int64(b.cfg.SpoolMemory) && size < largeBytes {
		select {
		case buf = <-b.large:
			if buf == nil {
				buf = spool.New(b.cfg.SpoolDirectory, largeBytes)
			}
			return buf, func() {
				buf.Reset()
				b.large <- buf
			}
		default: // all are in use
		}
	}
	buf = b.small.Get().(*spool.Buffer)
	return buf, func() {
		buf.Reset()
		b.small.Put(buf)
	}
}

// New returns a Server. The mail root need not be there yet.
func New(cfg Config, deps Deps, log *slog.Logger) (*Server, error) {
	if deps.Accounts == nil || deps.Verdicts == nil || deps.Journal == nil || deps.Meter == nil || log == nil {
		return nil, errors.New("lmtpd: a part is missing")
	}
	s := &Server{
		accounts: deps.Accounts, verdicts: deps.Verdicts, journal: deps.Journal, meter: deps.Meter, filed: deps.Filed,
		srs: deps.SRS, filter: deps.Filter, seals: deps.Seals, log: log,
		conns: make(map[*conn]struct{}),
	}
	return s, s.Reconfigure(cfg)
}

// Reconfigure takes cfg for every message that begins from now on, or leaves
// everything as it is and returns an error.
func (s *Server) Reconfigure(cfg Config) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	old := s.snap.Load()
	box := maildir.Config{Root: cfg.MailRoot, Host: cfg.Hostname, UTF8: cfg.Folders.UTF8}
	if old != nil && old.box == box {
		s.snap.Store(&snapshot{cfg: cfg, box: box, mail: old.mail, bufs: newBuffers(cfg)})
		return nil
	}
	mail, err := maildir.New(box)
	if err != nil {
		return err
	}
	s.snap.Store(&snapshot{cfg: cfg, box: box, mail: mail, bufs: newBuffers(cfg)})
	return nil
}

func (s *Server) current() *snapshot { return s.snap.Load() }

// Serve answers on lns until ctx ends. It then stops accepting, lets
// transactions in hand finish for up to Config.Grace, closes the rest and
// returns nil. An error of a listener ends all of them in the same way and is
// returned. Serve is called once.
func (s *Server) Serve(ctx context.Context, lns ...net.Listener) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	lib := s.library()
	// Transactions in hand outlive ctx: that of a connection ends with it.
	live := context.WithoutCancel(ctx)
	var serving sync.WaitGroup
	var open []net.Listener
	for _, ln := range lns {
		wrapped := &listener{Listener: listen.Limit(ln, s.current().cfg.MaxConnections), ctx: live, srv: s}
		open = append(open, wrapped)
		serving.Go(func() {
			if err := lib.Serve(wrapped); err != nil && ctx.Err() == nil {
				cancel(fmt.Errorf("lmtp listener: %w", err))
			}
		})
	}
	<-ctx.Done()
	for _, ln := range open {
		_ = ln.Close() // ends lib.Serve
	}
	s.stop()
	grace := time.AfterFunc(s.current().cfg.Grace.Std(), s.closeAll)
	serving.Wait()
	_ = lib.Shutdown(context.Background()) // waits; its error is that the listeners are closed
	grace.Stop()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// library returns the protocol engine. Its own limits and timeouts are off:
// conn and session have them. DSN is not offered.
func (s *Server) library() *smtp.Server {
	lib := smtp.NewServer(smtp.BackendFunc(s.newSession))
	lib.LMTP = true
	lib.Domain = s.current().cfg.Hostname
	lib.EnableSMTPUTF8 = true
	lib.MaxLineLength = 1 << 20 // conn bounds command lines, and content does not come by
	lib.ErrorLog = libraryLog{s.log}
	return lib
}

// libraryLog is where go-smtp reports. Connections that break are its every-day
// news.
type libraryLog struct{ log *slog.Logger }

func (l libraryLog) Printf(format string, v ...any) {
	l.log.LogAttrs(context.Background(), slog.LevelDebug, "lmtp connection", slog.String("err", fmt.Sprintf(format, v...)))
}

func (l libraryLog) Println(v ...any) {
	l.log.LogAttrs(context.Background(), slog.LevelDebug, "lmtp connection", slog.String("err", fmt.Sprintln(v...)))
}

// listener wraps what it accepts.
type listener struct {
	net.Listener
	ctx context.Context
	srv *Server
}

// Accept returns the next connection as a *conn.
func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.srv.register(l.ctx, c)
}

// register keeps account of an open connection.
func (s *Server) register(ctx context.Context, c net.Conn) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return nil, errors.Join(net.ErrClosed, c.Close())
	}
	var k *conn
	k = newConn(ctx, c, s.current, func() { s.forget(k) })
	s.conns[k] = struct{}{}
	s.meter.Sessions("lmtpd", 1)
	return k, nil
}

func (s *Server) forget(k *conn) {
	s.mu.Lock()
	delete(s.conns, k)
	s.mu.Unlock()
	s.meter.Sessions("lmtpd", -1)
}

// stop ends every connection without a transaction, and the others after it.
func (s *Server) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopping = true
	for k := range s.conns {
		k.stop()
	}
}

// closeAll ends every connection at once. A delivery in hand sees its context
// end, and the client, which gets no reply, tries again.
func (s *Server) closeAll() {
	s.mu.Lock()
	conns := make([]*conn, 0, len(s.conns))
	for k := range s.conns {
		conns = append(conns, k)
	}
	s.mu.Unlock()
	for _, k := range conns {
		k.abort()
	}
}
