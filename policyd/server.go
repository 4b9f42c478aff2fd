package policyd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/limit"
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
}

// New returns a policy server; it serves as many listeners as Serve is called
// with.
func New(cfg Config, deps Deps, log *slog.Logger) (*Server, error) {
	snap, err := newSnapshot(cfg)
	if err != nil {
		return nil, fmt.Errorf("policyd: %w", err)
	}
	if deps.Accounts == nil || deps.Limits == nil {
		return nil, errors.New("policyd: accounts and limits are needed")
	}
	deps = deps.complete()
	s := &Server{
		gather:  gatherer{accounts: deps.Accounts, limits: deps.Limits, log: log},
		journal: deps.Journal,
	}
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
	snap, err := newSnapshot(cfg)
	if err != nil {
		return fmt.Errorf("policyd: %w", err)
	}
	s.now.Store(snap)
	return nil
}

// policyTalk is one connection of a smtpd.
type policyTalk struct {
	server *Server
	// last is the transaction that this connection spoke of before, key the
	// question; a repeated question is journaled once.
	last    transactionKey
	asked   question
	session string
}

// length implements conversation.
func (*policyTalk) length(b []byte, from int) (int, error) {
	n := requestLen(b, from)
	if n > MaxRequestBytes || n == 0 && len(b) >= MaxRequestBytes {
		return 0, fmt.Errorf("%w: longer than %d bytes", ErrMalformed, MaxRequestBytes)
	}
	return n, nil
}

// answer implements conversation.
func (t *policyTalk) answer(ctx context.Context, b, dst []byte) ([]byte, error) {
	start := time.Now()
	req, err := ParseRequest(b)
	if err != nil {
		return nil, err
	}
	v, f, again := t.decide(ctx, &req, start)
	dst, err = AppendReply(dst, v.Action)
	if err != nil {
		return nil, err
	}
	took := time.Since(start)
	t.server.meter.Request(daemon, v.Word(), took)
	if !again {
		t.server.record(ctx, &req, v, f, start, took)
	}
	return dst, nil
}

// decide answers req under one version of the configuration. again says that
// the question was answered before.
func (t *policyTalk) decide(ctx context.Context, req *Request, now time.Time) (v Verdict, f Facts, again bool) {
	s := t.server
	snap := s.now.Load()
	if !req.Outbound() {
		return Decide(snap.policy, *req, Facts{}), f, t.repeated(req)
	}
	ctx, cancel := context.WithTimeout(ctx, snap.bounds.request)
	defer cancel()
	if req.Instance == "" {
		v, f = s.gather.decide(ctx, snap, req, nil)
		return v, f, false
	}
	key := keyOf(req)
	if key != t.last {
		s.transact.forget(t.last)
	}
	tx := s.transact.find(key, now)
	t.last = key
	tx.mu.Lock()
	defer tx.mu.Unlock()
	q := questionOf(req)
	if v, ok := tx.again(q); ok {
		return v, f, true
	}
	v, f = s.gather.decide(ctx, snap, req, tx)
	if !f.AccountsAway { // a fault of ours need not last as long as the mail
		tx.remember(q, v)
	}
	return v, f, false
}

// repeated reports whether an inbound request is the same as the one before,
// as when the service is named in several restriction lists.
func (t *policyTalk) repeated(req *Request) bool {
	q := questionOf(req)
	if req.Instance != "" && req.Instance == t.session && q == t.asked {
		return true
	}
	t.session, t.asked = req.Instance, q
	return false
}
