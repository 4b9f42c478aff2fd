package policyd

import (
	"context"
	"errors"
	"log/slog"
	"strings"

	"github.com/gatepost/gatepost/internal/account"
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

// gatherer finds the facts about a request.
type gatherer struct {
	accounts accountReader
	limits   *limit.Limiter
	log      *slog.Logger
}

// decide gathers facts, decides, and counts the recipients if the mail passes.
// The caller holds t, which is nil for a request without instance.
func (g *gatherer) decide(ctx context.Context, s *snapshot, req *Request, t *transaction) (Verdict, Facts) {
	f := g.account(ctx, s, req)
	v := Decide(s.policy, *req, f)
	if v.Action.Refuses() || f.User == "" || len(s.policy.Limits) == 0 {
		return v, f
	}
	if t == nil {
		t = &transaction{}
	}
	if !g.ask(ctx, s.policy, req, t, &f) {
		return v, f
	}
	v = Decide(s.policy, *req, f)
	if !v.Action.Refuses() {
		switch {
		case counts(req.ProtocolState):
			t.counted = true
		case req.ProtocolState == StateRcpt:
			t.pass(req.RcptTo)
		}
	}
	return v, f
}

// ask asks the limits at RCPT, and takes from them at DATA or END-OF-MESSAGE,
// whichever comes first. It reports whether there was anything to ask.
func (g *gatherer) ask(ctx context.Context, p Policy, req *Request, t *transaction, f *Facts) bool {
	var err error
	keys := limit.Keys{User: f.User}
	switch {
	case req.ProtocolState == StateRcpt:
		var n int64
		n, f.Mine = t.predicted(req.RcptTo)
		f.Limits, err = g.limits.Ask(ctx, p.Limits, keys, n)
	case counts(req.ProtocolState) && !t.counted:
		n := req.RecipientCount
		if n == 0 {
			n = max(t.passed, 1)
		}
		f.Limits, err = g.limits.Take(ctx, p.Limits, keys, n)
	default:
		return false
	}
	if err != nil {
		g.log.LogAttrs(ctx, slog.LevelWarn, "limit not counted, mail passes",
			slog.String("user", f.User), slog.String("session", req.Instance), slog.Any("err", err))
	}
	return true
}

// account finds the facts about the login and the sender.
func (g *gatherer) account(ctx context.Context, s *snapshot, req *Request) Facts {
	var f Facts
	if req.SASL.Username == "" || !aboutMail(req.ProtocolState) {
		return f
	}
	f, err := g.login(ctx, s, req)
	if err != nil {
		g.log.LogAttrs(ctx, slog.LevelError, "account store does not answer",
			slog.String("user", f.User), slog.String("session", req.Instance), slog.Any("err", err))
		f.AccountsAway = true
	}
	return f
}

func (g *gatherer) login(ctx context.Context, s *snapshot, req *Request) (Facts, error) {
	delim := s.cfg.RecipientDelimiter
	f := Facts{User: foldLogin(req.SASL.Username)}
	login, err := mailaddr.Parse(req.SASL.Username)
	if err != nil {
		return f, nil // such a name has no account
	}
	u, _, err := account.Resolve(ctx, g.accounts, login, delim)
	if errors.Is(err, account.ErrNotFound) {
		return f, nil
	}
	if err != nil {
		return f, err
	}
	f.Known, f.Held, f.Disabled, f.User = true, u.Held, u.Disabled, u.Addr.String()
	if req.MailFrom == "" || s.policy.SenderLogin == unit.Off {
		return f, nil
	}
	as, err := mailaddr.Parse(req.MailFrom)
	if err != nil {
		return f, nil // an address that is none is nobody's
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

// maxLogin bounds the name that an unknown login is counted by.
const maxLogin = 320

// foldLogin returns the name by which a login without account is counted.
func foldLogin(s string) string {
	s = strings.ToLower(s)
	return s[:min(len(s), maxLogin)]
}
