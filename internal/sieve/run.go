package sieve

import (
	"context"
	"errors"
	"fmt"
)

// machine runs one script over one message.
type machine struct {
	ctx     context.Context
	env     *Env
	unit    *unit
	msg     *Message // with the edits so far
	orig    *Message
	res     *Result
	frame   *frame
	globals []string
	matched []string // ${0}, ${1} …
	ran     map[int]bool
	loops   []loop
	steps   int
	check   int // the step at which the context is asked again
	depth   int
	at      Pos
}

// frame is one script that runs.
type frame struct {
	prog   *program
	locals []string
}

func newMachine(ctx context.Context, s *Script, env *Env, msg *Message, res *Result) *machine {
	if env.Limits == (Limits{}) {
		e := *env
		e.Limits = DefaultLimits()
		env = &e
	}
	m := &machine{ctx: ctx, env: env, unit: s.unit, msg: msg, orig: msg, res: res,
		globals: make([]string, len(s.unit.globals)), ran: map[int]bool{}}
	m.enter(s.unit.progs[0])
	return m
}

func (m *machine) enter(p *program) {
	m.frame = &frame{prog: p, locals: make([]string, p.locals)}
}

// What questions to the caller's stores cost in steps: a few calls of the
// kernel, a look into a list, and a state that may be on another host.
const (
	diskSteps   = 500
	listSteps   = 200
	memorySteps = 20_000
)

// spend counts n steps.
func (m *machine) spend(n int) { m.steps += n }

// left returns how many steps there are.
func (m *machine) left() int { return m.env.Limits.Steps - m.steps }

// over returns an error when the budget is used up or the context has ended.
func (m *machine) over() error {
	if m.steps > m.env.Limits.Steps {
		return fmt.Errorf("%w: it takes more than %d steps", ErrBudget, m.env.Limits.Steps)
	}
	if m.steps >= m.check {
		m.check = m.steps + 1000
		return m.ctx.Err()
	}
	return nil
}

// run runs a list of commands.
func (m *machine) run(list []step) error {
	for i := range list {
		m.steps++
		m.at = list[i].at
		err := m.over()
		if err == nil {
			err = list[i].cmd.exec(m)
		}
		if err != nil {
			return m.place(err)
		}
	}
	return nil
}

// test asks one test.
func (m *machine) test(t test) (bool, error) {
	m.steps++
	if err := m.over(); err != nil {
		return false, err
	}
	p, ok := t.(*placed)
	if !ok {
		return t.eval(m)
	}
	m.at = p.at
	found, err := p.eval(m)
	if m.env.Trace != nil {
		m.at = p.at
		m.trace("test %s is %t", p.name, found)
	}
	return found, err
}

// RuntimeError is an error of a run with its place.
type RuntimeError struct {
	Script string
	Pos    Pos
	Err    error
}

// Error returns "script:line:column: text".
func (e *RuntimeError) Error() string {
	return (&Error{Script: e.Script, Pos: e.Pos, Text: e.Err.Error()}).Error()
}

// Unwrap returns the error without its place.
func (e *RuntimeError) Unwrap() error { return e.Err }

// place adds the place to an error that has none, and leaves alone what only
// ends a list of commands.
func (m *machine) place(err error) error {
	var done *RuntimeError
	var loop breakError
	if errors.Is(err, errStop) || errors.Is(err, errReturn) || errors.As(err, &loop) || errors.As(err, &done) {
		return err
	}
	return &RuntimeError{Script: m.script(), Pos: m.at, Err: err}
}

// warn tells the user something that does not end the script.
func (m *machine) warn(format string, args ...any) {
	if len(m.res.Warnings) < MaxErrors {
		e := Error{Script: m.script(), Pos: m.at, Text: fmt.Sprintf(format, args...)}
		m.res.Warnings = append(m.res.Warnings, e.Error())
	}
}

// Run runs s over msg and adds what it decides to a result: prev, which an
// earlier script for the same message left, or a new one when prev is nil. The
// result holds nothing that was done: the caller carries it out.
//
// With an error the script is to be taken as if it had not run: the caller
// keeps the message as it came and tells the user. ErrBudget, ErrScript and the
// context's error tell the cause. The result is then the one before.
func Run(ctx context.Context, s *Script, env *Env, msg *Message, prev *Result) (*Result, error) {
	res := prev.next()
	if res.message != nil {
		msg = res.message
	}
	m := newMachine(ctx, s, env, msg, res)
	err := m.run(s.unit.progs[0].body)
	if errors.Is(err, errStop) || errors.Is(err, errReturn) {
		err = nil
	}
	if err != nil {
		return prev, err
	}
	res.message = m.msg
	return res, nil
}
