package guard

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Notice is what a user should know of the own account.
type Notice struct {
	User string
	Time time.Time
	// Passwords wrong ones came from Networks since then, all from places where
	// the account never logged in. Entered counts the new places that did.
	Passwords, Networks, Entered int
	Since                        time.Time
	// Country is a new one, from which Addr logged in; then the others are
	// empty.
	Country string
	Addr    netip.Addr
}

// Text is n in one line.
func (n Notice) Text() string {
	if n.Country != "" {
		return fmt.Sprintf("a login from a new country: %s (%s)", n.Country, n.Addr)
	}
	end := "nobody got in"
	if n.Entered > 0 {
		end = number(n.Entered, "new place") + " logged in with the right password"
	}
	return fmt.Sprintf("%s from %s; %s", number(n.Passwords, "wrong password"), number(n.Networks, "network"), end)
}

// notice tells the user of guesses, at most once a day. It needs mu.
func (g *Guard) notice(c *settings, v *view, a *Attempt, now time.Time, fx *effects) {
	t := g.counts.targets.get(v.account)
	if t == nil || c.NotifyFailures == 0 {
		return
	}
	today := uint32(day / time.Second)
	at := seconds(now)
	switch {
	case int(t.passwords) >= c.NotifyFailures && at-t.noticed >= today:
		fx.notices = append(fx.notices, Notice{User: a.User, Time: now, Passwords: int(t.passwords),
			Networks: int(t.networks), Entered: int(t.entered), Since: time.Unix(int64(t.since), 0)})
		t.noticed = at
	case at-t.since <= 2*today || at-t.noticed < 2*today:
		return
	}
	// Told, or old: what comes now counts anew.
	t.since, t.passwords, t.networks, t.entered = at, 0, 0, 0
}

// land is the countries of an account.
type land struct{ seen []string }

// maxCountries bounds those of one account.
const maxCountries = 32

// travel notes the country of a login from a new place. It needs mu.
func (g *Guard) travel(v *view, a *Attempt, now time.Time, fx *effects) {
	if g.deps.Country == nil {
		return
	}
	country := g.deps.Country(v.addr)
	if country == "" || len(country) > 16 || strings.ContainsAny(country, ", ") {
		return
	}
	l, _ := g.lands.put(v.account)
	if slices.Contains(l.seen, country) {
		return
	}
	if len(l.seen) > 0 {
		fx.notices = append(fx.notices, Notice{User: a.User, Time: now, Country: country, Addr: v.addr})
	}
	l.seen = append(l.seen[max(0, len(l.seen)-maxCountries+1):], country)
	fx.country = strings.Join(l.seen, ",")
}
