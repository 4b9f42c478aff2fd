package resolver

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatepost/gatepost/internal/mailerr"
)

// slowDNS answers after a second, and counts.
type slowDNS struct {
	mu               sync.Mutex
	now, most, total int
}

func (s *slowDNS) ask(ctx context.Context) error {
	s.mu.Lock()
	s.now++
	s.total++
	s.most = max(s.most, s.now)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.now--
		s.mu.Unlock()
	}()
	select {
	case <-time.After(time.Second):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *slowDNS) figures() (most, total int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.most, s.total
}

func (s *slowDNS) LookupTXT(ctx context.Context, name string) ([]string, error) {
	return []string{name}, s.ask(ctx)
}

func (s *slowDNS) LookupIP(ctx context.Context, network, name string) ([]netip.Addr, error) {
	return []netip.Addr{netip.IPv4Unspecified()}, s.ask(ctx)
}

func (s *slowDNS) LookupMX(ctx context.Context, name string) ([]MX, error) {
	return []MX{{Host: name}}, s.ask(ctx)
}

func (s *slowDNS) LookupAddr(ctx context.Context, addr netip.Addr) ([]string, error) {
	return []string{addr.String()}, s.ask(ctx)
}

// A message gets its part of the queries and no more, and another one is not
// kept waiting by it.
func TestShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dns := &slowDNS{}
		greedy, other := NewShare(dns, 4), NewShare(dns, 4)
		begin := time.Now()
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				name := fmt.Sprintf("n%d.example", i)
				if txt, err := greedy.LookupTXT(t.Context(), name); err != nil || txt[0] != name {
					t.Errorf("LookupTXT(%s) = %q, %v", name, txt, err)
				}
			})
			wg.Go(func() { _, _ = greedy.LookupIP(t.Context(), "ip4", "x.example") })
			wg.Go(func() { _, _ = greedy.LookupMX(t.Context(), "x.example") })
			wg.Go(func() { _, _ = greedy.LookupAddr(t.Context(), netip.IPv4Unspecified()) })
		}
		time.Sleep(time.Millisecond)
		if most, _ := dns.figures(); most != 4 {
			t.Errorf("%d questions at once, want 4", most)
		}
		at := time.Now()
		if _, err := other.LookupTXT(t.Context(), "a.example"); err != nil || time.Since(at) != time.Second {
			t.Errorf("another message's question: %v after %v", err, time.Since(at))
		}
		wg.Wait()
		most, total := dns.figures()
		if took := time.Since(begin); total != 41 || most != 5 || took != 10*time.Second {
			t.Errorf("%d questions, %d at once, in %v", total, most, took)
		}
	})
}

// Who waits for a turn when the time is over has asked nothing, and is told
// that it may be tried again.
func TestShareEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dns := &slowDNS{}
		s := NewShare(dns, 1)
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = s.LookupTXT(t.Context(), "a.example") })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := s.LookupMX(ctx, "b.example")
		if !errors.Is(err, context.DeadlineExceeded) || mailerr.ClassOf(err) != mailerr.Transient {
			t.Errorf("LookupMX = %v", err)
		}
		if _, total := dns.figures(); total != 1 {
			t.Errorf("%d questions, want 1", total)
		}
		wg.Wait()
		if _, err := s.LookupMX(t.Context(), "b.example"); err != nil {
			t.Errorf("the place was not given back: %v", err)
		}
	})
}
