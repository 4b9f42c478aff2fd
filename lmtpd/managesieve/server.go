package managesieve

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/listen"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/script"
)

// daemon is the server's name in metrics and journal.
const daemon = "managesieve"

// scripts is a *script.Store.
type scripts interface {
	List(user mailaddr.Address) ([]script.Info, error)
	Read(user mailaddr.Address, name string) ([]byte, error)
	HaveSpace(user mailaddr.Address, name string, size int64) error
	editor
}

// editor is what changes scripts.
type editor interface {
	Put(user mailaddr.Address, name string, src []byte) error
	Activate(user mailaddr.Address, name string) error
	Delete(user mailaddr.Address, name string) error
	Rename(user mailaddr.Address, from, to string) error
}

// recorder takes journal records and never blocks.
type recorder interface{ Record(journal.Record) }

// meter counts.
type meter interface {
	Request(daemon, verdict string, took time.Duration)
	Sessions(daemon string, delta int)
}

// Deps are the parts that a Server stands on; all but Dial are needed.
type Deps struct {
	// Scripts is a *script.Store.
	Scripts scripts
	// Check compiles a script before it is kept; see script.Checker. The error
	// tells the user what is wrong with it.
	Check   func(user mailaddr.Address, name string, src []byte) (warnings []string, err error)
	Journal recorder
	Meter   meter
	// Dial connects to the auth server; nil is Config.AuthSocketPath.
	Dial func(ctx context.Context) (net.Conn, error)
}

// Server answers mail programs. Its methods are safe for concurrent use.
type Server struct {
	deps   Deps
	log    *slog.Logger
	cfg    atomic.Pointer[Config]
	cert   certificate
	tls    *tls.Config
	checks chan struct{} // has a place for each script that is compiled

	mu sync.Mutex
	// clients counts the connections of each network. Guarded by mu.
	clients map[netip.Addr]int
}

// New returns a Server. The certificate has to be there.
func New(cfg Config, deps Deps, log *slog.Logger) (*Server, error) {
	if deps.Scripts == nil || deps.Check == nil || deps.Journal == nil || deps.Meter == nil || log == nil {
		return nil, errors.New("managesieve: a part is missing")
	}
	s := &Server{deps: deps, log: log, checks: make(chan struct{}, maxChecks), clients: make(map[netip.Addr]int)}
	s.cert.log = log
	s.tls = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: s.cert.get}
	return s, s.Reconfigure(cfg)
}

// Reconfigure takes cfg for every connection from now on, with the files of the
// certificate as they are now; or it leaves everything as it is and returns an
// error. Listen and MaxConnections need a restart.
func (s *Server) Reconfigure(cfg Config) error {
	if err := cfg.Validate(); err != nil {
		return fmt.Errorf("managesieve: %w", err)
	}
	if err := s.cert.set(cfg.SSLCert, cfg.SSLKey); err != nil {
		return fmt.Errorf("managesieve: %w", err)
	}
	s.cfg.Store(&cfg)
	return nil
}

// dial connects to the auth server.
func (s *Server) dial(ctx context.Context) (net.Conn, error) {
	if s.deps.Dial != nil {
		return s.deps.Dial(ctx)
	}
	var d net.Dialer
	return d.DialContext(ctx, "unix", s.cfg.Load().AuthSocketPath)
}

// Serve answers on ln until ctx ends. It then stops accepting, lets commands in
// hand finish for up to Config.Grace, closes the rest and returns nil. No
// goroutine of s outlives it; ln is closed.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	ln = listen.Limit(ln, s.cfg.Load().MaxConnections)
	// hard ends what is in hand, after the grace.
	hard, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	defer context.AfterFunc(ctx, func() { _ = ln.Close() })()
	var sessions sync.WaitGroup
	err := listen.Accept(ctx, ln, s.log, func(c net.Conn) {
		sessions.Go(func() { s.serveConn(ctx, hard, c) })
	})
	_ = ln.Close()
	if err == nil {
		defer time.AfterFunc(s.cfg.Load().Grace.Std(), stop).Stop()
	} else {
		stop()
	}
	sessions.Wait()
	return err
}

// serveConn answers one connection and closes it. ctx ends with the daemon, hard
// with its grace.
func (s *Server) serveConn(ctx, hard context.Context, c net.Conn) {
	defer func() { _ = c.Close() }()
	s.deps.Meter.Sessions(daemon, 1)
	defer s.deps.Meter.Sessions(daemon, -1)
	defer context.AfterFunc(hard, func() { _ = c.Close() })()
	k := s.newSession(c, ctx.Done())
	defer func() { _ = k.peer.Close() }() // says goodbye in TLS
	defer s.rescue(ctx, k)
	defer context.AfterFunc(ctx, k.interrupt)()
	network := networkOf(k.client.Addr())
	if !s.enter(network, k.cfg.MaxConnectionsPerClient) {
		_ = k.send(bye(codeTryLater, "too many connections from your network"))
		return
	}
	defer s.leave(network)
	if err := k.run(hard); err != nil && ctx.Err() == nil {
		s.log.LogAttrs(ctx, slog.LevelDebug, "connection ended", slog.String("session", k.id),
			slog.String("client_addr", k.client.Addr().String()), slog.Any("err", err))
	}
}

// networkOf returns what counts as one client: an address, or an IPv6 /64.
func networkOf(a netip.Addr) netip.Addr {
	if a = a.Unmap().WithZone(""); a.Is6() {
		p, _ := a.Prefix(64) // an IPv6 address has that many bits
		return p.Addr()
	}
	return a
}

// enter counts a connection, unless there are too many. What is no network, as a
// Unix socket, is not counted.
func (s *Server) enter(network netip.Addr, most int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if network.IsValid() && s.clients[network] >= most {
		return false
	}
	s.clients[network]++
	return true
}

func (s *Server) leave(network netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.clients[network]--; s.clients[network] == 0 {
		delete(s.clients, network)
	}
}
