package authd

import (
	"bytes"
	"context"
	"encoding/base64"
	"io"
	"slices"
	"time"

	"github.com/gatepost/gatepost/internal/secret"
)

// Texts that Dovecot's clients know, in our words.
const (
	textBase64Initial = "Invalid base64 data in initial response"
	textBase64        = "Invalid base64 data in continued response"
	textTimedOut      = "Authentication request timed out"
	textUnexpected    = "Unexpected continuation"
)

// step is what a request waits for.
type step int

const (
	stepWork     step = iota // us
	stepMessage              // PLAIN's message
	stepName                 // LOGIN's name
	stepPassword             // LOGIN's password
	stepFirst                // SCRAM's client-first-message
	stepProof                // SCRAM's client-final-message
	stepDone                 // the empty response to SCRAM's server-final-message
)

// request is an AUTH without its final reply. The session's reader has it. A
// goroutine that works for it changes timer and step, under session.mu and only
// while the request is open.
type request struct {
	id    uint32
	auth  authRequest
	step  step
	name  string
	since time.Time
	timer *time.Timer
	login *login // SCRAM's
}

// auth begins a request.
func (ss *session) auth(ctx context.Context, l clientLine) error {
	if !slices.Contains(ss.offered, l.auth.mech) {
		return broken("a mechanism that was not offered")
	}
	r := ss.newRequest()
	r.id, r.auth, r.since = l.id, l.auth, time.Now()
	r.auth.resp = secret.Value{} // strangers leave exchanges open by the thousand
	r.auth.addr = clientAddr(r.auth.client, ss.srv.cfg.Load().TrustedProxies)
	switch l.auth.mech {
	case mechPlain:
		r.step = stepMessage
	case mechLogin:
		r.step = stepName
	default:
		r.step = stepFirst
	}
	ok, err := ss.begin(r)
	if !ok || err != nil {
		return err
	}
	if !l.auth.hasResp || ss.minor < 2 && l.auth.resp.IsEmpty() {
		return ss.prompt(r)
	}
	return ss.answer(ctx, r, l.auth.resp, textBase64Initial)
}

// newRequest returns an empty request.
func (ss *session) newRequest() (r *request) {
	if r, ss.spare = ss.spare, nil; r == nil {
		r = &request{}
	}
	return r
}

// begin enters r among the open requests. When there are too many, the exchange
// that was left alone longest goes first (Postfix sends no CANCEL); when all are
// work in hand, ok is false and r was answered.
func (ss *session) begin(r *request) (ok bool, err error) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if old, dup := ss.open[r.id]; dup && !old.expired(r.since) {
		return false, broken("duplicate id %d", r.id)
	}
	if len(ss.open) >= maxOpen {
		var first *request
		for _, o := range ss.open {
			if o.step != stepWork && (first == nil || o.since.Before(first.since)) {
				first = o
			}
		}
		if first == nil {
			return false, ss.send(r, decide(facts{kind: ss.kind, fault: true}))
		}
		delete(ss.open, first.id)
	}
	ss.open[r.id] = r
	return true, nil
}

// expired says that the peer left an exchange alone for too long.
func (r *request) expired(now time.Time) bool {
	return r.step != stepWork && now.Sub(r.since) >= requestTime
}

// take removes an open request and returns it. One that expired is gone.
func (ss *session) take(id uint32) *request {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	r, ok := ss.open[id]
	if !ok {
		return nil
	}
	delete(ss.open, id)
	ss.stop(r)
	if r.expired(time.Now()) {
		return nil
	}
	return r
}

// prompt asks for what r waits for.
func (ss *session) prompt(r *request) error {
	data := ""
	switch r.step {
	case stepName:
		data = promptUser
	case stepPassword:
		data = promptPassword
	}
	return ss.reply(clientReply{verb: verbCont, id: r.id, data: data})
}

// cont goes on with a request.
func (ss *session) cont(ctx context.Context, l clientLine) error {
	r := ss.take(l.id)
	if r == nil {
		return ss.refuse(l.id, param{key: "reason", value: textTimedOut})
	}
	if r.step == stepWork {
		// The request is void; what it finds out still reaches the guard.
		return ss.refuse(l.id, param{key: "reason", value: textUnexpected})
	}
	r.since = time.Now()
	if ok, err := ss.begin(r); !ok || err != nil {
		return err
	}
	return ss.answer(ctx, r, l.data, textBase64)
}

// answer takes one response of the client.
func (ss *session) answer(ctx context.Context, r *request, data secret.Value, badBase64 string) error {
	var room [256]byte // for most; what is made of msg is a copy
	defer clear(room[:])
	msg, err := decodeBase64(room[:], data)
	if err != nil {
		ss.take(r.id)
		return ss.refuse(r.id, param{key: "code", value: "invalid_base64"}, param{key: "reason", value: badBase64})
	}
	var cred credentials
	switch r.step {
	case stepFirst:
		r.step = stepWork
		return ss.scramFirst(ctx, r, bytes.Clone(msg))
	case stepProof:
		r.step = stepWork
		return ss.scramProof(ctx, r, msg)
	case stepDone:
		r.step = stepWork
		return ss.scramDone(ctx, r, msg)
	case stepMessage:
		cred, err = parsePlain(msg)
	case stepName:
		if r.name, err = parseLoginName(msg); err == nil {
			r.step = stepPassword
			return ss.prompt(r)
		}
	case stepPassword:
		cred.authcid = r.name
		cred.password, err = parseLoginPassword(msg)
	}
	l := ss.newLogin(r)
	l.cred = cred
	r.step = stepWork
	if err != nil {
		o := outcome{verdict: verdictFail, rule: "malformed", delay: true}
		ss.srv.tell(ctx, &l, o)
		return ss.finish(&l, r, o)
	}
	return ss.submit(ctx, &l, r)
}

// newLogin returns the login of r, which began when its line came.
func (ss *session) newLogin(r *request) login {
	return login{kind: ss.kind, auth: r.auth, cfg: ss.srv.cfg.Load(), start: r.since}
}

// submit answers a login: at once where that needs no hashing, else from a
// goroutine of its own, so that nothing waits behind it. A login is 700 bytes,
// which the collector sees only of those that are hashed.
func (ss *session) submit(ctx context.Context, l *login, r *request) error {
	f, done := ss.srv.quick(ctx, l)
	if done {
		err := ss.finish(l, r, ss.srv.settle(ctx, l, f))
		if err == nil && r.timer == nil {
			// No goroutine has it; if it is still open, the connection is closed.
			*r = request{}
			ss.spare = r
		}
		return err
	}
	hashed := *l
	ss.hash(ctx, &hashed, r, f)
	return nil
}

// hash answers a login whose password, or proof, has to be looked at. Once the
// answer to a proof is out, the reader may be at work on l again.
func (ss *session) hash(ctx context.Context, l *login, r *request, f facts) {
	ss.work.Go(func() {
		defer ss.srv.rescue(ctx, func() {
			ss.srv.abandon(ctx, l)
			ss.late(l, r, decide(facts{kind: ss.kind, fault: true}))
		})
		f := ss.srv.slow(ctx, l, f)
		if f.fault && ctx.Err() != nil {
			ss.srv.abandon(ctx, l) // nobody waits
			return
		}
		o := ss.srv.settle(ctx, l, f)
		if o.ok {
			ss.srv.warnWeak(ctx, l)
		}
		if l.scram != nil {
			l.scram.facts = f
			ss.late(l, r, o)
			return
		}
		ss.late(l, r, o)
		if o.ok {
			ss.srv.improve(ctx, l, ss.in.ctxDone)
		}
	})
}

// late sends the final reply of r while the reader is elsewhere. When that does
// not work the connection is closed, and the reader ends.
func (ss *session) late(l *login, r *request, o outcome) {
	if err := ss.finish(l, r, o); err == nil {
		_ = ss.sendAll()
	}
}

// finish sends the final reply of r, after its delay.
func (ss *session) finish(l *login, r *request, o outcome) error {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.closed || ss.open[r.id] != r {
		return nil // cancelled, or void
	}
	pause, x := l.pause(o), l.scram
	if pause == 0 {
		return ss.conclude(x, r, o)
	}
	ss.work.Add(1)
	r.timer = time.AfterFunc(pause, func() {
		defer ss.work.Done()
		ss.mu.Lock()
		defer ss.mu.Unlock()
		if !ss.closed && ss.open[r.id] == r {
			if err := ss.conclude(x, r, o); err == nil {
				_ = ss.flush() // closes where it fails, and the reader ends
			}
		}
	})
	return nil
}

// conclude sends the final reply, or what SCRAM's server still has to say before
// it: x is nil for other mechanisms. It needs mu.
func (ss *session) conclude(x *exchange, r *request, o outcome) error {
	if o.verdict != verdictOK || x == nil || x.final == "" {
		return ss.send(r, o)
	}
	final := x.final
	x.final = ""
	if !r.auth.finalResp {
		return ss.askNow(r, stepDone, final)
	}
	o.params = append(slices.Clip(o.params), param{key: "resp", value: base64.StdEncoding.EncodeToString([]byte(final))})
	return ss.send(r, o)
}

// send writes the final reply of r and forgets it. A login of Dovecot can be
// taken over before the reply is out. It needs mu.
func (ss *session) send(r *request, o outcome) error {
	delete(ss.open, r.id)
	if o.close {
		_ = ss.flush() // what was decided before
		ss.shut()
		return io.EOF
	}
	reply := clientReply{verb: verbFail, id: r.id, params: o.params}
	if o.ok {
		reply.verb = verbOK
	}
	out, err := reply.appendTo(ss.out, ss.kind.escaping())
	if err != nil {
		ss.shut()
		return err
	}
	if o.verdict == verdictOK && ss.kind == Login {
		ss.grant(r.id, granted{user: o.params[0].value, mech: r.auth.mech, until: time.Now().Add(requestTime)})
	}
	ss.out = out
	return nil
}

// reply writes a reply that is not the verdict of a login.
func (ss *session) reply(r clientReply) error {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.closed {
		return io.EOF
	}
	out, err := r.appendTo(ss.out, ss.kind.escaping())
	if err == nil {
		ss.out = out
	}
	return err
}

// refuse sends a FAIL without delay, for a fault in the exchange itself.
func (ss *session) refuse(id uint32, params ...param) error {
	return ss.reply(clientReply{verb: verbFail, id: id, params: params})
}
