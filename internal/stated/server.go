package stated

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/gatepost/gatepost/internal/listen"
)

// Limits of the server.
const (
	headerTime    = 10 * time.Second
	requestTime   = 2 * time.Minute // a message for the quarantine comes in it
	shutdownGrace = 5 * time.Second
	maxConns      = 1024
	maxName       = 64 // of a client
)

var (
	// ErrForbidden means that the peer may not ask that.
	ErrForbidden = errors.New("not allowed")
	errRequest   = errors.New("read request")
)

// Server answers the daemons. Build it with New.
type Server struct {
	parts   Parts
	grant   func(uid int) Grant
	mux     *http.ServeMux
	log     *slog.Logger
	callers callers
	stopped chan struct{}
	stop    sync.Once
}

// New returns a Server for the parts in p. grant says what a user may do; who may
// do nothing is refused.
func New(p Parts, grant func(uid int) Grant, log *slog.Logger) *Server {
	s := &Server{parts: p, grant: grant, mux: http.NewServeMux(), log: log, stopped: make(chan struct{})}
	s.stateRoutes()
	s.accountRoutes()
	s.learnRoutes()
	s.mailRoutes()
	s.tellRoutes()
	s.mux.HandleFunc("GET /v1/watch", s.watch)
	on(s, "ping", 0, func(context.Context, *peer, struct{}) (any, error) { return nil, nil })
	return s
}

// Serve answers on ln until ctx ends, then lets requests in hand finish. Streams
// end at once.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	srv := &http.Server{
		Handler:           http.HandlerFunc(s.serveHTTP),
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       requestTime,
		WriteTimeout:      requestTime,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if k, ok := c.(*knownConn); ok {
				return context.WithValue(ctx, callerKey{}, k.caller)
			}
			return ctx // whoever is unknown is refused
		},
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		s.stop.Do(func() { close(s.stopped) })
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
		defer cancel()
		if err := srv.Shutdown(end); err != nil {
			_ = srv.Close()
		}
	})
	err := srv.Serve(&perCaller{listen.Limit(ln, maxConns), s})
	if !stop() {
		<-ended // net/http's Serve returns as soon as Shutdown begins
	}
	if !errors.Is(err, http.ErrServerClosed) {
		_ = srv.Close() // nobody has told the requests in hand
		return fmt.Errorf("serve state socket: %w", err)
	}
	return nil
}

type callerKey struct{}

type peerKey struct{}

// peer is who asks.
type peer struct {
	Grant
	*caller
	// name tells the writers of the state apart.
	name string
}

// serveHTTP finds out who asks, and turns a panic into an answer.
func (s *Server) serveHTTP(w http.ResponseWriter, r *http.Request) {
	defer func() {
		if v := recover(); v != nil {
			s.log.LogAttrs(r.Context(), slog.LevelError, "request of a daemon panicked",
				slog.Any("err", v), slog.String("stack", string(debug.Stack())))
			answer(w, nil, errors.New("a fault of ours; the log of the state process has its stack"))
		}
	}()
	c, known := r.Context().Value(callerKey{}).(*caller)
	if !known {
		answer(w, nil, ErrForbidden)
		return
	}
	p := &peer{Grant: s.grant(c.uid), caller: c}
	if p.nothing() {
		answer(w, nil, fmt.Errorf("%w: user id %d is no daemon of ours", ErrForbidden, c.uid))
		return
	}
	name := r.Header.Get("X-Client")
	if len(name) > maxName {
		answer(w, nil, fmt.Errorf("%w: a name of %d bytes", errRequest, len(name)))
		return
	}
	// One user's clients can not take the name of another's.
	p.name = fmt.Sprintf("%d/%s", c.uid, name)
	s.mux.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), peerKey{}, p)))
}

// peerOf returns who asks.
func peerOf(r *http.Request) *peer {
	if p, ok := r.Context().Value(peerKey{}).(*peer); ok {
		return p
	}
	return &peer{caller: newCaller(-1)}
}

// need is ErrForbidden if p has not all of the rights.
func (p *peer) need(r Right) error {
	if p.may(r) {
		return nil
	}
	return fmt.Errorf("%w for user id %d", ErrForbidden, p.uid)
}

// places are the calls of one kind that a user may have at a time, nil for any
// number.
type places func(*caller) chan struct{}

func large(c *caller) chan struct{} { return c.large }
func huge(c *caller) chan struct{}  { return c.huge }

// on answers a call whose argument is In, for who has the rights.
func on[In any](s *Server, name string, need Right, f func(context.Context, *peer, In) (any, error)) {
	onSize(s, name, need, maxBody, nil, f)
}

// onSize is on for a call with a bound of its own, or one of a kind that takes much
// memory: it has its place until the answer is written.
func onSize[In any](s *Server, name string, need Right, most int64, kind places, f func(context.Context, *peer, In) (any, error)) {
	s.onBody(name, need, kind, func(ctx context.Context, p *peer, body io.Reader) (any, error) {
		var in In
		if err := decode(body, most, &in); err != nil {
			return nil, err
		}
		return f(ctx, p, in)
	})
}

// onBody answers a call with a body of its own kind.
func (s *Server) onBody(name string, need Right, kind places, f func(context.Context, *peer, io.Reader) (any, error)) {
	s.mux.HandleFunc("POST /v1/"+name, func(w http.ResponseWriter, r *http.Request) {
		p := peerOf(r)
		if err := p.need(need); err != nil {
			answer(w, nil, err)
			return
		}
		if kind != nil {
			done, err := enter(r.Context(), kind(p.caller))
			if err != nil {
				answer(w, nil, err)
				return
			}
			defer done()
		}
		out, err := f(r.Context(), p, r.Body)
		answer(w, out, err)
	})
}

// answer writes a value or an error.
func answer(w http.ResponseWriter, v any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		f := faultOf(err)
		w.WriteHeader(statusOf(err))
		_ = json.NewEncoder(w).Encode(f) // the peer went away: nothing to do
		return
	}
	if v == nil {
		v = struct{}{}
	}
	_ = json.NewEncoder(w).Encode(v)
}

func statusOf(err error) int {
	switch {
	case errors.Is(err, ErrForbidden):
		return http.StatusForbidden
	case errors.Is(err, errRequest):
		return http.StatusBadRequest
	}
	return http.StatusUnprocessableEntity
}
