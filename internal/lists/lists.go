package lists

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/message"
	"github.com/gatepost/gatepost/internal/verdict"
)

// asker is what asking needs of DNS. No record is an empty result and a nil
// error; an error means that nobody answered.
type asker interface {
	LookupIP(ctx context.Context, network, name string) ([]netip.Addr, error)
}

// manyAsker is an asker that takes many questions for IPv4 addresses at once, at
// less cost, and bounds by itself how many of them are under way.
type manyAsker interface {
	LookupEach(ctx context.Context, names []string) ([][]netip.Addr, []error)
}

// meter counts what is worth an alarm.
type meter interface{ Event(name string) }

// Query is what is known of a message. What is zero is not asked about.
type Query struct {
	Client netip.Addr
	// ClientName is the client's verified name, Helo what it said, as typed.
	ClientName, Helo string
	MailFrom         mailaddr.Address
	From, ReplyTo    []mailaddr.Address
	// Text has the links and the text, nil for none.
	Text *message.Message
	// OwnDomains are ours, in lower case. No list is asked about them.
	OwnDomains []string
}

// Lists asks. It is safe for concurrent use.
type Lists struct {
	dns   asker
	meter meter
	log   *slog.Logger
	set   atomic.Pointer[set]
	kick  chan struct{} // tells Run that a test may be due earlier

	mu sync.Mutex // guards that one Reconfigure runs at a time
}

// set is the lists of one configuration. It is not changed; the states in it
// are.
type set struct {
	cfg   Config
	never domainSet
	lists []*list
}

// New returns Lists for cfg. It reads the key files. m may be nil. Until Run
// has tested a list, it is not asked.
func New(cfg Config, dns asker, m meter, log *slog.Logger) (*Lists, error) {
	l := &Lists{dns: dns, meter: m, log: log, kick: make(chan struct{}, 1)}
	return l, l.Reconfigure(cfg)
}

// Reconfigure takes cfg whole, or keeps the old one and says why. A list that
// stays as it was keeps its state and its counts; messages that are asked about
// now end with the old ones.
func (l *Lists) Reconfigure(cfg Config) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	next, err := compile(cfg, time.Now())
	if err != nil {
		return err
	}
	if old := l.set.Load(); old != nil {
		next.inherit(old)
	}
	l.set.Store(next)
	l.wake()
	return nil
}

// wake has Run look at the times of the tests again.
func (l *Lists) wake() {
	select {
	case l.kick <- struct{}{}:
	default:
	}
}

// event counts name.
func (l *Lists) event(name string) {
	if l.meter != nil {
		l.meter.Event(name)
	}
}

// Ask asks all lists about q, each question at once, and returns what they say:
// lines with their points, and one of 0 points for each list that could not be
// asked. It returns when all have answered, or when Config.Timeout is over, or
// ctx.
func (l *Lists) Ask(ctx context.Context, q Query) []verdict.Line {
	s := l.set.Load()
	if len(s.lists) == 0 {
		return nil
	}
	p := s.plan(s.items(q))
	answers := l.ask(ctx, s, p.questions)
	var lines []verdict.Line
	for _, li := range s.lists {
		if p.idle[li] {
			lines = append(lines, li.unknown(li.explain()))
		}
		lines = append(lines, l.conclude(ctx, li, answers[li])...)
	}
	if p.left > 0 {
		lines = append(lines, cut(p.left))
	}
	return lines
}

// conclude returns the lines for the answers of one list, and keeps what they
// say of the list itself. An end of the caller's own time says nothing of it.
func (l *Lists) conclude(ctx context.Context, li *list, answers []answer) []verdict.Line {
	if len(answers) == 0 {
		return nil
	}
	lines, sum := judge(&li.List, li.cap, answers)
	li.asks.Add(uint64(len(answers)))
	li.listings.Add(uint64(sum.listed))
	li.silent.Add(uint64(sum.unanswered))
	if sum.refused != "" {
		l.off(ctx, li, sum.refused)
		return []verdict.Line{li.unknown(sum.refused)}
	}
	if sum.unanswered > 0 {
		l.event("list_unanswered")
		lines = append(lines, li.unknown(fmt.Sprintf("%d of %d questions got no answer", sum.unanswered, len(answers))))
	}
	if ctx.Err() != nil {
		return lines
	}
	rests, isNew := li.heard(sum.answered > 0, time.Now())
	if rests {
		l.wake()
	}
	if isNew {
		l.event("list_resting")
		l.log.LogAttrs(ctx, slog.LevelWarn, "a list gives no answer and is left alone for a while", slog.String("rule", li.Name))
	}
	return lines
}

// off switches li off, and says so once.
func (l *Lists) off(ctx context.Context, li *list, why string) {
	isNew := li.refused(why, time.Now())
	l.wake()
	if !isNew {
		return
	}
	l.event("list_off")
	l.log.LogAttrs(ctx, slog.LevelWarn, "a list is switched off", slog.String("rule", li.Name), slog.String("err", why))
}
