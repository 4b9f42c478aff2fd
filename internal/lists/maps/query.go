package maps

import (
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/gatepost/gatepost/internal/link"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/message"
	"github.com/gatepost/gatepost/internal/unit"
	"github.com/gatepost/gatepost/internal/verdict"
)

// Query is what is known of a message. What is zero is not looked up.
type Query struct {
	Client                netip.Addr
	ClientName, Helo      string
	MailFrom              mailaddr.Address
	From, ReplyTo, RcptTo []mailaddr.Address
	// Text has links, subject and the names of attachments, nil for none.
	Text *message.Message
	// Header returns the decoded values of a field, nil for none.
	Header func(name string) []string
	// Hashes are the SHA-256 of attachments, in hexadecimal.
	Hashes []string
	// Proved are the domains of senders that DMARC, DKIM or SPF prove, in lower
	// case.
	Proved []string
}

// Bounds of one message.
const (
	maxValues = 500 // of one kind
	// maxWork bounds the bytes that the regular expressions of one map read
	// together: a tenth of a second or two. What is behind it is not looked at.
	maxWork    = 2 << 20
	maxOptions = 5
	maxOption  = 100
)

// values returns what of q goes by name in the settings.
func (q *Query) values(of string) []string {
	if name, ok := strings.CutPrefix(of, headerOf); ok {
		if q.Header == nil {
			return nil
		}
		return q.Header(name)
	}
	switch of {
	case "client":
		if q.Client.IsValid() {
			return []string{q.Client.String()}
		}
	case "client_name":
		return one(q.ClientName)
	case "helo":
		return one(q.Helo)
	case "mail_from":
		return one(q.MailFrom.String())
	case "from":
		return texts(q.From)
	case "reply_to":
		return texts(q.ReplyTo)
	case "rcpt":
		return texts(q.RcptTo)
	case "attachment_hash":
		return q.Hashes
	}
	return q.textValues(of)
}

func (q *Query) textValues(of string) []string {
	var out []string
	switch {
	case q.Text == nil:
	case of == "subject":
		return one(q.Text.Subject)
	case of == "attachment":
		for i := range q.Text.Attachments {
			out = append(out, q.Text.Attachments[i].Name)
		}
	case of == "uri":
		for i := range q.Text.Links {
			out = append(out, q.Text.Links[i].URL)
		}
	}
	return out
}

func one(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

func texts(all []mailaddr.Address) []string {
	out := make([]string, 0, len(all))
	for _, a := range all {
		if !a.IsNull() {
			out = append(out, a.String())
		}
	}
	return out
}

// forged reports whether anybody can write what goes by name, so that it may
// take points away only when it is proved.
func forged(of string) bool { return of == "from" || of == "mail_from" }

// proves reports whether q.Proved has the domain of value.
func (q *Query) proves(value string) bool {
	d := value[strings.LastIndexByte(value, '@')+1:]
	return slices.ContainsFunc(q.Proved, func(p string) bool { return link.Same(d, p) })
}

// look returns m's line for q, if it has one: that of the entry with the most
// points, in either direction, with up to five of the values found.
func (m *Map) look(t *table, q *Query) (verdict.Line, bool) {
	l := verdict.Line{Name: "MAP_" + strings.ToUpper(m.Name), Group: "map", Text: m.Text}
	if l.Text == "" {
		l.Text = "It is an entry of the map " + m.Name + "."
	}
	hit, work := false, 0
	for _, of := range m.Of {
		values := q.values(of)
		for _, v := range values[:min(len(values), maxValues)] {
			if work += min(len(v), maxValue) * len(t.patterns); work > maxWork {
				break
			}
			if of == "uri" && t.kind != Regexp {
				v = link.Host(v)
			}
			e, key, ok := t.find(v)
			if !ok {
				continue
			}
			hit = true
			score, note := m.points(e), e.comment
			if score < 0 && forged(of) && !m.Unauthenticated && !q.proves(v) {
				score, note = 0, "not counted: nothing proves the sender"
			}
			if math.Abs(score) > math.Abs(l.Score) {
				l.Score = score
			}
			l.Options = option(l.Options, of, v, key, note)
		}
	}
	if m.Mode == unit.Observe && hit {
		l.Options = append([]string{"observed, would add " + strconv.FormatFloat(l.Score, 'f', -1, 64)}, l.Options...)
		l.Score = 0
	}
	return l, hit
}

func (m *Map) points(e entry) float64 {
	if math.IsNaN(e.score) {
		return verdict.Round(m.Score)
	}
	return verdict.Round(e.score)
}

// option adds what was found, "from bob@a.example (a.example: comment)".
func option(to []string, of, value, key, note string) []string {
	if len(to) == maxOptions {
		return to
	}
	text := of + " " + link.Clip(value, maxOption)
	switch key = link.Clip(key, maxOption); {
	case key != value && note != "":
		text += " (" + key + ": " + link.Clip(note, maxOption) + ")"
	case key != value:
		text += " (" + key + ")"
	case note != "":
		text += " (" + link.Clip(note, maxOption) + ")"
	}
	if slices.Contains(to, text) {
		return to
	}
	return append(to, text)
}
