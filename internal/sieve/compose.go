package sieve

import (
	"bytes"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"strings"
	"unicode/utf8"

	"github.com/gatepost/gatepost/internal/ascii"
	"github.com/gatepost/gatepost/internal/header"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/rawmsg"
)

// maxSubject bounds a subject that we write, in characters.
const maxSubject = 256

// maxReferences bounds References, in bytes: the oldest go first.
const maxReferences = 4000

// letter is a message that we write.
type letter struct {
	buf bytes.Buffer
	err error
}

// field writes a header field; text of users is encoded, never trusted.
func (l *letter) field(name, value string) {
	folded, err := header.Fold(name, value)
	if err != nil {
		if l.err == nil {
			l.err = fmt.Errorf("write a message: %w", err)
		}
		return
	}
	l.buf.WriteString(name + ": " + strings.ReplaceAll(folded, "\n", "\r\n") + "\r\n")
}

// begin writes the fields that all messages have.
func (l *letter) begin(env *Env, id string) {
	l.field("X-Sieve", "Gatepost")
	l.field("Message-ID", "<"+id+">")
	l.field("Date", env.Now.Format("Mon, 02 Jan 2006 15:04:05 -0700"))
}

// text writes the body as text/plain with CRLF line ends.
func (l *letter) text(s string) {
	s = strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
	s = strings.ReplaceAll(strings.TrimSuffix(s, "\n"), "\n", "\r\n") + "\r\n"
	l.field("MIME-Version", "1.0")
	l.field("Content-Type", "text/plain; charset=utf-8")
	if ascii.Only(s) && !hasLongLine(s) {
		l.field("Content-Transfer-Encoding", "7bit")
		l.buf.WriteString("\r\n" + s)
		return
	}
	l.field("Content-Transfer-Encoding", "quoted-printable")
	l.buf.WriteString("\r\n")
	w := quotedprintable.NewWriter(&l.buf)
	if _, err := w.Write([]byte(s)); err != nil && l.err == nil {
		l.err = err
	}
	if err := w.Close(); err != nil && l.err == nil {
		l.err = err
	}
}

// entity writes a MIME entity with the fields of its content; others that a
// script has there would make it somebody else's message.
func (l *letter) entity(s string) {
	m := rawmsg.Scan([]byte(s), rawmsg.Default())
	for i := range m.Fields {
		if strings.HasPrefix(lowerASCII(m.Fields[i].Name), "content-") {
			l.buf.WriteString(strings.TrimRight(string(m.Fields[i].Raw), "\r\n") + "\r\n")
		}
	}
	l.buf.WriteString("\r\n" + strings.TrimSuffix(s[m.HeaderEnd:], "\r\n") + "\r\n")
}

func hasLongLine(s string) bool {
	for line := range strings.Lines(s) {
		if len(line) > 900 {
			return true
		}
	}
	return false
}

func (l *letter) bytes() ([]byte, error) { return l.buf.Bytes(), l.err }

// encodeText returns unstructured text for a header field (RFC 2047).
func encodeText(s string) string {
	if ascii.Only(s) {
		return strings.Map(func(r rune) rune {
			if isControl(r) && r != '\t' {
				return ' '
			}
			return r
		}, s)
	}
	return mime.BEncoding.Encode("utf-8", strings.ToValidUTF8(s, "\ufffd"))
}

// formatMailbox writes a mailbox; the name is text.
func formatMailbox(b mailaddr.Mailbox) string {
	name := header.DecodeText(b.Name)
	switch {
	case name == "":
		return b.Addr.String()
	case ascii.Only(name):
		name = strings.Map(func(r rune) rune {
			if isControl(r) {
				return ' '
			}
			return r
		}, name)
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `" ` + b.Addr.Path()
	}
	return mime.QEncoding.Encode("utf-8", name) + " " + b.Addr.Path()
}

func formatMailboxes(list []mailaddr.Mailbox) string {
	out := make([]string, len(list))
	for i, b := range list {
		out[i] = formatMailbox(b)
	}
	return strings.Join(out, ", ")
}

// shorten cuts s to the size of a subject, with an ellipsis.
func shorten(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if utf8.RuneCountInString(s) <= maxSubject {
		return s
	}
	return string([]rune(s)[:maxSubject-1]) + "…"
}

// writeAnswer writes the answer of a vacation.
func writeAnswer(env *Env, msg *Message, v *VacationAction, from, id string) ([]byte, error) {
	var l letter
	l.begin(env, id)
	box, err := outAddress(from)
	if err != nil {
		box = mailaddr.Mailbox{}
		if box.Addr, err = mailaddr.ParsePath(from); err != nil {
			return nil, fmt.Errorf("answer from %s: %w", quoteShort(from), err)
		}
	}
	l.field("From", formatMailbox(box))
	l.field("To", env.answerTo(msg))
	l.field("Subject", encodeText(shorten(env.Settings.Vacation.subject(msg, v.Subject))))
	if ids := msg.head.raws("message-id"); len(ids) > 0 && ascii.Only(ids[0]) {
		l.field("In-Reply-To", cutText(ids[0], 900))
		l.field("References", references(msg, ids[0]))
	}
	l.field("Auto-Submitted", "auto-replied (vacation)")
	l.field("Precedence", "bulk")
	l.field("X-Auto-Response-Suppress", "All")
	if v.MIME {
		l.field("MIME-Version", "1.0")
		l.entity(v.Reason)
		return l.bytes()
	}
	l.text(v.Reason)
	return l.bytes()
}

// subject returns that of an answer.
func (v *VacationSettings) subject(msg *Message, asked string) string {
	if asked != "" {
		return header.DecodeText(asked)
	}
	have := msg.Header("Subject")
	if len(have) == 0 || strings.TrimSpace(have[0]) == "" {
		if v.DefaultSubject != "" {
			return v.DefaultSubject
		}
		return "Automated reply"
	}
	template := v.SubjectTemplate
	if template == "" {
		template = "Auto: %{subject}"
	}
	return strings.ReplaceAll(template, "%{subject}", have[0])
}

// answerTo returns who the answer is to, as the message writes it: the field
// with the envelope sender's address, else that address alone.
func (e *Env) answerTo(msg *Message) string {
	for _, b := range msg.mailboxes("sender", "resent-from", "from") {
		if e.Settings.Vacation.IgnoreSender || sameAddress(b.Addr.String(), e.Envelope.From) {
			return formatMailbox(b)
		}
	}
	return "<" + e.Envelope.From + ">"
}

// references returns the thread so far and the message itself.
func references(msg *Message, id string) string {
	var ids []string
	for _, v := range msg.head.raws("references") {
		ids = append(ids, strings.Fields(v)...)
	}
	if ids == nil {
		for _, v := range msg.head.raws("in-reply-to") {
			ids = append(ids, strings.Fields(v)...)
		}
	}
	ids = append(ids, strings.Fields(id)...)
	size, from := 0, len(ids)
	for from > 0 && size+len(ids[from-1]) < maxReferences {
		from--
		size += len(ids[from]) + 1
		if !ascii.Only(ids[from]) || len(ids[from]) > 900 {
			ids[from] = ""
		}
	}
	return strings.Join(strings.Fields(strings.Join(ids[from:], " ")), " ")
}

// refuse writes the notice of a reject for a sender that can be told by mail
// only (RFC 5429 §2.1.2). It is nothing for ereject's SMTP answer.
func (a *Action) refuse(env *Env, id string) ([]Mail, string, error) {
	if env.Envelope.From == "" {
		return nil, "its sender is null", nil
	}
	var l letter
	l.begin(env, id)
	l.field("From", formatMailbox(mailaddr.Mailbox{Name: "Postmaster", Addr: parsed(env.postmaster())}))
	l.field("To", "<"+env.Envelope.From+">")
	l.field("Subject", encodeText("Rejected: "+shorten(strings.Join(a.Message.Header("Subject"), " "))))
	if ids := a.Message.head.raws("message-id"); len(ids) > 0 && ascii.Only(ids[0]) {
		l.field("In-Reply-To", cutText(ids[0], 900))
	}
	l.field("Auto-Submitted", "auto-replied (rejected)")
	l.text("Your message to <" + env.Envelope.To + "> was refused by the recipient's mail filter:\n\n" + a.Reason + "\n")
	raw, err := l.bytes()
	if err != nil {
		return nil, "", err
	}
	return []Mail{{To: []string{env.Envelope.From}, Raw: raw}}, "", nil
}

func parsed(s string) mailaddr.Address {
	a, _ := mailaddr.ParsePath(s)
	return a
}

var importances = map[string][2]string{"1": {"1 (High)", "high"}, "2": {"3 (Normal)", "normal"}, "3": {"5 (Low)", "low"}}

// notify writes a notification, one copy for each recipient.
func (a *Action) notify(env *Env, id string) ([]Mail, string, error) {
	n := a.Notify
	for i := range a.Message.head.list {
		if f := &a.Message.head.list[i]; f.name == "auto-submitted" && automatic(f) != "" {
			return nil, "it was submitted automatically", nil
		}
	}
	if len(n.To)+len(n.Cc) == 0 {
		return nil, "all its recipients are told already", nil
	}
	sender := env.postmaster()
	if n.From != "" {
		box, err := outAddress(n.From)
		if err != nil {
			return nil, "", err
		}
		sender = box.Addr.String()
	}
	envelope := env.sender(env.Settings.Notify.EnvelopeFrom, sender)
	if env.Envelope.From == "" {
		envelope = ""
	}
	raw, err := writeNotification(env, a, id)
	if err != nil {
		return nil, "", err
	}
	var mails []Mail
	for _, b := range append(append([]mailaddr.Mailbox(nil), n.To...), n.Cc...) {
		mails = append(mails, Mail{From: envelope, To: []string{b.Addr.String()}, Raw: raw})
	}
	return mails, "", nil
}

func writeNotification(env *Env, a *Action, id string) ([]byte, error) {
	n := a.Notify
	var l letter
	l.begin(env, id)
	from := mailaddr.Mailbox{Addr: parsed(env.postmaster())}
	if n.From != "" {
		if box, err := outAddress(n.From); err == nil {
			from = box
		}
	}
	l.field("From", formatMailbox(from))
	if len(n.To) > 0 {
		l.field("To", formatMailboxes(n.To))
	}
	if len(n.Cc) > 0 {
		l.field("Cc", formatMailboxes(n.Cc))
	}
	subject := n.Message
	if subject == "" {
		subject = n.Subject
	}
	if subject == "" {
		subject = "[SIEVE] New mail notification"
	}
	l.field("Subject", encodeText(shorten(subject)))
	imp := importances[n.Importance]
	l.field("X-Priority", imp[0])
	l.field("Importance", imp[1])
	l.field("Auto-Submitted", `auto-notified; owner-email="`+strings.NewReplacer(`"`, "", `\`, "").Replace(env.self())+`"`)
	l.field("Precedence", "bulk")
	body := n.Body
	if body == "" {
		body = n.Message
	}
	if body == "" {
		body = "A message arrived that the mail filter was told to announce."
	}
	l.text(body)
	return l.bytes()
}
