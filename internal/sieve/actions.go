package sieve

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/gatepost/gatepost/internal/mailaddr"
)

// flagsTag is that of imap4flags on keep and fileinto (RFC 5232 §5).
var flagsTag = tagDef{name: "flags", ext: "imap4flags", param: argList}

// copyTag is that of RFC 3894.
var copyTag = tagDef{name: "copy", ext: "copy"}

// actionDefs are the actions of RFC 5228 §4, reject and ereject (RFC 5429).
func actionDefs() []*def {
	return []*def{
		{name: "keep", tags: [][]tagDef{{flagsTag}}, build: buildKeep},
		{name: "discard", build: func(*compiler, *call) any { return discardCommand{} }},
		{name: "fileinto", ext: "fileinto", min: 1, pos: []position{str("mailbox")}, build: buildFileInto,
			tags: [][]tagDef{{flagsTag, copyTag, {name: "create", ext: "mailbox"},
				{name: "specialuse", ext: "special-use", param: argString}}}},
		{name: "redirect", min: 1, pos: []position{str("address")}, tags: [][]tagDef{{copyTag}}, build: buildRedirect},
		{name: "reject", ext: "reject", min: 1, pos: []position{str("reason")}, build: buildReject(Reject)},
		{name: "ereject", ext: "ereject", min: 1, pos: []position{str("reason")}, build: buildReject(Ereject)},
	}
}

type keepCommand struct {
	flags []text
	given bool
}

func buildKeep(c *compiler, cl *call) any {
	k := &keepCommand{}
	k.flags, k.given = c.flags(cl)
	return k
}

func (k *keepCommand) exec(m *machine) error {
	m.res.ImplicitKeep = false
	return m.add(Action{Kind: Keep, Mailbox: m.env.Settings.mailbox(), Flags: m.storeFlags(k.flags, k.given)})
}

type discardCommand struct{}

func (discardCommand) exec(m *machine) error {
	m.res.ImplicitKeep = false
	return m.add(Action{Kind: Discard})
}

type fileInto struct {
	mailbox    text
	use        text
	flags      []text
	givenFlags bool
	copy       bool
	create     bool
}

func buildFileInto(c *compiler, cl *call) any {
	f := &fileInto{mailbox: c.text(cl.pos[0].text, cl.pos[0].at), copy: cl.has("copy"), create: cl.has("create")}
	if f.mailbox.constant() {
		if err := checkMailbox(f.mailbox.lit); err != nil {
			c.faults.add(cl.pos[0].at, "%s", err)
			return nil
		}
	}
	if a := cl.param("specialuse"); a != nil {
		f.use = c.text(a.text, a.at)
		if f.use.constant() && !isSpecialUse(f.use.lit) {
			c.faults.add(a.at, "%s is no special use: it is a backslash with a name", quoteShort(f.use.lit))
			return nil
		}
	}
	f.flags, f.givenFlags = c.flags(cl)
	return f
}

func (f *fileInto) exec(m *machine) error {
	mailbox := f.mailbox.eval(m)
	if err := checkMailbox(mailbox); err != nil {
		return fmt.Errorf("%w: %w", ErrScript, err)
	}
	use := f.use.eval(m)
	if use != "" && !isSpecialUse(use) {
		return fmt.Errorf("%w: %s is no special use", ErrScript, quoteShort(use))
	}
	if !f.copy {
		m.res.ImplicitKeep = false
	}
	return m.add(Action{Kind: FileInto, Mailbox: mailbox, SpecialUse: use, Create: f.create,
		Flags: m.storeFlags(f.flags, f.givenFlags)})
}

// checkMailbox refuses what no mailbox can be named. What a store makes of the
// name is the store's to say.
func checkMailbox(name string) error {
	if name == "" || len(name) > 1024 || !utf8.ValidString(name) || strings.ContainsFunc(name, isControl) {
		return fmt.Errorf("invalid folder name %s", quoteShort(name))
	}
	return nil
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// isSpecialUse reports whether s is an attribute of RFC 6154.
func isSpecialUse(s string) bool {
	if len(s) < 2 || s[0] != '\\' {
		return false
	}
	for i := 1; i < len(s); i++ {
		if s[i] <= ' ' || s[i] >= 0x7f || strings.IndexByte(`(){%*"\]`, s[i]) >= 0 {
			return false
		}
	}
	return true
}

type redirectCommand struct {
	to   text
	copy bool
}

func buildRedirect(c *compiler, cl *call) any {
	r := &redirectCommand{to: c.text(cl.pos[0].text, cl.pos[0].at), copy: cl.has("copy")}
	if r.to.constant() {
		if _, err := outAddress(r.to.lit); err != nil {
			c.faults.add(cl.pos[0].at, "redirect: %s", err)
			return nil
		}
	}
	return r
}

func (r *redirectCommand) exec(m *machine) error {
	box, err := outAddress(r.to.eval(m))
	if err != nil {
		return fmt.Errorf("%w: redirect: %w", ErrScript, err)
	}
	if !r.copy {
		m.res.ImplicitKeep = false
	}
	return m.add(Action{Kind: Redirect, Address: box.Addr.String()})
}

// outAddress reads one mailbox that mail is sent to or from: an address with a
// domain, maybe with a name. Blanks around its parts are taken, and dots where
// RFC 5321 has none, because providers gave such names away.
func outAddress(s string) (mailaddr.Mailbox, error) {
	bad := func() (mailaddr.Mailbox, error) {
		return mailaddr.Mailbox{}, fmt.Errorf("%s is not one mail address", quoteShort(s))
	}
	if len(s) > 2000 || strings.ContainsFunc(s, func(r rune) bool { return isControl(r) && r != '\t' }) {
		return bad()
	}
	name, spec := "", s
	if i := strings.LastIndexByte(s, '<'); i >= 0 {
		rest, closed := strings.CutSuffix(strings.TrimSpace(s[i+1:]), ">")
		if !closed {
			return bad()
		}
		name, spec = strings.TrimSpace(s[:i]), rest
	}
	local, domain, ok := cutLast(spec, '@')
	local, domain = strings.TrimSpace(local), strings.TrimSpace(domain)
	if !ok || local == "" || domain == "" || strings.ContainsFunc(spec, func(r rune) bool { return r >= 0x80 }) ||
		local[0] != '"' && strings.ContainsAny(local, " \t,;:<>()[]\\\"") || strings.ContainsAny(domain, " \t,") {
		return bad()
	}
	addr, err := mailaddr.Parse(local + "@" + domain)
	if err != nil {
		return bad()
	}
	return mailaddr.Mailbox{Name: unquoteName(name), Addr: addr}, nil
}

func cutLast(s string, c byte) (before, after string, found bool) {
	i := strings.LastIndexByte(s, c)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// unquoteName returns a display name without its quotes.
func unquoteName(s string) string {
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		s = strings.ReplaceAll(s[1:len(s)-1], `\"`, `"`)
	}
	return s
}

type rejectCommand struct {
	kind   Kind
	reason text
}

func buildReject(kind Kind) func(c *compiler, cl *call) any {
	return func(c *compiler, cl *call) any {
		return &rejectCommand{kind: kind, reason: c.text(cl.pos[0].text, cl.pos[0].at)}
	}
}

func (r *rejectCommand) exec(m *machine) error {
	m.res.ImplicitKeep = false
	return m.add(Action{Kind: r.kind, Reason: r.reason.eval(m)})
}
