package greylist

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/gatepost/gatepost/internal/netaddr"
)

// Import is what became of a whitelist file of postgrey.
type Import struct {
	Entries []Entry
	Left    []Left
}

// Left is a line that was not carried over.
type Left struct {
	Line int    `json:"line"`
	Text string `json:"text"`
	Why  string `json:"why"`
}

// maxLeft bounds what is shown of a line.
const maxLeft = 200

// ReadPostgrey reads a file of postgrey: whitelist_recipients if recipients is
// true, else whitelist_clients. What means something else here, or nothing, is
// left and said so; entries that stand there twice are carried over once.
//
// A "#" begins a comment; in a regular expression one that stands behind a
// blank, for postgrey itself breaks an expression that holds one.
func ReadPostgrey(text []byte, recipients bool) Import {
	var im Import
	w := Whitelist{}
	seen := map[Entry]bool{}
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		line = strings.ToValidUTF8(strings.TrimSpace(line), "?")
		line = cutComment(line)
		if line == "" {
			continue
		}
		what, err := fromPostgrey(line, recipients)
		e := Entry{Recipient: recipients, What: what}
		if err == nil && seen[e] {
			continue
		}
		if err == nil {
			err = w.add(e)
		}
		if err != nil {
			im.Left = append(im.Left, Left{n, line[:min(len(line), maxLeft)], err.Error()})
			continue
		}
		seen[e] = true
		im.Entries = append(im.Entries, e)
	}
	return im
}

func cutComment(line string) string {
	for i := range len(line) {
		if line[i] == '#' && (line[0] != '/' || i > 0 && (line[i-1] == ' ' || line[i-1] == '\t')) {
			return strings.TrimSpace(line[:i])
		}
	}
	return line
}

// fromPostgrey returns what postgrey's line is here.
func fromPostgrey(line string, recipients bool) (string, error) {
	if strings.HasPrefix(line, "/") {
		if s, ok := cutPattern(line); !ok || strings.ContainsAny(s, " \t") {
			return "", fmt.Errorf("a regular expression has a slash at both ends and no blank")
		}
		return line, nil
	}
	if strings.ContainsAny(line, " \t") {
		return "", fmt.Errorf("there is more than one word")
	}
	if recipients {
		return strings.ToLower(line), nil
	}
	if a, err := netaddr.Parse(line); err == nil {
		return a.String(), nil
	}
	if p, err := netip.ParsePrefix(line); err == nil && !p.Addr().Is4In6() {
		return netaddr.String(p.Masked()), nil
	}
	if p, ok := octets(line); ok {
		return p.String(), nil
	}
	if strings.Trim(line, "0123456789./") == "" {
		return "", fmt.Errorf("not an address or a network")
	}
	return strings.ToLower(strings.Trim(line, ".")), nil
}

// octets reads the first one to three numbers of an IPv4 address.
func octets(s string) (netip.Prefix, bool) {
	part := strings.Split(strings.TrimSuffix(s, "."), ".")
	if len(part) > 3 {
		return netip.Prefix{}, false
	}
	var b [4]byte
	for i, p := range part {
		n, err := strconv.ParseUint(p, 10, 8)
		if err != nil {
			return netip.Prefix{}, false
		}
		b[i] = byte(n)
	}
	return netip.PrefixFrom(netip.AddrFrom4(b), 8*len(part)), true
}
