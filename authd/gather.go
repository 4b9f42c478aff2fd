package authd

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/guard"
	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/password"
)

// login is one attempt with complete credentials.
type login struct {
	kind  Kind
	auth  authRequest
	cfg   *Config
	cred  credentials
	start time.Time

	// What gather finds on its way.
	name  mailaddr.Address
	shown string // name as text, for the guard, the journal and the log
	valid bool   // name is an address
	known bool   // user is its account
	user  account.User
	key   cacheKey
}

// deadline is when the hashing has to be done: the delay of a failure comes
// after it.
func (l *login) deadline() time.Time {
	return l.start.Add(answerTime - l.cfg.FailureDelay.Std())
}

// guarded says whether the guard counts this client. Dovecot sends no-penalty
// for networks that its operator trusts; Postfix never does.
func (l *login) guarded() bool { return l.kind != Login || !l.auth.noPenalty }

// newFacts returns what is known from the request alone.
func (l *login) newFacts() facts {
	return facts{kind: l.kind, service: l.auth.service, user: l.shown, proxied: l.proxied()}
}

// proxied says that the login asks for another account than its own.
func (l *login) proxied() bool {
	if l.cred.authzid == "" || l.cred.authzid == l.cred.authcid {
		return false
	}
	other, ok := accountName(l.cred.authzid)
	return !ok || !l.valid || other != l.name
}

// quick answers a login that needs no hashing: one from a refused network, or
// with a password that is known to be right. It is called where further
// requests wait behind it.
func (s *Server) quick(ctx context.Context, l *login) (f facts, done bool) {
	defer s.rescue(ctx, func() { f.fault, done = true, true })
	if l.name, l.valid = accountName(l.cred.authcid); l.valid {
		// Whatever is no address may be a password in the wrong field: it is
		// shown nowhere.
		l.shown = l.name.String()
	}
	f = l.newFacts()
	if s.banned(ctx, l, &f) {
		return f, true
	}
	if !l.valid || f.proxied {
		return f, false
	}
	user, err := s.accounts.User(ctx, l.name)
	switch {
	case errors.Is(err, account.ErrNotFound):
		return f, false
	case err != nil:
		s.fault(ctx, l, err)
		f.fault = true
		return f, true
	}
	l.user, l.known = user, true
	l.key = s.cache.key(f.user, user.Password, l.cred.password)
	f.held, f.disabled = s.refusesHeld(user), user.Disabled
	f.match = s.cache.has(l.key, time.Now())
	return f, f.match
}

// slow answers the others: it hashes, for an account that does not exist too.
func (s *Server) slow(ctx context.Context, l *login, known facts) (f facts) {
	f = known
	defer s.rescue(ctx, func() { f.fault = true })
	ctx, cancel := context.WithDeadline(ctx, l.deadline())
	defer cancel()
	pw := l.cred.password.Reveal()
	if !l.known || l.user.Password.IsEmpty() || f.proxied {
		if err := s.passwords.Dummy(ctx, pw); err != nil {
			s.fault(ctx, l, err)
			f.fault = true
		}
		return f
	}
	ok, err := s.passwords.Verify(ctx, l.user.Password, pw)
	if err != nil {
		s.fault(ctx, l, err)
		f.fault = true
		return f
	}
	if f.match = ok; ok {
		s.cache.put(l.key, time.Now(), l.cfg.CacheTime.Std())
		// Guesses that ran at the same time may have closed the network, and
		// an administrator may have changed the account.
		s.again(ctx, l, &f)
	}
	return f
}

// again looks at what may have changed while a right password was hashed.
func (s *Server) again(ctx context.Context, l *login, f *facts) {
	if s.banned(ctx, l, f) {
		return
	}
	user, err := s.accounts.User(ctx, l.name)
	switch {
	case errors.Is(err, account.ErrNotFound):
		f.match = false
	case err != nil:
		s.fault(ctx, l, err)
		f.fault = true
	default:
		f.match = user.ID == l.user.ID && user.Password.Equal(l.user.Password)
		f.held, f.disabled = s.refusesHeld(user), user.Disabled
	}
}

// refusesHeld reports whether the account may not log in to send. Where it may,
// the policy server holds its mail.
func (s *Server) refusesHeld(u account.User) bool { return u.Held && !s.cfg.Load().HeldSubmits }

// attempt is what the guard is told of l.
func (l *login) attempt() guard.Attempt {
	return guard.Attempt{Addr: l.auth.addr, User: l.shown, Service: l.auth.service, Mech: l.auth.mech, Password: l.cred.password}
}

// banned asks the guard.
func (s *Server) banned(ctx context.Context, l *login, f *facts) bool {
	if !l.guarded() {
		return false
	}
	d := s.guard.Check(ctx, l.attempt())
	f.refusedBy(d)
	return f.banned
}

// refusedBy takes the guard's decision over.
func (f *facts) refusedBy(d guard.Decision) {
	if d.Refuse {
		f.banned, f.until, f.ban = true, d.Ban.Until, d.Ban.ID
	}
}

// settle decides, tells the guard, and writes the journal, the log and the
// metrics. The guard knows of a failure before the answer can be sent.
func (s *Server) settle(ctx context.Context, l *login, f facts) outcome {
	o := decide(f)
	switch {
	case !l.guarded():
	case o.verdict == verdictFail:
		how := guard.Wrong
		if !l.known {
			how = guard.NoAccount
		}
		f.refusedBy(s.guard.Report(ctx, l.attempt(), how))
		if f.banned {
			// The guess that crosses the line is told so. It stays a failure.
			o = decide(f)
			o.verdict = verdictFail
		}
	case o.verdict == verdictOK:
		s.guard.Report(ctx, l.attempt(), guard.Right)
		if s.loggedIn != nil {
			s.loggedIn(l.user.Addr.String(), l.auth.addr)
		}
	}
	s.tell(ctx, l, o)
	return o
}

func (s *Server) tell(ctx context.Context, l *login, o outcome) {
	took := time.Since(l.start)
	s.meter.Request("authd", o.verdict, took)
	s.journal.Record(journal.Record{
		Time: l.start, Daemon: "authd", Event: "login", Session: l.auth.session, Service: l.auth.service,
		ClientAddr: l.auth.addr, ClientPort: l.auth.port, User: l.shown, Mech: l.auth.mech,
		Verdict: o.verdict, Rule: o.rule, Reply: o.reason, Took: took,
	})
	attrs := make([]slog.Attr, 0, 8)
	if l.auth.session != "" {
		attrs = append(attrs, slog.String("session", l.auth.session))
	}
	if l.auth.addr.IsValid() {
		attrs = append(attrs, slog.String("client_addr", l.auth.addr.String()))
	}
	attrs = append(attrs, slog.String("service", l.auth.service), slog.String("user", l.shown),
		slog.String("mech", l.auth.mech), slog.String("verdict", o.verdict))
	if o.rule != "" {
		attrs = append(attrs, slog.String("rule", o.rule))
	}
	attrs = append(attrs, slog.Duration("took", took))
	s.log.LogAttrs(ctx, slog.LevelInfo, "login decided", attrs...)
}

// fault logs why a login could not be answered.
func (s *Server) fault(ctx context.Context, l *login, err error) {
	if errors.Is(err, context.Canceled) {
		return // the peer is gone, or we are
	}
	level := slog.LevelError
	if errors.Is(err, password.ErrBusy) {
		level = slog.LevelWarn
	}
	s.log.LogAttrs(ctx, level, "login not possible",
		slog.String("user", l.shown), slog.String("client_addr", l.auth.addr.String()), slog.Any("err", err))
}

// rescue turns a panic into failed, and the stack into a line of the log. It is
// the deferred call of each goroutine's top and of each login.
func (s *Server) rescue(ctx context.Context, failed func()) {
	if v := recover(); v != nil {
		failed()
		s.log.LogAttrs(ctx, slog.LevelError, "panic", slog.Any("err", v), slog.String("stack", string(debug.Stack())))
	}
}
