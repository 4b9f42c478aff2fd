package resolver

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"runtime/debug"
	"time"

	"github.com/miekg/dns"
)

// maxTogether bounds the questions of one batch that are under way: one that has
// more leaves room for others.
const maxTogether = 64

// LookupEach returns the IPv4 addresses of each of names, as LookupIP of "ip4"
// does one by one, with the error that goes with it. All of it costs one socket,
// few system calls and no goroutine, where a message with forty questions to
// DNS lists would else take forty of each.
//
// Each question goes to the first server once. What that does not settle at once
// (no answer in time, a server's trouble, an answer that was cut, an alias
// without its target) goes on as any other question.
func (r *Resolver) LookupEach(ctx context.Context, names []string) (addrs [][]netip.Addr, errs []error) {
	addrs, errs = make([][]netip.Addr, len(names)), make([]error, len(names))
	asked := make([]*asking, 0, len(names))
	at := make([]int, 0, len(names))
	now := time.Now()
	for i, name := range names {
		q, ok := question(name)
		if !ok {
			continue
		}
		k := key{q, dns.TypeA}
		if a, ok := r.cache.find(k, now); ok {
			addrs[i] = append([]netip.Addr(nil), a.addrs...)
			continue
		}
		asked, at = append(asked, &asking{key: k}), append(at, i)
	}
	if len(asked) == 0 {
		return addrs, errs
	}
	if err := ctx.Err(); err != nil {
		for n, a := range asked {
			errs[at[n]] = failed(a.key, err)
		}
		return addrs, errs
	}
	r.askTogether(ctx, r.joinAll(asked))
	for n, a := range asked {
		ans, err := r.await(ctx, a.key, a.flight)
		addrs[at[n]], errs[at[n]] = append([]netip.Addr(nil), ans.addrs...), err
	}
	return addrs, errs
}

// asking is one question of a batch.
type asking struct {
	key    key
	flight *flight
	id     uint16
	sent   time.Time
}

// joinAll gives each question its flight, and returns those whose flight began
// here: the batch has to end them.
func (r *Resolver) joinAll(asked []*asking) (own []*asking) {
	own = make([]*asking, 0, len(asked))
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range asked {
		if f := r.flights[a.key]; f != nil {
			f.waiters++
			a.flight = f
			continue
		}
		a.flight = &flight{waiters: 1, cancel: func() {}, done: make(chan struct{})}
		r.flights[a.key] = a.flight
		own = append(own, a)
	}
	return own
}

// askTogether puts questions to the first server and takes its answers, until
// each is answered, given to a goroutine of its own, or ctx ends. A panic costs
// the answers that are missing: nobody else would ever end their flights.
func (r *Resolver) askTogether(ctx context.Context, own []*asking) {
	if len(own) == 0 {
		return
	}
	b := &batch{r: r, ctx: ctx, queue: own, byID: make(map[uint16]*asking, min(len(own), maxTogether))}
	defer func() {
		err := errNoAnswer
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
			r.log.LogAttrs(ctx, slog.LevelError, "dns look-up panicked",
				slog.String("err", fmt.Sprint(v)), slog.String("stack", string(debug.Stack())))
		}
		b.end(err)
	}()
	b.run()
}

// batch is the questions that one call has under way. One goroutine uses it.
type batch struct {
	r     *Resolver
	ctx   context.Context // of the one call that the batch lives for
	conn  *together
	queue []*asking
	byID  map[uint16]*asking // those under way
	stray int
	// broken says that the socket must not be used again.
	broken bool
}

// errStray ends a batch that is flooded.
var errStray = errors.New("too many stray answers")

// run asks all of the queue. It returns when there is nothing left to wait for.
func (b *batch) run() {
	server := b.r.servers[0]
	var err error
	if b.conn, err = b.r.together.open(b.ctx, server); err != nil {
		return
	}
	stop := context.AfterFunc(b.ctx, b.conn.interrupt)
	defer stop()
	for b.ctx.Err() == nil && len(b.queue)+len(b.byID) > 0 {
		if err = b.send(b.r.cfg.trusts(server)); err == nil {
			err = b.receive()
		}
		switch {
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded):
			b.late(time.Now())
		default:
			// The server may have been started anew: that says nothing of it.
			b.broken = true
			return
		}
	}
}

// send puts as many questions as there is room for.
func (b *batch) send(ad bool) error {
	b.conn.questions = b.conn.questions[:0]
	now := time.Now()
	for len(b.queue) > 0 && len(b.byID) < maxTogether && b.slot() {
		a := b.queue[0]
		b.queue = b.queue[1:]
		for taken := true; taken; {
			a.id = dns.Id()
			_, taken = b.byID[a.id]
		}
		b.byID[a.id], a.sent = a, now
		if err := b.conn.add(a.key, a.id, ad); err != nil {
			b.settle(a, answer{}, err)
		}
	}
	if len(b.conn.questions) == 0 {
		return nil
	}
	for _, a := range b.byID {
		if a.sent.Before(now) {
			now = a.sent
		}
	}
	return b.conn.write(now.Add(b.r.cfg.Timeout.Std()))
}

// slot takes a place among the queries under way. Only a batch that has none
// waits for one.
func (b *batch) slot() bool {
	select {
	case b.r.slots <- struct{}{}:
		return true
	default:
	}
	if len(b.byID) > 0 {
		return false
	}
	select {
	case b.r.slots <- struct{}{}:
		return true
	case <-b.ctx.Done():
		return false
	}
}

// receive takes the answers that are there, or waits for one.
func (b *batch) receive() error {
	if len(b.byID) == 0 || b.ctx.Err() != nil {
		return nil
	}
	got, err := b.conn.read()
	for _, wire := range got {
		if !b.take(wire) {
			b.stray++
		}
	}
	if err == nil && b.stray > maxStray {
		return errStray
	}
	return err
}

// take reads one datagram, and reports whether it answers a question. What does
// not is passed over: else whoever can send one could make us fail.
func (b *batch) take(wire []byte) bool {
	if len(wire) >= headSize {
		if a := b.byID[binary.BigEndian.Uint16(wire)]; a != nil {
			if ans, validated, ok := readPlain(wire, a.key); ok {
				ans.secure = validated && b.r.cfg.trusts(b.r.servers[0])
				b.settle(a, ans, nil)
				return true
			}
		}
	}
	var m dns.Msg
	if err := m.Unpack(wire); err != nil && !m.Truncated {
		return false
	}
	a := b.byID[m.Id]
	if a == nil || !answersKey(&m, m.Id, a.key) {
		return false
	}
	hops := 0
	ans, next, err := answer{}, "", error(nil)
	switch {
	case m.Truncated, m.Rcode == dns.RcodeFormatError, m.Rcode == dns.RcodeNotImplemented, m.Rcode == dns.RcodeBadVers:
		b.alone(a, false)
		return true
	case m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError:
		b.alone(a, true)
		return true
	}
	if ans, next, err = read(&m, a.key, &hops); next != "" {
		b.alone(a, false)
		return true
	}
	ans.secure = m.AuthenticatedData && b.r.cfg.trusts(b.r.servers[0])
	b.settle(a, ans, err)
	return true
}

// late gives up the questions whose time is over.
func (b *batch) late(now time.Time) {
	limit := b.r.cfg.Timeout.Std()
	var next time.Time
	for _, a := range b.byID {
		if until := a.sent.Add(limit); !until.After(now) {
			b.broken = true // an answer may still come
			b.alone(a, true)
		} else if next.IsZero() || until.Before(next) {
			next = until
		}
	}
	if !next.IsZero() {
		b.conn.wait(next)
	}
}

// settle ends the flight of a.
func (b *batch) settle(a *asking, ans answer, err error) {
	delete(b.byID, a.id)
	<-b.r.slots
	b.r.land(b.ctx, a.key, a.flight, ans, err)
}

// alone lets a goroutine go on with a. asked says that the first server has had
// its turn.
func (b *batch) alone(a *asking, asked bool) {
	delete(b.byID, a.id)
	<-b.r.slots
	b.r.flyOn(b.ctx, a.key, a.flight, asked)
}

// end gives back the socket, and leaves no flight behind: those that are not
// settled go on by themselves if somebody waits for them. A panic ends them.
func (b *batch) end(err error) {
	if b.conn != nil {
		b.r.together.done(b.conn, b.broken || len(b.byID) > 0 || b.stray > 0)
	}
	for _, a := range b.byID {
		if err != errNoAnswer {
			b.settle(a, answer{}, err)
			continue
		}
		b.alone(a, false)
	}
	for _, a := range b.queue {
		if err != errNoAnswer {
			b.r.land(b.ctx, a.key, a.flight, answer{}, err)
			continue
		}
		b.r.flyOn(b.ctx, a.key, a.flight, false)
	}
}
