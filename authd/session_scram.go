package authd

import (
	"context"
	"encoding/base64"
	"errors"
	"time"

	"github.com/xdg-go/scram"

	"github.com/gatepost/gatepost/internal/password"
	"github.com/gatepost/gatepost/internal/secret"
)

// exchange is one SCRAM conversation (RFC 5802 §5) beside its login. It has one
// user at a time: the session's reader, or the goroutine that works for it.
type exchange struct {
	conv *scram.ServerConversation
	// real says that the account has keys. Without, the exchange goes on with
	// made-up ones and fails at its end.
	real bool
	// proof is client-final-message, final the server's.
	proof, final string
	facts        facts
}

// maxScram bounds a message of a SCRAM client. A name takes 256 bytes of it, or
// three times that with escapes, and the nonces 64. Strangers leave exchanges open by the
// thousand.
const maxScram = 1200

// scramFirst takes client-first-message. The keys may have to be computed, so
// that nothing waits behind it.
func (ss *session) scramFirst(ctx context.Context, r *request, msg []byte) error {
	begun := ss.newLogin(r)
	l := &begun
	l.scram = &exchange{}
	r.login = l
	ss.work.Go(func() {
		defer ss.srv.rescue(ctx, func() { ss.late(l, r, decide(facts{kind: ss.kind, fault: true})) })
		reply, err := ss.srv.scramBegin(ctx, l, msg)
		switch f := l.scram.facts; {
		case f.fault && ctx.Err() != nil: // nobody waits
		case f.fault || f.banned:
			ss.late(l, r, ss.srv.settle(ctx, l, f))
		case err != nil:
			o := outcome{verdict: verdictFail, rule: "malformed", delay: true}
			ss.srv.tell(ctx, l, o)
			ss.late(l, r, o)
		default:
			ss.ask(r, stepProof, reply)
		}
	})
	return nil
}

// scramBegin finds out who logs in and returns server-first-message. An account
// that is not there, or that has no keys, has it too. The error is of the
// message; what else stands in the way is in l.scram.facts.
func (s *Server) scramBegin(ctx context.Context, l *login, msg []byte) (reply string, err error) {
	x := l.scram
	defer s.rescue(ctx, func() { x.facts.fault = true })
	ctx, cancel := context.WithDeadline(ctx, l.deadline())
	defer cancel()
	if len(msg) > maxScram {
		return "", errMessage
	}
	mech := password.Scheme(l.auth.mech)
	stop := errors.New("stop")
	hash := scram.SHA256
	if mech == password.SCRAMSHA1 {
		hash = scram.SHA1
	}
	server, err := hash.NewServer(func(name string) (scram.StoredCredentials, error) {
		l.cred = credentials{authzid: x.conv.AuthzID(), authcid: name}
		if s.begin(ctx, l, &x.facts) {
			return scram.StoredCredentials{}, stop
		}
		keys, err := s.scramKeys(ctx, l, mech)
		if err != nil {
			s.fault(ctx, l, err)
			x.facts.fault = true
			return scram.StoredCredentials{}, stop
		}
		return scram.StoredCredentials{
			KeyFactors: scram.KeyFactors{Salt: string(keys.Salt), Iters: keys.Iterations},
			StoredKey:  keys.StoredKey.Reveal(), ServerKey: keys.ServerKey.Reveal(),
		}, nil
	})
	if err != nil {
		return "", err
	}
	x.conv = server.NewConversation()
	return x.conv.Step(string(msg))
}

// scramKeys returns the keys of l's account, or made-up ones.
func (s *Server) scramKeys(ctx context.Context, l *login, mech password.Scheme) (keys password.SCRAMKeys, err error) {
	x := l.scram
	if l.known && x.facts.unfit == "" && l.appOnly() {
		x.facts.unfit = ruleAppOnly
	}
	var stored secret.Value
	if l.known && x.facts.unfit == "" {
		stored = l.user.Password
	}
	name := l.shown
	if !l.valid {
		name = l.cred.authcid
	}
	keys, x.real, err = s.passwords.SCRAM(ctx, mech, name, stored)
	if l.known && !x.real && x.facts.unfit == "" {
		// The stored hash is of another kind: no client can be right, and the
		// operator should know that it is no wrong password.
		x.facts.unfit = "scram"
	}
	return keys, err
}

// check looks at the proof.
func (x *exchange) check() bool {
	final, err := x.conv.Step(x.proof)
	if err != nil || !x.conv.Valid() || !x.real {
		return false
	}
	x.final = final
	return true
}

// scramProof takes client-final-message.
func (ss *session) scramProof(ctx context.Context, r *request, msg []byte) error {
	l := r.login
	l.start, l.cfg = time.Now(), ss.srv.cfg.Load()
	if len(msg) > maxScram {
		msg = nil
	}
	l.scram.proof = string(msg)
	ss.hash(ctx, l, r, l.scram.facts)
	return nil
}

// scramDone takes the empty response to server-final-message. What may have
// changed since the proof is looked at once more.
func (ss *session) scramDone(ctx context.Context, r *request, msg []byte) error {
	l, f := r.login, r.login.scram.facts
	l.start = time.Now()
	if len(msg) > 0 {
		o := outcome{verdict: verdictFail, rule: "malformed", delay: true}
		ss.srv.tell(ctx, l, o)
		return ss.finish(l, r, o)
	}
	func() {
		defer ss.srv.rescue(ctx, func() { f.fault = true })
		ctx, cancel := context.WithDeadline(ctx, l.deadline())
		defer cancel()
		if !ss.srv.banned(ctx, l, &f) {
			ss.srv.again(ctx, l, &f)
		}
	}()
	o := decide(f)
	if o.verdict != verdictOK {
		ss.srv.tell(ctx, l, o)
	}
	return ss.finish(l, r, o)
}

// ask sends a message of the mechanism from a goroutine of a request, and notes
// what the request then waits for.
func (ss *session) ask(r *request, next step, message string) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.askNow(r, next, message) == nil {
		_ = ss.flush() // closes where it fails, and the reader ends
	}
}

// askNow is ask with mu, without sending. A request that is void is no error.
func (ss *session) askNow(r *request, next step, message string) error {
	if ss.closed || ss.open[r.id] != r {
		return nil
	}
	data := base64.StdEncoding.EncodeToString([]byte(message))
	out, err := clientReply{verb: verbCont, id: r.id, data: data}.appendTo(ss.out, ss.kind.escaping())
	if err != nil {
		ss.shut()
		return err
	}
	ss.out, r.step = out, next
	return nil
}
