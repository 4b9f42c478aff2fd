package policyd

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gatepost/gatepost/internal/config"
	ruleexpr "github.com/gatepost/gatepost/internal/rule"
)

// compileRules compiles the expressions of list into sets, which share what it
// takes to run them, and reports what is wrong with rule i under at(i). With maps
// it is an error to name another.
func compileRules(list []*rule, maps ruleexpr.Maps, at func(i int) string) error {
	var errs []error
	var sources []ruleexpr.Source
	var of []int // the rules of sources
	build := func() {
		set, err := ruleexpr.Compile[*ruleEnv](sources, ruleexpr.Options{Maps: maps})
		errs = append(errs, placed(err, of, at))
		for n, i := range of {
			list[i].set, list[i].expr = set, n
		}
		sources, of = nil, nil
	}
	for i, r := range list {
		if strings.TrimSpace(r.when.Expr) == "" {
			continue
		}
		sources, of = append(sources, ruleexpr.Source{Name: r.name, When: r.when.Expr, Mode: r.mode}), append(of, i)
		if len(sources) == ruleexpr.MaxRules {
			build()
		}
	}
	if len(sources) > 0 {
		build()
	}
	return errors.Join(errs...)
}

// placed says of which rule each fault of a set is, whose sources are the rules
// of.
func placed(err error, of []int, at func(i int) string) error {
	var errs []error
	for _, e := range config.Faults(err) {
		var f *config.Fault
		var n int
		if !errors.As(e, &f) {
			errs = append(errs, e)
		} else if _, err := fmt.Sscanf(f.Key, "[%d]", &n); err != nil || n < 0 || n >= len(of) {
			errs = append(errs, e)
		} else {
			errs = append(errs, config.Under(at(of[n]), config.Invalid("when", "%s", f.Text)))
		}
	}
	return errors.Join(errs...)
}

// bind compiles the expressions of the rules anew with the maps that there are,
// and says which rule names another.
func (p *Policy) bind(maps ruleexpr.Maps) error {
	var all []*rule
	for _, list := range p.rules {
		for i := range list {
			all = append(all, &list[i])
		}
	}
	err := compileRules(all, maps, func(i int) string { return "rule " + all[i].name })
	p.use()
	return err
}

// ruleNeeds says what rules look at that costs something to find or to write.
type ruleNeeds struct{ client, server, place, domains, clock, date bool }

// use notes what the expressions of the rules look at.
func (p *Policy) use() {
	uses := func(names ...string) bool {
		for _, list := range p.rules {
			for i := range list {
				if s := list[i].set; s != nil && slices.ContainsFunc(names, s.Uses) {
					return true
				}
			}
		}
		return false
	}
	p.wants.senderLocal, p.wants.recipientLocal = uses("sender_local"), uses("recipient_local")
	p.needs = ruleNeeds{
		client: uses("client_address"), server: uses("server_address"), place: uses("country", "asn"),
		domains: uses("sender_domain", "recipient_domain", "account"),
		clock:   uses("hour", "minute", "weekday"), date: uses("time", "date"),
	}
}
