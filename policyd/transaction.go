package policyd

import (
	"hash/maphash"
	"sync"
	"time"

	"github.com/gatepost/gatepost/internal/limit"
)

// Bounds of what is remembered of mail transactions.
const (
	// transactionLife is how long a transaction is remembered at least.
	transactionLife = time.Hour
	// maxTransactions bounds a generation of all of them. When a part of it is
	// full, what is older of that part goes: it would be counted again if it went on.
	maxTransactions = 10_000
	// maxAnswers bounds the answers that are remembered of one transaction: one
	// for each protocol_state and policy_context.
	maxAnswers = 8
	// maxRcpts bounds the recipients that are remembered of one transaction;
	// Postfix takes 1,000 (smtpd_recipient_limit). Others are only counted.
	maxRcpts = 2000
	// maxNoted bounds the recipients that one journal record names.
	maxNoted = 100
)

// hasher makes hashes that no client can foresee, so that 64 bits tell
// transactions and questions apart.
type hasher struct{ seed maphash.Seed }

// transaction names the transaction of req: the instance is unique for one
// smtpd only by construction, the client makes it so for several hosts.
func (h hasher) transaction(req *Request) uint64 {
	var m maphash.Hash
	m.SetSeed(h.seed)
	write(&m, req.Instance)
	write(&m, req.SASL.Username)
	addr := req.Client.Addr.As16()
	_, _ = m.Write(addr[:])                                                   // it never fails
	_, _ = m.Write([]byte{byte(req.Client.Port), byte(req.Client.Port >> 8)}) // nor does this
	return m.Sum64()
}

// question returns what makes two requests of one transaction the same, and
// what of it is remembered only once.
func (h hasher) question(req *Request) question {
	var m maphash.Hash
	m.SetSeed(h.seed)
	write(&m, string(req.ProtocolState))
	write(&m, req.PolicyContext)
	slot := m.Sum64()
	write(&m, req.MailFrom)
	write(&m, req.RcptTo)
	return question{slot: slot, all: m.Sum64()}
}

func write(m *maphash.Hash, s string) {
	_, _ = m.WriteString(s) // it never fails
	_ = m.WriteByte(0)      // nor does this; no value holds a NUL
}

// question is hashes of a request: of protocol_state and policy_context, and
// with both addresses.
type question struct{ slot, all uint64 }

// transaction is what is remembered of one mail transaction.
type transaction struct {
	mu       sync.Mutex // held while one request is decided
	answers  []remembered
	passed   int64  // recipients that were not refused at RCPT
	lastRcpt uint64 // the last of them
	// rcpts are those that passed, if a limit looks at them.
	rcpts []limit.Rcpt
	// noted are recipients that no journal record has told of yet, and
	// manyNoted how many there are in all.
	noted     []string
	manyNoted int
	// counted are the names of the limits that have counted it, taken what they
	// counted, and size the bytes that they went by.
	counted []string
	taken   []limit.Counted
	size    int64
	sized   bool // END-OF-MESSAGE has told the size

	// Most mails have one recipient and two questions: room for that.
	firstNoted [1]string
	usedFirst  bool
	first      [2]remembered
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
	for i := range t.answers {
		if t.answers[i].slot == q.slot {
			t.answers[i] = remembered{q, v}
			return
		}
	}
	if len(t.answers) == maxAnswers {
		t.answers = append(t.answers[:0], t.answers[1:]...)
	}
	if t.answers == nil {
		t.answers = t.first[:0]
	}
	t.answers = append(t.answers, remembered{q, v})
}

// predicted returns how many recipients the transaction would have with this
// one. A service with another policy_context may have passed the same recipient
// just before.
func (t *transaction) predicted(rcpt uint64) int64 {
	if t.passed > 0 && t.lastRcpt == rcpt {
		return t.passed
	}
	return t.passed + 1
}

// pass notes a recipient that was not refused.
func (t *transaction) pass(rcpt uint64) {
	if t.passed == 0 || t.lastRcpt != rcpt {
		t.passed++
		t.lastRcpt = rcpt
	}
}

// note keeps a recipient for the next journal record, unless it was the last
// one: a service with another policy_context was asked, too.
func (t *transaction) note(rcpt string) {
	if n := len(t.noted); n > 0 && n == t.manyNoted && t.noted[n-1] == rcpt {
		return
	}
	t.manyNoted++
	if t.noted == nil && !t.usedFirst { // once: a journal record may have it
		t.noted, t.usedFirst = t.firstNoted[:0], true
	}
	if len(t.noted) < maxNoted {
		t.noted = append(t.noted, rcpt)
	}
}

// transactionShards is how many parts transactions have: each is locked for
// every request.
const transactionShards = 16

// transactions remembers transactions, in parts by their key.
type transactions struct {
	shards [transactionShards]transactionShard
}

// transactionShard has two generations: a transaction that is asked for moves to
// the younger, and the older is dropped as a whole.
type transactionShard struct {
	mu         sync.Mutex // guards the fields below
	young, old map[uint64]*transaction
	turned     time.Time
	_          [32]byte // no part shares a cache line with the next
}

func (ts *transactions) shard(key uint64) *transactionShard { return &ts.shards[key%transactionShards] }

// find returns the transaction of key, a new one if none is known, after
// forgetting another.
func (ts *transactions) find(key, forget uint64, now time.Time) *transaction {
	if forget != key && forget != 0 {
		ts.shard(forget).forget(forget)
	}
	s := ts.shard(key)
	if t := s.find(key, now); t != nil {
		return t
	}
	return s.add(key, &transaction{}) // made without the lock
}

func (s *transactionShard) forget(key uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.young, key)
	delete(s.old, key)
}

// find returns nil for one that is not known.
func (s *transactionShard) find(key uint64, now time.Time) *transaction {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.young == nil || len(s.young) >= maxTransactions/transactionShards || now.Sub(s.turned) > transactionLife {
		s.old, s.young, s.turned = s.young, map[uint64]*transaction{}, now
	}
	t := s.young[key]
	if t != nil {
		return t
	}
	if t = s.old[key]; t != nil {
		delete(s.old, key)
		s.young[key] = t
	}
	return t
}

// add keeps t, unless another connection has added one meanwhile, and returns
// what is kept.
func (s *transactionShard) add(key uint64, t *transaction) *transaction {
	s.mu.Lock()
	defer s.mu.Unlock()
	if other := s.young[key]; other != nil {
		return other
	}
	s.young[key] = t
	return t
}
