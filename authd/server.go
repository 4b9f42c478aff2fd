package authd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/guard"
	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/listen"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/password"
	"github.com/gatepost/gatepost/internal/secret"
)

// accounts is all that authd needs of the account store. An error that is not
// account.ErrNotFound means that the store is away.
type accounts interface {
	User(ctx context.Context, addr mailaddr.Address) (account.User, error)
	Users(ctx context.Context, mask string) ([]account.User, error)
	AppPasswords(ctx context.Context, user mailaddr.Address) ([]account.AppPassword, error)
}

// hasher verifies passwords with bounded work: see password.Pool, which is one.
type hasher interface {
	Verify(ctx context.Context, hash secret.Value, pw []byte) (bool, error)
	// VerifyIf asks still just before it hashes.
	VerifyIf(ctx context.Context, hash secret.Value, pw []byte, still func() error) (bool, error)
	// DummyIf takes the time of VerifyIf.
	DummyIf(ctx context.Context, pw []byte, still func() error) error
	// Saw tells what hashes are usual here.
	Saw(hash secret.Value)
	scramKeeper
	improver
}

// scramKeeper has the keys of SCRAM, also of users that are not there.
type scramKeeper interface {
	SCRAM(ctx context.Context, mech password.Scheme, user string, stored secret.Value) (keys password.SCRAMKeys, real bool, err error)
}

// improver makes better hashes of right passwords.
type improver interface {
	Scheme(hash secret.Value) (password.Scheme, error)
	NeedsRehash(hash secret.Value, want password.Scheme, pw []byte) bool
	Hash(ctx context.Context, scheme password.Scheme, pw []byte) (secret.Value, error)
}

// watch is the guard.
type watch interface {
	Check(ctx context.Context, a guard.Attempt) guard.Decision
	Admit(ctx context.Context, a guard.Attempt) guard.Decision
	Report(ctx context.Context, a guard.Attempt, o guard.Outcome) guard.Decision
}

type recorder interface{ Record(journal.Record) }

type meter interface {
	Request(daemon, verdict string, took time.Duration)
	Sessions(daemon string, delta int)
}

// Deps are the parts that a Server uses.
type Deps struct {
	// Accounts may be an account.AppUses and an account.Rehasher too.
	Accounts accounts
	Guard    watch
	Journal  recorder
	Meter    meter
	// Passwords is optional: without it New makes a pool with
	// Config.HashMemory and Config.DefaultPassScheme.
	Passwords hasher
	// LoggedIn is optional: it is told of each login that was right, and does not
	// block.
	LoggedIn func(user string, client netip.Addr)
	// PeerCred is optional: without it the kernel is asked (SO_PEERCRED).
	PeerCred func(net.Conn) (listen.Cred, error)
}

// Server answers logins and user look-ups. All listeners of a process share
// one: a login on a Login socket is taken over on a Master socket.
type Server struct {
	cfg       atomic.Pointer[Config]
	accounts  accounts
	passwords hasher
	guard     watch
	journal   recorder
	meter     meter
	peerCred  func(net.Conn) (listen.Cred, error)
	log       *slog.Logger
	cache     *cache
	better    *better
	repeats   *repeats
	// spid is told on every socket. Dovecot wants login and master to agree.
	spid uint32
	cuid atomic.Uint32

	mu sync.Mutex
	// byPID has the open login connections by their CPID. Guarded by mu.
	byPID    map[uint32]*session
	loggedIn func(user string, client netip.Addr) // nil: nobody
}

// sampled is how many accounts New looks at to learn what hashes are usual.
const sampled = 100

// New returns a Server. It looks at some accounts, so that an unknown user
// takes the time of a known one from the first login on; a store that is away
// is no error.
func New(cfg Config, deps Deps, log *slog.Logger) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("authd: %w", err)
	}
	s := &Server{
		accounts: deps.Accounts, passwords: deps.Passwords, guard: deps.Guard, journal: deps.Journal, loggedIn: deps.LoggedIn,
		meter: deps.Meter, peerCred: deps.PeerCred, log: log, cache: newCache(), better: newBetter(), repeats: newRepeats(),
		spid: uint32(os.Getpid()), byPID: make(map[uint32]*session),
	}
	if s.passwords == nil {
		s.passwords = password.New(password.Options{Memory: int64(cfg.HashMemory), Default: cfg.scheme(cfg.DefaultPassScheme)})
	}
	if s.peerCred == nil {
		s.peerCred = listen.PeerCred
	}
	s.cfg.Store(&cfg)
	ctx, cancel := context.WithTimeout(context.Background(), answerTime)
	defer cancel()
	users, err := s.accounts.Users(ctx, "")
	if err != nil {
		log.LogAttrs(ctx, slog.LevelWarn, "accounts not readable at the start", slog.Any("err", err))
	}
	for _, u := range users[:min(len(users), sampled)] {
		s.passwords.Saw(u.Password)
	}
	return s, nil
}

// Reconfigure takes new settings, which are valid. A login sees the old ones or
// the new ones, never a mix.
func (s *Server) Reconfigure(cfg Config) { s.cfg.Store(&cfg) }

// Serve answers the peers of one kind on ln until ctx ends. It then stops
// accepting, lets logins in hand finish for up to Config.Grace, closes the rest
// and returns nil. Master goes on until no login waits for its mail process, for up
// to Config.Grace more. No goroutine of s that it started outlives it.
func (s *Server) Serve(ctx context.Context, ln net.Listener, kind Kind) error {
	if kind < Client || kind > Userdb {
		return fmt.Errorf("authd: no such kind of listener: %v", kind)
	}
	ln = listen.Limit(ln, s.cfg.Load().MaxConnections)
	// hard ends what is in hand, after the grace.
	hard, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	end := ctx
	if kind == Master {
		var wait func()
		end, wait = s.outlive(ctx)
		defer wait()
	}
	closed := context.AfterFunc(end, func() { _ = ln.Close() })
	defer closed()

	var sessions sync.WaitGroup
	err := listen.Accept(end, ln, s.log, func(c net.Conn) {
		sessions.Go(func() { s.serveConn(end, hard, c, kind) })
	})
	_ = ln.Close()
	if err == nil {
		defer time.AfterFunc(s.cfg.Load().Grace.Std(), stop).Stop()
	} else {
		stop()
	}
	sessions.Wait()
	s.tellRepeats(hard, s.repeats.all())
	return err
}

// serveConn answers one connection and closes it. ctx ends with the daemon, hard
// with its grace.
func (s *Server) serveConn(ctx, hard context.Context, c net.Conn, kind Kind) {
	s.meter.Sessions("authd", 1)
	defer s.meter.Sessions("authd", -1)
	defer func() { _ = c.Close() }()
	defer s.rescue(ctx, func() {})
	defer context.AfterFunc(hard, func() { _ = c.Close() })()
	l := &line{conn: c, ctxDone: ctx.Done()}
	defer context.AfterFunc(ctx, l.interrupt)()
	var err error
	if kind == Client || kind == Login {
		err = s.newSession(c, kind, l).run(hard)
	} else {
		err = s.newMasterSession(c, kind, l).run(hard)
	}
	switch {
	case err == nil || ctx.Err() != nil:
	case errors.Is(err, errProtocol):
		s.log.LogAttrs(ctx, slog.LevelWarn, "peer breaks the protocol", slog.String("kind", kind.String()), slog.Any("err", err))
	default:
		s.log.LogAttrs(ctx, slog.LevelDebug, "connection ended", slog.String("kind", kind.String()), slog.Any("err", err))
	}
}
