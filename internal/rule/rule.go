package rule

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/vm"

	"github.com/gatepost/gatepost/internal/config"
	"github.com/gatepost/gatepost/internal/unit"
)

// Bounds of rules.
const (
	// MaxRules bounds the rules of one set.
	MaxRules = 500
	// MaxWhen bounds the bytes of one condition.
	MaxWhen = 4096
	// Budget is what one rule may spend on one evaluation. A unit is about 100
	// nanoseconds at worst.
	Budget = 50_000

	maxNodes  = 1000
	maxMemory = 100_000 // elements of lists that one evaluation makes
)

// Source is a rule as it is written.
type Source struct {
	// Name is told in errors and in Counts.
	Name string
	// When is the condition.
	When string
	// Mode is enforce unless set; what observe means is the consumer's business.
	Mode unit.Mode
}

// Env are the facts that rules see: a pointer to a struct that embeds Meter.
// Its exported fields with a tag `expr:"name"` are the facts, fields of a
// function type are functions.
type Env interface{ meter() *Meter }

// Options are what Compile needs besides.
type Options struct {
	// Maps answers in_map; nil: no map is known by now, and any name is taken.
	Maps Maps
	// Check says what is wrong with the constant first argument of a call of one
	// of the consumer's functions, such as a header's name; nil checks nothing.
	Check func(function, argument string) error
}

// Maps are the tables that in_map asks. They are safe for concurrent use.
type Maps interface {
	// Names returns the names of the maps.
	Names() []string
	// Has reports whether value is in the map of that name.
	Has(name, value string) bool
}

// pricer is what Maps may tell besides: what one Has costs with a value of that
// many bytes, in units of Budget, beyond what every call costs.
type pricer interface {
	Cost(name string, length int) int
}

// Set are compiled rules. It is safe for concurrent use.
type Set[E Env] struct {
	rules []compiled
	used  map[string]bool
	vms   sync.Pool
}

type compiled struct {
	Source
	program            *vm.Program
	direct             directBool // nil: program alone can run it
	asked, hit, failed *atomic.Int64
}

// Compile compiles sources. The error joins one *config.Fault for each that
// cannot be; its key is "[i].when", so that config.Under makes it whole.
func Compile[E Env](sources []Source, opt Options) (*Set[E], error) {
	c := newCompiler(reflect.TypeFor[E]().Elem(), opt)
	s := &Set[E]{used: map[string]bool{}}
	s.vms.New = func() any { return &vm.VM{MemoryBudget: maxMemory} }
	if len(sources) > MaxRules {
		return nil, config.Invalid("", "there are %d rules, and %d are the most", len(sources), MaxRules)
	}
	var errs []error
	for i, src := range sources {
		p, err := c.compile(src.When)
		if err == nil && src.Mode != unit.Off {
			for name := range c.seen {
				s.used[name] = true
			}
		}
		if err != nil {
			errs = append(errs, config.Invalid(fmt.Sprintf("[%d].when", i), "%v", err))
			continue
		}
		s.rules = append(s.rules, compiled{src, p, c.direct(p.Node()), new(atomic.Int64), new(atomic.Int64), new(atomic.Int64)})
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return s, nil
}

// Len returns the number of rules.
func (s *Set[E]) Len() int { return len(s.rules) }

// Source returns rule i as it was written.
func (s *Set[E]) Source(i int) Source { return s.rules[i].Source }

// Uses reports whether a rule that is not off looks at the fact of that name,
// so that a consumer need not make it for nobody.
func (s *Set[E]) Uses(name string) bool { return s.used[name] }

// Eval reports whether the condition of rule i is true of env, which no other
// goroutine may use meanwhile. A rule that is off is never true. An error says
// what went wrong on the way; it is then not true.
func (s *Set[E]) Eval(i int, env E) (bool, error) {
	r := &s.rules[i]
	if r.Mode == unit.Off {
		return false, nil
	}
	r.asked.Add(1)
	meter := env.meter()
	meter.fill()
	var hit bool
	var err error
	if r.direct != nil {
		hit, err = r.runDirect(env, meter)
	} else {
		hit, err = s.run(r, env)
	}
	if err != nil {
		r.failed.Add(1)
		return false, err
	}
	if hit {
		r.hit.Add(1)
	}
	return hit, nil
}

// run has the library's machine run a rule.
func (s *Set[E]) run(r *compiled, env E) (bool, error) {
	m := s.vms.Get().(*vm.VM)
	out, err := m.Run(r.program, env)
	s.vms.Put(m)
	if err != nil {
		return false, runError(err)
	}
	hit, _ := out.(bool)
	return hit, nil
}

// runDirect does the same without it, for a rule that has been found simple.
func (r *compiled) runDirect(env any, m *Meter) (bool, error) {
	hit := r.direct(reflect.ValueOf(env).Elem(), m)
	if m.left < 0 {
		return false, ErrBudget
	}
	return hit, nil
}

// Count is how often a rule was asked, was true, and failed, since Compile.
type Count struct {
	Name  string    `json:"name"`
	Mode  unit.Mode `json:"mode"`
	Asked int64     `json:"asked"`
	Hits  int64     `json:"hits"`
	// Failed counts evaluations that ended with an error.
	Failed int64 `json:"failed"`
}

// Counts returns the counts of all rules, in their order.
func (s *Set[E]) Counts() []Count {
	out := make([]Count, len(s.rules))
	for i := range s.rules {
		r := &s.rules[i]
		out[i] = Count{r.Name, r.Mode, r.asked.Load(), r.hit.Load(), r.failed.Load()}
	}
	return out
}

// compiler compiles rules over one type of facts.
type compiler struct {
	opt   Options
	env   any      // a pointer to a struct of the type
	names []string // the facts
	calls []string // facts that are functions
	// seen are the facts in the condition that was compiled last.
	seen map[string]bool
}

func newCompiler(t reflect.Type, opt Options) *compiler {
	c := &compiler{opt: opt, env: reflect.New(t).Interface()}
	for i := range t.NumField() {
		f := t.Field(i)
		name := f.Tag.Get("expr")
		switch {
		case !f.IsExported() || name == "" || name == "-":
		case f.Type.Kind() == reflect.Func:
			c.calls = append(c.calls, name)
		default:
			c.names = append(c.names, name)
		}
	}
	return c
}

// compile compiles one condition twice: as it stands, so that errors are about
// what the admin wrote, and then with its costs counted.
func (c *compiler) compile(when string) (*vm.Program, error) {
	if len(when) > MaxWhen {
		return nil, fmt.Errorf("the condition has %d bytes, and %d are the most", len(when), MaxWhen)
	}
	options := append(c.named(), expr.Env(c.env), expr.AsBool(), expr.WarnOnAny(), expr.MaxNodes(maxNodes), expr.DisableAllBuiltins())
	for _, name := range builtins {
		options = append(options, expr.EnableBuiltin(name))
	}
	if _, err := expr.Compile(when, append(slices.Clone(options), expr.Optimize(false))...); err != nil {
		return nil, c.compileError(when, err)
	}
	c.seen = map[string]bool{}
	g := &guard{compiler: c, when: when}
	p, err := expr.Compile(when, append(append(options, c.counted()...), expr.Patch(&lets{g}), expr.Patch(g))...)
	switch {
	case g.err != nil:
		return nil, g.err
	case err != nil:
		return nil, c.compileError(when, err)
	}
	return p, nil
}
