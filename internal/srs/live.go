package srs

import (
	"sync/atomic"
	"time"

	"github.com/gatepost/gatepost/internal/mailaddr"
)

// Live is a Rewriter that can be exchanged while it is used, when the keys or
// the domain change. The zero Live, and a nil one, rewrites nothing. It is safe
// for concurrent use.
type Live struct{ now atomic.Pointer[Rewriter] }

// Set exchanges the Rewriter; nil switches it off.
func (l *Live) Set(r *Rewriter) { l.now.Store(r) }

func (l *Live) rewriter() *Rewriter {
	if l == nil {
		return nil
	}
	return l.now.Load()
}

// Domain returns the domain of the addresses, "" when it is off.
func (l *Live) Domain() string {
	if r := l.rewriter(); r != nil {
		return r.domain
	}
	return ""
}

// Forward is Rewriter.Forward; an address stays as it is when it is off.
func (l *Live) Forward(from mailaddr.Address, now time.Time) mailaddr.Address {
	if r := l.rewriter(); r != nil {
		return r.Forward(from, now)
	}
	return from
}

// Reverse is Rewriter.Reverse, and ErrNot when it is off.
func (l *Live) Reverse(to mailaddr.Address, now time.Time) (mailaddr.Address, error) {
	if r := l.rewriter(); r != nil {
		return r.Reverse(to, now)
	}
	return mailaddr.Address{}, ErrNot
}
