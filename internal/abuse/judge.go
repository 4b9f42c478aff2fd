package abuse

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/unit"
)

// take counts an event and returns what is to be done, nil for nothing.
func (w *Watcher) take(ctx context.Context, e event) (*Case, error) {
	switch {
	case e.sent != nil:
		return w.sent(ctx, e.sent)
	case e.refused != nil:
		return w.refused(ctx, e.refused)
	case e.login != nil:
		return nil, w.login(ctx, e.login)
	case e.bounced != nil:
		return w.bounced(ctx, e.bounced)
	}
	return nil, nil
}

func (w *Watcher) sent(ctx context.Context, s *Sent) (*Case, error) {
	addr, err := w.account(ctx, s.User)
	if err != nil || addr.IsNull() {
		return nil, err
	}
	if err := w.remember(ctx, addr.String(), s); err != nil {
		return nil, err
	}
	return w.count(ctx, addr, s.At, func(k *known, c *Counts) {
		w.heard(fromMilter, s.At)
		c.Messages++
		c.Recipients += uint32(len(s.RcptTo))
		for _, r := range s.RcptTo {
			put(&k.window.rcpts, hash(r.Folded().String()), slotOf(s.At), maxDistinct)
		}
		if s.MailFrom.IsNull() {
			c.NullSenders++
		}
		if mismatched(s) {
			c.Mismatched++
		}
		if s.Scanned {
			w.heard(fromScan, s.At)
		}
		if s.Marked {
			c.Marked++
		}
		w.place(k, s.Client, s.At)
		if id, ok := network(s.Client); ok && k.window.hasty(id, s.At, w.cfg.Load().NewLogin.Std()) {
			c.Hasty++
		}
	})
}

func (w *Watcher) refused(ctx context.Context, r *Refused) (*Case, error) {
	addr, err := w.account(ctx, r.User)
	if err != nil || addr.IsNull() {
		return nil, err
	}
	return w.count(ctx, addr, r.At, func(k *known, c *Counts) {
		w.heard(fromPolicy, r.At)
		c.Refused++
		w.place(k, r.Client, r.At)
	})
}

func (w *Watcher) login(ctx context.Context, l *Login) error {
	addr, err := w.account(ctx, l.User)
	if err != nil || addr.IsNull() {
		return err
	}
	_, err = w.count(ctx, addr, l.At, func(k *known, _ *Counts) {
		w.heard(fromLogin, l.At)
		if id, ok := network(l.Client); ok && k.habit.visit(id, l.At) {
			k.window.login(id, l.At)
		}
	})
	return err
}

// bounced counts a notification for the account that sent the message, if there
// is one.
func (w *Watcher) bounced(ctx context.Context, b *Bounced) (*Case, error) {
	w.mu.Lock()
	if b.Local {
		w.heard(fromPostfix, b.At)
	} else {
		w.heard(fromOutside, b.At)
	}
	w.mu.Unlock()
	key, local, err := w.find(ctx, b)
	if err != nil || key == "" {
		return nil, err
	}
	value, ok, err := w.get(ctx, key)
	if err != nil || !ok {
		return nil, err
	}
	m, ok := decodeMessage(value)
	if !ok || m.outside && !local {
		return nil, nil
	}
	n := m.fail(b.RcptTo)
	if n == 0 {
		return nil, nil
	}
	m.outside = m.outside || !local
	if err := w.put(ctx, key, m.encode(), b.At.Add(messageKept)); err != nil {
		return nil, err // not counted: it could be counted again and again
	}
	addr, err := mailaddr.Parse(m.account)
	if err != nil {
		return nil, nil
	}
	return w.count(ctx, addr, b.At, func(_ *known, c *Counts) {
		if local {
			c.Refused += n
		} else {
			c.Outside++
		}
	})
}

// find returns the key of the message that a notification is about, and whether
// our Postfix wrote it: any program of this host can send one with sendmail(1),
// but only who had the message knows its queue id.
func (w *Watcher) find(ctx context.Context, b *Bounced) (key string, local bool, err error) {
	key = messageKey(b.MessageID)
	if !b.Local || b.QueueID == "" {
		return key, false, nil
	}
	byID, ok, err := w.get(ctx, queueKey(b.QueueID))
	if err != nil || !ok {
		return key, false, err
	}
	if key == "" || key == string(byID) {
		return string(byID), true, nil
	}
	return key, false, nil
}

// account returns the account of a login; null for nobody that is watched.
func (w *Watcher) account(ctx context.Context, user string) (mailaddr.Address, error) {
	a, err := mailaddr.Parse(user)
	if err != nil || a.Domain == "" {
		return mailaddr.Address{}, nil
	}
	a = a.Folded()
	if w.deps.Resolve != nil {
		if a, err = w.deps.Resolve(ctx, a); err != nil {
			return mailaddr.Address{}, fmt.Errorf("account of a login: %w", err)
		}
	}
	if w.cfg.Load().ignores(a.String()) {
		return mailaddr.Address{}, nil
	}
	return a, nil
}

// remember keeps whose message it is, for notifications.
func (w *Watcher) remember(ctx context.Context, account string, s *Sent) error {
	key := messageKey(s.MessageID)
	if key == "" {
		return nil
	}
	if old, ok, err := w.get(ctx, key); err != nil {
		return err
	} else if m, good := decodeMessage(old); ok && good && m.account != account {
		return nil // somebody else's: a Message-ID is whatever its sender writes
	}
	m := message{account: account}
	for i, r := range s.RcptTo {
		if i == maxMatched {
			break
		}
		m.rcpts = append(m.rcpts, uint32(hash(r.Folded().String())))
	}
	ends := s.At.Add(messageKept)
	if err := w.put(ctx, key, m.encode(), ends); err != nil || s.QueueID == "" {
		return err
	}
	return w.put(ctx, queueKey(s.QueueID), []byte(key), ends)
}

// queueKey is the key by which a queue id leads to a message. Short queue ids
// come back: the notification has to come while the row of the id's last
// message is there.
func queueKey(id string) string { return queuePrefix + sum(id) }

// heard notes that a source gives signals. It needs w.mu.
func (w *Watcher) heard(s source, at time.Time) {
	if last := w.sources.Heard[s]; at.Sub(last) > time.Hour {
		w.sources.Heard[s], w.changed = at, true
	}
}

// place notes from where an account is used.
func (w *Watcher) place(k *known, client netip.Addr, at time.Time) {
	id, ok := network(client)
	if !ok {
		return
	}
	put(&k.window.nets, id, slotOf(at), maxNetworks)
	if w.deps.Places == nil {
		return
	}
	if p := w.deps.Places(client.Unmap().WithZone("")); p.Country != "" {
		w.heard(fromGeo, at)
		put(&k.window.lands, hash(p.Country), slotOf(at), maxCountries)
	}
}

// count adds to what an account did, and judges it.
func (w *Watcher) count(ctx context.Context, addr mailaddr.Address, at time.Time, add func(*known, *Counts)) (*Case, error) {
	k, err := w.load(ctx, addr.String(), at)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	add(k, k.window.now(at))
	c := k.window.sum(at)
	k.habit.see(&c, at)
	k.dirty, k.last = true, at
	v := decide(w.policy(at), k.usualNow(at), c)
	return w.due(addr, k, v, at), nil
}

// due returns a case if v asks for more than was done lately.
func (w *Watcher) due(addr mailaddr.Address, k *known, v Verdict, at time.Time) *Case {
	if at.Sub(k.actedAt) > actEvery {
		k.acted = Nothing
	}
	if v.Action == Nothing || v.Action == k.acted || k.acted == Hold {
		return nil
	}
	k.acted, k.actedAt = v.Action, at
	return &Case{Account: addr, At: at, Verdict: v, Observed: w.cfg.Load().Mode != unit.Enforce}
}

// usualNow returns what the habit gives, found anew each hour.
func (k *known) usualNow(at time.Time) Counts {
	if h := hourOf(at); k.usualAt != h {
		k.usual, k.usualAt = k.habit.Usual(at), h
	}
	return k.usual
}

// policy is what holds now. It needs w.mu.
func (w *Watcher) policy(at time.Time) Policy {
	cfg := w.cfg.Load()
	return Policy{
		Warn: cfg.Warn, Hold: cfg.Hold, Free: uint32(cfg.FreeRecipients),
		Settled: at.Sub(w.sources.Since) >= cfg.Settle.Std(),
		Watched: func(n Name) bool {
			for _, s := range sourcesOf(n) {
				if at.Sub(w.sources.Heard[s]) < habitDays*24*time.Hour {
					return true
				}
			}
			return false
		},
	}
}

// load returns an account, from memory or the state.
func (w *Watcher) load(ctx context.Context, account string, at time.Time) (*known, error) {
	w.mu.Lock()
	k := w.accounts[account]
	w.mu.Unlock()
	if k != nil {
		return k, nil
	}
	h, err := w.readHabit(ctx, account)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if k := w.accounts[account]; k != nil {
		return k, nil
	}
	for len(w.accounts) >= w.cfg.Load().MaxAccounts {
		if err := w.evict(ctx); err != nil {
			return nil, err
		}
	}
	k = &known{habit: h, last: at, acted: Nothing}
	w.accounts[account] = k
	return k, nil
}

// evict lets go of the account that was quiet for longest. It needs w.mu.
func (w *Watcher) evict(ctx context.Context) error {
	var name string
	for n, k := range w.accounts {
		if name == "" || k.last.Before(w.accounts[name].last) {
			name = n
		}
	}
	if k := w.accounts[name]; k.dirty {
		if err := w.writeHabit(ctx, name, &k.habit, time.Now()); err != nil {
			return err
		}
	}
	delete(w.accounts, name)
	w.evicted++
	return nil
}
