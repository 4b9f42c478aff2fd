package sieve

import (
	"strings"

	"github.com/gatepost/gatepost/internal/mailaddr"
)

// addressTags pick a part of an address (RFC 5228 §2.7.4, RFC 5233).
var addressTags = []tagDef{
	{name: "all", group: "address part"},
	{name: "localpart", group: "address part"},
	{name: "domain", group: "address part"},
	{name: "user", ext: "subaddress", group: "address part"},
	{name: "detail", ext: "subaddress", group: "address part"},
}

// addressHeaders are the fields that hold addresses. Others may, but a script
// that asks the address test about Subject is a slip.
var addressHeaders = map[string]bool{
	"from": true, "to": true, "cc": true, "bcc": true, "sender": true, "reply-to": true,
	"resent-from": true, "resent-to": true, "resent-cc": true, "resent-bcc": true, "resent-sender": true, "resent-reply-to": true,
	"return-path": true, "delivered-to": true, "x-original-to": true, "envelope-to": true, "apparently-to": true,
	"errors-to": true, "return-receipt-to": true, "disposition-notification-to": true, "mail-reply-to": true,
	"mail-followup-to": true, "approved": true, "list-post": true, "x-admin": true, "x-beenthere": true,
	"x-complaints-to": true, "x-envelope-from": true, "x-envelope-to": true, "x-apparently-to": true,
	"x-loop": true, "x-original-from": true, "x-mailing-list": true,
}

type addressTest struct {
	match *match
	names []text
	part  string
	index index
	mime  mimeScope
}

func buildAddress(c *compiler, cl *call) any {
	t := &addressTest{match: c.match(cl, cl.pos[1]), names: c.headerNames(cl.pos[0]), part: addressPart(cl)}
	ok := t.match != nil && c.index(cl, &t.index)
	if !c.mime(cl, &t.mime) {
		return nil
	}
	for _, n := range t.names {
		if n.constant() && !addressHeaders[strings.TrimSuffix(n.lit, ":")] {
			c.faults.add(cl.n.at, "header '%s' is not allowed for the address test", cutText(n.lit, 80))
			return nil
		}
	}
	if !ok {
		return nil
	}
	return t
}

// addressPart returns the tag that was given; "" is the whole address.
func addressPart(cl *call) string {
	if u := cl.tags["address part"]; u != nil && u.def.name != "all" {
		return u.def.name
	}
	return ""
}

func (t *addressTest) eval(m *machine) (bool, error) {
	return t.match.run(m, func(yield func(string) bool) {
		blocks := t.mime.blocks(m)
		for i := range t.names {
			if !t.yield(m, t.names[i].lower(m), blocks, yield) {
				return
			}
		}
	})
}

// yield gives the parts of the addresses in the fields of one name.
func (t *addressTest) yield(m *machine, name string, blocks []*fields, yield func(string) bool) bool {
	for _, block := range blocks {
		for _, a := range t.index.pickAddresses(m, block, name) {
			if s, ok := a.cut(t.part, m.delimiter()); ok && !yield(s) {
				return false
			}
		}
	}
	return true
}

// address is one address of a field or the envelope. raw is what was there
// instead, when it cannot be read: such match as a whole only.
type address struct {
	mailaddr.Address
	raw   string
	whole string // as text
}

// readAddresses reads the addresses of one field.
func readAddresses(value string) []address {
	boxes, err := mailaddr.ParseMailboxes([]byte(value))
	out := make([]address, 0, len(boxes)+1)
	for _, b := range boxes {
		out = append(out, address{Address: b.Addr, whole: b.Addr.String()})
	}
	if err != nil && len(boxes) == 0 && strings.TrimSpace(value) != "" {
		out = append(out, address{raw: decodeValue(value)})
	}
	return out
}

// cut returns the part of a, false when it has none of it.
func (a address) cut(part, delim string) (string, bool) {
	if a.raw != "" {
		return a.raw, part == ""
	}
	if part == "" {
		return a.whole, true
	}
	if part == "domain" {
		return a.Domain, true
	}
	if part == "localpart" || a.LocalPart == "" {
		return a.LocalPart, part != "detail"
	}
	user, detail, found := cutDetail(a.LocalPart, delim)
	if part == "user" {
		return user, true
	}
	return detail, found
}

// cutDetail parts user and detail at the first of the characters delim. With
// more than one, a local part that begins with it has an empty user.
func cutDetail(local, delim string) (user, detail string, found bool) {
	i := strings.IndexAny(local, delim)
	if i < 0 {
		return local, "", false
	}
	return local[:i], local[i+1:], true
}
