package maildir

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
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

// next returns a base name without sizes. Seconds come first, then the
// microseconds after "M", both growing from call to call: Dovecot gives UIDs to
// new files in that order. Counter and random bytes make it unique where a
// process id comes back within the second.
func (n *names) next(now time.Time) string {
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
	return fmt.Sprintf("%d.M%dP%dQ%dR%s.%s", us/1e6, us%1e6, os.Getpid(), n.count.Add(1),
		hex.EncodeToString(random[:]), n.host)
}

// final returns the name in new: S is the size of the file, W the size with
// every LF as CRLF.
func final(base string, size, wire int64) string {
	return fmt.Sprintf("%s,S=%d,W=%d", base, size, wire)
}
