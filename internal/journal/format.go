package journal

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/verdict"
	"github.com/gatepost/gatepost/internal/verdict/table"
)

// The page of Format, in columns.
const (
	pageWidth   = 100
	minWidth    = 72
	labelIndent = 14
	labelWidth  = 14
	valueIndent = labelIndent + labelWidth + 1
)

// Look says how a story looks.
type Look struct {
	// Width is that of the page in columns, from 72 to 100; 0 for 100.
	Width int
	// Colour says that the page is a terminal that knows colours.
	Colour bool
	// Verbose tells in full what policyd had no objection to, which is one line
	// otherwise.
	Verbose bool
}

func newPage(w io.Writer, l Look) *page {
	if l.Width == 0 {
		l.Width = pageWidth
	}
	return &page{w: bufio.NewWriter(w), width: max(minWidth, min(l.Width, pageWidth)), look: l}
}

// Format writes the story for a person: nothing that a terminal would act on.
// Records of old files are made printable again.
func (s Story) Format(w io.Writer, l Look) error {
	p := newPage(w, l)
	p.title(s)
	p.steps(s.Steps)
	if len(s.Left) > 0 {
		p.left(s)
	}
	for _, o := range s.Others {
		p.wrap("", 0, "also: "+printable(o.QueueID, MaxTextBytes)+" of "+o.Time.Format("2006-01-02 15:04:05 -0700")+
			", an older message with the same id")
	}
	return p.w.Flush()
}

// FormatRecords writes records, such as Client returns, in the same way, under
// the date of each day.
func FormatRecords(w io.Writer, records []Record, l Look) error {
	p := newPage(w, l)
	p.dates = true
	steps := make([]Step, len(records))
	for i, r := range records {
		steps[i] = Step{r, true}
	}
	p.steps(steps)
	return p.w.Flush()
}

// page writes lines; bufio keeps the first error until Flush.
type page struct {
	w      *bufio.Writer
	width  int
	look   Look
	client string // the last one told, so that it is told once
	dates  bool   // tell each new date
	date   string // the last one told
}

func (p *page) line(s string) { _, _ = p.w.WriteString(strings.TrimRight(s, " ") + "\n") }

func (p *page) title(s Story) {
	id := s.QueueID
	if id == "" {
		id = "no queue id"
	}
	when := ""
	if len(s.Steps) > 0 {
		when = "  " + s.Steps[0].Time.Format("2006-01-02 15:04:05 -0700")
	}
	p.wrap("", 0, printable(id, MaxTextBytes)+when)
	if s.MessageID != "" {
		p.wrap("Message-ID ", 11, "<"+printable(s.MessageID, MaxTextBytes)+">")
	}
	p.line("")
}

// steps writes all steps, those that fold in one line.
func (p *page) steps(all []Step) {
	for i := 0; i < len(all); {
		if d := all[i].Time.Format("2006-01-02 -0700"); p.dates && d != p.date {
			p.line(d)
			p.date = d
		}
		n := foldable(all[i:])
		if n == 0 || p.look.Verbose {
			p.step(all[i])
			i++
			continue
		}
		p.folded(all[i:i+n], all[i+n:])
		i += n
	}
}

func (p *page) step(s Step) {
	r := s.clean()
	head := fmt.Sprintf("%s  %-7s %-9s %s", r.Time.Format("15:04:05.000"), r.Daemon, r.Event, r.Verdict)
	if r.Score != 0 || len(r.Lines) > 0 {
		head += "  " + strconv.FormatFloat(r.Score, 'f', 2, 64) + " points"
	}
	if !s.Certain {
		head += "  (probably)"
	}
	p.wrap("", labelIndent, head)
	p.tellClient(r)
	p.field("service", r.Service)
	p.field("user", join(r.User, " by ", r.Mech))
	if r.MailFrom != "" || r.Daemon == "milter" {
		p.field("from", "<"+bracketless(r.MailFrom)+">")
	}
	p.recipients(r.RcptTo)
	p.field("because", r.Rule)
	p.field("reply", r.Reply)
	for _, f := range r.Facts {
		p.field(f.Key, f.Value)
	}
	p.lines(r)
	if r.Took > 0 {
		p.field("took", r.Took.Round(10*time.Microsecond).String())
	}
}

func (p *page) tellClient(r Record) {
	if c := client(r); c != p.client && c != "" {
		p.client = c
		p.field("client", c)
	}
}

func (p *page) recipients(all []string) {
	to := make([]string, len(all))
	for i, a := range all {
		to[i] = "<" + bracketless(a) + ">"
	}
	p.field("to", strings.Join(to, ", "))
}

// client tells who is at the other end, as Postfix writes it.
func client(r Record) string {
	c := r.ClientName
	if r.ClientAddr.IsValid() {
		c = join(c, " ", "["+r.ClientAddr.String()+"]")
		if r.ClientPort != 0 {
			c += ":" + strconv.Itoa(int(r.ClientPort))
		}
	}
	return join(c, ", helo ", r.Helo)
}

// join puts sep between two texts that are both there.
func join(a, sep, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + sep + b
}

func bracketless(s string) string {
	return strings.TrimSuffix(strings.TrimPrefix(s, "<"), ">")
}

// field writes a value behind its label, if there is one. A label that is wider
// than its column has a line of its own.
func (p *page) field(label, value string) {
	if value == "" {
		return
	}
	prefix := strings.Repeat(" ", labelIndent) + label
	if columns(label) > labelWidth {
		p.line(prefix)
		prefix = ""
	}
	p.wrap(prefix+strings.Repeat(" ", valueIndent-columns(prefix)), valueIndent, value)
}

// lines writes the reasons of a score as "gatepost scan" does.
func (p *page) lines(r Record) {
	if len(r.Lines) == 0 {
		return
	}
	v := table.Verdict{Lines: r.Lines, Score: verdict.Sum(r.Lines), Word: r.Verdict}
	// A bufio.Writer keeps its error until Flush.
	_ = table.Write(p.w, v, table.Options{Width: p.width, Indent: labelIndent, Colour: p.look.Colour})
}

// left tells of whom we know no more.
func (p *page) left(s Story) {
	to := make([]string, len(s.Left))
	for i, a := range s.Left {
		to[i] = "<" + bracketless(printable(a, MaxTextBytes)) + ">"
	}
	text := "left our sight: handed to Postfix for " + strings.Join(to, ", ") +
		"; the reply of the next hop is in Postfix's log under " + printable(s.QueueID, MaxTextBytes)
	for _, step := range s.Steps {
		if step.Daemon == "lmtpd" {
			text += ". An alias may have made it one of the deliveries above"
			break
		}
	}
	p.wrap("", labelIndent, text)
}

// wrap writes text behind prefix, and breaks it at blanks, or else anywhere, so
// that it ends within the page; further lines begin at indent.
func (p *page) wrap(prefix string, indent int, text string) {
	line, at := prefix, columns(prefix)
	empty := true // nothing of text on this line yet
	for word := range strings.SplitSeq(text, " ") {
		w := columns(word)
		switch {
		case empty:
		case at+1+w <= p.width:
			line += " "
			at++
		default:
			p.line(line)
			line, at = strings.Repeat(" ", indent), indent
		}
		for _, r := range word {
			if at+wide(r) > p.width {
				p.line(line)
				line, at = strings.Repeat(" ", indent), indent
			}
			line += string(r)
			at += wide(r)
		}
		empty = false
	}
	p.line(line)
}

// columns is how wide s is on a terminal, or less.
func columns(s string) int {
	n := 0
	for _, r := range s {
		n += wide(r)
	}
	return n
}

// wide counts two columns from Hangul Jamo on, where the wide scripts begin.
func wide(r rune) int {
	if r >= 0x1100 {
		return 2
	}
	return 1
}
