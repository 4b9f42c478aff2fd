package shared

import "time"

// The rules of the breaker: when the common store counts as away, and when as
// back. A breaker has no clock and no lock of its own.

const (
	// failuresToOpen is how many failures follow one another before it opens. One
	// alone may be a connection that the server closed, or a key of the wrong
	// type; who fails slowly is not given a second chance.
	failuresToOpen = 3
	// probesToClose is how many probes have to be well, one after the other.
	probesToClose = 2
)

// Why it opens.
const (
	noAnswer    = "no answer in time"
	slowAnswers = "slow answers"
	onlyErrors  = "errors"
)

// outcome is how a call ended.
type outcome int

const (
	answered outcome = iota // also with ErrNotFound or ErrInvalid
	failed
	timedOut
)

// breaker is closed while the store is used, and open while it is away.
type breaker struct {
	slow     time.Duration
	open     bool
	failures int // in a row
	well     int // probes in a row, while open
}

// call tells how a request ended, and returns why the breaker opens now, or "".
// The time of a list says nothing: it is asked with took 0.
func (b *breaker) call(o outcome, took time.Duration) (why string) {
	switch {
	case b.open:
		return ""
	case o == timedOut:
		why = noAnswer
	case took >= b.slow:
		why = slowAnswers
	case o == answered:
		b.failures = 0
	default:
		if b.failures++; b.failures >= failuresToOpen {
			why = onlyErrors
		}
	}
	if why != "" {
		b.open, b.failures, b.well = true, 0, 0
	}
	return why
}

// probe tells how a probe ended. It returns why the breaker opens now, or that
// it may be closed, which close does.
func (b *breaker) probe(ok bool, took time.Duration) (why string, heal bool) {
	switch {
	case !b.open && !ok:
		return b.call(timedOut, took), false
	case !b.open:
		return b.call(answered, took), false
	case !ok || took >= b.slow*2/3:
		b.well = 0
		return "", false
	}
	b.well++
	return "", b.well >= probesToClose
}

// close closes the breaker.
func (b *breaker) close() { b.open, b.failures, b.well = false, 0, 0 }
