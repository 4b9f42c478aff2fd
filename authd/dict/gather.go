package dict

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/password"
	"github.com/gatepost/gatepost/internal/secret"
)

// answer looks a key up, and tells the journal, the log and the metrics of it.
func (s *Server) answer(ctx context.Context, key string) answer {
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	f := s.gather(ctx, key)
	a := decide(f, start)
	s.tell(ctx, f, a, start)
	return a
}

// gather asks the store.
func (s *Server) gather(ctx context.Context, key string) facts {
	var f facts
	var ok bool
	if f.query, ok = parseKey(key); !ok {
		return f
	}
	cfg := s.cfg.Load()
	f.asked = key[strings.LastIndexByte(key, '/')+1:]
	f.nobody = secret.String("{PLAIN}" + rand.Text())
	f.scheme, _ = password.ParseScheme(cfg.DefaultPassScheme) // valid; empty is none
	f.appOnly = cfg.AppPasswordsOnly
	f.mail = mailbox{root: cfg.MailRoot, uid: cfg.MailUID, gid: cfg.MailGID, location: cfg.MailLocation}
	u, err := s.deps.Accounts.User(ctx, f.user)
	switch {
	case errors.Is(err, account.ErrNotFound):
	case err != nil:
		f.fault = true
		s.log.LogAttrs(ctx, slog.LevelError, "look-up not possible", slog.String("socket", daemon), slog.String("user", f.user.String()), slog.Any("err", err))
	default:
		f.known, f.row = true, u
		f.held = u.Held && !cfg.HeldSubmits
	}
	return f
}

// tell writes down who asked for what. Whether the password was right nobody
// here hears, so that a look-up is no login.
func (s *Server) tell(ctx context.Context, f facts, a answer, start time.Time) {
	took := time.Since(start)
	s.deps.Meter.Request(daemon, a.verdict, took)
	if f.space != passdb {
		return
	}
	user := ""
	if f.user.Domain != "" {
		user = f.user.String() // what is no address may be a password in the wrong field
	}
	s.deps.Journal.Record(journal.Record{
		Time: start, Daemon: "authd", Event: "lookup", Service: f.service, User: user,
		Verdict: a.verdict, Rule: a.rule, Took: took,
	})
	s.log.LogAttrs(ctx, slog.LevelInfo, "password looked up", slog.String("service", f.service),
		slog.String("user", user), slog.String("verdict", a.verdict), slog.String("rule", a.rule), slog.Duration("took", took))
}

// names returns the users that an iteration asks for; found is false when the
// store is away. There are rows below shared/userdb/ only.
func (s *Server) names(ctx context.Context, r request) (names []string, found bool) {
	start := time.Now()
	verdict := verdictFound
	defer func() { s.deps.Meter.Request(daemon, verdict, time.Since(start)) }()
	if r.key != userdbPrefix {
		return nil, true
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	users, err := s.deps.Accounts.Users(ctx, "")
	if err != nil {
		verdict = verdictTemp
		s.log.LogAttrs(ctx, slog.LevelError, "users not listed", slog.String("socket", daemon), slog.Any("err", err))
		return nil, false
	}
	if n := int(r.max); n > 0 && n < len(users) {
		users = users[:n]
	}
	names = make([]string, len(users))
	for i, u := range users {
		names[i] = u.Addr.String()
	}
	return names, true
}
