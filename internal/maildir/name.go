package maildir

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// names makes base names that never come again.
type names struct {
	host  string
	last  atomic.Int64
	count atomic.Int64
}

// newNames returns the source of names for host, whose "/" and ":" are escaped
// as the Maildir standard has it; an empty host is "localhost".
func newNames(host string) *names {
	var b strings.Builder
	for i := range len(host) {
		switch c := host[i]; {
		case c == '/':
			b.WriteString(`\057`)
		case c == ':':
			b.WriteString(`\072`)
		case c > ' ' && c < 0x7f && c != ',':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, `\%03o`, c)
		}
	}
	if b.Len() == 0 {
		b.WriteString("localhost")
	}
	return &names{host: b.String()}
}

// base is the name of one delivery: in tmp it is random, so that nobody meets
// what a killed process left, and in new it tells the Key.
type base struct{ unique, random, host string }

// next returns a base name without sizes. Seconds come first, then the
// microseconds after "M", both growing from call to call: Dovecot gives UIDs to
// new files in that order. Counter and random bytes make it unique where a
// process id comes back within the second.
func (n *names) next(now time.Time) base {
	us := now.UnixMicro()
	for {
		last := n.last.Load()
		us = max(us, last+1)
		if n.last.CompareAndSwap(last, us) {
			break
		}
	}
	var random [8]byte
	rand.Read(random[:]) // never fails, see crypto/rand
	return base{
		unique: fmt.Sprintf("%d.M%dP%dQ%d", us/1e6, us%1e6, os.Getpid(), n.count.Add(1)),
		random: "R" + hex.EncodeToString(random[:]) + ".", host: n.host,
	}
}

// temp returns the name in tmp.
func (b base) temp() string { return b.unique + b.random + b.host }

// final returns the name in new: S is the size of the file, W the size with
// every LF as CRLF.
func (b base) final(k Key, l lines) string {
	mark := b.random
	if k != (Key{}) {
		mark = k.mark()
	}
	return fmt.Sprintf("%s%s%s,S=%d,W=%d", b.unique, mark, b.host, l.size, l.wire())
}

// info returns what stands behind the base name for flags: letters in the order
// of ASCII, each once. What is no letter is left out.
func info(flags string) string {
	var all []byte
	for i := range len(flags) {
		if c := flags[i] | 0x20; c >= 'a' && c <= 'z' && !slices.Contains(all, flags[i]) {
			all = append(all, flags[i])
		}
	}
	if len(all) == 0 {
		return ""
	}
	slices.Sort(all)
	return ":2," + string(all)
}
