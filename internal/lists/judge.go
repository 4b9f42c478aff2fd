package lists

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"

	"github.com/gatepost/gatepost/internal/unit"
	"github.com/gatepost/gatepost/internal/verdict"
)

// group is the theme of all lines.
const group = "list"

// maxOption and maxOptions bound what a line tells of a stranger's text.
const (
	maxOption  = 100
	maxOptions = 5
)

// unserved are the answers that any list gives to those whom it does not serve.
var unserved = Answer{text: "127.255.255.0/24", net: netip.MustParsePrefix("127.255.255.0/24")}

// refusal says why an address is no listing, "" for one that is.
func (l *List) refusal(a netip.Addr) string {
	switch {
	case !valid(a):
		return fmt.Sprintf("it answers %s, which is not in 127.0.0.0/8: the list is gone, or its name someone else's", a)
	case unserved.Match(a):
		return "it does not serve us: it answers " + a.String() + unservedWhy[a.As4()[3]]
	}
	for _, b := range l.Blocked {
		if b.Match(a) {
			return "it does not serve us: it answers " + a.String() + ", as it does to public resolvers and heavy users"
		}
	}
	return ""
}

// unservedWhy is what the last octet means where a list says so.
var unservedWhy = map[byte]string{
	252: ", for a wrong zone",
	254: ", for a public or open resolver",
	255: ", for too many questions",
}

// summary is what the answers of one list come to.
type summary struct {
	// refused is why the list is of no use, "" for a good one.
	refused string
	// answered, listed and unanswered count questions.
	answered, listed, unanswered int
}

// judge returns the lines for the answers of one list. Equal arguments give
// equal lines. A list that refuses has none: what it lists is then not known.
func judge(l *List, most float64, answers []answer) ([]verdict.Line, summary) {
	var sum summary
	hits := make([]hit, len(l.Codes)+1)
	for _, a := range answers {
		if a.err != nil {
			sum.unanswered++
			continue
		}
		sum.answered++
		if len(a.addrs) > 0 {
			sum.listed++
		}
		for _, addr := range a.addrs {
			if why := l.refusal(addr); why != "" {
				sum.refused = why
				return nil, sum
			}
			l.match(addr, a.about, hits)
		}
	}
	lines := l.lines(hits)
	limit(lines, most)
	if l.Mode == unit.Observe {
		for i := range lines {
			lines[i].Options = append([]string{"observed, would add " + points(lines[i].Score)}, lines[i].Options...)
			lines[i].Score = 0
		}
	}
	return lines, sum
}

// hit is what stands behind one line.
type hit struct {
	hit     bool
	options []string
}

func (h *hit) add(option string) {
	h.hit = true
	if len(h.options) < maxOptions && !slices.Contains(h.options, option) {
		h.options = append(h.options, option)
	}
}

// match adds about to the codes that addr has; the last hit is for an answer
// that no code has.
func (l *List) match(addr netip.Addr, about string, hits []hit) {
	found := false
	for i, c := range l.Codes {
		if c.Answer.Match(addr) {
			hits[i].add(clip(about))
			found = true
		}
	}
	if !found {
		hits[len(l.Codes)].add(clip(about) + " is " + addr.String())
	}
}

func (l *List) lines(hits []hit) []verdict.Line {
	var out []verdict.Line
	for i, c := range l.Codes {
		if !hits[i].hit {
			continue
		}
		name, text := l.Name, c.Text
		if c.Name != "" {
			name += "_" + c.Name
		}
		if text == "" {
			text = "It is listed by " + l.Name + "."
		}
		out = append(out, verdict.Line{Name: name, Group: group, Score: verdict.Round(c.Score), Text: text, Options: hits[i].options})
	}
	if h := hits[len(l.Codes)]; h.hit {
		out = append(out, verdict.Line{Name: l.Name + "_OTHER", Group: group,
			Text: "The list gives an answer that no code of ours has.", Options: h.options})
	}
	return out
}

// limit takes points away until those of lines are at most most together, and
// at least -most. The heaviest line counts first.
func limit(lines []verdict.Line, most float64) {
	order := make([]*verdict.Line, len(lines))
	for i := range lines {
		order[i] = &lines[i]
	}
	slices.SortStableFunc(order, func(a, b *verdict.Line) int { return cmp.Compare(math.Abs(b.Score), math.Abs(a.Score)) })
	up, down := most, most
	for _, l := range order {
		room := &up
		if l.Score < 0 {
			room = &down
		}
		want := math.Abs(l.Score)
		got := min(want, *room)
		*room -= got
		if got < want {
			l.Options = append([]string{"would add " + points(l.Score) + ", but one list counts " + points(most) + " at most"}, l.Options...)
			l.Score = verdict.Round(math.Copysign(math.Floor(got*100)/100, l.Score))
		}
	}
}

// unknown is the line of a list that gave no answer.
func (l *List) unknown(why string) verdict.Line {
	return verdict.Line{Name: l.Name + "_UNKNOWN", Group: group, Text: "The list " + l.Name + " could not be asked.", Options: []string{why}}
}

func points(f float64) string { return strconv.FormatFloat(verdict.Round(f), 'f', -1, 64) }

// clip cuts what a stranger typed. It is ASCII but for local parts.
func clip(s string) string {
	if len(s) <= maxOption {
		return s
	}
	return string([]rune(s[:maxOption])) + "…"
}
