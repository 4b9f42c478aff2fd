package journal

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/gatepost/gatepost/internal/verdict"
)

// What one record may hold.
const (
	// MaxTextBytes bounds each text, roughly: it is cut before it is made
	// printable.
	MaxTextBytes = 1000
	// MaxItems bounds the recipients, the lines and the facts each.
	MaxItems = 100
	// maxKeyBytes bounds the name of a fact.
	maxKeyBytes = 40
	// maxNameBytes bounds the name and the group of a line.
	maxNameBytes = 100
	// maxOptions bounds the options of a line, maxOptionBytes each of them.
	maxOptions     = 10
	maxOptionBytes = 200
)

// recordBytes is roughly what a record takes in memory beside its texts.
const recordBytes = 600

// bound cuts the lists of r and returns roughly what it takes in memory. It
// changes no list of the caller, and is cheap: it runs on the caller's path.
func (r *Record) bound() int {
	n := recordBytes
	for _, s := range r.texts() {
		n += cut(s)
	}
	var more []Fact
	if over := len(r.RcptTo) - MaxItems; over > 0 {
		r.RcptTo = r.RcptTo[:MaxItems]
		more = append(more, Fact{"recipients", "and " + strconv.Itoa(over) + " more"})
	}
	if over := len(r.Lines) - MaxItems; over > 0 {
		r.Lines = r.Lines[:MaxItems]
		more = append(more, Fact{"lines", "and " + strconv.Itoa(over) + " more"})
	}
	if len(r.Facts) > MaxItems {
		r.Facts = r.Facts[:MaxItems]
	}
	if more != nil {
		r.Facts = append(r.Facts[:len(r.Facts):len(r.Facts)], more...)
	}
	for _, s := range r.RcptTo {
		n += 16 + len(s)
	}
	for _, f := range r.Facts {
		n += 32 + len(f.Key) + len(f.Value)
	}
	for i := range r.Lines {
		l := &r.Lines[i]
		n += 100 + len(l.Name) + len(l.Text)
		for _, o := range l.Options {
			n += 16 + len(o)
		}
	}
	return n
}

// texts returns all texts of r that are not in lists.
func (r *Record) texts() [14]*string {
	return [...]*string{
		&r.Daemon, &r.Event, &r.QueueID, &r.MessageID, &r.Session, &r.Service, &r.ClientName, &r.Helo,
		&r.User, &r.Mech, &r.MailFrom, &r.Verdict, &r.Rule, &r.Reply,
	}
}

// cut cuts a text and returns its length.
func cut(s *string) int {
	if len(*s) > MaxTextBytes {
		*s = (*s)[:MaxTextBytes]
	}
	return len(*s)
}

// keys are what a record is found by, as they are stored.
type keys struct {
	queueID, messageID string
	client             netip.Addr // not mapped, without a zone
}

func (r *Record) keys() keys {
	return keys{
		queueID:   printable(r.QueueID, MaxTextBytes),
		messageID: bareID(printable(r.MessageID, MaxTextBytes)),
		client:    r.ClientAddr.Unmap().WithZone(""),
	}
}

// clean returns r with every text printable and within MaxTextBytes, in lists
// of its own.
func (r *Record) clean() Record {
	c, k := *r, r.keys()
	for _, s := range c.texts() {
		*s = printable(*s, MaxTextBytes)
	}
	c.MessageID, c.ClientAddr = k.messageID, k.client
	c.RcptTo = each(r.RcptTo, func(s string) string { return printable(s, MaxTextBytes) })
	c.Facts = each(r.Facts, func(f Fact) Fact { return Fact{printable(f.Key, maxKeyBytes), printable(f.Value, MaxTextBytes)} })
	c.Lines = each(r.Lines, func(l verdict.Line) verdict.Line {
		l.Name, l.Group, l.Text = printable(l.Name, maxNameBytes), printable(l.Group, maxNameBytes), printable(l.Text, MaxTextBytes)
		l.Options = each(l.Options[:min(len(l.Options), maxOptions)], func(o string) string { return printable(o, maxOptionBytes) })
		return l
	})
	return c
}

// each returns a list of what fn makes of each item, nil for none.
func each[T any](list []T, fn func(T) T) []T {
	if len(list) == 0 {
		return nil
	}
	out := make([]T, len(list))
	for i, v := range list {
		out[i] = fn(v)
	}
	return out
}

// bareID returns a Message-ID without blanks and angle brackets, so that it is
// found however it was copied.
func bareID(s string) string {
	s = strings.TrimSpace(s)
	if len(s) > 2 && s[0] == '<' && s[len(s)-1] == '>' {
		return s[1 : len(s)-1]
	}
	return s
}
