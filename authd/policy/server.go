package policy

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatepost/gatepost/internal/guard"
	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/listen"
)

// watch is the guard. Allow asks memory only.
type watch interface {
	Allow(ctx context.Context, a guard.Attempt) guard.Decision
	Report(ctx context.Context, a guard.Attempt, o guard.Outcome) guard.Decision
}

type recorder interface{ Record(journal.Record) }

type meter interface {
	Request(daemon, verdict string, took time.Duration)
	Sessions(daemon string, delta int)
}

// daemon is the name in metrics.
const daemon = "auth_policy"

// Deps are the parts that a Server uses.
type Deps struct {
	Guard   watch
	Journal recorder
	Meter   meter
	// LoggedIn is optional: it is told of each login that was right, and does not
	// block.
	LoggedIn func(user string, client netip.Addr)
}

// Server answers Dovecot's auth_policy. It is safe for concurrent use.
type Server struct {
	cfg  atomic.Pointer[Config]
	deps Deps
	log  *slog.Logger
	// key is the SHA-256 of the API key: hashes have one length, so that
	// comparing takes one time.
	key [sha256.Size]byte
	// slots bound the reports that the guard is at.
	slots chan struct{}

	// work is the requests and reports in hand. No request enters once closed,
	// which mu guards.
	work   sync.WaitGroup
	mu     sync.Mutex
	closed bool
}

// enter counts a request in, unless Serve is about to return.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.work.Add(1)
	}
	return !s.closed
}

// finish waits for requests and reports in hand, and lets no more in.
func (s *Server) finish() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.work.Wait()
}

// maxReports bounds the reports under way. Beyond it the answers wait.
const maxReports = 256

// New returns a Server. Without a key there is none.
func New(cfg Config, deps Deps, log *slog.Logger) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("auth_policy: %w", err)
	}
	key, err := readKey(cfg.APIKeyFile)
	if err != nil {
		return nil, err
	}
	s := &Server{deps: deps, log: log, key: sha256.Sum256(key.Reveal()), slots: make(chan struct{}, maxReports)}
	s.cfg.Store(&cfg)
	return s, nil
}

// Reconfigure takes new settings, which are valid; the key and the listener
// stay.
func (s *Server) Reconfigure(cfg Config) { s.cfg.Store(&cfg) }

// Serve answers on ln until ctx ends, then lets requests in hand finish for up
// to Config.Grace, closes the rest and returns nil. No goroutine of s outlives
// it. It may be called once.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	srv := &http.Server{
		Handler:           http.HandlerFunc(s.serveHTTP),
		ReadHeaderTimeout: requestTime, ReadTimeout: requestTime, WriteTimeout: requestTime,
		IdleTimeout:    idleTime,
		MaxHeaderBytes: maxHeaderBytes,
		ErrorLog:       slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
		ConnState:      s.count,
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.Load().Grace.Std())
		defer cancel()
		if err := srv.Shutdown(end); err != nil {
			_ = srv.Close()
		}
	})
	defer s.finish()
	err := srv.Serve(listen.Limit(ln, s.cfg.Load().MaxConnections))
	if !stop() {
		<-ended // net/http's Serve returns as soon as Shutdown begins
	}
	if !errors.Is(err, http.ErrServerClosed) {
		_ = srv.Close()
		return fmt.Errorf("serve auth_policy: %w", err)
	}
	return nil
}

// count keeps the number of connections.
func (s *Server) count(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.deps.Meter.Sessions(daemon, 1)
	case http.StateClosed, http.StateHijacked:
		s.deps.Meter.Sessions(daemon, -1)
	}
}

// knows says whether a request has the key.
func (s *Server) knows(h http.Header) bool {
	key, ok := sentKey(h["X-Api-Key"], h["Authorization"])
	sum := sha256.Sum256([]byte(key))
	return subtle.ConstantTimeCompare(sum[:], s.key[:]) == 1 && ok
}
