package sieve

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Kind is what an action does. Its text is Pigeonhole's word.
type Kind string

// The actions of a result.
const (
	Keep     Kind = "keep"
	FileInto Kind = "store"
	Redirect Kind = "redirect"
	Reject   Kind = "reject"
	Ereject  Kind = "ereject"
	Vacation Kind = "vacation"
	Notify   Kind = "notify"
	Discard  Kind = "discard"
)

// Action is one thing to do. Which fields count depends on Kind.
type Action struct {
	Kind Kind
	// Script and Pos tell which command asked for it.
	Script string
	Pos    Pos
	// Message is the message as it was at that command, with the edits so far.
	Message *Message

	// Mailbox is that of Keep and FileInto, UTF-8 as the script has it. Create
	// asks to make it if it does not exist. SpecialUse, when not "", names a use
	// whose mailbox is taken instead, where there is one (RFC 8579 §4).
	Mailbox    string
	Create     bool
	SpecialUse string
	// Flags are the IMAP flags and keywords to store with, in the case that
	// the script used; without repetition.
	Flags []string

	// Address is that of Redirect, normalized.
	Address string
	// Reason is the text of Reject and Ereject.
	Reason string

	Vacation *VacationAction
	Notify   *NotifyAction

	// Done is for the caller: it was carried out. Later scripts then cannot
	// conflict with it.
	Done bool
}

// String describes a for a trace.
func (a Action) String() string {
	switch a.Kind {
	case Keep, FileInto:
		s := fmt.Sprintf("%s into %q", a.Kind, a.Mailbox)
		if a.SpecialUse != "" {
			s += " or that of " + a.SpecialUse
		}
		if len(a.Flags) > 0 {
			s += " with flags " + strings.Join(a.Flags, " ")
		}
		return s
	case Redirect:
		return "redirect to <" + a.Address + ">"
	case Reject, Ereject:
		return fmt.Sprintf("%s: %q", a.Kind, cutText(a.Reason, 200))
	case Notify:
		return "notify " + formatMailboxes(slices.Concat(a.Notify.To, a.Notify.Cc))
	}
	return string(a.Kind)
}

// Mark is an identifier to remember for the user once everything was carried
// out (RFC 7352).
type Mark struct {
	ID  string
	For time.Duration
}

// Result is what scripts decided for one message.
type Result struct {
	// Actions are in the order of the script, without repetition.
	Actions []Action
	// ImplicitKeep says to keep the message in the default mailbox with
	// KeepFlags, because no action cancelled that.
	ImplicitKeep bool
	KeepFlags    []string
	// Marks are to be remembered.
	Marks []Mark
	// Warnings are for the user's log; Log holds what debug_log wrote.
	Warnings []string
	Log      []string

	message *Message // with all edits
	flags   []string // the internal variable of imap4flags
	setFlag bool     // a script has touched it
}

// Message returns the message with the edits of all scripts, for the implicit
// keep; nil when none ran.
func (r *Result) Message() *Message { return r.message }

// next returns a copy to add to.
func (r *Result) next() *Result {
	out := &Result{ImplicitKeep: true}
	if r != nil {
		*out = *r
		out.ImplicitKeep = true
		out.Actions = slices.Clone(r.Actions)
		out.Marks = slices.Clone(r.Marks)
	}
	return out
}

// RunAll runs scripts in turn, as an administrator's before, the user's own and
// after. Each but the first runs only when the one before leaves the message
// to be kept, by a keep or by doing nothing; that keep is then up to it. The
// result with an error is that of the scripts before the one that failed.
func RunAll(ctx context.Context, scripts []*Script, env *Env, msg *Message) (*Result, error) {
	var res *Result
	for i, s := range scripts {
		next, err := Run(ctx, s, env, msg, res)
		if err != nil {
			return res, err
		}
		res = next
		if !res.kept() {
			break
		}
		if i < len(scripts)-1 {
			res.leaveKeep()
		}
	}
	return res, nil
}

// leaveKeep makes a keep of a script one that the next script may cancel.
func (r *Result) leaveKeep() {
	r.Actions = slices.DeleteFunc(r.Actions, func(a Action) bool {
		if a.Kind != Keep || a.Done {
			return false
		}
		r.KeepFlags = a.Flags
		return true
	})
}

func (r *Result) kept() bool {
	return r.ImplicitKeep || slices.ContainsFunc(r.Actions, func(a Action) bool { return a.Kind == Keep })
}

// stores reports whether the action files the message.
func (a *Action) stores() bool { return a.Kind == Keep || a.Kind == FileInto }

// conflict tells whether two actions cannot stand in one result: a message that
// is refused is neither delivered nor answered (RFC 5429 §2.4).
func conflict(a, b *Action) bool {
	refuses := func(x *Action) bool { return x.Kind == Reject || x.Kind == Ereject }
	return refuses(a) != refuses(b) && a.Kind != Discard && b.Kind != Discard &&
		a.Kind != Notify && b.Kind != Notify || refuses(a) && refuses(b)
}

// sameMailbox compares names; INBOX is without case (RFC 3501 §5.1), as the
// first level too.
func sameMailbox(a, b string) bool { return canonicalMailbox(a) == canonicalMailbox(b) }

func canonicalMailbox(s string) string {
	const inbox = "INBOX"
	if len(s) >= len(inbox) && strings.EqualFold(s[:len(inbox)], inbox) &&
		(len(s) == len(inbox) || s[len(inbox)] == '.' || s[len(inbox)] == '/') {
		return inbox + s[len(inbox):]
	}
	return s
}

// add puts a into the result of m.
func (m *machine) add(a Action) error {
	a.Script, a.Pos, a.Message = m.script(), m.at, m.msg
	m.trace("action %s", a)
	for i := range m.res.Actions {
		old := &m.res.Actions[i]
		if m.merge(old, &a) {
			return nil
		}
		if !old.Done && conflict(old, &a) {
			return fmt.Errorf("%w: %s conflicts with the %s before it", ErrScript, a.Kind, old.Kind)
		}
	}
	return m.count(a)
}

// merge reports whether a repeats old, which takes over what a says anew.
func (m *machine) merge(old, a *Action) bool {
	switch {
	case old.stores() && a.stores() && sameMailbox(old.Mailbox, a.Mailbox) && strings.EqualFold(old.SpecialUse, a.SpecialUse):
		if a.Kind == Keep {
			old.Kind = Keep
		}
		if !old.Done {
			old.Flags, old.Create = a.Flags, old.Create || a.Create
		}
		return true
	case old.Kind != a.Kind:
		return old.Done && conflict(old, a) && a.Kind != Reject && a.Kind != Ereject
	case a.Kind == Redirect:
		return old.Address == a.Address
	case a.Kind == Reject, a.Kind == Ereject, a.Kind == Vacation:
		return old.Done
	case a.Kind == Discard:
		return true
	}
	return false
}

// count appends a inside the limits.
func (m *machine) count(a Action) error {
	lim := m.env.Limits
	n := 0
	for i := range m.res.Actions {
		if m.res.Actions[i].Kind == a.Kind {
			n++
		}
	}
	switch {
	case len(m.res.Actions) >= lim.Actions:
		return fmt.Errorf("%w: total number of actions exceeds policy limit of %d", ErrBudget, lim.Actions)
	case a.Kind == Redirect && n >= lim.Redirects:
		return fmt.Errorf("%w: number of redirect actions exceeds policy limit of %d", ErrBudget, lim.Redirects)
	case a.Kind == Notify && n >= lim.Notifications:
		return fmt.Errorf("%w: number of notify actions exceeds policy limit of %d", ErrBudget, lim.Notifications)
	case a.Kind == Vacation && n > 0:
		return fmt.Errorf("%w: there is a vacation before this one", ErrScript)
	}
	m.res.Actions = append(m.res.Actions, a)
	return nil
}

func (m *machine) script() string {
	if k := m.frame.prog.key; k.name != "" {
		return k.name
	}
	return m.unit.opts.Name
}

func (m *machine) trace(format string, args ...any) {
	if m.env.Trace != nil {
		m.env.Trace(Event{Script: m.script(), Pos: m.at, Text: fmt.Sprintf(format, args...)})
	}
}
