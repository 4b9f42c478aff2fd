package authd

import (
	"context"
	"crypto/subtle"
	"time"
)

// granted is a login that was answered OK and waits for its mail process.
type granted struct {
	user, mech string
	until      time.Time
}

// grant remembers a login for its mail process. When too many wait, those whose
// time is over go, then the oldest. It needs mu.
func (ss *session) grant(id uint32, g granted) {
	if len(ss.grants) >= maxOpen {
		now, first := time.Now(), uint32(0)
		for i, o := range ss.grants {
			if !now.Before(o.until) {
				delete(ss.grants, i)
			} else if first == 0 || o.until.Before(ss.grants[first].until) {
				first = i
			}
		}
		if len(ss.grants) >= maxOpen {
			delete(ss.grants, first)
		}
	}
	ss.grants[id] = g
}

// rememberPID enters a login connection; its CPID must be new.
func (s *Server) rememberPID(pid uint32, ss *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.byPID[pid]; ok {
		return false
	}
	s.byPID[pid] = ss
	return true
}

func (s *Server) forgetPID(pid uint32, ss *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byPID[pid] == ss {
		delete(s.byPID, pid)
	}
}

// takeOver returns the login that a mail process asks for, once. A wrong cookie
// takes nothing away.
func (s *Server) takeOver(pid, id uint32, c cookie) (granted, bool) {
	s.mu.Lock()
	ss, ok := s.byPID[pid]
	s.mu.Unlock()
	if !ok || subtle.ConstantTimeCompare(ss.cookie[:], c[:]) != 1 {
		return granted{}, false
	}
	ss.mu.Lock()
	defer ss.mu.Unlock()
	g, ok := ss.grants[id]
	if !ok || !time.Now().Before(g.until) {
		return granted{}, false
	}
	delete(ss.grants, id)
	return g, true
}

// When the daemon ends, logins that were just answered OK are still waited for by
// their mail processes: with the next one they would be "auth server restarted",
// and the user would hear of an internal error behind a right password.
const (
	// handoverTime is how long a mail process may take to ask for its login.
	handoverTime = 2 * time.Second
	// handoverTick is how often it is looked whether all have.
	handoverTick = 10 * time.Millisecond
)

// linger closes the connection and keeps its logins until they are taken over, or
// ctx ends.
func (ss *session) linger(ctx context.Context) {
	ss.mu.Lock()
	_ = ss.flush()
	ss.shut()
	ss.mu.Unlock()
	for ctx.Err() == nil && ss.awaited(time.Now()) {
		select {
		case <-time.After(handoverTick):
		case <-ctx.Done():
		}
	}
}

// awaited says that a mail process may still ask for one of its logins.
func (ss *session) awaited(now time.Time) bool {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	for _, g := range ss.grants {
		if now.Before(g.until.Add(handoverTime - requestTime)) {
			return true
		}
	}
	return false
}

// outlive returns a context for master sockets that ends when ctx has ended and
// no login connection is left, so that all of their logins are taken over or
// given up, or the grace is over. stop waits for its goroutine.
func (s *Server) outlive(ctx context.Context) (_ context.Context, stop func()) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	ended := context.AfterFunc(ctx, func() {
		defer close(done)
		defer cancel()
		grace := time.After(s.cfg.Load().Grace.Std())
		for s.anyLogin() {
			select {
			case <-time.After(handoverTick):
			case <-grace:
				return
			}
		}
	})
	return longer, func() {
		if cancel(); !ended() {
			<-done
		}
	}
}

// anyLogin says that a login connection is open, or lingers.
func (s *Server) anyLogin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.byPID) > 0
}
