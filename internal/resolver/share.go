package resolver

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/gatepost/gatepost/internal/mailerr"
)

// asker is what a Share hands its questions on to: a Resolver, or what stands
// in its place in a test.
type asker interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
	LookupIP(ctx context.Context, network, name string) ([]netip.Addr, error)
	LookupMX(ctx context.Context, name string) ([]MX, error)
	LookupAddr(ctx context.Context, addr netip.Addr) ([]string, error)
}

// Share is what one piece of work may have of a Resolver at a time. Without it
// a single message, whose sender chooses what is asked and how slowly it is
// answered, could take every query of Config.MaxQueries, and all others would
// wait. It is made for one message and thrown away with it. It is safe for
// concurrent use.
type Share struct {
	dns   asker
	slots chan struct{}
}

// NewShare returns a Share of dns with at most atOnce questions under way, 1 or
// more; the others wait for their turn or for the end of their context. A
// question for "ip" addresses counts as one.
func NewShare(dns asker, atOnce int) *Share {
	return &Share{dns: dns, slots: make(chan struct{}, atOnce)}
}

// LookupTXT is Resolver.LookupTXT.
func (s *Share) LookupTXT(ctx context.Context, name string) ([]string, error) {
	return within(ctx, s, func() ([]string, error) { return s.dns.LookupTXT(ctx, name) })
}

// LookupIP is Resolver.LookupIP.
func (s *Share) LookupIP(ctx context.Context, network, name string) ([]netip.Addr, error) {
	return within(ctx, s, func() ([]netip.Addr, error) { return s.dns.LookupIP(ctx, network, name) })
}

// LookupMX is Resolver.LookupMX.
func (s *Share) LookupMX(ctx context.Context, name string) ([]MX, error) {
	return within(ctx, s, func() ([]MX, error) { return s.dns.LookupMX(ctx, name) })
}

// LookupAddr is Resolver.LookupAddr.
func (s *Share) LookupAddr(ctx context.Context, addr netip.Addr) ([]string, error) {
	return within(ctx, s, func() ([]string, error) { return s.dns.LookupAddr(ctx, addr) })
}

// within asks when there is a place in s.
func within[T any](ctx context.Context, s *Share, ask func() (T, error)) (none T, err error) {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
		return ask()
	case <-ctx.Done():
		return none, mailerr.With(mailerr.Transient, fmt.Errorf("wait for a turn to ask: %w", ctx.Err()))
	}
}
