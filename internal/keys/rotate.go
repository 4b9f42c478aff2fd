package keys

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// Errors of a rotation.
var (
	// ErrNoKey is a domain or a selector that has no key.
	ErrNoKey = errors.New("no such key")
	// ErrNothing is when there is nothing to do: no pending key to activate, no
	// step to undo.
	ErrNothing = errors.New("nothing to do")
	// ErrInUse is the removal of a key that still signs, or of which mail is
	// still under way.
	ErrInUse = errors.New("key is in use")
)

// Rotate makes the next keys of a domain, one for each algorithm of its active
// keys, and returns all that are pending then. Where they are there already, it
// makes those that are missing (after a crash) and takes up what Undo held, or
// CreatePending made.
func (s *Store) Rotate(domain string) ([]Key, error) {
	d, err := cleanDomain(domain)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.set.Load()
	if len(t.byDomain[d]) == 0 {
		return nil, fmt.Errorf("rotate keys of %s: %w", d, ErrNoKey)
	}
	replaces := make(map[Algorithm][]string)
	for _, k := range t.signing[d] {
		replaces[k.Algorithm] = append(replaces[k.Algorithm], k.Selector)
	}
	if err := s.resume(d, replaces); err != nil {
		return nil, err
	}
	for _, k := range t.pending(d) {
		delete(replaces, k.Algorithm)
	}
	for _, alg := range []Algorithm{RSA, Ed25519} {
		if len(replaces[alg]) == 0 {
			continue
		}
		if err := s.next(d, alg, replaces[alg]); err != nil {
			return nil, fmt.Errorf("rotate keys of %s: %w", d, err)
		}
	}
	out := s.set.Load().pending(d)
	if len(out) == 0 {
		return nil, fmt.Errorf("rotate keys of %s: no key is active: %w", d, ErrNothing)
	}
	return out, nil
}

// next makes one pending key. Its step, which Undo takes back, is of the same
// write as its state. The caller holds mu.
func (s *Store) next(domain string, alg Algorithm, replaces []string) error {
	m, err := generate(alg)
	if err != nil {
		return err
	}
	sel, err := s.freeSelector(domain, alg)
	if err != nil {
		return err
	}
	x := s.set.Load().index(domain).clone()
	now := time.Now()
	made := step{Name: "rotate", At: now, Before: map[string]*entry{sel: nil}}
	if n := len(x.Steps); n > 0 && x.Steps[n-1].Name == made.Name && now.Sub(x.Steps[n-1].At) < time.Minute {
		// Both algorithms of a rotation are one step.
		for other := range x.Steps[n-1].Before {
			made.Before[other] = nil
		}
		x.Steps = x.Steps[:n-1]
	}
	x.push(made)
	s.set.Store(s.set.Load().with(domain, x))
	_, err = s.place(domain, sel, m, entry{State: Pending, Since: now, Replaces: replaces})
	return err
}

// resume takes up pending keys that Undo held, and those that were made to sign
// beside the active ones: they take their place now. The caller holds mu.
func (s *Store) resume(domain string, replaces map[Algorithm][]string) error {
	t := s.set.Load()
	x := t.index(domain).clone()
	done := step{Name: "resume", At: time.Now(), Before: map[string]*entry{}}
	for _, k := range t.pending(domain) {
		e := x.of(k.Selector)
		beside := len(e.Replaces) == 0 && len(replaces[k.Algorithm]) > 0
		if !e.Held && !beside {
			continue
		}
		e.Held = false
		if beside {
			e.Replaces = replaces[k.Algorithm]
		}
		x.change(&done, k.Selector, e)
	}
	return s.commit(domain, x, done)
}

// commit writes a step, if it changed something. The caller holds mu.
func (s *Store) commit(domain string, x *index, done step) error {
	if len(done.Before) == 0 {
		return nil
	}
	x.push(done)
	if err := s.writeIndex(domain, x); err != nil {
		return err
	}
	s.set.Store(s.set.Load().with(domain, x))
	return nil
}

// pending returns the pending keys of a domain.
func (t *set) pending(domain string) []Key {
	return slices.DeleteFunc(slices.Clone(t.byDomain[domain]), func(k Key) bool { return k.State != Pending })
}

// Activate lets the pending keys of a domain sign and those retire that they
// replace, without a look at the DNS, and returns the keys that sign then.
func (s *Store) Activate(domain string) ([]Key, error) {
	d, err := cleanDomain(domain)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.set.Load().pending(d)) == 0 {
		return nil, fmt.Errorf("activate keys of %s: no key is pending: %w", d, ErrNothing)
	}
	if err := s.activate(d, s.set.Load().pending(d)); err != nil {
		return nil, err
	}
	return s.set.Load().signing[d], nil
}

// activate is one step for all keys of a domain. The caller holds mu.
func (s *Store) activate(domain string, ready []Key) error {
	t := s.set.Load()
	x := t.index(domain).clone()
	now := time.Now()
	done := step{Name: "activate", At: now, Before: map[string]*entry{}}
	for _, k := range ready {
		for _, sel := range x.of(k.Selector).Replaces {
			if t.has(domain)(sel) && x.of(sel).State == Active {
				x.change(&done, sel, entry{State: Retiring, Since: now})
			}
		}
		x.change(&done, k.Selector, entry{State: Active, Since: now})
	}
	if err := t.canSign(domain, x); err != nil {
		return fmt.Errorf("activate keys of %s: %w", domain, err)
	}
	return s.commit(domain, x, done)
}

// revoke ends the time of retiring keys and returns those whose record is to
// be replaced now.
func (s *Store) revoke() ([]Key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	after := s.cfg.Load().RetireAfter.Std()
	now := time.Now()
	var revoked []Key
	for d, ks := range s.set.Load().byDomain {
		x := s.set.Load().index(d).clone()
		done := step{Name: "revoke", At: now, Before: map[string]*entry{}}
		for _, k := range ks {
			if k.State == Retiring && now.Sub(k.Since) >= after {
				x.change(&done, k.Selector, entry{State: Revoked, Since: now})
			}
		}
		if err := s.commit(d, x, done); err != nil {
			return revoked, err
		}
		for _, k := range s.set.Load().byDomain[d] {
			if done.Before[k.Selector] != nil {
				revoked = append(revoked, k)
			}
		}
	}
	return revoked, nil
}

// Undo takes the last step of a domain back, by a person or by the process, and
// returns its name. Pending keys that have signed wait for Rotate then; those
// that the step made are removed with their files.
func (s *Store) Undo(domain string) (string, error) {
	d, err := cleanDomain(domain)
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.set.Load().index(d).clone()
	for len(x.Steps) > 0 {
		last := x.Steps[len(x.Steps)-1]
		x.Steps = x.Steps[:len(x.Steps)-1]
		did, err := s.takeBack(d, x, last)
		if err != nil {
			return "", fmt.Errorf("undo %s of %s: %w", last.Name, d, err)
		}
		if did {
			return last.Name, nil
		}
	}
	return "", fmt.Errorf("undo a step of %s: %w", d, ErrNothing)
}

// takeBack restores what a step changed; false when its keys are all gone. The
// caller holds mu.
func (s *Store) takeBack(domain string, x *index, last step) (bool, error) {
	t := s.set.Load()
	var made, changed []Key
	for _, k := range t.byDomain[domain] {
		if was, of := last.Before[k.Selector]; of && was == nil {
			made = append(made, k)
		} else if of {
			changed = append(changed, k)
		}
	}
	if len(made)+len(changed) == 0 {
		return false, nil
	}
	now := time.Now()
	for _, k := range changed {
		e := *last.Before[k.Selector]
		switch e.State {
		case Pending:
			e.Held, e.Shown, e.Problem = true, time.Time{}, ""
		case Retiring:
			e.Since = now // else its time would be over at once
		}
		x.Keys[k.Selector] = e
	}
	for sel, was := range last.Before {
		if was != nil && was.State == Active && !t.has(domain)(sel) {
			return true, fmt.Errorf("key %s, which signed before it, is gone: %w", sel, ErrNoKey)
		}
	}
	if err := t.canSign(domain, x); err != nil {
		return true, err
	}
	for _, k := range made {
		// The file goes first: a key without a state would sign.
		if err := s.unlink(k); err != nil {
			return true, err
		}
		x.Keys[k.Selector] = entry{State: removed, Since: now}
	}
	if err := s.writeIndex(domain, x); err != nil {
		return true, err
	}
	s.set.Store(s.set.Load().with(domain, x))
	return true, nil
}

// canSign refuses states with which more keys would sign than may.
func (t *set) canSign(domain string, x *index) error {
	n := 0
	for _, k := range t.byDomain[domain] {
		if x.of(k.Selector).State == Active {
			n++
		}
	}
	if n > maxKeys {
		return fmt.Errorf("%d keys would sign, at most %d can: gatepost dkim remove %s SELECTOR takes away one that waits", n, maxKeys, domain)
	}
	return nil
}

// unlink removes a key's file. The caller holds mu.
func (s *Store) unlink(k Key) error {
	s.reach("remove key")
	if err := os.Remove(k.Path); err != nil {
		return err
	}
	s.set.Store(s.set.Load().without(k))
	return nil
}

// Remove takes away a key that is revoked or was never used, with its file.
func (s *Store) Remove(domain, selector string) error {
	d, err := cleanDomain(domain)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.set.Load()
	i := slices.IndexFunc(t.byDomain[d], func(k Key) bool { return k.Selector == selector })
	if i < 0 {
		return fmt.Errorf("remove key %s of %s: %w", selector, d, ErrNoKey)
	}
	k := t.byDomain[d][i]
	if k.State != Revoked && k.State != Pending {
		return fmt.Errorf("remove key %s of %s: it is %s: %w", selector, d, k.State, ErrInUse)
	}
	if err := s.unlink(k); err != nil {
		return fmt.Errorf("remove key %s of %s: %w", selector, d, err)
	}
	x := t.index(d).clone()
	x.Keys[k.Selector] = entry{State: removed, Since: time.Now()}
	if err := s.writeIndex(d, x); err != nil {
		return err
	}
	s.set.Store(s.set.Load().with(d, x))
	return nil
}
