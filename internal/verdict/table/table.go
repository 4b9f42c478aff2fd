// Package table writes a verdict with its reasons as a table for a person: what
// counts first, the largest on top, then facts without points, then the sum,
// what it means and from which score on it would mean something worse.
//
// What stands in options is a stranger's: nothing that a terminal would act on,
// or that turns text around, gets through.
package table

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"charm.land/lipgloss/v2"

	"github.com/gatepost/gatepost/internal/verdict"
)

// Verdict is a verdict with what led to it.
type Verdict struct {
	Lines   []verdict.Line
	Score   float64
	Verdict verdict.Verdict
	// Word stands in place of Verdict where a word is all that was kept; it may
	// be one without a rank, such as discard.
	Word string
	// ByRcpt is the verdict for a recipient where it differs.
	ByRcpt map[string]verdict.Verdict
	// Reject, Quarantine and Mark are the thresholds, 0 for none. With none at
	// all the sum stands alone.
	Reject, Quarantine, Mark float64
	// Notes are told below, a sentence each.
	Notes []string
}

// Options say how it looks.
type Options struct {
	// Width is that of the page in columns, 0 for 80; at least 40.
	Width int
	// Indent is the number of blanks before each line.
	Indent int
	// Colour says that the page is a terminal that knows colours.
	Colour bool
}

// The columns.
const (
	pointsWidth = 8
	maxName     = 28
	gap         = "  "
)

// Write writes v.
func Write(w io.Writer, v Verdict, o Options) error {
	p := newPage(v, o)
	p.row(p.faint, "POINTS", "RULE", "WHY")
	var facts []verdict.Line
	counts := slices.Clone(v.Lines)
	slices.SortStableFunc(counts, func(a, b verdict.Line) int { return cmp.Compare(math.Abs(b.Score), math.Abs(a.Score)) })
	for _, l := range counts {
		if l.Score == 0 {
			facts = append(facts, l)
			continue
		}
		style := p.bad
		if l.Score < 0 {
			style = p.good
		}
		p.line(style, points(l.Score), l)
	}
	for _, l := range facts {
		p.line(p.faint, "", l)
	}
	p.put(p.faint.Render(strings.Repeat("-", pointsWidth)))
	p.sum(v)
	_, err := io.WriteString(w, p.b.String())
	if err != nil {
		return fmt.Errorf("write table: %w", err)
	}
	return nil
}

// page is a table in the making.
type page struct {
	b      strings.Builder
	indent string
	name   int // columns of names
	why    int // columns of the last column

	plain, faint, bad, good lipgloss.Style
	colour                  bool
}

func newPage(v Verdict, o Options) *page {
	if o.Width == 0 {
		o.Width = 80
	}
	p := &page{indent: strings.Repeat(" ", o.Indent), name: len("RULE"), colour: o.Colour, plain: lipgloss.NewStyle()}
	for _, l := range v.Lines {
		p.name = max(p.name, min(maxName, lipgloss.Width(clean(l.Name))))
	}
	p.why = max(16, max(40, o.Width)-o.Indent-pointsWidth-p.name-2*len(gap))
	p.faint, p.bad, p.good = p.plain, p.plain, p.plain
	if o.Colour {
		p.faint = p.plain.Faint(true)
		p.bad = p.plain.Foreground(lipgloss.Red)
		p.good = p.plain.Foreground(lipgloss.Green)
	}
	return p
}

// put writes one line of the page.
func (p *page) put(s string) {
	p.b.WriteString(strings.TrimRight(p.indent+s, " ") + "\n")
}

// line writes a reason; its options go in parentheses behind the sentence.
func (p *page) line(style lipgloss.Style, score string, l verdict.Line) {
	why := clean(l.Text)
	if len(l.Options) > 0 {
		options := make([]string, len(l.Options))
		for i, o := range l.Options {
			options[i] = clean(o)
		}
		why = strings.TrimSpace(why + " (" + strings.Join(options, ", ") + ")")
	}
	p.row(style, score, clean(l.Name), why)
}

// row writes one row, in as many lines as its last cell needs. Only the points
// and the name have a colour.
func (p *page) row(style lipgloss.Style, score, name, why string) {
	last := p.plain
	if score == "" || score == "POINTS" {
		last = style
	}
	names := strings.Split(lipgloss.Wrap(name, p.name, "_"), "\n")
	whys := strings.Split(lipgloss.Wrap(why, p.why, " "), "\n")
	for i := range max(len(names), len(whys)) {
		at := func(cells []string) string {
			if i < len(cells) {
				return cells[i]
			}
			return ""
		}
		first := ""
		if i == 0 {
			first = score
		}
		p.put(pad(style, first, pointsWidth, true) + gap + pad(style, at(names), p.name, false) + gap + pad(last, strings.TrimSpace(at(whys)), 0, false))
	}
}

// sum writes what it comes to.
func (p *page) sum(v Verdict) {
	rank, word := v.Verdict, v.Verdict.String()
	if v.Word != "" {
		word = clean(v.Word)
		if rank.UnmarshalText([]byte(v.Word)) != nil {
			rank = verdict.Reject
		}
	}
	style := p.plain
	if p.colour {
		style = p.plain.Bold(true).Foreground(colourOf(rank))
	}
	said := style.Render(word)
	text := "= " + said
	if v.Reject > 0 {
		text = "of " + short(v.Reject) + ": " + said
	}
	if from := v.thresholds(); from != "" {
		text += " (" + from + ")"
	}
	p.put(pad(p.plain.Bold(p.colour), points(v.Score), pointsWidth, true) + gap + text)
	for _, rcpt := range slices.Sorted(maps.Keys(v.ByRcpt)) {
		p.note("for " + clean(rcpt) + ": " + v.ByRcpt[rcpt].String())
	}
	for _, n := range v.Notes {
		p.note(clean(n))
	}
}

func (p *page) note(s string) {
	before := strings.Repeat(" ", pointsWidth) + gap
	for l := range strings.SplitSeq(lipgloss.Wrap(s, p.why+p.name+len(gap), " "), "\n") {
		p.put(before + strings.TrimSpace(l))
	}
}

// thresholds tells from which score on what happens short of a refusal.
func (v Verdict) thresholds() string {
	var out []string
	for _, t := range []struct {
		name  string
		score float64
	}{{"Junk", v.Mark}, {"quarantine", v.Quarantine}} {
		if t.score > 0 {
			out = append(out, t.name+" from "+short(t.score))
		}
	}
	return strings.Join(out, ", ")
}

func colourOf(v verdict.Verdict) interface{ RGBA() (r, g, b, a uint32) } {
	switch v {
	case verdict.Accept:
		return lipgloss.Green
	case verdict.Mark, verdict.Quarantine:
		return lipgloss.Yellow
	}
	return lipgloss.Red
}

// pad fills s with blanks to width, in front of it where right is true, and gives
// s, not the blanks, its style.
func pad(style lipgloss.Style, s string, width int, right bool) string {
	blanks := strings.Repeat(" ", max(0, width-lipgloss.Width(s)))
	if s != "" {
		s = style.Render(s)
	}
	if right {
		return blanks + s
	}
	return s + blanks
}

// points writes a score with two decimals; one that is too wide, as it is short.
func points(f float64) string {
	s := strconv.FormatFloat(f, 'f', 2, 64)
	if len(s) > pointsWidth {
		s = strconv.FormatFloat(f, 'g', 3, 64)
	}
	return s
}

func short(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// clean makes s safe for a terminal: what is no graphic character of UTF-8
// becomes an escape.
func clean(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }) {
		return s
	}
	q := strconv.QuoteToGraphic(s)
	q = q[1 : len(q)-1]
	var b strings.Builder
	for _, r := range strings.ReplaceAll(q, `\"`, `"`) {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			b.WriteString(" ") // a blank that is not U+0020
		}
	}
	return b.String()
}
