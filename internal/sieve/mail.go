package sieve

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/header"
	"github.com/gatepost/gatepost/internal/mailaddr"
)

// maxReceived is how many hosts a message may have passed before it is no
// longer sent on: a loop that lost our mark.
const maxReceived = 50

// redirectMark is the field that tells a mailbox its own redirected mail.
const (
	redirectMark     = "X-Sieve-Redirected-From"
	redirectMarkName = "x-sieve-redirected-from"
)

// Mail is one message to send for an action.
type Mail struct {
	// From is the envelope sender, "" for the null reverse-path; To are
	// recipients.
	From string
	To   []string
	Raw  []byte
	// Marks are to be remembered once the mail is queued.
	Marks []Mark
}

// Mails returns what is to be sent for a redirect, reject, vacation or notify.
// No mail with a reason says why there is none to send: the action is done
// then, and the reason is for the log. id makes Message-IDs: unique text with
// an "@", without brackets.
func (a *Action) Mails(ctx context.Context, env *Env, id string) (mails []Mail, reason string, err error) {
	switch a.Kind {
	case Redirect:
		return a.redirect(ctx, env)
	case Vacation:
		return a.answer(ctx, env, id)
	case Reject, Ereject:
		return a.refuse(env, id)
	case Notify:
		return a.notify(env, id)
	}
	return nil, "", nil
}

// self is the address that stands for the user.
func (e *Env) self() string {
	if e.User.Email != "" {
		return e.User.Email
	}
	return e.Envelope.To
}

// sender returns what r picks; with no rule it is otherwise.
func (e *Env) sender(r SenderRule, otherwise string) string {
	switch r.Kind {
	case "sender":
		return e.Envelope.From
	case "recipient":
		return e.Envelope.To
	case "orig_recipient":
		if e.Envelope.OrigTo != "" {
			return e.Envelope.OrigTo
		}
		return e.Envelope.To
	case "user_email":
		return e.self()
	case "postmaster":
		return e.postmaster()
	case "explicit":
		return r.Address
	}
	return otherwise
}

func (e *Env) postmaster() string {
	domain := "localhost"
	if a, err := mailaddr.ParsePath(e.self()); err == nil && a.Domain != "" {
		domain = a.Domain
	}
	return "postmaster@" + domain
}

// redirect sends the message on. A null sender stays null, so that a bounce of
// a bounce cannot be made. What ends a loop is looked for in the message as it
// came: a script may have edited it.
func (a *Action) redirect(ctx context.Context, env *Env) ([]Mail, string, error) {
	self := env.self()
	for _, v := range a.Message.came(redirectMark) {
		if sameAddress(v, self) || sameAddress(v, env.Envelope.To) {
			return nil, "it was redirected from this mailbox before", nil
		}
	}
	if n := len(a.Message.came("Received")); n > maxReceived {
		return nil, fmt.Sprintf("it passed %d hosts: more than %d are taken for a loop", n, maxReceived), nil
	}
	m := Mail{From: env.Envelope.From, To: []string{a.Address}}
	if m.From != "" {
		m.From = env.sender(env.Settings.RedirectFrom, m.From)
	}
	if id := a.Message.came("Message-ID"); len(id) > 0 {
		mark := Mark{ID: digest("redirect", strings.ToLower(a.Address), decodeValue(id[0])), For: 24 * time.Hour}
		if seen, err := env.seen(ctx, mark.ID); seen || err != nil {
			return nil, "the same message went to this address within a day", err
		}
		m.Marks = []Mark{mark}
	}
	out := a.Message
	if v, err := header.Fold(redirectMark, self); err == nil && self != "" {
		out = out.WithField(header.Field{Name: redirectMark, Value: v})
	}
	m.Raw = out.Bytes()
	return []Mail{m}, "", nil
}

func (e *Env) seen(ctx context.Context, id string) (bool, error) {
	if e.Memory == nil {
		return false, nil
	}
	return e.Memory.Seen(ctx, id)
}

// sameAddress compares as mailboxes are compared: without case.
func sameAddress(a, b string) bool {
	x, err := mailaddr.ParsePath(a)
	y, err2 := mailaddr.ParsePath(b)
	if err != nil || err2 != nil {
		return strings.EqualFold(a, b) && a != ""
	}
	return x.Folded() == y.Folded() && !x.IsNull()
}

// answer decides whether a vacation is answered (RFC 5230 §4.5, RFC 3834) and
// writes the answer.
func (a *Action) answer(ctx context.Context, env *Env, id string) ([]Mail, string, error) {
	v, msg := a.Vacation, a.Message
	own := env.own(v.Addresses)
	if reason := env.silent(msg, own); reason != "" {
		return nil, reason, nil
	}
	from := env.named(msg, own)
	if from == "" {
		if !env.Settings.Vacation.AnyRecipient {
			return nil, "it is to none of the user's addresses", nil
		}
		from = env.self()
	}
	mark := Mark{ID: digest("vacation", v.Handle, strings.ToLower(env.Envelope.From)), For: v.Period}
	if seen, err := env.seen(ctx, mark.ID); seen || err != nil {
		return nil, "the sender was answered within the period", err
	}
	m := Mail{To: []string{env.Envelope.From}, Marks: []Mark{mark}}
	if env.Settings.Vacation.SendFromRecipient {
		m.From = env.Envelope.To
	}
	if v.From != "" {
		from = v.From
	}
	var err error
	m.Raw, err = writeAnswer(env, msg, v, from, id)
	if err != nil {
		return nil, "", err
	}
	return []Mail{m}, "", nil
}

// own are the user's addresses for vacation.
func (e *Env) own(more []string) []string {
	own := []string{e.Envelope.To}
	if e.Settings.Vacation.OriginalRecipient {
		own = append(own, e.Envelope.OrigTo)
	}
	own = append(append(append(own, e.User.Email), e.User.Addresses...), more...)
	return slices.DeleteFunc(own, func(s string) bool { return s == "" })
}

// silent returns why no answer may go out, "" when it may.
func (e *Env) silent(msg *Message, own []string) string {
	sender := e.Envelope.From
	if e.NoAnswer != "" {
		return e.NoAnswer
	}
	addr, err := mailaddr.ParsePath(sender)
	if err != nil || addr.IsNull() || addr.Domain == "" {
		return "its sender is null or no address"
	}
	for _, o := range own {
		if sameAddress(sender, o) {
			return "it is from the user"
		}
	}
	if isSystemSender(strings.ToLower(addr.LocalPart)) {
		return "it is from a program"
	}
	for i := range msg.head.list {
		if reason := automatic(&msg.head.list[i]); reason != "" {
			return reason
		}
	}
	return ""
}

// isSystemSender knows the names of RFC 3834 §2 and RFC 5230 §4.5, and those
// that list managers use.
func isSystemSender(local string) bool {
	switch local {
	case "mailer-daemon", "listserv", "majordomo", "postmaster", "noreply", "no-reply", "donotreply", "do-not-reply":
		return true
	}
	return strings.HasPrefix(local, "owner-") || strings.HasSuffix(local, "-request") ||
		strings.HasSuffix(local, "-bounces") || strings.Contains(local, "-bounces+") ||
		strings.HasPrefix(local, "bounce-") || strings.HasPrefix(local, "bounces+")
}

// automatic returns what a field says about a message that no person sent to
// this user, "" for nothing.
func automatic(f *field) string {
	value := lowerASCII(f.value)
	word, _, _ := strings.Cut(value, ";")
	word = strings.TrimSpace(word)
	switch {
	case strings.HasPrefix(f.name, "list-"):
		return "it is from a mailing list"
	case f.name == "auto-submitted" && word != "no" && word != "":
		return "it was submitted automatically"
	case f.name == "precedence" && (word == "bulk" || word == "list" || word == "junk"):
		return "it is bulk mail"
	case f.name == "x-auto-response-suppress":
		for w := range strings.SplitSeq(value, ",") {
			if w = strings.TrimSpace(w); w == "all" || w == "oof" || w == "autoreply" {
				return "its sender wants no automatic answer"
			}
		}
	}
	return ""
}

// named returns the user's address that the message is to, "" for none.
func (e *Env) named(msg *Message, own []string) string {
	mine := make(map[mailaddr.Address]string, len(own))
	for _, o := range own {
		if a, err := mailaddr.ParsePath(o); err == nil && mine[a.Folded()] == "" {
			mine[a.Folded()] = o
		}
	}
	for _, b := range msg.mailboxes("to", "cc", "bcc", "resent-to", "resent-cc", "resent-bcc") {
		if o := mine[b.Addr.Folded()]; o != "" && !b.Addr.IsNull() {
			return o
		}
	}
	return ""
}

// maySend reports whether the user may be the author of what we write: under an
// address of the user's, with a detail or without.
func (e *Env) maySend(from string) bool {
	box, err := outAddress(from)
	if err != nil || !e.Settings.OwnFrom {
		return err == nil
	}
	base := box.Addr
	user, _, found := cutDetail(base.LocalPart, e.Settings.delimiter())
	if found {
		base.LocalPart = user
	}
	for _, o := range append([]string{e.self(), e.Envelope.To}, e.User.Addresses...) {
		if sameAddress(o, box.Addr.String()) || found && sameAddress(o, base.String()) {
			return true
		}
	}
	return false
}

// mailboxes returns those in the fields of the names, which are in lower case.
func (m *Message) mailboxes(names ...string) []mailaddr.Mailbox {
	var out []mailaddr.Mailbox
	for _, name := range names {
		for _, value := range m.head.raws(name) {
			boxes, _ := mailaddr.ParseMailboxes([]byte(value)) // what can be read of it
			out = append(out, boxes...)
		}
	}
	return out
}
