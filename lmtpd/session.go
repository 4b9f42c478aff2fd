package lmtpd

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/maildir"
	"github.com/gatepost/gatepost/internal/reply"
)

// session is one connection as go-smtp sees it: it keeps the envelope and
// hands the message on. The library calls it from one goroutine at a time.
type session struct {
	srv  *Server
	conn *conn
	lib  *smtp.Conn
	id   string
	// count numbers the messages of the connection.
	count int

	// Of the transaction in hand:
	snap     *snapshot
	mailFrom mailaddr.Address
	// returnPath is mailFrom, or where mail to it goes in the end.
	returnPath mailaddr.Address
	rcpts      []recipient
	// size is what the client says of the message, 0 if it does not.
	size int64
}

// recipient is one accepted RCPT.
type recipient struct {
	// given is how the library calls it.
	given string
	addr  mailaddr.Address
	// detail is what stood behind the delimiter.
	detail string
	user   account.User
}

var errPanic = errors.New("panic")

// newSession is go-smtp's Backend.
func (s *Server) newSession(c *smtp.Conn) (smtp.Session, error) {
	k, ok := c.Conn().(*conn)
	if !ok {
		return nil, smtpError(reply.Broken)
	}
	return &session{srv: s, conn: k, lib: c, id: rand.Text()[:13]}, nil
}

// smtpError is r as the library takes it: directly, never wrapped.
func smtpError(r reply.Reply) error {
	return &smtp.SMTPError{Code: r.Code(), EnhancedCode: r.EnhancedCode(), Message: r.Text()}
}

// catch calls f and makes an error of its panic. It stands around every callback
// of the library and every goroutine of a delivery: the one recover here.
func (s *session) catch(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%w: %v", errPanic, v)
			s.srv.log.LogAttrs(s.conn.ctx, slog.LevelError, "session panicked", slog.String("session", s.tag()),
				slog.Any("err", err), slog.String("stack", string(debug.Stack())))
		}
	}()
	return f()
}

// tag names the message in hand in the log, the journal and its Received field.
func (s *session) tag() string { return s.id + "." + strconv.Itoa(s.count) }

// Reset ends the transaction in hand.
func (s *session) Reset() {
	s.snap, s.mailFrom, s.returnPath, s.rcpts = nil, mailaddr.Address{}, mailaddr.Address{}, nil
	s.conn.transaction(false)
}

// Logout ends the session.
func (s *session) Logout() error { return nil }

// Mail begins a transaction. The library has checked the parameters; all that
// it lets through need nothing of us but SIZE.
func (s *session) Mail(from string, opts *smtp.MailOptions) error {
	r := reply.Broken
	_ = s.catch(func() error {
		r = s.mail(from, opts)
		return nil
	})
	if r.IsZero() {
		return nil
	}
	return smtpError(r)
}

func (s *session) mail(from string, opts *smtp.MailOptions) reply.Reply {
	if s.snap != nil {
		return replyNested // the library would let it through
	}
	addr, err := parseAddress(from)
	if err != nil {
		return replySender
	}
	snap := s.srv.current()
	if opts != nil && opts.Size > int64(snap.cfg.MessageSizeLimit) {
		return replyTooLarge
	}
	s.conn.transaction(true)
	s.count++
	s.snap, s.mailFrom, s.returnPath, s.rcpts, s.size = snap, addr, addr, nil, 0
	if opts != nil {
		s.size = opts.Size
	}
	if s.srv.srs != nil {
		if back, err := s.srv.srs.Reverse(addr, time.Now()); err == nil {
			s.returnPath = back
		}
	}
	return reply.Reply{}
}

// Rcpt adds a recipient. A recipient that is accepted can still be refused for
// now after the end of data.
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	r := reply.Broken
	_ = s.catch(func() error {
		r = s.rcpt(to)
		return nil
	})
	if r.IsZero() {
		return nil
	}
	return smtpError(r)
}

func (s *session) rcpt(to string) reply.Reply {
	began := time.Now()
	if s.snap == nil {
		return reply.Broken // RCPT without MAIL does not come through the library
	}
	cfg := s.snap.cfg
	rcpt, err := resolve(s.conn.ctx, s.srv.accounts, to, cfg.RecipientDelimiter)
	r, rule := decideRcpt(len(s.rcpts), cfg.RecipientLimit, err)
	if r.IsZero() {
		s.rcpts = append(s.rcpts, rcpt)
		return r
	}
	o := outcome{rcpt: to, reply: r, verdict: verdictRefused, rule: rule, took: time.Since(began)}
	if r.Code() < 500 {
		o.verdict = verdictDeferred
	}
	if rule == ruleFault {
		o.err = err
	}
	s.srv.tell(s, Facts{}, o)
	return r
}

// Data is never called: LMTPData stands in for it.
func (s *session) Data(io.Reader) error { return smtpError(reply.Broken) }

// LMTPData takes a message and answers for each recipient. What it returns is
// the status of a recipient that was forgotten even so: there is none. The
// reader that the library offers holds no message, see conn.
func (s *session) LMTPData(_ io.Reader, status smtp.StatusCollector) error {
	a := newAnswers(s, status)
	err := s.catch(func() error { return s.srv.transact(s.conn.ctx, s, a) })
	_ = s.catch(func() error {
		a.finish(err)
		return nil
	})
	return smtpError(reply.Broken)
}

// answers gives each recipient of a message its one status. Until something is
// stored for it that is 451 4.3.0.
type answers struct {
	session *session
	status  smtp.StatusCollector
	done    []bool
	facts   Facts
	quota   QuotaConfig
	began   time.Time
	// places is where the copies go, once that is decided.
	places []place
}

func newAnswers(s *session, status smtp.StatusCollector) *answers {
	a := &answers{session: s, status: status, done: make([]bool, len(s.rcpts)), began: time.Now()}
	if s.snap != nil {
		a.quota = s.snap.cfg.Quota
	}
	return a
}

// settle answers for the i-th recipient: 250 if st is a stored message, and
// else a refusal that err classes. A second answer is not sent. It is called by
// one goroutine at a time.
func (a *answers) settle(i int, st maildir.Stored, err error) {
	if a.done[i] {
		return
	}
	a.done[i] = true
	k := a.session
	rcpt := k.rcpts[i]
	r, verdict, rule := answer(a.quota, rcpt.addr.String(), st, err, k.tag())
	a.status.SetStatus(rcpt.given, smtpError(r))
	o := outcome{rcpt: rcpt.addr.String(), user: rcpt.user.Addr.String(), reply: r, verdict: verdict, rule: rule, took: time.Since(a.began)}
	if rule == ruleFault {
		o.err = err
	}
	if verdict == verdictDelivered && a.places != nil {
		o.rule, o.facts, o.file, o.problem = a.places[i].rule, facts(a.facts, a.places[i], st), st.Name(), st.Problem()
	}
	k.srv.tell(k, a.facts, o)
}

var errForgotten = errors.New("no delivery was tried for this recipient")

// finish answers for those that have no answer; err says why, if it is known.
func (a *answers) finish(err error) {
	if err == nil {
		err = errForgotten
	}
	for i := range a.done {
		a.settle(i, maildir.Stored{}, err)
	}
}

// note keeps what decided about the copies, for the journal.
func (a *answers) note(f Facts, places []place) { a.facts, a.places = f, places }

// deliverAll writes the copies, several at a time, and settles each recipient as
// soon as its copy is safe. An address that was given twice is stored once and
// answered twice.
func (s *session) deliverAll(ctx context.Context, a *answers, deliver func(ctx context.Context, i int) (maildir.Stored, error)) {
	type result struct {
		i   int
		st  maildir.Stored
		err error
	}
	same := make(map[mailaddr.Address][]int)
	var first []int
	for i, r := range s.rcpts {
		key := r.addr.Folded()
		if same[key] = append(same[key], i); len(same[key]) == 1 {
			first = append(first, i)
		}
	}
	results := make(chan result, len(first))
	one := func(i int) {
		res := result{i: i}
		res.err = s.catch(func() (err error) {
			res.st, err = deliver(ctx, i)
			return err
		})
		results <- res
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, s.snap.cfg.ParallelDeliveries)
	for _, i := range first {
		if len(first) == 1 {
			one(i)
			break
		}
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			one(i)
		})
	}
	for range first {
		res := <-results
		for _, i := range same[s.rcpts[res.i].addr.Folded()] {
			a.settle(i, res.st, res.err)
		}
	}
}
