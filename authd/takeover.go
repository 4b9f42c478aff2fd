package authd

import (
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
