package policyd

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/limit"
	ruleexpr "github.com/gatepost/gatepost/internal/rule"
)

// daemon is the policy server's name in metrics and journal.
const daemon = "policyd"

// recorder keeps the journal; see journal.Journal. It never blocks.
type recorder interface{ Record(journal.Record) }

// noRecorder keeps nothing.
type noRecorder struct{}

func (noRecorder) Record(journal.Record) {}

// Deps are the parts that the servers use. Accounts is needed by both, Limits
// by the policy server; the others may be nil.
type Deps struct {
	Accounts accountReader
	Limits   *limit.Limiter
	Journal  recorder
	Meter    meter
	// SRS rewrites recipients back (package srs); nil or without a domain it is
	// off. Returned counts what went back; it is needed with SRS by the policy
	// server.
	SRS      srsReverser
	Returned returnCounter
	// TLSPolicy answers smtp_tls_policy_maps (package tlspolicy); nil knows none.
	TLSPolicy tlsPolicies
	// Known remembers to whom users wrote (package known), for limits of new
	// recipients; nil means that nobody is new.
	Known correspondents
	// Standings knows the groups and rates of users (account.Limits); it is of the
	// same store as Accounts, whose Version tells of its changes, too. nil: none.
	Standings standings
	// Guard says who is closed out, and counts what strangers do (package guard);
	// nil: nobody is.
	Guard guardian
	// Greylist has strangers come back (package greylist), Entries are the allow
	// and deny entries (package access), DNS answers the checks; each may be nil.
	Greylist greylister
	Entries  entryList
	DNS      hostLookup
	// Maps are what rules ask with in_map (package lists/maps); nil knows none.
	Maps ruleexpr.Maps
	// Notice is called when a limit refuses somebody for the first time in its
	// window. It must not block.
	Notice func(context.Context, limit.Event)
	// Refused is told of each recipient of a logged-in user that is refused for
	// good, limits, held accounts and full mailboxes aside. It must not block.
	Refused func(user string, client netip.Addr)
}

// snapshot is one version of the configuration. A request uses one only.
type snapshot struct {
	cfg    Config
	bounds bounds
	policy Policy
}

func newSnapshot(cfg Config) (*snapshot, error) {
	p, err := cfg.policy()
	if err := errors.Join(err, cfg.validateBounds()); err != nil {
		return nil, err
	}
	return &snapshot{cfg: cfg, bounds: cfg.bounds(), policy: p}, nil
}

// Server answers policy requests. It is safe for concurrent use.
type Server struct {
	service
	now      atomic.Pointer[snapshot]
	gather   gatherer
	journal  recorder
	transact transactions
	hash     hasher
	seen     seenData
	maps     ruleexpr.Maps
	hits     hitCounts
}

// New returns a policy server; it serves as many listeners as Serve is called
// with.
func New(cfg Config, deps Deps, log *slog.Logger) (*Server, error) {
	snap, err := newPolicySnapshot(cfg, deps.Maps)
	if err != nil {
		return nil, fmt.Errorf("policyd: %w", err)
	}
	if deps.Accounts == nil || deps.Limits == nil {
		return nil, errors.New("policyd: accounts and limits are needed")
	}
	deps = deps.complete()
	hash := hasher{maphash.MakeSeed()}
	s := &Server{
		gather: gatherer{
			accounts: deps.Accounts, limits: deps.Limits, known: deps.Known, standings: deps.Standings, guard: deps.Guard, hash: hash, srs: newSRSGate(deps, log), greylist: deps.Greylist,
			admitter: admitter{accounts: deps.Accounts, entries: deps.Entries, dns: deps.DNS, log: log}, log: log,
		},
		journal: deps.Journal,
		hash:    hash,
	}
	s.gather.notice = s.notice(deps.Notice)
	s.gather.refused = deps.Refused
	s.seen.started = time.Now()
	s.maps = deps.Maps
	s.now.Store(snap)
	s.service = service{
		name:   daemon,
		bounds: func() bounds { return s.now.Load().bounds },
		begin:  func() conversation { return &policyTalk{server: s} },
		meter:  deps.Meter,
		log:    log,
	}
	return s, nil
}

func (d Deps) complete() Deps {
	if d.Journal == nil {
		d.Journal = noRecorder{}
	}
	if d.Known == nil {
		d.Known = nobodyKnown{}
	}
	if d.Meter == nil {
		d.Meter = noMeter{}
	}
	return d
}

// Serve answers on ln until ctx ends. It then stops accepting, lets requests
// in hand finish for up to Config.Grace, closes the rest and returns nil. No
// goroutine of it outlives it; ln is closed.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error { return s.serve(ctx, ln) }

// Reconfigure takes cfg for every request from now on, or returns what is
// wrong with it and keeps the old. Fewer MaxConnections hold for new ones.
func (s *Server) Reconfigure(cfg Config) error {
	snap, err := newPolicySnapshot(cfg, s.maps)
	if err != nil {
		return fmt.Errorf("policyd: %w", err)
	}
	s.now.Store(snap)
	return nil
}
