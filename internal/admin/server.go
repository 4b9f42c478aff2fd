package admin

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
	"slices"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/listen"
)

// Limits of one request.
const (
	maxBodyBytes  = 1 << 20
	requestTime   = 30 * time.Second
	shutdownGrace = 5 * time.Second
)

// Server answers the command line. Build it with New.
type Server struct {
	uids []int
	mux  *http.ServeMux
	log  *slog.Logger
}

// New returns a Server that answers the given user ids, for the parts in b.
func New(uids []int, b Backend, log *slog.Logger) *Server {
	s := &Server{uids: uids, mux: http.NewServeMux(), log: log}
	s.routes(b)
	return s
}

// Serve answers on ln until ctx ends, then lets requests in hand finish.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	srv := &http.Server{
		Handler:           http.HandlerFunc(s.serveHTTP),
		ReadHeaderTimeout: requestTime,
		ReadTimeout:       requestTime,
		WriteTimeout:      2 * requestTime,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			cred, err := listen.PeerCred(c)
			if err != nil {
				return ctx // whoever is unknown is refused
			}
			return context.WithValue(ctx, credKey{}, cred)
		},
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
		defer cancel()
		if err := srv.Shutdown(end); err != nil {
			_ = srv.Close()
		}
	})
	err := srv.Serve(ln)
	if !stop() {
		<-ended // net/http's Serve returns as soon as Shutdown begins
	}
	if !errors.Is(err, http.ErrServerClosed) {
		_ = srv.Close() // nobody has told the requests in hand
		return fmt.Errorf("serve admin socket: %w", err)
	}
	return nil
}

type credKey struct{}

// serveHTTP checks who asks, and turns a panic into an answer.
func (s *Server) serveHTTP(w http.ResponseWriter, r *http.Request) {
	defer func() {
		if v := recover(); v != nil {
			s.log.LogAttrs(r.Context(), slog.LevelError, "admin request panicked",
				slog.Any("err", v), slog.String("stack", string(debug.Stack())))
			writeError(w, errors.New("a fault of ours; the log has its stack"))
		}
	}()
	cred, known := r.Context().Value(credKey{}).(listen.Cred)
	if !known || !slices.Contains(s.uids, cred.UID) {
		who := "somebody unknown"
		if known {
			who = fmt.Sprintf("user id %d", cred.UID)
		}
		writeError(w, &Error{Status: http.StatusForbidden, Text: who + " may not ask gatepost"})
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBodyBytes)
	s.mux.ServeHTTP(w, r)
}

// Error is a refusal with its HTTP status.
type Error struct {
	Status int    `json:"-"`
	Text   string `json:"error"`
	Hint   string `json:"hint,omitempty"`
}

// Error returns the text.
func (e *Error) Error() string { return e.Text }

func writeError(w http.ResponseWriter, err error) {
	e := &Error{Status: http.StatusInternalServerError, Text: err.Error()}
	errors.As(err, &e)
	for sentinel, name := range sentinels {
		if errors.Is(err, sentinel) {
			e = &Error{Status: statusOf[name], Text: err.Error(), Hint: e.Hint}
			w.Header().Set("X-Error", name)
		}
	}
	writeJSON(w, e.Status, e)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the peer went away: nothing to do
}

// handle registers f for a pattern of net/http. f decodes its own input, and
// its result is the JSON answer; a nil result is an empty object.
func (s *Server) handle(pattern string, f func(r *http.Request) (any, error)) {
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		v, err := f(r)
		if warned, ok := v.(withWarning); ok {
			v = warned.value
			w.Header().Set("X-Warning", oneLine(warned.text))
		}
		if err != nil {
			writeError(w, err)
			return
		}
		if v == nil {
			v = struct{}{}
		}
		writeJSON(w, http.StatusOK, v)
	})
}

// withWarning is a result, or with an error none, that is not all that was asked
// for, with what the person at the terminal has to know of that.
type withWarning struct {
	value any
	text  string
}

// oneLine makes text fit a header field.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
}

// input decodes the JSON body of r into v, strictly.
func input(r *http.Request, v any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil && !errors.Is(err, io.EOF) {
		return &Error{Status: http.StatusBadRequest, Text: "read request: " + err.Error()}
	}
	return nil
}
