package policyd

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/deadline"
	"github.com/gatepost/gatepost/internal/limit"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/unit"
)

// accountReader is what policyd needs of the account store: exact rows, and
// account.ErrNotFound where there is none. Every other error means that the
// store is away.
type accountReader interface {
	Domain(ctx context.Context, name string) (account.Domain, error)
	User(ctx context.Context, addr mailaddr.Address) (account.User, error)
	Alias(ctx context.Context, addr mailaddr.Address) (account.Alias, error)
}

// standings is an account store that knows groups and rates of users.
type standings interface {
	Standing(ctx context.Context, user mailaddr.Address) (account.Standing, error)
}

// gatherer finds the facts about a request.
type gatherer struct {
	accounts accountReader
	limits   *limit.Limiter
	known    correspondents
	// standings and guard are nil for none.
	standings standings
	guard     guardian
	srs       *srsGate
	greylist  greylister // nil: none
	admitter  admitter
	notice    func(context.Context, limit.Event)
	refused   func(user string, client netip.Addr) // nil: nobody
	hash      hasher
	log       *slog.Logger
}

// work is what is gathered for one request. A connection uses its own again and
// again.
type work struct {
	facts Facts
	count counting
	limit limit.Memo
	admit AdmitFacts
	rules ruleEnv
	login loginMemo
}

// decide gathers facts, decides, and counts the mail if it passes. The caller
// holds t, which is nil for a request without instance.
func (g *gatherer) decide(ctx context.Context, s *snapshot, req *Request, t *transaction, w *work, now time.Time) Verdict {
	var v Verdict
	f := &w.facts
	*f = Facts{}
	if !aboutMail(req.ProtocolState) {
		decide(&v, &s.policy, req, f, now)
		return v
	}
	pr := s.policy.profile(req.PolicyContext)
	closed := g.closed(ctx, &s.policy.admission, pr, req)
	if closed.Refuse { // who has no business here is not looked up
		f.Guard = closed
		decideAs(&v, &s.policy, pr, req, f, now)
		return v
	}
	g.account(ctx, s, req, &w.login, now, f)
	f.Guard, f.room = closed, &w.rules
	f.SRS = g.srs.facts(ctx, req, s.cfg.SRS.PerTarget)
	if t == nil {
		t = &transaction{}
	}
	f.Admit = g.admitter.admit(ctx, &s.policy.admission, g.wants(s, pr, req), req, f, now, &w.admit)
	count := &w.count
	*count = counting{gatherer: g, snap: s, profile: pr, req: req, tx: t, facts: f, memo: &w.limit, now: now}
	if count.needed() {
		if counts(req.ProtocolState) { // a mail that is refused anyway counts nothing
			if decideAs(&v, &s.policy, pr, req, f, now); v.Action.Refuses() {
				return v
			}
		}
		count.ask(ctx)
	}
	if err := deadline.Passed(ctx); err != nil {
		f.Late = true
		g.log.LogAttrs(ctx, slog.LevelError, "request not answered in time",
			slog.String("session", req.Instance), slog.String("user", f.User), slog.Any("err", err))
	}
	v = Verdict{}
	if decideAs(&v, &s.policy, pr, req, f, now); v.Rule == "" && !count.outbound() && !f.Late && !f.Admit.allowed(&s.policy.admission) && !f.Admit.nobody() {
		// It remembers who was here, so it is asked last, and not about a recipient
		// whom Postfix refuses behind us.
		if f.Greylist = seeGreylist(ctx, g.greylist, g.log, req, now); f.Greylist.Defer {
			v = Verdict{}
			decideAs(&v, &s.policy, pr, req, f, now)
		}
	}
	count.settle(ctx, &v)
	g.tellRefused(req, f, v)
	g.tellGuard(ctx, s, pr, req, f)
	return v
}

// tellRefused tells of a recipient that a user may not write to: who guesses
// addresses has many of them.
func (g *gatherer) tellRefused(req *Request, f *Facts, v Verdict) {
	if g.refused == nil || req.ProtocolState != StateRcpt || req.SASL.Username == "" || v.Word() != "reject" ||
		v.Rule == ruleHeld || v.Rule == ruleDisabled || v.Rule == ruleOverQuota || strings.HasPrefix(v.Rule, "limit ") {
		return
	}
	g.refused(f.User, req.Client.Addr)
}

// sound reports whether f is whole. An answer from one that is not is not given
// again: a fault of ours need not last as long as the mail.
func (f *Facts) sound() bool {
	return !f.AccountsAway && !f.Late && (f.Admit == nil || !f.Admit.RecipientAway)
}

// account finds the facts about the login and the sender.
func (g *gatherer) account(ctx context.Context, s *snapshot, req *Request, memo *loginMemo, now time.Time, f *Facts) {
	if req.SASL.Username == "" {
		return
	}
	key := g.loginKey(s, req)
	if key.version != 0 && memo.key == key && now.Before(memo.until) {
		memo.facts.put(f)
		return
	}
	found, err := g.login(ctx, s, req)
	found.put(f)
	if err == nil {
		*memo = loginMemo{key, now.Add(loginLife), found}
		return
	}
	g.log.LogAttrs(ctx, slog.LevelError, "account store does not answer",
		slog.String("user", f.User), slog.String("session", req.Instance), slog.Any("err", err))
	f.AccountsAway = true
}

// loginFacts are those of Facts that are about the login and the sender.
type loginFacts struct {
	Known, Held, Disabled, MaySend, SenderLocal bool
	User                                        string
	Standing                                    account.Standing
}

func (l *loginFacts) put(f *Facts) {
	f.Known, f.Held, f.Disabled, f.MaySend, f.SenderLocal = l.Known, l.Held, l.Disabled, l.MaySend, l.SenderLocal
	f.User, f.Standing = l.User, l.Standing
}

// loginLife is how long a loginMemo holds, also where the account store does not
// hear of a change that somebody else makes.
const loginLife = time.Second

// loginMemo is what was found out about a login: the requests about one mail have
// the same one.
type loginMemo struct {
	key   loginKey
	until time.Time
	facts loginFacts
}

// loginKey is all that the facts about a login depend on.
type loginKey struct {
	snap      *snapshot
	version   uint64 // of the account store, plus 1; 0 if it has none
	context   string
	login, as string
}

// versioned is an account store that says when what it answered may have
// changed; see account.Reader.
type versioned interface{ Version() uint64 }

// loginKey has to be made before the look-ups.
func (g *gatherer) loginKey(s *snapshot, req *Request) loginKey {
	k := loginKey{snap: s, context: req.PolicyContext, login: req.SASL.Username, as: req.MailFrom}
	if v, ok := g.accounts.(versioned); ok {
		k.version = v.Version() + 1
	}
	return k
}

func (g *gatherer) login(ctx context.Context, s *snapshot, req *Request) (loginFacts, error) {
	delim := s.cfg.RecipientDelimiter
	login, err := mailaddr.Parse(req.SASL.Username)
	if err != nil {
		return loginFacts{User: foldLogin(req.SASL.Username)}, nil // such a name has no account
	}
	u, _, err := account.Resolve(ctx, g.accounts, login, delim)
	if err != nil {
		if errors.Is(err, account.ErrNotFound) {
			err = nil
		}
		return loginFacts{User: foldLogin(folded(login, delim))}, err
	}
	f := loginFacts{Known: true, Held: u.Held, Disabled: u.Disabled, User: u.Addr.String()} // one name, however it was typed
	pr := s.policy.profile(req.PolicyContext)
	if g.standings != nil && pr.needsUser {
		if f.Standing, err = g.standings.Standing(ctx, u.Addr); err != nil {
			return f, err
		}
	}
	if req.MailFrom == "" || pr.senderLogin == unit.Off {
		return f, nil
	}
	as := login
	if req.MailFrom != req.SASL.Username {
		if as, err = mailaddr.Parse(req.MailFrom); err != nil {
			return f, nil // an address that is none is nobody's
		}
	}
	if f.MaySend, err = account.MaySend(ctx, g.accounts, u.Addr, as, delim); err != nil || f.MaySend {
		return f, err
	}
	_, err = g.accounts.Domain(ctx, as.Domain)
	f.SenderLocal = err == nil
	if errors.Is(err, account.ErrNotFound) {
		err = nil
	}
	return f, err
}

// folded returns an address by which something is counted: in lower case and
// without its detail.
func folded(a mailaddr.Address, delim string) string {
	a = a.Folded()
	if base, _, ok := a.CutDetail(delim); ok {
		a = base
	}
	return a.String()
}

// maxLogin bounds the name that an unknown login is counted by.
const maxLogin = 320

// foldLogin returns the name by which a login without account is counted.
func foldLogin(s string) string {
	s = strings.ToLower(s)
	return s[:min(len(s), maxLogin)]
}
