package fail2ban

import (
	"fmt"
	"io/fs"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Note is something that was not carried over, or not as it was.
type Note struct {
	// Where is the file and line, "" for what no line says.
	Where string `json:"where,omitempty"`
	What  string `json:"what"`
	Why   string `json:"why"`
	// Do is what to do instead, "" for nothing.
	Do string `json:"do,omitempty"`
}

// Jail is one enabled jail.
type Jail struct {
	Name               string
	MaxRetry           int
	FindTime, BanTime  time.Duration // BanTime -1 is for ever
	Ignore             []netip.Prefix
	Increment          bool
	Factor             float64
	Multipliers        []float64
	MaxTime, Randomize time.Duration
	Ports              []string
	Mode, BanAction    string
	Action, Filter     string
	LogPath            string
	Backend            string

	where map[string]string // option → file:line
}

// Config is what fail2ban is set to.
type Config struct {
	// Jails are those that are enabled, in the order of the files.
	Jails []Jail
	// Disabled counts the others.
	Disabled int
	// Notes are what could not be read.
	Notes []Note
}

// Read reads the directory of fail2ban's configuration, /etc/fail2ban.
func Read(fsys fs.FS) (Config, error) {
	r, err := readAll(fsys)
	if err != nil {
		return Config{}, err
	}
	c := Config{Notes: r.notes}
	for _, name := range r.all.names {
		b := builder{ini: &r.all, notes: &c.Notes, jail: Jail{Name: name, where: map[string]string{}}}
		if !b.flag("enabled") {
			c.Disabled++
			continue
		}
		c.Jails = append(c.Jails, b.build())
	}
	return c, nil
}

// builder reads the options of one jail.
type builder struct {
	ini   *ini
	notes *[]Note
	jail  Jail
}

func (b *builder) note(where, what, why, do string) {
	n := Note{where, what, why, do}
	for _, old := range *b.notes {
		if old == n { // from [DEFAULT], once for all jails
			return
		}
	}
	*b.notes = append(*b.notes, n)
}

// text returns an option, "" when it is not set or not understood.
func (b *builder) text(key string) string {
	o, ok, err := b.ini.get(b.jail.Name, key)
	if err != nil {
		if key != "action" && key != "logpath" { // they name what other files have
			b.note(o.where(), key+" = "+clip(o.value), err.Error(), "")
		}
		return ""
	}
	if ok {
		b.jail.where[key] = o.where()
	}
	return strings.TrimSpace(o.value)
}

func (b *builder) bad(key, value, why string) {
	b.note(b.jail.where[key], key+" = "+clip(value), why, "set it by hand")
}

func (b *builder) flag(key string) bool {
	switch strings.ToLower(b.text(key)) {
	case "1", "yes", "true", "on":
		return true
	}
	return false
}

func (b *builder) span(key string, otherwise time.Duration) time.Duration {
	s := b.text(key)
	if s == "" {
		return otherwise
	}
	d, err := parseSeconds(s)
	if err != nil {
		b.bad(key, s, err.Error())
		return otherwise
	}
	return d
}

// build reads what matters. What is not set has fail2ban's own default.
func (b *builder) build() Jail {
	j := &b.jail
	j.BanTime, j.FindTime = b.span("bantime", 10*time.Minute), b.span("findtime", 10*time.Minute)
	j.MaxRetry = 5
	if s := b.text("maxretry"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			b.bad("maxretry", s, "it is not a number")
		} else {
			j.MaxRetry = n
		}
	}
	b.ignore()
	b.increment()
	for _, p := range strings.FieldsFunc(b.text("port"), func(r rune) bool { return r == ',' || r == ' ' || r == '\n' }) {
		j.Ports = append(j.Ports, strings.ToLower(p))
	}
	j.Mode, j.BanAction, j.Backend = b.text("mode"), b.text("banaction"), b.text("backend")
	j.Filter, j.LogPath = b.text("filter"), b.text("logpath")
	if o, ok := b.ini.raw(j.Name, "action"); ok {
		j.Action, j.where["action"] = o.value, o.where()
	}
	return *j
}

// ignore reads ignoreip: addresses and networks are taken, names are not.
func (b *builder) ignore() {
	for _, s := range strings.FieldsFunc(b.text("ignoreip"), func(r rune) bool { return strings.ContainsRune(", \t\n", r) }) {
		p, err := parseNetwork(s)
		switch {
		case err == nil:
			b.jail.Ignore = append(b.jail.Ignore, p)
		case strings.HasPrefix(s, "file:"):
			b.note(b.jail.where["ignoreip"], "ignoreip "+clip(s), "a list in a file is not read", "write its networks into guard.ignore_networks")
		default:
			b.note(b.jail.where["ignoreip"], "ignoreip "+clip(s), "no ban depends on what the DNS says of an address", "write its address into guard.ignore_networks")
		}
	}
	if s := b.text("ignorecommand"); s != "" {
		b.note(b.jail.where["ignorecommand"], "ignorecommand = "+clip(s), "no program is asked whether to ban", "name networks in guard.ignore_networks")
	}
}

// increment reads the options of bans that grow.
func (b *builder) increment() {
	j := &b.jail
	j.Increment, j.Factor = b.flag("bantime.increment"), 1
	j.Randomize = max(b.span("bantime.rndtime", 0), 0)
	if !j.Increment {
		return
	}
	j.MaxTime = max(b.span("bantime.maxtime", 0), 0)
	if s := b.text("bantime.factor"); s != "" {
		f, err := strconv.ParseFloat(s, 64)
		if err != nil || f <= 0 || f > 1e6 {
			b.bad("bantime.factor", s, "it is not a number")
		} else {
			j.Factor = f
		}
	}
	for _, s := range strings.Fields(b.text("bantime.multipliers")) {
		f, err := strconv.ParseFloat(s, 64)
		if err != nil || f <= 0 || f > 1e9 {
			b.bad("bantime.multipliers", s, "it is not a number")
			break
		}
		j.Multipliers = append(j.Multipliers, f)
	}
	if s := b.text("bantime.formula"); s != "" && len(j.Multipliers) == 0 {
		b.note(j.where["bantime.formula"], "bantime.formula = "+clip(s), "a formula in Python is not run; doubling is taken, which is fail2ban's own", "look at guard.ban_growth")
	}
}

// parseNetwork reads an address, a network, or one with an IPv4 mask.
func parseNetwork(s string) (netip.Prefix, error) {
	addr, mask, has := strings.Cut(s, "/")
	a, err := netip.ParseAddr(addr)
	if err != nil || a.Zone() != "" {
		return netip.Prefix{}, fmt.Errorf("%.60q is no address", s)
	}
	a = a.Unmap()
	bits := a.BitLen()
	if has {
		if m, err := netip.ParseAddr(mask); err == nil && m.Is4() && a.Is4() {
			bits = maskBits(m)
		} else if bits, err = strconv.Atoi(mask); err != nil {
			bits = -1
		}
	}
	p, err := a.Prefix(bits)
	if err != nil || bits == 0 {
		return netip.Prefix{}, fmt.Errorf("%.60q is no network", s)
	}
	return p, nil
}

// maskBits returns the length of a mask, -1 for one with holes.
func maskBits(m netip.Addr) int {
	b := m.As4()
	n := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	bits := 0
	for ; n&(1<<31) != 0; n <<= 1 {
		bits++
	}
	if n != 0 {
		return -1
	}
	return bits
}

// clip makes a value fit for a report: one line, not long.
func clip(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > 80 {
		s = s[:80] + "…"
	}
	return strings.Trim(strconv.QuoteToASCII(s), `"`)
}
