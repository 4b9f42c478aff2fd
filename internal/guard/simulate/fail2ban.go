package simulate

import (
	"net/netip"
	"time"
)

// Result is what became of the events of one scenario.
type Result struct {
	// Guesses were made by attackers, Looked of them reached a password check,
	// Opened of these were right.
	Guesses, Looked, Opened int
	// Innocent are right logins, and mail, of innocent people; Hurt of them were
	// refused, or answered too late.
	Innocent, Hurt int
}

// Count adds one event, whose password was looked at or not.
func (r *Result) Count(e Event, looked bool) {
	switch {
	case e.Innocent && !e.Right && !e.Mail: // a wrong password fails either way
	case e.Innocent:
		r.Innocent++
		if !looked {
			r.Hurt++
		}
	default:
		r.Guesses++
		if looked {
			r.Looked++
		}
		if looked && e.Right {
			r.Opened++
		}
	}
}

// Add adds the counts of another.
func (r *Result) Add(o Result) {
	r.Guesses += o.Guesses
	r.Looked += o.Looked
	r.Opened += o.Opened
	r.Innocent += o.Innocent
	r.Hurt += o.Hurt
}

// The defaults of fail2ban 1.0.2, and when its ban came after the fifth line of
// the log, as measured: between the two with inotify and with polling.
const (
	maxRetry = 5
	findTime = 10 * time.Minute
	banTime  = 10 * time.Minute
	soonest  = 200 * time.Millisecond
	latest   = 900 * time.Millisecond
)

// jail counts the lines of one log for one address. Debian's postfix-sasl closes
// port 25 too, its dovecot does not.
type jail struct {
	lines       []time.Duration
	from, until time.Duration
}

func (j *jail) bans(at time.Duration) bool { return at >= j.from && at < j.until }

// line takes a failure. The lines that come before the ban are of no more use.
func (j *jail) line(at, delay time.Duration) {
	if at < j.until {
		return
	}
	kept := j.lines[:0]
	for _, l := range j.lines {
		if at-l < findTime {
			kept = append(kept, l)
		}
	}
	if j.lines = append(kept, at); len(j.lines) >= maxRetry {
		j.lines, j.from, j.until = nil, at+delay, at+delay+banTime
	}
}

// Fail2ban plays the events of s against a model of fail2ban with its defaults,
// and ignoreip for what the scenario names as shared.
func Fail2ban(s Scenario, seed uint64) (r Result) {
	m := &maker{draw: seed}
	ignored := map[netip.Addr]bool{}
	for _, a := range s.Shared {
		ignored[a] = true
	}
	dovecot, postfix := map[netip.Addr]*jail{}, map[netip.Addr]*jail{}
	at := func(jails map[netip.Addr]*jail, a netip.Addr) *jail {
		if jails[a] == nil {
			jails[a] = &jail{}
		}
		return jails[a]
	}
	for _, e := range s.Events(seed) {
		d, p := at(dovecot, e.Addr), at(postfix, e.Addr)
		if looked := !p.bans(e.At) && (e.Mail || !d.bans(e.At)); !looked {
			r.Count(e, false)
			continue
		}
		r.Count(e, true)
		if e.Mail || e.Right || ignored[e.Addr] {
			continue
		}
		if e.Service == "smtp" {
			p.line(e.At, m.span(soonest, latest))
		} else {
			d.line(e.At, m.span(soonest, latest))
		}
	}
	return r
}
