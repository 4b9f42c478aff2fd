package dict

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/listen"
	"github.com/gatepost/gatepost/internal/mailaddr"
)

// accounts is all that this package needs of the account store. An error that
// is not account.ErrNotFound means that the store is away.
type accounts interface {
	User(ctx context.Context, addr mailaddr.Address) (account.User, error)
	Users(ctx context.Context, mask string) ([]account.User, error)
}

type recorder interface{ Record(journal.Record) }

type meter interface {
	Request(daemon, verdict string, took time.Duration)
	Sessions(daemon string, delta int)
}

// daemon is the name in metrics.
const daemon = "dict"

// Deps are the parts that a Server uses.
type Deps struct {
	Accounts accounts
	Journal  recorder
	Meter    meter
	// PeerCred is optional: without it the kernel is asked (SO_PEERCRED).
	PeerCred func(net.Conn) (listen.Cred, error)
}

// Server answers look-ups. It is safe for concurrent use.
type Server struct {
	cfg  atomic.Pointer[Config]
	deps Deps
	log  *slog.Logger
}

// New returns a Server.
func New(cfg Config, deps Deps, log *slog.Logger) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("dict: %w", err)
	}
	if deps.PeerCred == nil {
		deps.PeerCred = listen.PeerCred
	}
	s := &Server{deps: deps, log: log}
	s.cfg.Store(&cfg)
	return s, nil
}

// Reconfigure takes new settings, which are valid. A look-up sees the old ones
// or the new ones, never a mix.
func (s *Server) Reconfigure(cfg Config) { s.cfg.Store(&cfg) }

// Serve answers on ln, which is a Unix socket, until ctx ends. It then stops
// accepting, lets look-ups in hand finish for up to Config.Grace, closes the
// rest and returns nil. No goroutine of s outlives it.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	ln = listen.Limit(ln, s.cfg.Load().MaxConnections)
	hard, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	defer context.AfterFunc(ctx, func() { _ = ln.Close() })()
	var sessions sync.WaitGroup
	err := listen.Accept(ctx, ln, s.log, func(c net.Conn) {
		sessions.Go(func() { s.serveConn(ctx, hard, c) })
	})
	_ = ln.Close()
	if err != nil {
		stop()
	}
	defer time.AfterFunc(s.cfg.Load().Grace.Std(), stop).Stop()
	sessions.Wait()
	return err
}

// serveConn answers one connection and closes it. ctx ends with the daemon, hard
// with its grace.
func (s *Server) serveConn(ctx, hard context.Context, c net.Conn) {
	s.deps.Meter.Sessions(daemon, 1)
	defer s.deps.Meter.Sessions(daemon, -1)
	defer func() { _ = c.Close() }()
	defer func() {
		if v := recover(); v != nil {
			s.log.LogAttrs(ctx, slog.LevelError, "panic", slog.Any("err", v), slog.String("stack", string(debug.Stack())))
		}
	}()
	cred, err := s.deps.PeerCred(c)
	if err != nil || cred.UID != 0 && !slices.Contains(s.cfg.Load().UIDs, cred.UID) {
		s.log.LogAttrs(ctx, slog.LevelWarn, "peer may not ask for accounts", slog.String("socket", daemon), slog.Int("uid", cred.UID), slog.Any("err", err))
		return
	}
	defer context.AfterFunc(hard, func() { _ = c.Close() })()
	ss := newSession(s, c, ctx.Done())
	defer context.AfterFunc(ctx, ss.interrupt)()
	err = ss.run(hard)
	switch {
	case err == nil || ctx.Err() != nil:
	case errors.Is(err, errProtocol):
		s.log.LogAttrs(ctx, slog.LevelWarn, "peer breaks the protocol", slog.String("socket", daemon), slog.Any("err", err))
	default:
		s.log.LogAttrs(ctx, slog.LevelDebug, "connection ended", slog.String("socket", daemon), slog.Any("err", err))
	}
}
