package policy

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/guard"
	"github.com/gatepost/gatepost/internal/journal"
)

// serveHTTP answers one request, and turns a panic into a fault of ours, which
// Dovecot takes as auth_policy_reject_on_fail says.
func (s *Server) serveHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.enter() {
		refuse(w, http.StatusServiceUnavailable)
		return
	}
	defer s.work.Done()
	start, cfg := time.Now(), s.cfg.Load()
	verdict := verdictTemp
	defer func() { s.deps.Meter.Request(daemon, verdict, time.Since(start)) }()
	defer s.rescue(r.Context(), func() {
		verdict = verdictTemp
		refuse(w, http.StatusInternalServerError)
	})
	if status := s.mayAsk(r, cfg); status != http.StatusOK {
		verdict = verdictBad
		s.log.LogAttrs(r.Context(), slog.LevelWarn, "request refused", slog.String("socket", daemon),
			slog.String("client_addr", r.RemoteAddr), slog.Int("status", status))
		refuse(w, status)
		return
	}
	command := commandOf(r.URL.RawQuery)
	if command == "ping" {
		verdict = verdictOK
		send(w, replyDone)
		return
	}
	req, status := readRequest(w, r)
	if status != http.StatusOK {
		verdict = verdictBad
		s.log.LogAttrs(r.Context(), slog.LevelWarn, "request not understood", slog.String("socket", daemon), slog.Int("status", status))
		refuse(w, status)
		return
	}
	switch command {
	case "allow":
		verdict = s.allow(r.Context(), w, req, cfg)
	case "report":
		verdict = s.report(r.Context(), w, req, cfg, start)
	default:
		verdict = verdictBad
		refuse(w, http.StatusNotFound)
	}
}

// mayAsk returns the status for who may not ask, else 200.
func (s *Server) mayAsk(r *http.Request, cfg *Config) int {
	switch {
	case !s.knows(r.Header):
		return http.StatusUnauthorized
	case len(r.Header["Origin"]) > 0, !hostAllowed(r.Host, cfg.Hosts):
		// A browser asks, and its page is not ours: we have none.
		return http.StatusForbidden
	case r.Method != http.MethodPost && r.Method != http.MethodGet:
		return http.StatusMethodNotAllowed
	}
	return http.StatusOK
}

// commandOf returns the command of a query. A server URL that ends in "?" has
// Dovecot write "??command=", so that one more "?" may stand before it.
func commandOf(query string) string {
	for part := range strings.SplitSeq(query, "&") {
		if command, ok := strings.CutPrefix(strings.TrimPrefix(part, "?"), "command="); ok {
			return command
		}
	}
	return ""
}

// readRequest reads the body.
func readRequest(w http.ResponseWriter, r *http.Request) (request, int) {
	if r.Method != http.MethodPost {
		return request{}, http.StatusMethodNotAllowed
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBodyBytes))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return request{}, http.StatusRequestEntityTooLarge
	case err != nil:
		return request{}, http.StatusBadRequest
	}
	req, err := parseRequest(body)
	if err != nil {
		return request{}, http.StatusBadRequest
	}
	return req, http.StatusOK
}

// allow asks the guard about a login that is to come, or was right.
func (s *Server) allow(ctx context.Context, w http.ResponseWriter, req request, cfg *Config) string {
	verdict, out := decideAllow(s.deps.Guard.Allow(ctx, attempt(req, userName(req.login, cfg.DefaultRealm))))
	body, err := out.encode()
	if err != nil {
		panic(err) // a number and a text of ours
	}
	send(w, body)
	return verdict
}

// report tells the guard how a login ended, and writes it down. A ban that
// follows holds before the answer; that it is on disk too is not waited for.
func (s *Server) report(ctx context.Context, w http.ResponseWriter, req request, cfg *Config, start time.Time) string {
	user := userName(req.login, cfg.DefaultRealm)
	verdict, rule, outcome, counts := decideReport(req)
	if counts {
		s.tellGuard(ctx, attempt(req, user), outcome)
	}
	if outcome == guard.Right && user != "" && s.deps.LoggedIn != nil {
		s.deps.LoggedIn(user, req.remote)
	}
	s.deps.Journal.Record(journal.Record{
		Time: start, Daemon: "authd", Event: "login", Session: req.session, Service: req.protocol,
		ClientAddr: req.remote, User: user, Verdict: verdict, Rule: rule, Took: time.Since(start),
	})
	s.log.LogAttrs(ctx, slog.LevelInfo, "login reported", slog.String("session", req.session),
		slog.String("client_addr", req.remote.String()), slog.String("service", req.protocol), slog.String("user", user),
		slog.String("verdict", verdict), slog.String("rule", rule))
	send(w, replyDone)
	return verdict
}

// tellGuard hands a report to the guard, and waits a little for it.
func (s *Server) tellGuard(ctx context.Context, a guard.Attempt, o guard.Outcome) {
	ctx = context.WithoutCancel(ctx) // the report counts, whatever becomes of the answer
	done := make(chan struct{})
	s.slots <- struct{}{}
	s.work.Go(func() {
		defer func() { <-s.slots }()
		defer close(done)
		defer s.rescue(ctx, func() {})
		s.deps.Guard.Report(ctx, a, o)
	})
	t := time.NewTimer(reportTime)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
	}
}

// rescue turns a panic into failed, and the stack into a line of the log.
func (s *Server) rescue(ctx context.Context, failed func()) {
	if v := recover(); v != nil {
		s.log.LogAttrs(ctx, slog.LevelError, "panic", slog.Any("err", v), slog.String("stack", string(debug.Stack())))
		failed()
	}
}

// refuse answers with a status alone.
func refuse(w http.ResponseWriter, status int) {
	w.Header().Set("Connection", "close")
	http.Error(w, http.StatusText(status), status)
}

func send(w http.ResponseWriter, body []byte) {
	h := w.Header()
	h["Content-Type"] = []string{"application/json"}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	_, _ = w.Write(body) // the peer went away: nothing to do
}
