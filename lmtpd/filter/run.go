package filter

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/maildir"
	"github.com/gatepost/gatepost/internal/outgoing"
	"github.com/gatepost/gatepost/internal/rawmsg"
	"github.com/gatepost/gatepost/internal/sieve"
)

// run is one message on its way through the scripts.
type run struct {
	filter *Filter
	cfg    *snapshot
	m      *Message
	p      *Plan
	home   home
	copies copies
	env    *sieve.Env
	proof  proof
	held   held
	// keepAsItCame says that the message is kept whatever else is done.
	keepAsItCame bool
	failures     []error
}

// fail notes an error for the user. The message is kept.
func (r *run) fail(err error) {
	r.keepAsItCame = true
	r.failures = append(r.failures, err)
	r.p.lines = append(r.p.lines, "error: "+err.Error())
	r.p.Notes = append(r.p.Notes, "failed: "+firstLine(err.Error()))
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// decide runs the scripts of c and plans their actions.
func (r *run) decide(ctx context.Context, c chain) {
	if c.failed != nil {
		var faults sieve.Errors
		if errors.As(c.failed, &faults) {
			for _, e := range faults {
				r.p.lines = append(r.p.lines, "error: "+e.Error())
			}
			r.p.Notes = append(r.p.Notes, "failed: the script does not compile")
		} else {
			r.p.lines = append(r.p.lines, "error: the script cannot be read: "+c.failed.Error())
			r.p.Notes = append(r.p.Notes, "failed: the script cannot be read")
			r.p.Err = errors.Join(r.p.Err, c.failed) // the disk, or somebody planted a link
		}
		r.keepAsItCame = true
	}
	if len(c.scripts) == 0 {
		r.keepAsItCame = true
		return
	}
	raw, release, err := r.filter.read(ctx, r.m, int64(r.cfg.MessageSizeLimit))
	if err != nil {
		r.fail(err)
		return
	}
	defer release()
	r.held = newHeld(len(raw))
	scanned := rawmsg.Scan(raw, rawmsg.Default())
	if r.m.Scanned {
		r.proof = decideProof(scanned.Fields, r.cfg.AuthservID, r.m.MailFrom)
	}
	if err := r.gather(ctx, c.requires("vacation") || c.requires("enotify")); err != nil {
		r.p.Err = errors.Join(r.p.Err, err)
	}
	res, err := sieve.RunAll(ctx, c.scripts, r.env, sieve.NewMessage(scanned))
	if err != nil {
		r.fail(err)
	}
	if res != nil {
		r.plan(ctx, res, err == nil)
	}
}

// gather makes the facts for a run.
func (r *run) gather(ctx context.Context, names bool) error {
	m, user := r.m, r.m.User.Addr
	var own []string
	var err error
	if names {
		own, err = r.filter.names.of(ctx, user, r.p.now)
	}
	r.env = &sieve.Env{
		Limits: limitsOf(&r.cfg.Config),
		Settings: sieve.Settings{
			RecipientDelimiter: r.cfg.RecipientDelimiter, DefaultMailbox: m.Folder.String(),
			// What delivery and the milter put there tells others the truth.
			NoAdd:    map[string]bool{"return-path": true, "delivered-to": true, "authentication-results": true},
			NoDelete: map[string]bool{"delivered-to": true, "authentication-results": true},
			OwnFrom:  true, // because we sign it
		},
		Envelope:  sieve.Envelope{From: m.MailFrom.String(), To: m.RcptTo.String()},
		User:      sieve.User{Name: user.String(), Email: user.String(), Addresses: own},
		Now:       r.p.now,
		Spam:      func(context.Context) sieve.Score { return decideScore(m, r.cfg.SpamScore) },
		NoAnswer:  decideNoAnswer(m, r.proof),
		Mailboxes: r.home,
		Memory:    r.memory(),
		Items: map[string]string{
			"host": r.cfg.Hostname, "domain": domainOf(r.cfg.Hostname),
			"vnd.dovecot.username": user.String(), "vnd.dovecot.default-mailbox": m.Folder.String(),
		},
	}
	if r.filter.deps.Lists != nil {
		r.env.Lists = r.filter.deps.Lists
	}
	return err
}

func domainOf(host string) string {
	_, domain, _ := strings.Cut(host, ".")
	return domain
}

func (r *run) memory() memory {
	return memory{store: r.filter.deps.State, user: r.m.User.Addr, source: r.m.Source.Key}
}

// plan turns a result into what is to be done. Keep says that the implicit keep
// of the result counts.
func (r *run) plan(ctx context.Context, res *sieve.Result, keep bool) {
	p := r.p
	p.marks = append(p.marks, res.Marks...)
	for _, w := range res.Warnings {
		p.lines = append(p.lines, "warning: "+w)
	}
	for _, l := range res.Log {
		p.lines = append(p.lines, "debug: "+l)
	}
	for i := range res.Actions {
		r.action(ctx, res, i)
	}
	if keep && res.ImplicitKeep {
		r.file(&sieve.Action{Kind: sieve.Keep, Message: res.Message(), Flags: res.KeepFlags})
	}
}

// action plans one action.
func (r *run) action(ctx context.Context, res *sieve.Result, i int) {
	a := &res.Actions[i]
	r.p.Notes = append(r.p.Notes, a.String())
	switch a.Kind {
	case sieve.Keep, sieve.FileInto:
		r.file(a)
	case sieve.Redirect:
		r.mails(ctx, a, i, outgoing.Redirect)
	case sieve.Vacation:
		r.mails(ctx, a, i, outgoing.Vacation)
	case sieve.Notify:
		r.mails(ctx, a, i, outgoing.Notice)
	case sieve.Reject, sieve.Ereject:
		r.refuse(ctx, a, i, len(res.Actions) > 1)
	}
}

func (r *run) refuse(ctx context.Context, a *sieve.Action, i int, others bool) {
	switch decideRefusal(a.Kind, r.m.Scanned && r.proof.sender, r.m.MailFrom.IsNull(), others || r.keepAsItCame) {
	case refuseReply:
		r.p.Refuse = refuseWith(a.Reason)
	case refuseNotice:
		r.mails(ctx, a, i, outgoing.Notice)
	default:
		r.p.Notes = append(r.p.Notes, "kept in Junk: the sender is not proved")
		r.copies.add(Copy{Folder: maildir.Junk, Create: true})
	}
}

// file plans a copy.
func (r *run) file(a *sieve.Action) {
	at := decidePlace(a, r.m.Folder, r.cfg.SpecialUse.folder(a.SpecialUse), r.cfg.Autocreate, r.home.has)
	if at.why != "" {
		r.p.lines = append(r.p.lines, "error: "+at.why+"; the message is in "+at.folder.String())
	}
	info, unknown := r.home.letters(at.folder, a.Flags)
	if len(unknown) > 0 {
		r.p.lines = append(r.p.lines, "warning: not known in "+at.folder.String()+": "+strings.Join(unknown, " "))
	}
	cp := Copy{Folder: at.folder, Create: at.folder != r.m.Folder || !r.m.NoCreate, Flags: info}
	if a.Message != nil && a.Message.Edited() {
		var err error
		if cp.Content, err = r.held.content(a.Message); err != nil {
			r.fail(err)
			return
		}
	}
	r.copies.add(cp)
}

// mails plans what is to be sent for an action. A mail that cannot be made
// leaves the message where it is.
func (r *run) mails(ctx context.Context, a *sieve.Action, i int, kind outgoing.Kind) {
	keeps := a.Kind == sieve.Redirect || a.Kind == sieve.Reject || a.Kind == sieve.Ereject
	list, reason, err := a.Mails(ctx, r.env, mailID(rand.Text()[:13], r.cfg.Hostname, r.p.now))
	if err != nil {
		r.p.Err = errors.Join(r.p.Err, err)
		reason = "a store is away"
	}
	if len(list) == 0 {
		r.p.undone = r.p.undone || keeps
		if reason != "" {
			r.p.Notes = append(r.p.Notes, fmt.Sprintf("%s not done: %s", a.Kind, reason))
		}
		return
	}
	for n, mail := range list {
		out, err := r.pending(ctx, mail, kind)
		if err != nil {
			r.p.undone = r.p.undone || keeps
			r.p.Notes = append(r.p.Notes, fmt.Sprintf("%s not done: %v", a.Kind, err))
			continue
		}
		out.what, out.keeps = a.String(), keeps
		out.id = fmt.Sprintf("%s.%d.%d.%s", a.Kind, i, n, strings.Join(mail.To, ","))
		r.p.mails = append(r.p.mails, out)
	}
}

// pending returns mail as the spool takes it.
func (r *run) pending(ctx context.Context, mail sieve.Mail, kind outgoing.Kind) (pending, error) {
	from, err := mailaddr.ParsePath(mail.From)
	if err != nil {
		return pending{}, fmt.Errorf("sender: %w", err)
	}
	out := pending{mail: outgoing.Mail{Kind: kind, MailFrom: from, Raw: mail.Raw}, marks: mail.Marks}
	for _, s := range mail.To {
		to, err := mailaddr.ParsePath(s)
		if err != nil || to.IsNull() || to.Domain == "" {
			return pending{}, fmt.Errorf("%q is not an address to send to", s)
		}
		out.mail.RcptTo = append(out.mail.RcptTo, to)
	}
	if kind == outgoing.Redirect {
		if out.mail.Raw, err = r.held.mail(without(mail.Raw, crlf(r.m.Top))); err != nil {
			return pending{}, err
		}
		out.mail.Proved = r.m.Scanned && !r.m.Marked && r.proof.sender
		out.mail.MailFrom, err = r.filter.leave(ctx, from, out.mail.RcptTo, r.p.now)
		if err != nil {
			return pending{}, err
		}
	}
	out.mail.MessageID, _ = rawmsg.Scan(out.mail.Raw, rawmsg.Default()).First("Message-Id")
	out.mail.MessageID = strings.TrimSpace(out.mail.MessageID)
	return out, nil
}
