package authd

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/guard"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/password"
)

// login is one attempt. Its credentials are complete, or come from a SCRAM
// exchange that is.
type login struct {
	kind  Kind
	auth  authRequest
	cfg   *Config
	cred  credentials
	start time.Time
	// scram is the exchange, nil for PLAIN and LOGIN.
	scram *exchange

	who
	key cacheKey
	// remembered says that the password is known to be right.
	remembered bool
	guarded
}

// guarded is what the guard has to do with a login.
type guarded struct {
	// tarpit is what it adds to the time of the answer.
	tarpit time.Duration
	// admitted says that it waits for a report.
	admitted bool
	// mark is Decision.Mark, nobody that it was told of NoAccount.
	mark   string
	nobody bool
}

// who is whom a login names, as gather finds it.
type who struct {
	name  mailaddr.Address
	shown string // name as text, for the guard, the journal and the log
	valid bool   // name is an address
	known bool   // user is its account
	user  account.User
	// app is the app password that is right; its ID is 0 for the main one.
	app account.AppPassword
}

// deadline is when the hashing has to be done. What is left of answerTime is for
// the guard's disk, and for looking at the account once more.
func (l *login) deadline() time.Time {
	return l.start.Add(answerTime - l.cfg.FailureDelay.Std())
}

// pause is how long the answer waits from now on. The delay runs from the
// beginning, so that a hash which takes longer than another, or one that is made
// up, is inside it and tells nothing. The tarpit delays a right password too: else
// the time would tell.
func (l *login) pause(o outcome) time.Duration {
	d := l.tarpit
	if o.delay && !l.trusted() {
		d += l.cfg.FailureDelay.Std()
	}
	if d == 0 || o.verdict == verdictTemp {
		return 0
	}
	return max(0, min(d, answerTime)-time.Since(l.start))
}

// trusted says that the client is not blamed for what comes from it. Dovecot sends
// no-penalty for networks that its operator trusts, such as that of a webmail;
// Postfix never does.
func (l *login) trusted() bool { return l.kind == Login && l.auth.noPenalty }

// newFacts returns what is known from the request alone.
func (l *login) newFacts() facts {
	f := facts{kind: l.kind, service: l.auth.service, user: l.shown}
	if l.proxied() {
		f.unfit = "proxied"
	}
	return f
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
	done = s.begin(ctx, l, &f)
	if done || !l.known || f.unfit != "" {
		return f, done
	}
	l.key = s.cache.key(l)
	app, ok := s.cache.has(l.key, l.start)
	if !ok || l.cfg.CacheTime == 0 || app == 0 && l.appOnly() {
		return f, false
	}
	if app != 0 {
		if err := s.findApp(ctx, l, app); err != nil {
			s.fault(ctx, l, err)
			f.fault = true
			return f, true
		}
		if l.app.ID == 0 {
			return f, false // revoked since: a wrong password as any other
		}
	}
	l.remembered, f.match = true, true
	return f, true
}

// begin finds out who logs in. done says that no password is needed for the
// answer.
func (s *Server) begin(ctx context.Context, l *login, f *facts) (done bool) {
	if l.name, l.valid = accountName(l.cred.authcid); l.valid {
		// Whatever is no address may be a password in the wrong field: it is
		// shown nowhere.
		l.shown = l.cred.authcid
		if !spells(l.shown, l.name) {
			l.shown = l.name.String()
		}
	}
	*f = l.newFacts()
	if s.banned(ctx, l, f) {
		return true
	}
	if !l.valid || f.unfit != "" {
		return false
	}
	user, err := s.accounts.User(ctx, l.name)
	switch {
	case errors.Is(err, account.ErrNotFound):
		return false
	case err != nil:
		s.fault(ctx, l, err)
		f.fault = true
		return true
	}
	l.user, l.known = user, true
	s.apply(l, f, l.start)
	return false
}

// spells reports whether s is what name is as text: most are typed so.
func spells(s string, name mailaddr.Address) bool {
	domain, ok := strings.CutPrefix(s, name.LocalPart)
	return ok && len(domain) > 0 && domain[0] == '@' && domain[1:] == name.Domain && strings.IndexByte(s, '"') < 0
}

// apply puts the rules of l's account into f.
func (s *Server) apply(l *login, f *facts, now time.Time) {
	f.account = rulesOf(l.user, l.auth.service, s.cfg.Load().HeldSubmits, now)
	if !l.user.AllowsAddr(l.auth.addr) {
		f.unfit = "allow_nets"
	}
}

// appOnly says that the main password is no way in for this login.
func (l *login) appOnly() bool { return l.cfg.AppPasswordsOnly && account.MailClient(l.auth.service) }

// findApp looks for the app password that was right before, which may have been
// revoked since.
func (s *Server) findApp(ctx context.Context, l *login, id int64) error {
	l.app = account.AppPassword{}
	apps, err := s.accounts.AppPasswords(ctx, l.name)
	for _, p := range apps {
		if p.ID == id && appFits(p, l.auth.service, time.Now()) {
			l.app = p
		}
	}
	return err
}

// slow answers the others, once the guard lets it: it hashes, for an account
// that does not exist too.
func (s *Server) slow(ctx context.Context, l *login, known facts) (f facts) {
	f = known
	defer s.rescue(ctx, func() { f.fault = true })
	ctx, cancel := context.WithDeadline(ctx, l.deadline())
	defer cancel()
	err := s.admit(ctx, l, &f)
	if err == nil && !f.banned {
		f.match, err = s.check(ctx, l, &f)
	}
	if err != nil && !errors.Is(err, errBanned) {
		s.fault(ctx, l, err)
		f.match, f.fault = false, true
	}
	if f.match {
		if l.scram == nil {
			s.cache.put(l.key, l.app.ID, time.Now(), l.cfg.CacheTime.Std())
		}
		// An administrator may have changed the account meanwhile. Whether
		// guesses that ran at the same time closed the network, the report
		// tells.
		s.again(ctx, l, &f)
	}
	return f
}

// check looks at the password, or at the proof of it.
func (s *Server) check(ctx context.Context, l *login, f *facts) (bool, error) {
	if l.scram != nil {
		return l.scram.check(), nil
	}
	pw := l.cred.password.Reveal()
	if !l.known || f.unfit != "" {
		return false, s.dummy(ctx, l, f)
	}
	if ok, err := s.checkApps(ctx, l); ok || err != nil {
		return ok, err
	}
	if l.appOnly() || l.user.Password.IsEmpty() {
		if l.appOnly() {
			f.unfit = ruleAppOnly
		}
		return false, s.dummy(ctx, l, f)
	}
	return s.passwords.VerifyIf(ctx, l.user.Password, pw, s.still(ctx, l, f))
}

// errBanned says that the guard refused a login while it waited to be hashed.
var errBanned = errors.New("banned meanwhile")

// still returns what is asked when l's turn to be hashed has come: under a flood
// it waits for seconds, and guesses from elsewhere in its network may have closed
// all of it.
func (s *Server) still(ctx context.Context, l *login, f *facts) func() error {
	return func() error {
		if d := s.guard.Check(ctx, l.attempt()); d.Refuse {
			l.heed(f, d)
			return errBanned
		}
		return nil
	}
}

// dummy does the work of a main password for whom there is none to look at.
// Where no main password counts, nobody's is hashed.
func (s *Server) dummy(ctx context.Context, l *login, f *facts) error {
	if l.appOnly() {
		return nil
	}
	return s.passwords.DummyIf(ctx, l.cred.password.Reveal(), s.still(ctx, l, f))
}

// checkApps looks at the app passwords that are good for l's service. They are
// long and random, so that one look costs next to nothing.
func (s *Server) checkApps(ctx context.Context, l *login) (bool, error) {
	apps, err := s.accounts.AppPasswords(ctx, l.name)
	if err != nil {
		return false, err
	}
	now := time.Now()
	for _, p := range apps {
		if appFits(p, l.auth.service, now) && password.MatchesApp(p.Hash, l.cred.password.Reveal()) {
			l.app = p
			return true, nil
		}
	}
	return false, nil
}

// again looks at what may have changed while a right password was hashed, or
// since.
func (s *Server) again(ctx context.Context, l *login, f *facts) {
	user, err := s.accounts.User(ctx, l.name)
	switch {
	case errors.Is(err, account.ErrNotFound):
		f.match = false
		return
	case err == nil && l.app.ID != 0:
		id := l.app.ID
		err = s.findApp(ctx, l, id)
		f.match = l.app.ID == id
	case err == nil && !user.Password.Equal(l.user.Password):
		f.match, err = s.checkNew(ctx, l, user)
	}
	if err != nil {
		s.fault(ctx, l, err)
		f.fault = true
		return
	}
	f.match = f.match && user.ID == l.user.ID
	l.user = user
	s.apply(l, f, time.Now())
}

// checkNew looks at a password that was changed meanwhile, or only hashed anew.
func (s *Server) checkNew(ctx context.Context, l *login, user account.User) (bool, error) {
	if l.scram != nil {
		return false, errChanged
	}
	return s.passwords.Verify(ctx, user.Password, l.cred.password.Reveal())
}

// errChanged is no fault of the client's, nor one of ours: it tries again.
var errChanged = errors.New("the password was changed while SCRAM was under way")

// attempt is what the guard is told of l, once it is clear that its password is
// looked at.
func (l *login) attempt() guard.Attempt {
	a := l.visit()
	if !l.remembered {
		a.Password = l.cred.password
	}
	if l.scram == nil && l.cred.password.IsEmpty() || l.scram != nil && l.known && !l.scram.real {
		// None was typed, or none could be right, so each try is the same one.
		a.PasswordHash = "none"
	}
	return a
}

// visit is what the guard is told of l before: a network is closed whatever the
// password, and who was right here lately has nothing else to fear.
func (l *login) visit() guard.Attempt {
	return guard.Attempt{Addr: l.auth.addr, User: l.shown, Service: l.auth.service, Mech: l.auth.mech, Trusted: l.trusted()}
}

// banned asks the guard.
func (s *Server) banned(ctx context.Context, l *login, f *facts) bool {
	l.heed(f, s.guard.Check(ctx, l.visit()))
	return f.banned
}

// admit asks the guard whether the password may be looked at, and waits for it.
// When that takes too long the error is password.ErrBusy.
func (s *Server) admit(ctx context.Context, l *login, f *facts) error {
	d := s.guard.Admit(ctx, l.attempt())
	l.heed(f, d)
	l.admitted = !d.Refuse
	if err := ctx.Err(); errors.Is(err, context.DeadlineExceeded) {
		return password.ErrBusy
	} else if err != nil {
		return err
	}
	return nil
}

// heed takes a decision of the guard over, and reports whether it refuses.
func (l *login) heed(f *facts, d guard.Decision) bool {
	l.tarpit = max(l.tarpit, d.Delay)
	if d.Refuse {
		f.banned, f.until, f.ban = true, d.Ban.Until, d.Ban.ID
	}
	return d.Refuse
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
