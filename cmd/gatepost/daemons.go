package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/gatepost/gatepost/authd"
	"github.com/gatepost/gatepost/authd/dict"
	"github.com/gatepost/gatepost/authd/policy"
	"github.com/gatepost/gatepost/internal/abuse"
	"github.com/gatepost/gatepost/internal/access"
	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/delivery"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/mailauth"
	"github.com/gatepost/gatepost/internal/outgoing"
	"github.com/gatepost/gatepost/internal/password"
	"github.com/gatepost/gatepost/internal/scan"
	"github.com/gatepost/gatepost/internal/script"
	"github.com/gatepost/gatepost/internal/srs"
	"github.com/gatepost/gatepost/lmtpd"
	"github.com/gatepost/gatepost/lmtpd/filter"
	"github.com/gatepost/gatepost/lmtpd/managesieve"
	"github.com/gatepost/gatepost/milter"
	"github.com/gatepost/gatepost/policyd"
)

// daemons are the four servers of the process.
type daemons struct {
	stores    *stores
	checker   *mailauth.Checker
	judge     *judge
	milter    *milter.Server
	policyd   *policyd.Server
	socketmap *policyd.Socketmap
	authd     *authd.Server
	dict      *dict.Server
	// authPolicy is nil where it is switched off.
	authPolicy *policy.Server
	lmtpd      *lmtpd.Server
	filter     *filter.Filter
	// scripts are those of users; managesieve is nil where it is switched off.
	scripts     *script.Store
	managesieve *managesieve.Server
	forward     *forwarder
}

// newDaemons builds all four over the stores.
func newDaemons(cfg Config, s *stores, log *slog.Logger) (d *daemons, err error) {
	d = &daemons{stores: s}
	if d.checker, err = mailauth.New(s.dns, cfg.Mailauth, log); err != nil {
		return nil, err
	}
	verdicts := delivery.New(s.state)
	if d.judge, err = newJudge(cfg, s, verdicts, log); err != nil {
		return nil, err
	}
	if d.forward, err = newForwarder(cfg, s, log); err != nil {
		return nil, err
	}
	policyDeps := policyd.Deps{Accounts: s.accounts, Limits: s.limiter, Journal: s.journal, Meter: s.metrics, Standings: s.rates, Guard: s.guard,
		Entries: access.NewCache(s.accounts), DNS: s.dns, Maps: d.judge.maps,
		Known: s.memory, Greylist: s.greylist, Notice: s.senders.limitReached,
		Refused: func(user string, client netip.Addr) {
			s.senders.watcher.Refused(abuse.Refused{At: time.Now(), User: user, Client: client})
		},
		SRS: d.forward.srs, Returned: s.state, TLSPolicy: d.forward.tls,
	}
	if d.policyd, err = policyd.New(cfg.Policyd, policyDeps, log); err != nil {
		return nil, err
	}
	s.uncounted = d.policyd.Uncounted
	if d.socketmap, err = policyd.NewSocketmap(cfg.Policyd, policyDeps, log); err != nil {
		return nil, err
	}
	delim := cfg.RecipientDelimiter
	if d.milter, err = milter.New(cfg.Milter, milter.Deps{
		Auth: d.checker,
		Scan: d.judge.scan, Evidence: d.judge.evidence, Quarantine: s.quarantine,
		Keys: s.keys,
		Sign: s.keys.Sign,
		MaySend: func(ctx context.Context, user, as mailaddr.Address) (bool, error) {
			return account.MaySend(ctx, s.accounts, user, as, delim)
		},
		Forward: d.forward.milter(cfg, s),
		Wrote: func(id string) bool {
			kind, ok := s.senders.outgoing.Wrote(id)
			return ok && kind != outgoing.Redirect
		},
		Submitted: s.senders.submitted, Bounced: s.senders.bounced,
		Ended: func(ctx context.Context, queueID string, outbound bool, began time.Time) {
			d.policyd.Ended(ctx, policyd.Message{QueueID: queueID, Outbound: outbound, Began: began})
		},
		Verdicts: verdicts, Journal: s.journal, Meter: s.metrics, Guard: s.guard,
	}, log); err != nil {
		return nil, err
	}
	if err := d.newLogins(cfg, s, log); err != nil {
		return nil, err
	}
	d.scripts = script.New(scriptConfig(cfg, cfg.Managesieve))
	if d.filter, err = filter.New(cfg.Sieve, filter.Deps{
		Accounts: s.accounts, Scripts: d.scripts, State: s.state, Outgoing: s.senders.outgoing,
		Limits: s.limiter, Standings: s.rates, SRS: d.forward.srs,
	}); err != nil {
		return nil, err
	}
	d.lmtpd, err = lmtpd.New(cfg.Lmtpd, lmtpd.Deps{
		Accounts: s.accounts, Verdicts: verdicts, Journal: s.journal, Meter: s.metrics, Filed: s.learn, SRS: d.forward.srs,
		Filter: d.filter,
	}, log)
	if err != nil {
		return nil, err
	}
	return d, d.newManagesieve(cfg, s, log)
}

// newManagesieve builds what mail programs edit scripts with.
func (d *daemons) newManagesieve(cfg Config, s *stores, log *slog.Logger) (err error) {
	if cfg.Managesieve.Listen == "" {
		return nil
	}
	s.metrics.Daemon("managesieve", "ok", "no", "temp")
	check := &script.Checker{Store: d.scripts, Global: d.filter.Global}
	d.managesieve, err = managesieve.New(cfg.Managesieve, managesieve.Deps{Scripts: d.scripts, Check: check.Check, Journal: s.journal, Meter: s.metrics}, log)
	return err
}

// managesieveListener opens its port before anything serves.
func (d *daemons) managesieveListener(cfg Config) (socket, net.Listener, error) {
	ln, err := net.Listen("tcp", cfg.Managesieve.Listen)
	if err != nil {
		return socket{}, nil, hint(fmt.Errorf("managesieve: %w", err), "set managesieve.listen to a free address and port; Dovecot's managesieve-login has 4190")
	}
	return socket{name: "managesieve", first: true, serve: d.managesieve.Serve}, ln, nil
}

// newLogins builds what answers logins: authd, and what a Dovecot asks that keeps
// its own auth process.
func (d *daemons) newLogins(cfg Config, s *stores, log *slog.Logger) (err error) {
	hashes, err := newHashes(cfg, s)
	if err != nil {
		return err
	}
	s.metrics.Gauge("gatepost_authd_hash_queue_seconds", "Password hashing that waits or is under way.",
		func() float64 { return hashes.Pending().Seconds() })
	loggedIn := func(user string, client netip.Addr) {
		s.senders.watcher.Login(abuse.Login{At: time.Now(), User: user, Client: client})
	}
	if d.authd, err = authd.New(cfg.Authd, authd.Deps{
		Accounts: s.accounts, Guard: s.guard, Journal: s.journal, Meter: s.metrics, Passwords: hashes, LoggedIn: loggedIn,
	}, log); err != nil {
		return err
	}
	if d.dict, err = dict.New(cfg.Dict, dict.Deps{Accounts: s.accounts, Journal: s.journal, Meter: s.metrics}, log); err != nil {
		return err
	}
	if cfg.AuthPolicy.Listen == "" {
		return nil
	}
	s.metrics.Daemon("auth_policy", policyVerdicts...)
	d.authPolicy, err = policy.New(cfg.AuthPolicy, policy.Deps{Guard: s.guard, Journal: s.journal, Meter: s.metrics, LoggedIn: loggedIn}, log)
	return err
}

// newHashes returns the pool that verifies passwords.
func newHashes(cfg Config, s *stores) (*password.Pool, error) {
	opt := password.Options{Memory: int64(cfg.Authd.HashMemory)}
	var err error
	if name := cfg.Authd.DefaultPassScheme; name != "" {
		if opt.Default, err = password.ParseScheme(name); err != nil {
			return nil, err
		}
	}
	// The made-up salts of users that nobody is stay the same over a restart.
	if opt.Key, err = s.accounts.OwnKey(context.Background(), "scram"); err != nil {
		return nil, err
	}
	return password.New(opt), nil
}

// sockets returns the sockets of the named daemons.
func (d *daemons) sockets(names []string) []socket {
	var out []socket
	add := func(name string, dir dirKind, serve func(context.Context, net.Listener) error) {
		s := socket{name: name, dir: dir, mode: 0o600, serve: serve}
		if dir == queueDir || name == "login" {
			s.mode = 0o660
		}
		s.first = name == "lmtp" || strings.HasPrefix(name, "milter")
		out = append(out, s)
	}
	if slices.Contains(names, "milter") {
		for _, l := range []struct {
			name string
			dir  scan.Direction
		}{
			{"milter", scan.Inbound}, {"milter-submission", scan.Outbound},
			{"milter-local", scan.Local}, {"milter-outgoing", scan.Own},
		} {
			add(l.name, queueDir, func(ctx context.Context, ln net.Listener) error { return d.milter.Serve(ctx, ln, l.dir) })
		}
	}
	if slices.Contains(names, "policyd") {
		add("policy", queueDir, d.policyd.Serve)
		add("socketmap", queueDir, d.socketmap.Serve)
	}
	if slices.Contains(names, "authd") {
		for _, l := range []struct {
			name string
			dir  dirKind
			kind authd.Kind
		}{
			{"auth", queueDir, authd.Client}, {"login", runtimeDir, authd.Login},
			{"master", runtimeDir, authd.Master}, {"userdb", runtimeDir, authd.Userdb},
		} {
			add(l.name, l.dir, func(ctx context.Context, ln net.Listener) error { return d.authd.Serve(ctx, ln, l.kind) })
		}
		add("dict", runtimeDir, d.dict.Serve)
	}
	if slices.Contains(names, "lmtpd") {
		add("lmtp", queueDir, func(ctx context.Context, ln net.Listener) error { return d.lmtpd.Serve(ctx, ln) })
	}
	return out
}

// policyListener opens the one port that may be open. It is taken before anything
// serves.
func (d *daemons) policyListener(cfg Config) (socket, net.Listener, error) {
	ln, err := net.Listen("tcp", cfg.AuthPolicy.Listen)
	if err != nil {
		return socket{}, nil, hint(fmt.Errorf("auth_policy: %w", err), "set auth_policy.listen to a free address and port of this host")
	}
	return socket{name: "auth_policy", serve: d.authPolicy.Serve}, ln, nil
}

// reconfigure hands out a configuration that is valid, so that no daemon has a
// reason to refuse it.
func (d *daemons) reconfigure(next Config) error {
	sender, err := next.rewriter(srs.Keys)
	if err != nil {
		return err
	}
	// Its certificate is the one thing here that may have gone bad since the check.
	if d.managesieve != nil && next.Managesieve.Listen != "" {
		if err := d.managesieve.Reconfigure(next.Managesieve); err != nil {
			return err
		}
	}
	if err := errors.Join(d.judge.reconfigure(next), d.stores.greylist.Reconfigure(next.Policyd.GreylistConfig()),
		d.forward.tls.Reconfigure(next.Policyd.TLSPolicy), d.stores.senders.reconfigure(next.senders())); err != nil {
		return err
	}
	d.forward.srs.Set(sender)
	if err := d.checker.Reconfigure(next.Mailauth); err != nil {
		return err
	}
	d.stores.learn.Reconfigure(next.Learn)
	d.stores.quarantine.Reconfigure(next.Quarantine)
	d.milter.Reconfigure(next.Milter)
	d.authd.Reconfigure(next.Authd)
	d.dict.Reconfigure(next.Dict)
	if d.authPolicy != nil {
		d.authPolicy.Reconfigure(next.AuthPolicy)
	}
	d.scripts.Reconfigure(scriptConfig(next, next.Managesieve))
	d.stores.sinks.Resync()
	return errors.Join(
		d.policyd.Reconfigure(next.Policyd),
		d.socketmap.Reconfigure(next.Policyd),
		d.filter.Reconfigure(next.Sieve),
		d.lmtpd.Reconfigure(next.Lmtpd))
}

// health returns what is wrong with the process, or nil: whether the account
// store answers, and whether each of the stores can be written.
func (d *daemons) health(ctx context.Context) error {
	var wrong []string
	if _, err := d.stores.accounts.Domains(ctx); err != nil {
		wrong = append(wrong, "account store: "+err.Error())
	} else if err := d.stores.writable.look(ctx, d.stores.accounts.Writable); err != nil {
		wrong = append(wrong, err.Error())
	}
	if st := d.stores.state.Stats(); st.Failing {
		wrong = append(wrong, fmt.Sprintf("state can not be written: %d rows wait", st.Behind))
	}
	if err := d.stores.journal.Failing(); err != nil {
		wrong = append(wrong, "journal can not be written: "+err.Error())
	}
	if wrong == nil {
		return nil
	}
	return errors.New(strings.Join(wrong, "; "))
}
