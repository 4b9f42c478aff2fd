package policyd

import (
	"cmp"
	"slices"
	"strings"
	"sync"

	"github.com/gatepost/gatepost/internal/unit"
)

// Hits is how often a rule, a limit, a right, a check or a deny entry decided.
type Hits struct {
	// Name is as the log and the journal have it.
	Name string `json:"name"`
	// Mode is that of a rule of the configuration; empty for all else.
	Mode unit.Mode `json:"mode,omitempty"`
	// Decided counts answers, Would what mode observe would have answered.
	Decided int64 `json:"decided"`
	Would   int64 `json:"would"`
	// Failed counts evaluations of a rule's expression that ended with an error.
	Failed int64 `json:"failed,omitempty"`
}

// maxHitNames bounds the names: there are as many deny entries as one likes.
const maxHitNames = 2000

// hitCounts counts verdicts by what led to them.
type hitCounts struct {
	mu    sync.Mutex // guards rules
	rules map[string]*Hits
}

// count takes in one verdict.
func (h *hitCounts) count(v *Verdict) {
	if v.Plain() {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if v.Rule != "" {
		h.of(v.Rule).Decided++
	}
	for _, w := range v.Would {
		h.of(w.Rule).Would++
	}
}

// of returns the counts of a rule; h.mu is held.
func (h *hitCounts) of(name string) *Hits {
	if h.rules == nil {
		h.rules = map[string]*Hits{}
	}
	if strings.HasPrefix(name, ruleDeny) && len(h.rules) >= maxHitNames && h.rules[name] == nil {
		name = ruleDeny + "(others)"
	}
	one := h.rules[name]
	if one == nil {
		one = &Hits{Name: strings.Clone(name)}
		h.rules[name] = one
	}
	return one
}

// all returns the counts by name.
func (h *hitCounts) all() map[string]Hits {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make(map[string]Hits, len(h.rules))
	for name, one := range h.rules {
		out[name] = *one
	}
	return out
}

// Hits returns what decided since the start: the rules of the configuration in
// their order, also those that never did, and then all else by name.
func (s *Server) Hits() []Hits {
	all := s.hits.all()
	snap := s.now.Load()
	var out []Hits
	for _, r := range snap.cfg.Rules {
		h := all["rule "+r.Name]
		h.Name, h.Mode = "rule "+r.Name, cmp.Or(r.Mode, unit.Enforce)
		h.Failed = snap.policy.failed(r.Name)
		out = append(out, h)
		delete(all, h.Name)
	}
	first := len(out)
	for _, h := range all {
		out = append(out, h)
	}
	slices.SortFunc(out[first:], func(a, b Hits) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// failed returns how often the expression of a rule failed.
func (p *Policy) failed(name string) int64 {
	for _, list := range p.rules {
		for i := range list {
			if r := &list[i]; r.name == name && r.set != nil {
				return r.set.Counts()[r.expr].Failed
			}
		}
	}
	return 0
}

// hinted adds a hint for the administrator to the name of a rule.
func hinted(rule, hint string) string {
	if hint == "" {
		return rule
	}
	return rule + " (" + hint + ")"
}
