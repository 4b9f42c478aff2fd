package journal

import (
	"fmt"
	"slices"
	"strings"
)

// plain reports whether all that r tells is that policyd had no objection to a
// stranger: no rule, no limit, nothing of a user. Which service asked is no news.
func (r *Record) plain() bool {
	return r.Daemon == "policyd" && r.Verdict == "dunno" && r.Rule == "" && r.User == "" && len(r.Lines) == 0 &&
		!slices.ContainsFunc(r.Facts, func(f Fact) bool { return f.Key != "policy_context" })
}

// sameTransaction reports whether r and o, which are near each other in time,
// tell of one client's mail from one sender.
func (r *Record) sameTransaction(o *Record) bool {
	return r.ClientAddr == o.ClientAddr && r.ClientPort == o.ClientPort && sameAddress(r.MailFrom, o.MailFrom)
}

// foldable returns how many steps at the beginning of all are told in one line.
func foldable(all []Step) int {
	for i := range all {
		if !all[i].plain() || all[i].Certain != all[0].Certain || !all[i].sameTransaction(&all[0].Record) {
			return i
		}
	}
	return len(all)
}

// folded writes plain steps in one line. Who wrote to whom is left to the
// milter's step of the same mail, if rest has one.
func (p *page) folded(all, rest []Step) {
	first := all[0].clean()
	var events, rcpts []string
	times := map[string]int{}
	for _, s := range all {
		r := s.clean()
		if times[r.Event]++; times[r.Event] == 1 {
			events = append(events, r.Event)
		}
		for _, to := range r.RcptTo {
			if !slices.Contains(rcpts, to) {
				rcpts = append(rcpts, to)
			}
		}
	}
	for i, e := range events {
		if n := times[e]; n > 1 {
			events[i] = fmt.Sprintf("%s %d times", e, n)
		}
	}
	head := fmt.Sprintf("%s  %-7s no objection (%s)", first.Time.Format("15:04:05.000"), first.Daemon, strings.Join(events, ", "))
	if !all[0].Certain {
		head += "  (probably)"
	}
	p.wrap("", labelIndent, head)
	if slices.ContainsFunc(rest, func(s Step) bool {
		return s.Daemon == "milter" && s.sameTransaction(&all[0].Record)
	}) {
		return
	}
	p.tellClient(first)
	p.field("from", "<"+bracketless(first.MailFrom)+">")
	p.recipients(rcpts)
}
