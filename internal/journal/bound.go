package journal

import (
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
	// maxOptions bounds the options of a line.
	maxOptions = 10
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

// clean returns r with every text printable and within MaxTextBytes, in lists
// of its own.
func (r *Record) clean() Record {
	c := *r
	for _, s := range c.texts() {
		*s = printable(*s, MaxTextBytes)
	}
	c.MessageID = bareID(c.MessageID)
	c.ClientAddr = c.ClientAddr.Unmap().WithZone("")
	c.RcptTo = nil
	for _, s := range r.RcptTo {
		c.RcptTo = append(c.RcptTo, printable(s, MaxTextBytes))
	}
	c.Facts = nil
	for _, f := range r.Facts {
		c.Facts = append(c.Facts, Fact{printable(f.Key, 40), printable(f.Value, MaxTextBytes)})
	}
	c.Lines = nil
	for _, l := range r.Lines {
		k := verdict.Line{
			Name: printable(l.Name, 100), Group: printable(l.Group, 100),
			Score: l.Score, Text: printable(l.Text, MaxTextBytes),
		}
		for _, o := range l.Options[:min(len(l.Options), maxOptions)] {
			k.Options = append(k.Options, printable(o, 200))
		}
		c.Lines = append(c.Lines, k)
	}
	return c
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
