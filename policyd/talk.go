package policyd

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/deadline"
)

// policyTalk is one connection of a smtpd.
type policyTalk struct {
	server *Server
	// last is the transaction that this connection spoke of before; pending is a
	// request of it whose recipients no journal record has told of.
	last    uint64
	lastTx  *transaction
	pending *Request
	// reqs are for the request in hand and the pending one, work is for the one in
	// hand.
	reqs [2]Request
	work work
	read requestReader
	// session, asked and answered are the last request without a transaction: the
	// service may be named in several restriction lists.
	session  string
	asked    question
	answered Verdict
}

// told is what the journal is to have of an answer.
type told struct {
	facts *Facts
	// again says that the question was answered before, noted that a later record
	// will name its recipient.
	again, noted bool
	// rcpts are recipients that passed before and were only noted, many how many.
	rcpts []string
	many  int
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
	req := &t.reqs[0]
	if req == t.pending {
		req = &t.reqs[1]
	}
	if err := t.read.read(b, req); err != nil {
		return nil, err
	}
	v, note := t.decide(ctx, req, start)
	dst, err := AppendReply(dst, v.Action)
	if err != nil {
		return nil, err
	}
	took := time.Since(start)
	t.server.meter.Request(daemon, v.Word(), took)
	if !note.again && !note.noted {
		t.server.record(ctx, req, &v, &note, start, took)
	}
	return dst, nil
}

// end implements ender.
func (t *policyTalk) end() { t.flush(context.Background()) }

// decide answers req under one version of the configuration.
func (t *policyTalk) decide(ctx context.Context, req *Request, now time.Time) (v Verdict, note told) {
	s := t.server
	snap := s.now.Load()
	if counts(req.ProtocolState) && req.QueueID != "" {
		s.seen.add(s.hash.text(req.QueueID), now)
	}
	late := deadline.New(ctx, now.Add(snap.bounds.request))
	defer late.Stop()
	pr := snap.policy.profile(req.PolicyContext)
	if req.SASL.Username == "" && !pr.outbound && !pr.inbound || req.Instance == "" {
		return t.alone(late, snap, req, now)
	}
	key := s.hash.transaction(req)
	if key != t.last {
		t.flush(ctx)
	}
	tx := s.transact.find(key, t.last, now)
	t.last, t.lastTx = key, tx
	tx.mu.Lock()
	defer tx.mu.Unlock()
	q := s.hash.question(req)
	if v, ok := tx.again(q); ok {
		return v, told{again: true}
	}
	v = s.gather.decide(late, snap, req, tx, &t.work, now)
	note.facts = &t.work.facts
	if note.facts.sound() {
		tx.remember(q, v)
	}
	if v.Plain() && req.ProtocolState == StateRcpt {
		tx.note(req.RcptTo)
		t.pending, note.noted = req, true
	} else if counts(req.ProtocolState) {
		note.rcpts, note.many = tx.noted, tx.manyNoted
		tx.noted, tx.manyNoted = nil, 0
	}
	return v, note
}

// alone answers a request that belongs to no transaction of which something has
// to be remembered. The same request again, as when the service is named in
// several restriction lists, gets the same answer.
func (t *policyTalk) alone(ctx context.Context, snap *snapshot, req *Request, now time.Time) (v Verdict, note told) {
	q := t.server.hash.question(req)
	if req.Instance != "" && req.Instance == t.session && q == t.asked {
		return t.answered, told{again: true}
	}
	t.flush(ctx)
	v = t.server.gather.decide(ctx, snap, req, nil, &t.work, now)
	note.facts = &t.work.facts
	t.session = ""
	if note.facts.sound() {
		t.session, t.asked, t.answered = strings.Clone(req.Instance), q, v
	}
	return v, note
}

// flush journals the recipients of the transaction before that passed, when no
// DATA came to tell of them.
func (t *policyTalk) flush(ctx context.Context) {
	tx := t.lastTx
	if tx == nil || t.pending == nil {
		return
	}
	tx.mu.Lock()
	note := told{rcpts: tx.noted, many: tx.manyNoted}
	tx.noted, tx.manyNoted = nil, 0
	tx.mu.Unlock()
	if note.many > 0 {
		note.facts = &Facts{}
		v := Verdict{Action: Dunno()}
		t.server.record(ctx, t.pending, &v, &note, time.Now(), 0)
	}
	t.lastTx, t.pending = nil, nil
}
