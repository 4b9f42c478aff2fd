package main

import (
	"context"
	"crypto/rand"
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
	"github.com/gatepost/gatepost/internal/learn/watch"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/mailauth"
	"github.com/gatepost/gatepost/internal/outgoing"
	"github.com/gatepost/gatepost/internal/password"
	"github.com/gatepost/gatepost/internal/scan"
	"github.com/gatepost/gatepost/internal/script"
	"github.com/gatepost/gatepost/internal/seal"
	"github.com/gatepost/gatepost/internal/secret"
	"github.com/gatepost/gatepost/lmtpd"
	"github.com/gatepost/gatepost/lmtpd/filter"
	"github.com/gatepost/gatepost/lmtpd/managesieve"
	"github.com/gatepost/gatepost/milter"
	"github.com/gatepost/gatepost/policyd"
)

// daemons are the servers of the process. Those that it has not are nil.
type daemons struct {
	stores    *stores
	checker   *mailauth.Checker
	judge     *judge // nil where no mail is judged, and no files are ours
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
	watcher     *watch.Watcher // nil when nothing is learned from moves
	forward     *forwarder
	// seals has the keys of verdicts between hosts.
	seals seal.Live
}

// newDaemons builds all four over the stores.
func newDaemons(cfg Config, s *stores, log *slog.Logger) (*daemons, error) {
	return newSome(cfg, s, daemonNames, log)
}

// newSome builds the named ones over the stores.
func newSome(cfg Config, s *stores, names []string, log *slog.Logger) (d *daemons, err error) {
	d = &daemons{stores: s}
	has := func(of ...string) bool {
		return slices.ContainsFunc(of, func(name string) bool { return slices.Contains(names, name) })
	}
	verdicts := delivery.New(s.state)
	for _, part := range []struct {
		wanted bool
		build  func() error
	}{
		{s.own != nil || has("milter", "policyd"), func() (err error) { d.judge, err = newJudge(cfg, s, verdicts, log); return err }},
		{has("milter", "lmtpd"), func() error { return d.takeVerdictKeys(cfg) }},
		{has("milter", "policyd", "lmtpd"), func() (err error) { d.forward, err = s.forwarder(cfg, log); return err }},
		{has("policyd"), func() error { return d.newPolicyd(cfg, s, log) }},
		{has("milter"), func() error { return d.newMilter(cfg, s, verdicts, log) }},
		{has("authd"), func() error { return d.newLogins(cfg, s, log) }},
		{has("lmtpd"), func() error { return d.newDelivery(cfg, s, verdicts, log) }},
	} {
		if !part.wanted {
			continue
		}
		if err := part.build(); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// newPolicyd builds what answers policy requests and tables.
func (d *daemons) newPolicyd(cfg Config, s *stores, log *slog.Logger) (err error) {
	deps := policyd.Deps{Accounts: s.accounts, Limits: s.limiter, Journal: s.journal, Meter: s.metrics, Standings: s.rates, Guard: s.guard,
		Entries: access.NewCache(s.accounts), DNS: s.dns, Maps: d.judge.maps,
		Known: s.memory, Greylist: s.greylist, Notice: s.senders.limitReached,
		Refused: func(user string, client netip.Addr) {
			s.senders.watcher.Refused(abuse.Refused{At: time.Now(), User: user, Client: client})
		},
		SRS: d.forward.srs, Returned: s.state, TLSPolicy: d.forward.tls,
	}
	if d.policyd, err = policyd.New(cfg.Policyd, deps, log); err != nil {
		return err
	}
	s.uncounted = d.policyd.Uncounted
	d.socketmap, err = policyd.NewSocketmap(cfg.Policyd, deps, log)
	return err
}

// newMilter builds what judges, signs and changes mail.
func (d *daemons) newMilter(cfg Config, s *stores, verdicts *delivery.Verdicts, log *slog.Logger) (err error) {
	if d.checker, err = mailauth.New(s.dns, cfg.Mailauth, log); err != nil {
		return err
	}
	delim := cfg.RecipientDelimiter
	d.milter, err = milter.New(cfg.Milter, milter.Deps{
		Auth: d.checker,
		Scan: d.judge.scan, Evidence: d.judge.evidence, Quarantine: s.quarantine,
		Keys: s.keys,
		Sign: s.keys.Sign,
		MaySend: func(ctx context.Context, user, as mailaddr.Address) (bool, error) {
			return account.MaySend(ctx, s.accounts, user, as, delim)
		},
		Targets: func(ctx context.Context, rcpt mailaddr.Address, limit int) ([]mailaddr.Address, error) {
			return account.Targets(ctx, s.accounts, rcpt, delim, limit)
		},
		Forward: d.forward.milter(cfg, s),
		Wrote: func(id string) bool {
			kind, ok := s.senders.outgoing.Wrote(id)
			return ok && kind != outgoing.Redirect
		},
		Submitted: s.senders.submitted, Bounced: s.senders.bounced,
		Ended: d.ended(), Verdicts: verdicts, Seals: &d.seals, Journal: s.journal, Meter: s.metrics, Guard: s.guard,
	}, log)
	return err
}

// takeVerdictKeys takes the keys of verdicts between hosts.
func (d *daemons) takeVerdictKeys(cfg Config) error {
	ring, err := cfg.verdictKeys()
	if err != nil {
		return hint(fmt.Errorf("verdict_keys_file: %w", err), "see docs/howto/two-hosts-verdict.md")
	}
	d.seals.Set(ring)
	return nil
}

// ended tells policyd of each message at its end, where both are one process.
func (d *daemons) ended() func(ctx context.Context, queueID string, outbound bool, began time.Time) {
	if d.policyd == nil {
		return nil
	}
	return func(ctx context.Context, queueID string, outbound bool, began time.Time) {
		d.policyd.Ended(ctx, policyd.Message{QueueID: queueID, Outbound: outbound, Began: began})
	}
}

// newDelivery builds what delivers, runs scripts, takes new ones and learns from
// what users move.
func (d *daemons) newDelivery(cfg Config, s *stores, verdicts *delivery.Verdicts, log *slog.Logger) (err error) {
	d.scripts = script.New(scriptConfig(cfg, cfg.Managesieve))
	deps := filter.Deps{
		Accounts: s.accounts, Scripts: d.scripts, State: s.state, Outgoing: s.senders.outgoing,
		Limits: s.limiter, Standings: s.rates, SRS: d.forward.srs,
	}
	if d.judge != nil { // a nil pointer in the interface would be asked
		deps.Lists = sieveLists{d.judge.maps}
	}
	if d.filter, err = filter.New(cfg.Sieve, deps); err != nil {
		return err
	}
	if d.lmtpd, err = lmtpd.New(cfg.Lmtpd, lmtpd.Deps{
		Accounts: s.accounts, Verdicts: verdicts, Journal: s.journal, Meter: s.metrics, Filed: s.learn, SRS: d.forward.srs,
		Filter: d.filter, Seals: &d.seals,
	}, log); err != nil {
		return err
	}
	d.watcher = newWatcher(cfg, s, log)
	return d.newManagesieve(cfg, s, log)
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
	hashes, err := newHashes(cfg, s, log)
	if err != nil {
		return err
	}
	s.metrics.Gauge("gatepost_authd_hash_queue_seconds", "Password hashing that waits or is under way.",
		func() float64 { return hashes.Pending().Seconds() })
	loggedIn := func(user string, client netip.Addr) {
		s.senders.watcher.Login(abuse.Login{At: time.Now(), User: user, Client: client})
	}
	if d.authd, err = authd.New(cfg.Authd, authd.Deps{
		Accounts: s.accounts.Fresh(), Guard: s.guard, Journal: s.journal, Meter: s.metrics, Passwords: hashes, LoggedIn: loggedIn,
	}, log); err != nil {
		return err
	}
	if d.dict, err = dict.New(cfg.Dict, dict.Deps{Accounts: s.accounts.Fresh(), Journal: s.journal, Meter: s.metrics}, log); err != nil {
		return err
	}
	if cfg.AuthPolicy.Listen == "" {
		return nil
	}
	s.metrics.Daemon("auth_policy", policyVerdicts...)
	d.authPolicy, err = policy.New(cfg.AuthPolicy, policy.Deps{Guard: s.guard, Journal: s.journal, Meter: s.metrics, LoggedIn: loggedIn}, log)
	return err
}

// ownKeyTime bounds the wait for a key of the account store at the start.
const ownKeyTime = 3 * time.Second

// newHashes returns the pool that verifies passwords.
func newHashes(cfg Config, s *stores, log *slog.Logger) (*password.Pool, error) {
	opt := password.Options{Memory: int64(cfg.Authd.HashMemory)}
	var err error
	if name := cfg.Authd.DefaultPassScheme; name != "" {
		if opt.Default, err = password.ParseScheme(name); err != nil {
			return nil, err
		}
	}
	// The made-up salts of users that nobody is stay the same over a restart, and
	// on all hosts. A store that is away at the start must not keep mail from
	// flowing: then they are others until the next one.
	ctx, cancel := context.WithTimeout(context.Background(), ownKeyTime)
	defer cancel()
	if opt.Key, err = s.accounts.OwnKey(ctx, "scram"); err != nil {
		log.LogAttrs(ctx, slog.LevelWarn, "account store away, salts for unknown users are new until the next start", slog.Any("err", err))
		opt.Key = secret.String(rand.Text())
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
	s := d.stores
	next = s.adjusted(next)
	// Its certificate is the one thing here that may have gone bad since the check.
	if d.managesieve != nil && next.Managesieve.Listen != "" {
		if err := d.managesieve.Reconfigure(next.Managesieve); err != nil {
			return err
		}
	}
	if d.milter != nil || d.lmtpd != nil {
		if err := d.takeVerdictKeys(next); err != nil {
			return err
		}
	}
	if d.forward != nil {
		if err := d.reforward(next); err != nil {
			return err
		}
	}
	errs := []error{s.greylist.Reconfigure(next.Policyd.GreylistConfig()), s.senders.reconfigure(next.senders())}
	if d.judge != nil {
		errs = append(errs, d.judge.reconfigure(next))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	s.learn.Reconfigure(next.Learn)
	if s.own != nil {
		s.own.seal.Store(&next.Milter.ARCSeal)
		s.own.quarantine.Reconfigure(next.Quarantine)
		s.own.sinks.Resync()
	}
	return d.reconfigureServers(next)
}

// reforward takes the keys of rewritten senders, and how much TLS others want.
func (d *daemons) reforward(next Config) error {
	sender, err := next.rewriter(d.stores.srsKeys)
	if err != nil {
		return err
	}
	if err := d.forward.tls.Reconfigure(next.Policyd.TLSPolicy); err != nil {
		return err
	}
	d.forward.srs.Set(sender)
	return nil
}

// reconfigureServers is reconfigure for those who answer others.
func (d *daemons) reconfigureServers(next Config) error {
	var errs []error
	if d.milter != nil {
		if err := d.checker.Reconfigure(next.Mailauth); err != nil {
			return err
		}
		d.milter.Reconfigure(next.Milter)
	}
	if d.authd != nil {
		d.authd.Reconfigure(next.Authd)
		d.dict.Reconfigure(next.Dict)
	}
	if d.authPolicy != nil {
		d.authPolicy.Reconfigure(next.AuthPolicy)
	}
	if d.policyd != nil {
		errs = append(errs, d.policyd.Reconfigure(next.Policyd), d.socketmap.Reconfigure(next.Policyd))
	}
	if d.lmtpd != nil {
		d.scripts.Reconfigure(scriptConfig(next, next.Managesieve))
		errs = append(errs, d.filter.Reconfigure(next.Sieve), d.lmtpd.Reconfigure(next.Lmtpd))
	}
	return errors.Join(errs...)
}

// health returns what is wrong with the process, or nil: whether the account
// store answers, and whether each of the stores can be written.
func (d *daemons) health(ctx context.Context) error {
	if d.stores.own == nil {
		return d.stores.remote.Ping(ctx)
	}
	o := d.stores.own
	var wrong []string
	if _, err := d.stores.accounts.Domains(ctx); err != nil {
		wrong = append(wrong, "account store: "+err.Error())
	} else if err := o.writable.look(ctx, d.stores.accounts.Writable); err != nil {
		wrong = append(wrong, err.Error())
	}
	if st := o.state.Stats(); st.Failing {
		wrong = append(wrong, fmt.Sprintf("state can not be written: %d rows wait", st.Behind))
	}
	if err := o.journal.Failing(); err != nil {
		wrong = append(wrong, "journal can not be written: "+err.Error())
	}
	if wrong == nil {
		return nil
	}
	return errors.New(strings.Join(wrong, "; "))
}
