package lists

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"

	"github.com/gatepost/gatepost/internal/verdict"
)

// maxName bounds a name in the DNS, in octets of text without a final dot
// (RFC 1035 §2.3.4).
const maxName = 253

// question is one name to ask one list for.
type question struct {
	list *list
	name string
	// about is what a person reads of it.
	about string
}

// answer is what became of it.
type answer struct {
	about string
	addrs []netip.Addr
	err   error
}

// plan is what to ask about one message.
type plan struct {
	questions []question
	// left counts those that are more than the configuration allows.
	left int
	// idle are lists that would be asked if they were on.
	idle map[*list]bool
}

// plan returns what to ask whom about items.
func (s *set) plan(items []item) plan {
	p := plan{idle: make(map[*list]bool)}
	type key struct {
		list *list
		name string
	}
	seen := make(map[key]bool)
	zones := make([]string, len(s.lists))
	for i, l := range s.lists {
		zones[i] = l.zone()
	}
	for _, it := range items {
		for i, l := range s.lists {
			for _, label := range l.labels(it) {
				q := question{list: l, name: label + "." + zones[i], about: it.about(label)}
				if len(q.name) > maxName || seen[key{l, q.name}] {
					continue
				}
				seen[key{l, q.name}] = true
				switch {
				case !l.asked():
					p.idle[l] = true
				case len(p.questions) >= s.cfg.MaxQuestions:
					p.left++
				default:
					p.questions = append(p.questions, q)
				}
			}
		}
	}
	return p
}

// labels returns what l wants to know of it, in front of its zone.
func (l *list) labels(it item) []string {
	switch it.of {
	case Client:
		if l.takes(Client) || l.takes(Client4) && it.addr.Is4() {
			return []string{reversed(it.addr)}
		}
	case URIAddr:
		if l.takes(URIAddr) {
			return []string{reversed(it.addr)}
		}
	case Email:
		if l.takes(Email) {
			return []string{hashed(l.hash, it.email)}
		}
	case URI:
		var out []string
		if l.takes(URI) {
			out = append(out, it.domain)
		}
		if l.takes(Host) && (it.host != it.domain || out == nil) {
			out = append(out, it.host)
		}
		return out
	default:
		if l.takes(it.of) && l.takes(Host) {
			return []string{it.host}
		}
		if l.takes(it.of) {
			return []string{it.domain}
		}
	}
	return nil
}

// reversed returns an address as lists have it: its octets, or the hexadecimal
// digits of IPv6, from the end (RFC 5782 §2.1, §2.4).
func reversed(a netip.Addr) string {
	const hex = "0123456789abcdef"
	raw := a.AsSlice()
	b := make([]byte, 0, 64)
	for i := len(raw) - 1; i >= 0; i-- {
		if a.Is4() {
			b = strconv.AppendUint(b, uint64(raw[i]), 10)
			b = append(b, '.')
			continue
		}
		b = append(b, hex[raw[i]&15], '.', hex[raw[i]>>4], '.')
	}
	return strings.TrimSuffix(string(b), ".")
}

// ask puts all questions and returns their answers by list.
func (l *Lists) ask(ctx context.Context, s *set, questions []question) map[*list][]answer {
	if len(questions) == 0 {
		return nil
	}
	out := make(map[*list][]answer)
	for i, a := range l.askAll(ctx, s, questions) {
		li := questions[i].list
		out[li] = append(out[li], a)
	}
	return out
}

// atOnce bounds the questions of one message that are under way: one that asks
// more leaves room in the resolver for the others.
const atOnce = 64

// askAll puts all questions at once, as far as atOnce allows, and waits for
// their answers, or for the end of the time.
func (l *Lists) askAll(ctx context.Context, s *set, questions []question) []answer {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout.Std())
	defer cancel()
	answers := make([]answer, len(questions))
	if many, ok := l.dns.(manyAsker); ok {
		names := make([]string, len(questions))
		for i, q := range questions {
			names[i] = q.name
		}
		addrs, errs := many.LookupEach(ctx, names)
		for i, q := range questions {
			answers[i] = answer{q.about, addrs[i], errs[i]}
		}
		return answers
	}
	slots := make(chan struct{}, atOnce)
	var wg sync.WaitGroup
	for i, q := range questions {
		slots <- struct{}{} // each of them ends with ctx
		wg.Go(func() {
			defer func() { <-slots }()
			addrs, err := l.lookUp(ctx, q.name)
			answers[i] = answer{q.about, addrs, err}
		})
	}
	wg.Wait()
	return answers
}

var errPanic = errors.New("the look-up panicked")

// lookUp asks for name. It runs in goroutines with no session above them, so a
// panic is an answer that did not come.
func (l *Lists) lookUp(ctx context.Context, name string) (addrs []netip.Addr, err error) {
	defer func() {
		if v := recover(); v != nil {
			l.log.LogAttrs(ctx, slog.LevelError, "a question to a list panicked", slog.Any("err", v), slog.String("stack", string(debug.Stack())))
			addrs, err = nil, errPanic
		}
	}()
	return l.dns.LookupIP(ctx, "ip4", name)
}

// cut says that there was more to ask than may be.
func cut(left int) verdict.Line {
	return verdict.Line{Name: "LISTS_CUT", Group: group,
		Text: "The lists were not asked about all of the message.", Options: []string{strconv.Itoa(left) + " questions more than max_questions"}}
}
