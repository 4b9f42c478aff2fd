package lists

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sort"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/unit"
	"github.com/gatepost/gatepost/internal/verdict"
)

// Status is what is known of one list.
type Status struct {
	Name   string `json:"name"`
	Preset string `json:"preset,omitempty"`
	// Zone has "{key}" where the key is.
	Zone string    `json:"zone"`
	Of   []Of      `json:"of"`
	Mode unit.Mode `json:"mode"`
	// State is untested, on, resting or off, Why the reason, Since when, and
	// Next the time of the next test.
	State Phase     `json:"state"`
	Why   string    `json:"why,omitempty"`
	Since time.Time `json:"since"`
	Next  time.Time `json:"next,omitzero"`
	// Asked, Listed and Unanswered count questions since the start.
	Asked      uint64 `json:"asked"`
	Listed     uint64 `json:"listed"`
	Unanswered uint64 `json:"unanswered"`
	// MaxScore is what it counts at most, 0 for a list that may reject.
	MaxScore float64 `json:"max_score,omitempty"`
	// By, Free and Terms are who runs it, who may ask, and where that is written.
	By    string `json:"by,omitempty"`
	Free  string `json:"free,omitempty"`
	Terms string `json:"terms,omitempty"`
}

// Status returns what is known of all lists that are not off by configuration.
func (l *Lists) Status() []Status {
	out := []Status{}
	for _, li := range l.set.Load().lists {
		st := Status{
			Name: li.Name, Preset: li.Preset, Zone: li.Zone, Of: li.Of, Mode: li.Mode,
			Asked: li.asks.Load(), Listed: li.listings.Load(), Unanswered: li.silent.Load(),
			By: li.terms.by, Free: li.terms.free, Terms: li.terms.url,
		}
		if !li.MayReject {
			st.MaxScore = li.cap
		}
		li.mu.Lock()
		st.State, st.Why, st.Since, st.Next = li.phase, li.why, li.since, li.next
		li.mu.Unlock()
		out = append(out, st)
	}
	return out
}

// Totals returns how many questions were asked since the start, how many of
// them had a listing as their answer, and how many none. Lists that a new
// configuration took away are not in it.
func (l *Lists) Totals() (asked, listed, unanswered uint64) {
	for _, li := range l.set.Load().lists {
		asked, listed, unanswered = asked+li.asks.Load(), listed+li.listings.Load(), unanswered+li.silent.Load()
	}
	return asked, listed, unanswered
}

// Checked is what one list says of one thing.
type Checked struct {
	List string `json:"list"`
	// Question is the name that was asked for, with "{key}" for the key.
	Question string   `json:"question"`
	Listed   bool     `json:"listed"`
	Answers  []string `json:"answers"`
	// Lines are what a message gets for it.
	Lines []verdict.Line `json:"lines"`
	// Problem is why there is no answer, or none that counts.
	Problem string `json:"problem,omitempty"`
}

// ErrNotAsked is about something that no list is asked about.
var ErrNotAsked = errors.New("no list of the configuration is asked about it")

// Check asks all lists, also those that are off, about an address, a domain or
// an e-mail address, in every role that it can have in a message. Nothing of
// their state changes.
func (l *Lists) Check(ctx context.Context, what string) ([]Checked, error) {
	s := l.set.Load()
	items, err := s.itemsOf(what)
	if err != nil {
		return nil, err
	}
	byName := map[string]question{}
	for _, it := range items {
		for _, li := range s.lists {
			for _, label := range li.labels(it) {
				name := label + "." + li.zone()
				byName[li.Name+" "+name] = question{li, name, it.about(label)}
			}
		}
	}
	if len(byName) == 0 {
		return nil, ErrNotAsked
	}
	var questions []question
	for _, q := range byName {
		questions = append(questions, q)
	}
	sort.Slice(questions, func(i, j int) bool {
		a, b := questions[i], questions[j]
		return a.list.Name < b.list.Name || a.list.Name == b.list.Name && a.name < b.name
	})
	var out []Checked
	for i, a := range l.askAll(ctx, s, questions) {
		out = append(out, questions[i].checked(a))
	}
	return out, nil
}

func (q question) checked(a answer) Checked {
	c := Checked{List: q.list.Name, Question: q.list.masked(q.name), Answers: []string{}, Lines: []verdict.Line{}}
	if a.err != nil {
		c.Problem = q.list.masked(a.err.Error())
		return c
	}
	for _, addr := range a.addrs {
		c.Answers = append(c.Answers, addr.String())
	}
	lines, sum := judge(&q.list.List, q.list.cap, []answer{a})
	c.Problem, c.Listed = sum.refused, sum.refused == "" && sum.listed > 0
	c.Lines = append(c.Lines, lines...)
	return c
}

// itemsOf reads what a person wants to know about.
func (s *set) itemsOf(what string) ([]item, error) {
	if a, err := netip.ParseAddr(what); err == nil {
		a = a.Unmap().WithZone("")
		return []item{{of: Client, addr: a}, {of: URIAddr, addr: a}}, nil
	}
	c := collector{set: &set{cfg: s.cfg}, seen: map[thing]bool{}}
	if strings.IndexByte(what, '@') >= 0 {
		a, err := mailaddr.Parse(what)
		if err != nil {
			return nil, fmt.Errorf("%q is no e-mail address", what)
		}
		c.email(a)
		c.name(Sender, a.Domain)
		return c.out, nil
	}
	for _, of := range []Of{URI, Sender, Helo, PTR} {
		c.name(of, what)
	}
	if len(c.out) == 0 {
		return nil, fmt.Errorf("%q is no address, domain or e-mail address", what)
	}
	return c.out, nil
}
