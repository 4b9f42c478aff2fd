package simulate

import (
	"net/netip"
	"time"
)

// Scenarios lists all of them.
func Scenarios() []Scenario {
	webmail := netip.MustParseAddr("192.0.2.80")
	return []Scenario{
		{Name: "one-address", Title: "1,000 passwords on one account from one address", make: oneAddress},
		{Name: "spray", Title: "one password over 500 accounts from 1,000 addresses", make: spray},
		{Name: "rotating", Title: "a rotating /64, then ten of them", make: rotating},
		{Name: "hourly", Title: "one guess an hour for 60 days", make: hourly},
		{Name: "office", Title: "an office of 50, one wrong phone", make: office},
		{Name: "proxies", Title: "a provider's IMAP proxies, 30 stale passwords", make: proxies},
		{Name: "webmail", Title: "a webmail with an attacker and 200 users", Shared: []netip.Addr{webmail},
			make: func(m *maker) { throughWebmail(m, webmail) }},
		{Name: "carrier", Title: "40 users behind one carrier's address", make: func(m *maker) { carrier(m, false) }},
		{Name: "carrier-infected", Title: "the same with an infected phone among them", make: func(m *maker) { carrier(m, true) }},
	}
}

// oneAddress: the owner's device at home polls, and the owner logs in at a new
// place in the middle of the attack.
func oneAddress(m *maker) {
	attacker, victim := netip.MustParseAddr("198.51.100.7"), account(0)
	m.device(0, 20*time.Minute, 5*time.Minute, always(home(0)), victim)
	at := 5 * time.Minute
	for range 1000 {
		m.guess(at, attacker, "imap", victim, m.password())
		at += m.span(0, 100*time.Millisecond)
	}
	m.typing(5*time.Minute+20*time.Second, netip.MustParseAddr("203.0.113.50"), victim, 1)
}

// spray: 400 of the 500 names exist, and one of them has that password.
func spray(m *maker) {
	password, weak := "Summer2026!", m.below(400)
	at := 10 * time.Minute
	for _, i := range m.order(500) {
		n := m.below(1000)
		from := netip.AddrFrom4([4]byte{198, 18 + byte(n/500), byte(n % 250), byte(n)})
		m.events = append(m.events, Event{At: at, Addr: from, Service: "smtp", User: account(i), Password: password,
			Right: i == weak, NoAccount: i >= 400})
		at += m.span(2*time.Second, 10*time.Second)
	}
	for i := range 200 {
		m.device(m.span(0, 10*time.Minute), 70*time.Minute, 15*time.Minute, always(home(i)), account(i))
	}
	for i := range 50 {
		wrong := 0
		if i%5 == 0 {
			wrong = 1
		}
		m.typing(m.span(10*time.Minute, time.Hour), netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}), account(i), wrong)
	}
}

// rotating: 1,000 guesses from addresses of one /64, then 1,000 from ten /64 of
// one /48, in which five innocent neighbours live.
func rotating(m *maker) {
	at, victim := 10*time.Minute, account(0)
	one := func(subnet int) netip.Addr {
		b := netip.MustParseAddr("2001:db8:66::").As16()
		b[7] = byte(subnet)
		for i := 8; i < 16; i++ {
			b[i] = byte(m.next())
		}
		return netip.AddrFrom16(b)
	}
	for i := range 2000 {
		subnet := 0
		if i >= 1000 {
			subnet = 1 + (i-1000)/100
		}
		m.guess(at, one(subnet), "imap", victim, m.password())
		at += m.span(200*time.Millisecond, 800*time.Millisecond)
	}
	m.device(0, 30*time.Minute, 5*time.Minute, always(home(0)), victim)
	for i := range 5 {
		place := one(100 + i)
		m.device(m.span(0, 20*time.Minute), 30*time.Minute, 5*time.Minute, always(place), account(1+i))
	}
}

func hourly(m *maker) {
	attacker, victim := netip.MustParseAddr("198.51.100.7"), account(0)
	for h := range 60 * 24 {
		m.guess(time.Duration(h)*time.Hour+m.span(0, 5*time.Minute), attacker, "imap", victim, m.password())
	}
	for d := range 60 {
		m.login(time.Duration(d)*24*time.Hour+m.span(0, 12*time.Hour), home(0), "imap", victim)
	}
	m.typing(30*24*time.Hour, netip.MustParseAddr("203.0.113.50"), victim, 2)
}

// office: all log in within ten seconds of nine o'clock, five mistype at some
// time, and one phone has an old password.
func office(m *maker) {
	addr := netip.MustParseAddr("203.0.113.10")
	const open = time.Hour
	for i := range 50 {
		m.device(open+m.span(0, 10*time.Second), 9*time.Hour, 10*time.Minute, always(addr), account(i))
	}
	for i := range 5 {
		m.typing(m.span(open, 9*time.Hour), addr, account(10*i), 1+m.below(2))
	}
	m.stale(0, 9*time.Hour, 30*time.Second, always(addr), account(7))
}

// proxies: eight addresses poll 300 accounts for their owners, of which 30 have
// an old password there; the same addresses deliver mail on port 25.
func proxies(m *maker) {
	addr := func() netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, 100 + byte(m.below(8))}) }
	for i := range 300 {
		from := m.span(0, 5*time.Minute)
		if i < 30 {
			m.stale(from, 6*time.Hour, 5*time.Minute, addr, account(i))
			continue
		}
		m.device(from, 6*time.Hour, 5*time.Minute, addr, account(i))
	}
	for at := time.Duration(0); at < 6*time.Hour; at += m.span(30*time.Second, 90*time.Second) {
		m.events = append(m.events, Event{At: at, Addr: addr(), Innocent: true, Mail: true})
	}
}

// throughWebmail: the attacker tries 20 passwords at each of 100 accounts, half
// of whose owners use the webmail too, and have before the attack begins.
func throughWebmail(m *maker, addr netip.Addr) {
	for i := range 200 {
		first := m.span(0, 110*time.Minute)
		wrong := 0
		if m.below(20) == 0 {
			wrong = 1 + m.below(2)
		}
		m.typing(first, addr, account(i), wrong)
		m.device(first+5*time.Minute, first+4*time.Hour, 10*time.Minute, always(addr), account(i))
	}
	at := 2 * time.Hour
	for i := range 100 {
		victim := account(150 + i)
		for range 20 {
			m.guess(at, addr, "imap", victim, m.password())
			at += m.span(500*time.Millisecond, 1500*time.Millisecond)
		}
	}
}

// carrier: phones come and go; eight people mistype, three old phones have old
// passwords. The infected one guesses at one account from the third hour on,
// when ten of the 40 have not been seen yet.
func carrier(m *maker, infected bool) {
	addr := netip.MustParseAddr("203.0.113.200")
	for i := range 40 {
		first := m.span(0, 2*time.Hour)
		if i >= 30 {
			first = m.span(3*time.Hour, 8*time.Hour)
		}
		wrong := 0
		if i%5 == 0 {
			wrong = 1 + m.below(3)
		}
		m.typing(first, addr, account(i), wrong)
		m.device(first+5*time.Minute, 10*time.Hour, 10*time.Minute, always(addr), account(i))
	}
	for i := range 3 {
		m.stale(0, 10*time.Hour, 5*time.Minute, always(addr), account(50+i))
	}
	if !infected {
		return
	}
	at := 2*time.Hour + 30*time.Minute
	for range 600 {
		m.guess(at, addr, "imap", account(90), m.password())
		at += m.span(10*time.Second, 30*time.Second)
	}
}
