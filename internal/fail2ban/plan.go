package fail2ban

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/netaddr"
	"github.com/gatepost/gatepost/internal/unit"
)

// kind is what becomes of a jail.
type kind int

const (
	foreign kind = iota
	// login is one whose failures our own daemons see.
	login
	// webmail and shell become a log to watch.
	webmail
	shell
	// repeat is recidive: the guard's bans grow by themselves.
	repeat
)

func kindOf(j Jail) kind {
	switch name, _, _ := strings.Cut(j.Name, " "); {
	case name == "dovecot" || name == "sieve" || name == "postfix-sasl" || name == "postfix":
		return login
	case name == "roundcube-auth" || name == "sogo-auth":
		return webmail
	case name == "sshd":
		return shell
	case name == "recidive":
		return repeat
	}
	return foreign
}

// Settings are lines for gatepost.yaml.
type Settings struct {
	MaxFailures       int
	FindTime, BanTime time.Duration
	// Growth is nil when fail2ban's bans do not grow.
	Growth []time.Duration
	// Jitter is in percent of a ban.
	Jitter int
	Ignore []netip.Prefix
	// Services are what the firewall closes.
	Services []string
	Watch    []Watch
}

// Watch is a log of a foreign program.
type Watch struct{ Name, Preset, File string }

// Plan is what Gatepost carries on.
type Plan struct {
	// Settings is nil where no jail is enabled that it could follow.
	Settings *Settings
	// Bans are live bans of mail, one for each network.
	Bans []Ban
	// Carried are the jails whose work Gatepost does.
	Carried []string
	Notes   []Note
}

// What the guard takes.
const (
	maxFailures = 100
	maxSpan     = 366 * day
	maxGrowth   = 10
)

// Make plans what becomes of c and of the bans that hold at now.
func Make(c Config, live []Ban, now time.Time) Plan {
	p := Plan{Notes: slices.Clone(c.Notes)}
	var from *Jail
	for i := range c.Jails {
		j := &c.Jails[i]
		if !p.jail(*j) {
			continue
		}
		if from == nil || stricter(*j, *from) {
			from = j
		}
	}
	p.settings(c, from)
	p.live(live, now)
	return p
}

// stricter compares how many failures in what time.
func stricter(a, b Jail) bool {
	if a.MaxRetry != b.MaxRetry {
		return a.MaxRetry < b.MaxRetry
	}
	return a.FindTime > b.FindTime
}

func (p *Plan) note(where, what, why, do string) {
	p.Notes = append(p.Notes, Note{where, what, why, do})
}

// jail says what becomes of one, and whether its numbers are for the guard.
func (p *Plan) jail(j Jail) bool {
	what := "jail " + clip(j.Name)
	switch kindOf(j) {
	case foreign:
		p.note("", what, "it is not about logins of mail", "leave it in fail2ban")
		return false
	case repeat:
		p.note("", what, "bans of the guard grow with each repetition (ban_growth), so it is not needed", "")
		p.Carried = append(p.Carried, j.Name)
		return false
	case shell:
		p.note("", what, "Gatepost never closes the port of ssh; a wrong password there can only count towards a ban from mail (watch_logs)", "leave the jail in fail2ban, or let sshd take keys only")
		return false
	case webmail:
		p.Carried = append(p.Carried, j.Name)
	case login:
		p.Carried = append(p.Carried, j.Name)
		if j.Name == "postfix" && j.Mode != "" && j.Mode != "auth" {
			p.note(j.where["mode"], what+", mode "+clip(j.Mode), "what strangers do on port 25 closes port 25 only, by 4xx", "guard.rules.mx")
		}
	}
	p.odd(j, what)
	return true
}

// odd notes what a jail of mail has that nothing here stands for.
func (p *Plan) odd(j Jail, what string) {
	if a := j.Action; strings.Contains(a, "action_mw") || strings.Contains(a, "sendmail") {
		p.note(j.where["action"], what+", action", "nobody gets a mail for each ban", "guard.notify_failures tells users of guesses at their account, once a day")
	} else if a != "" && a != "%(action_)s" {
		p.note(j.where["action"], what+", action "+clip(a), "actions of fail2ban are not run", "ban_sinks.command starts a program, ban_sinks.webhook tells another host")
	}
	if f := j.where["filter"]; f != "" && !strings.HasPrefix(f, "jail.conf:") {
		p.note(f, what+", filter "+clip(j.Filter), "no log of mail is read, so filters and regular expressions have no use", "")
	}
	for _, port := range j.Ports {
		if services([]string{port}) == nil && port != "smtp" && port != "25" {
			p.note(j.where["port"], what+", port "+clip(port), "only the ports of mail logins are closed", "")
		}
	}
	if slices.Contains(j.Ports, "smtp") || slices.Contains(j.Ports, "25") {
		p.note(j.where["port"], what+", port 25", "a failed login never closes port 25: mail of others comes from there", "")
	}
}

// settings takes the numbers of one jail for the guard.
func (p *Plan) settings(c Config, from *Jail) {
	if from == nil {
		return
	}
	j := *from
	s := &Settings{MaxFailures: min(j.MaxRetry, maxFailures), FindTime: p.span(j, "findtime", j.FindTime), BanTime: p.span(j, "bantime", j.BanTime)}
	p.Settings = s
	for _, o := range c.Jails {
		if k := kindOf(o); k != login && k != webmail {
			continue
		}
		if o.MaxRetry != j.MaxRetry || o.FindTime != j.FindTime || o.BanTime != j.BanTime {
			p.note(o.where["maxretry"], fmt.Sprintf("jail %s: %d failures in %s, %s", clip(o.Name), o.MaxRetry, spanText(o.FindTime), spanText(o.BanTime)),
				"one guard stands for all jails; the strictest, "+clip(j.Name)+", gives the numbers", "")
		}
		s.Ignore = append(s.Ignore, o.Ignore...)
		s.Services = append(s.Services, services(o.Ports)...)
		if w, ok := watch(o); ok {
			s.Watch = append(s.Watch, w)
		}
	}
	slices.Sort(s.Services)
	s.Services = slices.Compact(s.Services)
	slices.SortFunc(s.Ignore, func(a, b netip.Prefix) int {
		if c := a.Addr().Compare(b.Addr()); c != 0 {
			return c
		}
		return a.Bits() - b.Bits()
	})
	s.Ignore = slices.Compact(s.Ignore)
	if len(s.Ignore) > 0 {
		p.note("", "ignoreip", "a network of guard.ignore_networks is never banned, but an account is still guarded there", "")
	}
	s.Growth = growth(j, s.BanTime)
	if !j.Increment {
		p.note("", "bantime.increment is off", "bans of the guard grow: an hour, a day, a week", "ban_growth: [] keeps them all alike")
	}
	if j.Randomize > 0 && s.BanTime > 0 {
		s.Jitter = min(100, max(1, int(100*j.Randomize/s.BanTime)))
	}
}

// span bounds a time to what the guard takes.
func (p *Plan) span(j Jail, key string, d time.Duration) time.Duration {
	switch {
	case d < 0 || d > maxSpan:
		p.note(j.where[key], key+" = "+spanText(d), "366 days is the longest", "")
		return maxSpan
	case d < time.Second:
		p.note(j.where[key], key+" = "+spanText(d), "a second is the shortest", "")
		return time.Second
	}
	return d
}

// growth is how long the second ban takes, and those after it.
func growth(j Jail, first time.Duration) []time.Duration {
	if !j.Increment || j.BanTime < 0 {
		return nil
	}
	most := maxSpan
	if j.MaxTime > 0 {
		most = min(most, max(j.MaxTime, first))
	}
	var out []time.Duration
	for i := 1; i <= maxGrowth; i++ {
		factor := j.Factor * float64(uint64(1)<<min(i, 20))
		if n := len(j.Multipliers); n > 0 {
			factor = j.Factor * j.Multipliers[min(i, n-1)]
		}
		d := most
		if f := first.Seconds() * factor; f < most.Seconds() {
			d = max(time.Duration(f)*time.Second, time.Second)
		}
		if n := len(out); n > 0 && out[n-1] == d {
			break
		}
		out = append(out, d)
	}
	return out
}

// services are the names of ports that a ban may close.
func services(ports []string) []string {
	var out []string
	for _, p := range ports {
		switch p {
		case "submission", "submissions", "smtps", "ssmtp", "urd", "465", "587":
			out = append(out, "submission")
		case "imap", "imap2", "imaps", "143", "993":
			out = append(out, "imap")
		case "pop3", "pop3s", "110", "995":
			out = append(out, "pop3")
		case "sieve", "4190":
			out = append(out, "sieve")
		case "http", "https", "80", "443":
			out = append(out, "web")
		}
	}
	return out
}

// watch is the log of a webmail's jail.
func watch(j Jail) (Watch, bool) {
	if kindOf(j) != webmail {
		return Watch{}, false
	}
	preset := strings.TrimSuffix(j.Name, "-auth")
	file, _, _ := strings.Cut(j.LogPath, "\n")
	if !strings.HasPrefix(file, "/") || strings.ContainsAny(file, "*? \t") {
		file = map[string]string{"roundcube": "/var/log/roundcube/errors.log", "sogo": "/var/log/sogo/sogo.log"}[preset]
	}
	return Watch{Name: preset, Preset: preset, File: file}, true
}

// live takes the bans of jails whose work Gatepost does.
func (p *Plan) live(all []Ban, now time.Time) {
	best := map[netip.Prefix]Ban{}
	other := map[string]int{}
	for _, b := range all {
		switch kindOf(Jail{Name: b.Jail}) {
		case foreign, shell:
			other[b.Jail]++
			continue
		}
		if b.Until.IsZero() || b.Until.Sub(now) > maxSpan {
			b.Until = now.Add(maxSpan)
			p.note("", "live ban of "+netaddr.String(b.Network), "it is for ever; 366 days is the longest", "")
		}
		if b.Network.IsSingleIP() { // IPv6: its /64, as the guard counts
			b.Network = netaddr.Network(b.Network.Addr())
		}
		if b.Until.After(best[b.Network].Until) {
			best[b.Network] = b
		}
	}
	for _, b := range best {
		p.Bans = append(p.Bans, b)
	}
	slices.SortFunc(p.Bans, func(a, b Ban) int { return a.Network.Addr().Compare(b.Network.Addr()) })
	var names []string
	for name := range other {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		p.note("", fmt.Sprintf("%d live bans of jail %s", other[name], clip(name)), "it is not about logins of mail", "")
	}
}

func spanText(d time.Duration) string {
	if d < 0 {
		return "for ever"
	}
	return unit.Duration(d).String()
}

// YAML writes the settings for gatepost.yaml.
func (s *Settings) YAML() string {
	var b strings.Builder
	fmt.Fprintf(&b, "guard:\n  max_failures: %d\n  find_time: %s\n  ban_time: %s\n", s.MaxFailures, spanText(s.FindTime), spanText(s.BanTime))
	if s.Growth != nil {
		var words []string
		for _, d := range s.Growth {
			words = append(words, spanText(d))
		}
		fmt.Fprintf(&b, "  ban_growth: [%s]\n", strings.Join(words, ", "))
	}
	if s.Jitter > 0 {
		fmt.Fprintf(&b, "  ban_jitter: %d\n", s.Jitter)
	}
	networks := []string{"127.0.0.0/8", "\"::1\""} // a list replaces the default
	for _, p := range s.Ignore {
		if !p.Addr().IsLoopback() {
			networks = append(networks, quoteColon(netaddr.String(p)))
		}
	}
	fmt.Fprintf(&b, "  ignore_networks: [%s]\n", strings.Join(networks, ", "))
	if len(s.Services) > 0 {
		fmt.Fprintf(&b, "ban_sinks:\n  nftables:\n    mode: observe        # enforce, when fail2ban is stopped\n    services: [%s]\n", strings.Join(s.Services, ", "))
	}
	for i, w := range s.Watch {
		if i == 0 {
			b.WriteString("watch_logs:\n")
		}
		fmt.Fprintf(&b, "  - name: %s\n    preset: %s\n    file: %q\n", w.Name, w.Preset, w.File)
	}
	return b.String()
}

// quoteColon keeps YAML from reading an IPv6 address as anything else.
func quoteColon(s string) string {
	if strings.Contains(s, ":") {
		return `"` + s + `"`
	}
	return s
}
