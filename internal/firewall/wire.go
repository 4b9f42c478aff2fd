package firewall

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bounds of the protocol.
const (
	// MaxBans bounds how many networks the firewall holds at a time.
	MaxBans = 50_000

	maxLine    = 256
	maxSeconds = 366 * 24 * 60 * 60
	// widest are the largest networks that are taken, for IPv4 and IPv6.
	widest4 = 8
	widest6 = 16
)

var (
	// ErrAway means that the helper does not answer.
	ErrAway = errors.New("the firewall helper does not answer")
	// ErrRefused means that the helper will not, or could not.
	ErrRefused = errors.New("the firewall helper refuses")
	// ErrNetwork means that a network is none that the firewall takes.
	ErrNetwork = errors.New("not a network that the firewall takes")
	// ErrNoService means that a ban closes nothing that the firewall knows.
	ErrNoService = errors.New("no service that the firewall knows")
	errInvalid   = errors.New("not a line of the firewall helper's protocol")
)

// Services are the names that a ban may close, in the order of the alphabet.
func Services() []string { return []string{"imap", "pop3", "sieve", "submission", "web"} }

// Ports returns the TCP ports of a service, nil for an unknown one. 25 is none
// of any.
func Ports(service string) []uint16 {
	switch service {
	case "submission":
		return []uint16{465, 587}
	case "imap":
		return []uint16{143, 993}
	case "pop3":
		return []uint16{110, 995}
	case "sieve":
		return []uint16{4190}
	case "web":
		return []uint16{80, 443}
	}
	return nil
}

// Ban closes services to a network for some time.
type Ban struct {
	Network netip.Prefix
	// Services are some of Services.
	Services []string
	// Left is how long it holds from now on, in whole seconds on the wire.
	Left time.Duration
}

// Range is what the kernel holds: addresses of one service.
type Range struct {
	From, To netip.Addr
	Service  string
	Left     time.Duration
}

// CheckNetwork says why p can not be banned in the firewall, if it can not.
func CheckNetwork(p netip.Prefix) error {
	a := p.Addr()
	widest := widest4
	if a.Is6() {
		widest = widest6
	}
	switch {
	case !p.IsValid() || p != p.Masked() || a.Is4In6() || a.Zone() != "":
		return fmt.Errorf("%w: it is not written as one", ErrNetwork)
	case p.Bits() < widest:
		return fmt.Errorf("%w: %v is wider than a /%d", ErrNetwork, p, widest)
	case a.IsUnspecified() || a.IsLoopback() || a.IsMulticast() || a.Is4() && (a.As4()[0] == 0 || a.As4()[0] == 127 || a.As4()[0] >= 224),
		a.Is6() && p.Contains(netip.IPv6Loopback()), a.IsLinkLocalUnicast():
		return fmt.Errorf("%w: %v is this host's own or nobody's", ErrNetwork, p)
	}
	return nil
}

// verb is what a request asks for.
type verb string

const (
	verbSync verb = "sync"
	verbBan  verb = "ban"
	verbLift verb = "lift"
	verbList verb = "list"
	verbOff  verb = "off"
)

// request is one line. The bans of a sync follow it, one a line.
type request struct {
	verb  verb
	count int
	ban   Ban
}

// parseRequest reads a line without its end.
func parseRequest(line string) (request, error) {
	word, rest, more := strings.Cut(line, " ")
	r := request{verb: verb(word)}
	var err error
	switch r.verb {
	case verbList, verbOff:
		if more {
			err = errInvalid
		}
	case verbSync:
		r.count, err = parseNumber(rest, 0, MaxBans)
	case verbBan:
		r.ban, err = parseBan(rest)
	case verbLift:
		r.ban.Network, err = parseNetwork(rest)
	default:
		err = errInvalid
	}
	if err != nil {
		return request{}, err
	}
	return r, nil
}

// appendRequest writes r as a line.
func appendRequest(b []byte, r request) ([]byte, error) {
	line := string(r.verb)
	switch r.verb {
	case verbSync:
		line += " " + strconv.Itoa(r.count)
	case verbBan:
		line += " " + r.ban.line()
	case verbLift:
		line += " " + r.ban.Network.String()
	}
	if _, err := parseRequest(line); err != nil {
		return nil, err
	}
	return append(append(b, line...), '\n'), nil
}

func (b Ban) line() string {
	seconds := (b.Left + time.Second - 1) / time.Second
	return b.Network.String() + " " + strings.Join(b.Services, ",") + " " + strconv.FormatInt(int64(seconds), 10)
}

// parseBan reads what follows "ban", and each line of a sync.
func parseBan(s string) (Ban, error) {
	network, rest, _ := strings.Cut(s, " ")
	names, seconds, _ := strings.Cut(rest, " ")
	p, err := parseNetwork(network)
	if err != nil {
		return Ban{}, err
	}
	n, err := parseNumber(seconds, 1, maxSeconds)
	if err != nil {
		return Ban{}, err
	}
	services := strings.Split(names, ",")
	for i, s := range services {
		if Ports(s) == nil || i > 0 && services[i-1] >= s {
			return Ban{}, errInvalid
		}
	}
	return Ban{Network: p, Services: services, Left: time.Duration(n) * time.Second}, nil
}

// appendBan writes b as a line of a sync.
func appendBan(out []byte, b Ban) ([]byte, error) {
	line := b.line()
	if _, err := parseBan(line); err != nil {
		return nil, err
	}
	return append(append(out, line...), '\n'), nil
}

// parseNetwork reads one spelling of a network only, so that what is lifted is
// what was banned.
func parseNetwork(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil || p.String() != s || p != p.Masked() {
		return netip.Prefix{}, errInvalid
	}
	return p, CheckNetwork(p)
}

func parseNumber(s string, least, most int) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < least || n > most || strconv.Itoa(n) != s {
		return 0, errInvalid
	}
	return n, nil
}

// appendAnswer writes an answer: its first line, and one for each range.
func appendAnswer(b []byte, ranges []Range, list bool, err error) []byte {
	switch {
	case err != nil:
		text := strings.Map(func(r rune) rune {
			if r < ' ' || r == 0x7f {
				return ' '
			}
			return r
		}, err.Error())
		return append(append(append(b, "no "...), text[:min(len(text), maxLine-8)]...), '\n')
	case !list:
		return append(b, "ok\n"...)
	}
	b = append(append(append(b, "ok "...), strconv.Itoa(len(ranges))...), '\n')
	for _, r := range ranges {
		b = append(append(b, r.line()...), '\n')
	}
	return b
}

func (r Range) line() string {
	return fmt.Sprintf("%v %v %s %d", r.From, r.To, r.Service, (r.Left+time.Second-1)/time.Second)
}

// parseAnswer reads the first line of an answer without its end; count is how
// many ranges follow.
func parseAnswer(line string, list bool) (count int, err error) {
	word, rest, more := strings.Cut(line, " ")
	switch {
	case word == "no":
		return 0, fmt.Errorf("%w: %s", ErrRefused, rest)
	case word != "ok" || more != list:
		return 0, errInvalid
	case list:
		return parseNumber(rest, 0, 4*len(Services())*MaxBans)
	}
	return 0, nil
}

// parseRange reads one line behind the answer to list.
func parseRange(line string) (Range, error) {
	f := strings.Split(line, " ")
	if len(f) != 4 || !slices.Contains(Services(), f[2]) {
		return Range{}, errInvalid
	}
	from, err := netip.ParseAddr(f[0])
	if err != nil {
		return Range{}, errInvalid
	}
	to, err := netip.ParseAddr(f[1])
	if err != nil || to.Less(from) || from.BitLen() != to.BitLen() {
		return Range{}, errInvalid
	}
	n, err := parseNumber(f[3], 0, maxSeconds)
	if err != nil {
		return Range{}, err
	}
	r := Range{From: from, To: to, Service: f[2], Left: time.Duration(n) * time.Second}
	if r.line() != line {
		return Range{}, errInvalid
	}
	return r, nil
}
