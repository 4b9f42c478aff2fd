package sieve

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gatepost/gatepost/internal/mailaddr"
)

// NotifyAction is a notification by mail (RFC 5435, RFC 5436).
type NotifyAction struct {
	// To and Cc are who gets it, each of the result once.
	To, Cc []mailaddr.Mailbox
	// From is that of the script, "" for none.
	From string
	// Importance is "1" (high), "2" or "3".
	Importance string
	// Message is the script's text; Subject and Body are those of the URI.
	Message, Subject, Body string
}

// NotifySettings are the administrator's for notify.
type NotifySettings struct {
	// EnvelopeFrom picks the sender of a notification.
	EnvelopeFrom SenderRule
}

// notifyDefs are those of RFC 5435.
func notifyDefs() []*def {
	return []*def{
		{name: "notify", ext: "enotify", min: 1, pos: []position{str("method")}, build: buildNotify, tags: [][]tagDef{{
			{name: "from", ext: "enotify", param: argString},
			{name: "importance", ext: "enotify", param: argString},
			{name: "options", ext: "enotify", param: argList},
			{name: "message", ext: "enotify", param: argString},
		}}},
		{name: "valid_notify_method", ext: "enotify", test: true, min: 1, pos: []position{list("notification URIs")}, build: buildValidMethod},
		{name: "notify_method_capability", ext: "enotify", test: true, min: 3, tags: [][]tagDef{matchTags}, build: buildCapability,
			pos: []position{str("notification URI"), str("capability"), list("key list")}},
	}
}

const notifyForbidden = "local policy prohibits the use of a notify action"

type notifyCommand struct {
	method, from, importance, text text
}

func buildNotify(c *compiler, cl *call) any {
	if c.opts.Limits.Notifications == 0 {
		c.faults.add(cl.n.at, notifyForbidden)
		return nil
	}
	n := &notifyCommand{method: c.text(cl.pos[0].text, cl.pos[0].at), importance: text{lit: "2"}}
	for name, to := range map[string]*text{"from": &n.from, "importance": &n.importance, "message": &n.text} {
		if a := cl.param(name); a != nil {
			*to = c.text(a.text, a.at)
		}
	}
	ok := true
	fault := func(err error) {
		if err != nil {
			c.faults.add(cl.n.at, "notify: %s", err)
			ok = false
		}
	}
	if n.method.constant() {
		_, err := parseMailto(n.method.lit)
		fault(err)
	}
	if cl.has("from") && n.from.constant() {
		_, err := outAddress(n.from.lit)
		fault(err)
	}
	if n.importance.constant() && !isImportance(n.importance.lit) {
		fault(fmt.Errorf("importance %s is not one of \"1\", \"2\", \"3\"", quoteShort(n.importance.lit)))
	}
	if a := cl.param("options"); a != nil {
		for _, o := range c.texts(a.strings(), a.at) {
			if o.constant() && !isNotifyOption(o.lit) {
				fault(fmt.Errorf("option %s is not of the form name=value", quoteShort(o.lit)))
			}
		}
	}
	if !ok {
		return nil
	}
	return n
}

func isImportance(s string) bool { return s == "1" || s == "2" || s == "3" }

// isNotifyOption follows RFC 5435 §3.5. None has a meaning for mail.
func isNotifyOption(s string) bool {
	name, value, ok := strings.Cut(s, "=")
	if !ok || name == "" || name[0] == '_' || !isAlpha(name[0]) && !isDigit(name[0]) {
		return false
	}
	for i := range len(name) {
		if !isAlpha(name[i]) && !isDigit(name[i]) && name[i] != '.' && name[i] != '-' {
			return false
		}
	}
	return !strings.ContainsAny(value, "\x00\r\n")
}

func (n *notifyCommand) exec(m *machine) error {
	if m.env.Limits.Notifications == 0 {
		return scriptError(notifyForbidden)
	}
	a, err := parseMailto(n.method.eval(m))
	if err != nil {
		return fmt.Errorf("%w: notify: %w", ErrScript, err)
	}
	if a.From = n.from.eval(m); a.From != "" {
		if _, err := outAddress(a.From); err != nil {
			return fmt.Errorf("%w: notify: %w", ErrScript, err)
		}
		if !m.env.maySend(a.From) {
			m.warn("notify: %s is no address of the user", quoteShort(a.From))
			a.From = ""
		}
	}
	if a.Importance = n.importance.eval(m); !isImportance(a.Importance) {
		a.Importance = "2"
	}
	a.Message = n.text.eval(m)
	m.dropNotified(a)
	return m.add(Action{Kind: Notify, Notify: a})
}

// dropNotified leaves out who is told already.
func (m *machine) dropNotified(a *NotifyAction) {
	told := map[mailaddr.Address]bool{}
	for _, old := range m.res.Actions {
		if old.Kind == Notify {
			for _, b := range slices.Concat(old.Notify.To, old.Notify.Cc) {
				told[b.Addr.Folded()] = true
			}
		}
	}
	once := func(b mailaddr.Mailbox) bool {
		key := b.Addr.Folded()
		twice := told[key]
		told[key] = true
		return twice
	}
	a.To = slices.DeleteFunc(a.To, once)
	a.Cc = slices.DeleteFunc(a.Cc, once)
}

// maxNotified bounds the recipients of one notification.
const maxNotified = 8

// parseMailto reads a URI of RFC 6068, its only scheme.
func parseMailto(uri string) (*NotifyAction, error) {
	scheme, rest, ok := strings.Cut(uri, ":")
	if !ok || !strings.EqualFold(scheme, "mailto") {
		return nil, fmt.Errorf("method %s is unknown: use a mailto URI", quoteShort(cutText(scheme, 40)))
	}
	to, query, _ := strings.Cut(rest, "?")
	a := &NotifyAction{}
	addrs, err := unescapeURI(to, "!$'*+,:@/")
	if err == nil {
		a.To, err = readRecipients(a.To, addrs)
	}
	if err != nil {
		return nil, err
	}
	for f := range strings.SplitSeq(query, "&") {
		if query == "" {
			break
		}
		if err := a.field(f); err != nil {
			return nil, err
		}
	}
	if n := len(a.To) + len(a.Cc); n == 0 || n > maxNotified {
		return nil, fmt.Errorf("mailto: has %d recipients: from 1 to %d are allowed", n, maxNotified)
	}
	return a, nil
}

// field takes one header field of the query in. Fields that would change whom
// the notification claims to be from are passed over (RFC 5436 §2.3).
func (a *NotifyAction) field(s string) error {
	name, value, _ := strings.Cut(s, "=")
	name, err := unescapeURI(name, "")
	if err != nil {
		return err
	}
	if value, err = unescapeURI(value, "!$'()*+,;:@/?"); err != nil {
		return err
	}
	if err := validHeaderName(name); err != nil {
		return err
	}
	switch lowerASCII(name) {
	case "to":
		a.To, err = readRecipients(a.To, value)
	case "cc", "bcc":
		a.Cc, err = readRecipients(a.Cc, value)
	case "subject":
		a.Subject = value
	case "body":
		a.Body = value
	}
	return err
}

func readRecipients(list []mailaddr.Mailbox, s string) ([]mailaddr.Mailbox, error) {
	if s == "" {
		return list, nil
	}
	boxes, err := mailaddr.ParseMailboxes([]byte(s))
	if err == nil && len(boxes) == 0 {
		err = mailaddr.ErrSyntax
	}
	for _, b := range boxes {
		if b.Addr.Domain == "" || strings.ContainsFunc(b.Addr.String(), func(r rune) bool { return r >= 0x80 }) {
			err = mailaddr.ErrSyntax
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s is no list of recipients: %w", quoteShort(s), err)
	}
	return append(list, boxes...), nil
}

// unescapeURI undoes percent escapes. Other characters are the unreserved ones
// and those of also.
func unescapeURI(s, also string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '%':
			if i+2 >= len(s) {
				return "", fmt.Errorf("escape in %s has no end", quoteShort(s))
			}
			out, ok := hexCharacters(s[i+1 : i+3])
			if !ok || len(out) != 1 || out == "\x00" {
				return "", fmt.Errorf("escape in %s is no hexadecimal number", quoteShort(s))
			}
			b.WriteString(out)
			i += 2
		case isAlpha(c), isDigit(c), strings.IndexByte("-.~", c) >= 0, strings.IndexByte(also, c) >= 0:
			b.WriteByte(c)
		default:
			return "", fmt.Errorf("character %q of %s may not stand in a URI", c, quoteShort(s))
		}
	}
	return b.String(), nil
}

type validMethod struct{ uris []text }

func buildValidMethod(c *compiler, cl *call) any {
	return &validMethod{c.texts(cl.pos[0].strings(), cl.pos[0].at)}
}

func (t *validMethod) eval(m *machine) (bool, error) {
	for _, u := range t.uris {
		if _, err := parseMailto(u.eval(m)); err != nil {
			return false, nil
		}
	}
	return true, nil
}

// buildCapability: of mail nobody knows whether its reader is online.
func buildCapability(c *compiler, cl *call) any {
	uri, name := c.text(cl.pos[0].text, cl.pos[0].at), c.text(cl.pos[1].text, cl.pos[1].at)
	return c.valueTest(cl, cl.pos[2], func(m *machine) []string {
		if _, err := parseMailto(uri.eval(m)); err != nil || !strings.EqualFold(name.eval(m), "online") {
			return nil
		}
		return []string{"maybe"}
	})
}
