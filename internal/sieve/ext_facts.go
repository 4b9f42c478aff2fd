package sieve

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// extensionDefs are the tests and commands of extensions that have no file of
// their own, and of those that have.
func extensionDefs() []*def {
	value := tagDef{name: "percent", ext: "spamtestplus"}
	defs := []*def{
		{name: "set", ext: "variables", min: 2, pos: []position{str("variable name"), str("value")}, tags: [][]tagDef{modifiers}, build: buildSet},
		{name: "string", ext: "variables", test: true, min: 2, pos: []position{list("source"), list("key list")},
			tags: [][]tagDef{matchTags}, build: buildStringTest},
		{name: "environment", ext: "environment", test: true, min: 2, pos: []position{str("item name"), list("key list")},
			tags: [][]tagDef{matchTags}, build: buildEnvironment},
		{name: "mailboxexists", ext: "mailbox", test: true, min: 1, pos: []position{list("mailbox names")}, build: buildMailboxExists},
		{name: "specialuse_exists", ext: "special-use", test: true, min: 1, build: buildSpecialUse,
			pos: []position{str("mailbox"), list("special-use flags")}},
		{name: "spamtest", ext: "spamtest", test: true, min: 1, pos: []position{str("value")}, tags: [][]tagDef{matchTags, {value}}, build: buildSpam},
		{name: "virustest", ext: "virustest", test: true, min: 1, pos: []position{str("value")}, tags: [][]tagDef{matchTags}, build: buildVirus},
		{name: "valid_ext_list", ext: "extlists", test: true, min: 1, pos: []position{list("list names")}, build: buildValidList},
		{name: "debug_log", ext: "vnd.dovecot.debug", min: 1, pos: []position{str("message")}, build: buildDebug},
		{name: "duplicate", ext: "duplicate", test: true, build: buildDuplicate, tags: [][]tagDef{{
			{name: "handle", ext: "duplicate", param: argString},
			{name: "header", ext: "duplicate", group: "unique id", param: argString},
			{name: "uniqueid", ext: "duplicate", group: "unique id", param: argString},
			{name: "seconds", ext: "duplicate", param: argNumber},
			{name: "last", ext: "duplicate"}}}},
	}
	for _, more := range [][]*def{flagDefs(), bodyDefs(), dateDefs(), mimeDefs(), includeDefs(), vacationDefs(), notifyDefs()} {
		defs = append(defs, more...)
	}
	return defs
}

// valueTest matches values that a function gives.
type valueTest struct {
	match  *match
	values func(m *machine) []string
}

// eval is false for what does not exist, :count included.
func (t *valueTest) eval(m *machine) (bool, error) {
	vs := t.values(m)
	if len(vs) == 0 {
		return false, nil
	}
	return t.match.each(m, vs)
}

func (c *compiler) valueTest(cl *call, keys *arg, values func(m *machine) []string) any {
	mt := c.match(cl, keys)
	if mt == nil {
		return nil
	}
	return &valueTest{match: mt, values: values}
}

func buildEnvironment(c *compiler, cl *call) any {
	name := c.text(cl.pos[0].text, cl.pos[0].at)
	return c.valueTest(cl, cl.pos[1], func(m *machine) []string {
		if s, ok := m.environment(name.eval(m)); ok {
			return []string{s}
		}
		return nil
	})
}

// environment returns an item of RFC 5183 §4.1, or of vnd.dovecot.environment.
// The name of the software is Pigeonhole's: scripts ask it to learn what they
// may do.
func (m *machine) environment(name string) (string, bool) {
	name = lowerASCII(name)
	if own, ok := strings.CutPrefix(name, "vnd.dovecot."); ok {
		return m.dovecotItem(own, name)
	}
	switch name {
	case "name":
		return "Pigeonhole Sieve", true
	case "version":
		return "1.0", true
	case "location":
		return "MS", true
	case "phase":
		return "during", true
	}
	s, ok := m.env.Items[name]
	return s, ok
}

func (m *machine) dovecotItem(own, name string) (string, bool) {
	switch own {
	case "default-mailbox", "default_mailbox":
		return m.env.Settings.mailbox(), true
	case "username":
		return m.env.User.Name, true
	}
	s, ok := m.env.Items[name]
	return s, ok
}

type mailboxExists struct{ names []text }

func buildMailboxExists(c *compiler, cl *call) any {
	return &mailboxExists{c.texts(cl.pos[0].strings(), cl.pos[0].at)}
}

func (t *mailboxExists) eval(m *machine) (bool, error) {
	for _, n := range t.names {
		name := n.eval(m)
		m.spend(diskSteps)
		if !utf8.ValidString(name) || m.env.Mailboxes == nil || !m.env.Mailboxes.Exists(m.ctx, name) {
			return false, m.over()
		}
	}
	return true, m.over()
}

type specialUse struct {
	mailbox text
	uses    []text
}

func buildSpecialUse(c *compiler, cl *call) any {
	t := &specialUse{uses: c.texts(cl.pos[1].strings(), cl.pos[1].at)}
	if cl.pos[0] != nil {
		t.mailbox = c.text(cl.pos[0].text, cl.pos[0].at)
	}
	for _, u := range t.uses {
		if u.constant() && !isSpecialUse(u.lit) {
			c.faults.add(cl.pos[1].at, "%s is no special use: it is a backslash with a name", quoteShort(u.lit))
			return nil
		}
	}
	return t
}

func (t *specialUse) eval(m *machine) (bool, error) {
	mailbox := t.mailbox.eval(m)
	if !utf8.ValidString(mailbox) || m.env.Mailboxes == nil {
		return false, nil
	}
	for _, u := range t.uses {
		m.spend(diskSteps)
		if !m.env.Mailboxes.SpecialUse(m.ctx, mailbox, u.eval(m)) {
			return false, m.over()
		}
	}
	return true, m.over()
}

func buildSpam(c *compiler, cl *call) any {
	percent := cl.has("percent")
	return c.valueTest(cl, cl.pos[0], func(m *machine) []string {
		var s Score
		if m.env.Spam != nil {
			s = m.env.Spam(m.ctx)
		}
		return []string{strconv.Itoa(s.value(percent))}
	})
}

// value is that of RFC 5235 §2.2: 0 for not looked at, 1 to 10, or a percentage.
func (s Score) value(percent bool) int {
	share := min(max(s.Share, 0), 1)
	switch {
	case !s.Known:
		return 0
	case percent:
		return int(share*100 + 0.5)
	}
	return 1 + int(share*9+1e-9)
}

func buildVirus(c *compiler, cl *call) any {
	return c.valueTest(cl, cl.pos[0], func(m *machine) []string {
		n := 0
		if m.env.Virus != nil {
			n = min(max(m.env.Virus(m.ctx), 0), 5)
		}
		return []string{strconv.Itoa(n)}
	})
}

type validList struct{ names []text }

func buildValidList(c *compiler, cl *call) any {
	return &validList{c.texts(cl.pos[0].strings(), cl.pos[0].at)}
}

func (t *validList) eval(m *machine) (bool, error) {
	for _, n := range t.names {
		if m.env.Lists == nil || !m.env.Lists.Known(listName(n.eval(m))) {
			return false, nil
		}
	}
	return true, nil
}

type debugCommand struct{ text text }

func buildDebug(c *compiler, cl *call) any {
	return &debugCommand{c.text(cl.pos[0].text, cl.pos[0].at)}
}

func (d *debugCommand) exec(m *machine) error {
	if len(m.res.Log) < MaxErrors {
		m.res.Log = append(m.res.Log, cutText(d.text.eval(m), 1000))
	}
	return nil
}

// Bounds of duplicate (RFC 7352 §3): the default, and the longest time.
const (
	duplicateDefault = 7 * 24 * time.Hour
	duplicateMax     = 365 * 24 * time.Hour
)

type duplicateTest struct {
	handle   text
	id       text
	byHeader bool
	given    bool // an id or a header was
	period   time.Duration
	last     bool
}

func buildDuplicate(c *compiler, cl *call) any {
	t := &duplicateTest{period: duplicateDefault, last: cl.has("last")}
	if a := cl.param("handle"); a != nil {
		t.handle = c.text(a.text, a.at)
	}
	if u := cl.tags["unique id"]; u != nil {
		t.given, t.byHeader = true, u.def.name == "header"
		t.id = c.text(u.arg.text, u.arg.at)
		if err := validHeaderName(t.id.lit); t.byHeader && t.id.constant() && err != nil {
			c.faults.add(u.arg.at, "duplicate: %s", err)
			return nil
		}
	}
	if a := cl.param("seconds"); a != nil {
		t.period = time.Duration(min(a.num, uint64(duplicateMax/time.Second))) * time.Second
	}
	return t
}

// eval asks whether the id was seen by an earlier delivery. It is noted now and
// remembered only once the message was delivered, so that a try that failed is
// no duplicate.
func (t *duplicateTest) eval(m *machine) (bool, error) {
	value := t.id.eval(m)
	if t.byHeader || !t.given {
		name := "message-id"
		if t.byHeader {
			name = lowerASCII(value)
		}
		vs := m.msg.head.decoded(name)
		if len(vs) == 0 {
			return false, nil
		}
		value = vs[0]
	}
	id := digest("duplicate", t.handle.eval(m), value)
	m.spend(memorySteps)
	seen := false
	if m.env.Memory != nil {
		var err error
		if seen, err = m.env.Memory.Seen(m.ctx, id); err != nil {
			return false, fmt.Errorf("ask for duplicates: %w", err)
		}
	}
	if (!seen || t.last) && len(m.res.Marks) < m.env.Limits.Actions {
		m.res.Marks = append(m.res.Marks, Mark{ID: id, For: t.period})
	}
	return seen, m.over()
}

// digest makes an identifier of fixed size of strings that a stranger chose.
func digest(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
