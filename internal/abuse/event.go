package abuse

import (
	"encoding/binary"
	"hash/fnv"
	"net/netip"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/mailaddr"
)

// Sent is a message that a user submitted, at its end.
type Sent struct {
	At time.Time
	// User is the login.
	User      string
	MessageID string
	// QueueID is Postfix's.
	QueueID string
	// MailFrom is null for "<>"; From is the author in the header, null when
	// there is none or more than one.
	MailFrom, From mailaddr.Address
	RcptTo         []mailaddr.Address
	Client         netip.Addr
	// Scanned says that the filter looked at it, Marked that it marked it, or
	// did worse.
	Scanned, Marked bool
}

// Refused is a recipient of a logged-in user that we refused for good.
type Refused struct {
	At     time.Time
	User   string
	Client netip.Addr
}

// Login is a login that succeeded, on any service.
type Login struct {
	At     time.Time
	User   string
	Client netip.Addr
}

// Bounced is a delivery status notification (package dsn).
type Bounced struct {
	At time.Time
	// Local says that our own Postfix wrote it.
	Local bool
	// MessageID is that of the message that failed; QueueID is by which our
	// Postfix knew it, "" when the notification does not say.
	MessageID, QueueID string
	// RcptTo are the recipients that failed for good.
	RcptTo []mailaddr.Address
}

// event is what the queue holds: one of them.
type event struct {
	sent    *Sent
	refused *Refused
	login   *Login
	bounced *Bounced
}

// maxMatched is how many recipients of a message can be matched with
// notifications.
const maxMatched = 100

// message is what is kept of one that was sent.
type message struct {
	account string
	// rcpts are hashes of the recipients that have not failed yet.
	rcpts []uint32
	// outside says that a stranger's notification was counted.
	outside bool
}

// encode returns m as a row's value: a flag, hashes, then the account.
func (m message) encode() []byte {
	flag := byte(0)
	if m.outside {
		flag = 1
	}
	b := append(make([]byte, 0, 2+4*len(m.rcpts)+len(m.account)), flag, byte(len(m.rcpts)))
	for _, r := range m.rcpts {
		b = binary.BigEndian.AppendUint32(b, r)
	}
	return append(b, m.account...)
}

// decodeMessage reads what encode wrote.
func decodeMessage(b []byte) (m message, ok bool) {
	if len(b) < 2 || b[0] > 1 || b[1] > maxMatched || len(b) < 2+4*int(b[1])+1 {
		return message{}, false
	}
	m.outside = b[0] == 1
	n := int(b[1])
	for i := range n {
		m.rcpts = append(m.rcpts, binary.BigEndian.Uint32(b[2+4*i:]))
	}
	m.account = string(b[2+4*n:])
	return m, true
}

// fail takes the recipients out of m that failed, and returns how many of them
// were there: each can fail once.
func (m *message) fail(rcpts []mailaddr.Address) (n uint32) {
	for _, r := range rcpts {
		id := uint32(hash(r.Folded().String()))
		for i, have := range m.rcpts {
			if have == id {
				m.rcpts = append(m.rcpts[:i], m.rcpts[i+1:]...)
				n++
				break
			}
		}
	}
	return n
}

// hash stands for a text, the same in every process.
func hash(s string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(s))
	return h.Sum64()
}

// network returns a hash of the network that counts as one: an IPv4 /24, an
// IPv6 /48. Loopback, where a webmail sits, and private networks are none.
func network(a netip.Addr) (id uint64, ok bool) {
	a = a.Unmap().WithZone("")
	if !a.IsGlobalUnicast() || a.IsPrivate() {
		return 0, false
	}
	bits := 24
	if a.Is6() {
		bits = 48
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return 0, false
	}
	return hash(p.String()), true
}

// mismatched reports whether the author is another than the sender, by more
// than case and detail.
func mismatched(s *Sent) bool {
	if s.MailFrom.IsNull() || s.From.IsNull() {
		return false
	}
	return base(s.MailFrom) != base(s.From)
}

func base(a mailaddr.Address) mailaddr.Address {
	a = a.Folded()
	if b, _, ok := a.CutDetail("+"); ok {
		return b
	}
	return a
}

// messageKey returns the key of a Message-ID's row, "" for what is none.
func messageKey(id string) string {
	const most = 500
	id = strings.TrimSpace(id)
	if len(id) < 3 || len(id) > most || strings.ContainsAny(id, " \t\r\n") {
		return ""
	}
	return messagePrefix + sum(id)
}
