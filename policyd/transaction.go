package policyd

import (
	"net/netip"
	"strings"
	"sync"
	"time"
)

// Bounds of what is remembered of mail transactions.
const (
	// transactionLife is how long a transaction is remembered at least.
	transactionLife = time.Hour
	// maxTransactions bounds a generation of them. When it is full, the older
	// generation goes: its transactions would be counted again if they went on.
	maxTransactions = 10_000
	// maxAnswers bounds the answers that are remembered of one transaction: one
	// for each protocol_state and policy_context.
	maxAnswers = 8
)

// transactionKey names a transaction: the instance is unique for one smtpd
// only by construction, the client makes it so for several hosts.
type transactionKey struct {
	instance string
	user     string
	client   netip.Addr
	port     uint16
}

func keyOf(req *Request) transactionKey {
	return transactionKey{req.Instance, req.SASL.Username, req.Client.Addr, req.Client.Port}
}

// question is what makes two requests of one transaction the same.
type question struct {
	state    State
	context  string
	mailFrom string
	rcptTo   string
}

func questionOf(req *Request) question {
	return question{req.ProtocolState, req.PolicyContext, req.MailFrom, req.RcptTo}
}

// transaction is what is remembered of one mail transaction of a user.
type transaction struct {
	mu       sync.Mutex // held while one request is decided
	answers  []remembered
	passed   int64  // recipients that were not refused at RCPT
	lastRcpt string // the last of them
	counted  bool   // the limits have counted it
}

type remembered struct {
	question
	verdict Verdict
}

// again returns the first answer to the same question. Only the last question
// of each state and context is remembered: Postfix evaluates all its lists for
// one recipient before it goes on to the next.
func (t *transaction) again(q question) (Verdict, bool) {
	for i := range t.answers {
		if t.answers[i].question == q {
			return t.answers[i].verdict, true
		}
	}
	return Verdict{}, false
}

// remember keeps the answer to q.
func (t *transaction) remember(q question, v Verdict) {
	q.context, q.mailFrom, q.rcptTo = strings.Clone(q.context), strings.Clone(q.mailFrom), strings.Clone(q.rcptTo)
	q.state = State(strings.Clone(string(q.state)))
	for i := range t.answers {
		if t.answers[i].state == q.state && t.answers[i].context == q.context {
			t.answers[i] = remembered{q, v}
			return
		}
	}
	if len(t.answers) == maxAnswers {
		t.answers = append(t.answers[:0], t.answers[1:]...)
	}
	t.answers = append(t.answers, remembered{q, v})
}

// predicted returns how many recipients the transaction would have with this
// one, and how many it had. A service with another policy_context may have
// passed the same recipient just before.
func (t *transaction) predicted(rcpt string) (n, mine int64) {
	if t.passed > 0 && t.lastRcpt == rcpt {
		return t.passed, t.passed - 1
	}
	return t.passed + 1, t.passed
}

// pass notes a recipient that was not refused.
func (t *transaction) pass(rcpt string) {
	if t.passed == 0 || t.lastRcpt != rcpt {
		t.passed++
		t.lastRcpt = strings.Clone(rcpt)
	}
}

// transactions remembers transactions in two generations: one that is asked
// for moves to the younger, and the older is dropped as a whole.
type transactions struct {
	mu         sync.Mutex // guards the fields below
	young, old map[transactionKey]*transaction
	turned     time.Time
}

// find returns the transaction of key, a new one if none is known.
func (ts *transactions) find(key transactionKey, now time.Time) *transaction {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.young == nil || len(ts.young) >= maxTransactions || now.Sub(ts.turned) > transactionLife {
		ts.old, ts.young, ts.turned = ts.young, map[transactionKey]*transaction{}, now
	}
	if t := ts.young[key]; t != nil {
		return t
	}
	t := ts.old[key]
	if t == nil {
		t = &transaction{}
	}
	delete(ts.old, key)
	key.instance, key.user = strings.Clone(key.instance), strings.Clone(key.user)
	ts.young[key] = t
	return t
}

// forget drops the transaction of key: the connection has begun another.
func (ts *transactions) forget(key transactionKey) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	delete(ts.young, key)
	delete(ts.old, key)
}
