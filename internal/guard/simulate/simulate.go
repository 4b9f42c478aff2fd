// Package simulate generates attacks on logins, and the people among whom they
// happen, for whoever wants to know what a guard does to either. It knows
// nothing of package guard: docs/guard.md has its parameters, which were written
// down before any threshold was chosen.
//
// The same seed gives the same events. The numbers come from a generator of our
// own (SplitMix64) because packages beside secrets draw from crypto/rand, which
// has no seed.
package simulate

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Event is one thing that a client does.
type Event struct {
	// At is when, since the scenario began.
	At       time.Duration
	Addr     netip.Addr
	Service  string
	User     string
	Password string
	// Right is the truth about the password, NoAccount about the name.
	Right, NoAccount bool
	// Innocent says that the account's owner, or a device of the owner, does it.
	Innocent bool
	// Mail is a message on port 25 that is accepted, not a login.
	Mail bool
}

// Scenario is an attack, or only people.
type Scenario struct {
	Name string
	// Title is for a table.
	Title string
	// Shared are addresses that the operator has named as shared, such as a
	// webmail's.
	Shared []netip.Addr
	make   func(*maker)
}

// Events returns what happens, in order of time.
func (s Scenario) Events(seed uint64) []Event {
	m := &maker{draw: seed * 0x9e3779b97f4a7c15}
	s.make(m)
	slices.SortStableFunc(m.events, func(a, b Event) int { return cmp.Compare(a.At, b.At) })
	return m.events
}

// maker collects events.
type maker struct {
	draw   uint64
	events []Event
}

// next is SplitMix64.
func (m *maker) next() uint64 {
	m.draw += 0x9e3779b97f4a7c15
	z := m.draw
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func (m *maker) below(n int) int { return int(m.next() % uint64(n)) }

// span is a time between a and b.
func (m *maker) span(a, b time.Duration) time.Duration {
	return a + time.Duration(m.next()%uint64(b-a))
}

// password is one that nobody else has.
func (m *maker) password() string { return fmt.Sprintf("%016x", m.next()) }

// order returns the numbers below n in a random order.
func (m *maker) order(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	for i := n - 1; i > 0; i-- {
		j := m.below(i + 1)
		all[i], all[j] = all[j], all[i]
	}
	return all
}

func account(i int) string { return fmt.Sprintf("user%03d@example.org", i) }

// owner is the right password of an account.
func owner(user string) string { return "right password of " + user }

// login is the owner with the right password.
func (m *maker) login(at time.Duration, addr netip.Addr, service, user string) {
	m.events = append(m.events, Event{At: at, Addr: addr, Service: service, User: user, Password: owner(user), Right: true, Innocent: true})
}

// mistake is the owner, or a device of the owner, with a wrong one.
func (m *maker) mistake(at time.Duration, addr netip.Addr, service, user, password string) {
	m.events = append(m.events, Event{At: at, Addr: addr, Service: service, User: user, Password: password, Innocent: true})
}

// guess is the attacker.
func (m *maker) guess(at time.Duration, addr netip.Addr, service, user, password string) {
	m.events = append(m.events, Event{At: at, Addr: addr, Service: service, User: user, Password: password})
}

// device logs in every so often, with a jitter of a tenth.
func (m *maker) device(from, until, every time.Duration, addr func() netip.Addr, user string) {
	for at := from; at < until; at += m.span(every-every/10, every+every/10) {
		m.login(at, addr(), "imap", user)
	}
}

// stale is a device with an old password.
func (m *maker) stale(from, until, every time.Duration, addr func() netip.Addr, user string) {
	old := m.password()
	for at := from; at < until; at += m.span(every-every/10, every+every/10) {
		service := "imap"
		if m.below(5) == 0 {
			service = "smtp"
		}
		m.mistake(at, addr(), service, user, old)
	}
}

// typing is the owner who mistypes so often before it is right.
func (m *maker) typing(at time.Duration, addr netip.Addr, user string, wrong int) {
	for range wrong {
		m.mistake(at, addr, "imap", user, m.password())
		at += m.span(5*time.Second, 20*time.Second)
	}
	m.login(at, addr, "imap", user)
}

// home is the address of an account at home: one for each.
func home(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{100, 64 + byte(i/250), byte(i), 20})
}

func always(a netip.Addr) func() netip.Addr { return func() netip.Addr { return a } }
