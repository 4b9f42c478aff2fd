package scan

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/gatepost/gatepost/internal/rawmsg"
	adminrule "github.com/gatepost/gatepost/internal/rule"
	"github.com/gatepost/gatepost/internal/unit"
	"github.com/gatepost/gatepost/internal/verdict"
)

// Deps is what an Engine asks besides the message; each may be nil.
type Deps struct {
	// Maps answers in_map in the admin's rules.
	Maps adminrule.Maps
}

// Engine judges messages by one configuration. It is safe for concurrent use.
type Engine struct {
	cfg     Config
	set     []setting // of rules, one for each
	learned []setting // of learnedRules
	access  access
	levels  levels
	admin   *adminrule.Set[*env]
	before  map[string]State // the counts of the engine that it follows
}

// setting is what the configuration makes of a rule.
type setting struct {
	mode  unit.Mode
	score float64
	hits  *atomic.Int64
}

// New returns the Engine of cfg. What it reports is what Validate does, and the
// names of maps that deps does not have.
func New(cfg Config, deps Deps) (*Engine, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	set, err := compileAdmin(cfg, adminrule.Options{Maps: deps.Maps})
	if err != nil {
		return nil, err
	}
	e := &Engine{cfg: cfg, admin: set, levels: newLevels(cfg), access: newAccess(cfg)}
	for i := range rules {
		e.set = append(e.set, cfg.setting(&rules[i]))
	}
	for i := range learnedRules {
		e.learned = append(e.learned, cfg.setting(&learnedRules[i]))
	}
	for i := range accessRules {
		e.access.settings = append(e.access.settings, cfg.setting(&accessRules[i]))
	}
	return e, nil
}

func (c Config) setting(r *rule) setting {
	mode, score := c.of(r)
	return setting{mode, score, new(atomic.Int64)}
}

// Scan judges m by cfg, which has passed Validate. It makes an Engine for it:
// who judges more than a few messages by one configuration makes one himself.
func Scan(cfg Config, m Message, now time.Time) Result {
	e, err := New(cfg, Deps{})
	if err != nil {
		panic("scan: a configuration that Validate refuses: " + err.Error())
	}
	return e.Scan(m, now)
}

// Scan judges m. Equal arguments give equal results.
func (e *Engine) Scan(m Message, now time.Time) Result {
	if m.Direction == Local || m.Direction == Own {
		return Result{}
	}
	if m.Raw == nil {
		m.Raw = rawmsg.Scan(nil, rawmsg.Default())
	}
	f := newFacts(m, now)
	s := sum{res: Result{Partly: f.partly()}}
	e.builtin(f, &s)
	if l, ok := e.cfg.learned(m.Learned); ok {
		for i := range learnedRules {
			if learnedRules[i].Name == l.Name {
				e.learned[i].hits.Add(1)
			}
		}
		s.add(doubted(l, m.Auth))
	}
	for _, l := range m.Listed {
		s.add(l)
	}
	own := e.entries(f, &s)
	e.adminRules(f, &s)
	s.res.Score = verdict.Sum(s.res.Lines)
	rs := e.levels.of(m, own)
	decide(&s.res, s.named, rs, m.Direction, e.cfg.Greylist)
	s.res.Thresholds = e.levels.shown(rs, m.Direction)
	if s.res.ByRcpt != nil {
		s.res.Others = e.others(&s, own)
	}
	return s.res
}

// others returns the verdict for an address that is no recipient: nothing of a
// domain's or a mailbox's counts, and least of all what another one allows.
func (e *Engine) others(s *sum, own []float64) verdict.Verdict {
	score := s.res.Score
	if len(own) > 0 {
		score += own[len(own)-1]
	}
	return min(verdict.Mark, max(s.named.verdict, e.levels.server.byScore(Inbound, verdict.Round(score))))
}

// builtin adds the lines of the rules.
func (e *Engine) builtin(f *facts, s *sum) {
	for i := range rules {
		r, set := &rules[i], &e.set[i]
		if set.mode == unit.Off || r.inbound && f.Direction != Inbound {
			continue
		}
		o := r.match(f)
		if !o.hit {
			continue
		}
		set.hits.Add(1)
		l := verdict.Line{Name: r.Name, Group: r.Group, Score: set.score * o.times, Text: r.Text, Options: o.options}
		if set.mode == unit.Observe {
			l = observed(l)
		} else if r.verdict > s.named.verdict {
			s.named.verdict, s.named.reply = r.verdict, r.reply
		}
		s.add(l)
	}
}

// sum is a Result in the making.
type sum struct {
	res   Result
	named named
}

// add takes in one line, whose score it rounds.
func (s *sum) add(l verdict.Line) {
	s.res.Total += l.Score
	l.Score = verdict.Round(l.Score)
	s.res.Lines = append(s.res.Lines, l)
}

// tag takes in a word.
func (s *sum) tag(word string) {
	if word != "" && !slices.Contains(s.res.Tags, word) {
		s.res.Tags = append(s.res.Tags, word)
	}
}

// observed returns l without its score, which an option tells instead.
func observed(l verdict.Line) verdict.Line {
	l.Options = append([]string{"observed, would add " + points(verdict.Round(l.Score))}, l.Options...)
	l.Score = 0
	return l
}
