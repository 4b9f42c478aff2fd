package scan

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/header"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/mailauth"
	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/publicsuffix"
)

// headFacts are what several rules ask of the header block, read once.
type headFacts struct {
	// from is the first author that has a domain, name decoded; fromOrg the
	// organization of that domain.
	from    mailaddr.Mailbox
	fromOrg string
	// replyTo and to have their names as typed; copied does for Cc.
	replyTo, to []mailaddr.Mailbox
	// replyBad says that a Reply-To holds no address.
	replyBad bool
	// ours are the organizations of OwnDomains and of the envelope's
	// recipients; goal those, or where there was no envelope, of To.
	ours, goal []string
	mid        messageID
	hops       []hop
	// date is Date as a time, zero where it cannot be read; dated says that
	// there is the field.
	date  time.Time
	dated bool
	// list says that a List-Id of the form of RFC 2919 stands there, listOrg
	// under which organization. A stranger can write one.
	list    bool
	listOrg string
}

// maxHops bounds the Received fields that are read, from the newest on.
const maxHops = 30

// head returns the facts of the header block.
func (f *facts) head() *headFacts {
	if f.lazyHead == nil {
		f.lazyHead = f.readHead()
	}
	return f.lazyHead
}

func (f *facts) readHead() *headFacts {
	h := &headFacts{}
	for _, b := range f.text.From {
		if b.Addr.Domain != "" {
			h.from, h.fromOrg = b, organization(b.Addr.Domain)
			break
		}
	}
	for i := range f.Raw.Fields {
		fd := &f.Raw.Fields[i]
		switch {
		case fd.Is("To"):
			h.to = append(h.to, mailboxes(fd.Value)...)
		case fd.Is("Reply-To"):
			bs := mailboxes(fd.Value)
			h.replyBad = h.replyBad || !slices.ContainsFunc(bs, func(b mailaddr.Mailbox) bool { return b.Addr.Domain != "" })
			h.replyTo = append(h.replyTo, bs...)
		case fd.Is("Date") && !h.dated:
			h.dated = true
			h.date, _ = header.ParseDate(header.Unfold(fd.Value))
		case fd.Is("Message-ID") && h.mid.value == "":
			h.mid = readMessageID(header.Unfold(fd.Value))
		case fd.Is("Received") && len(h.hops) < maxHops:
			h.hops = append(h.hops, readHop(header.Unfold(fd.Value)))
		case fd.Is("List-Id"):
			if id, ok := listID(header.Unfold(fd.Value)); ok {
				h.list, h.listOrg = true, organization(id)
			}
		}
	}
	f.readGoal(h)
	return h
}

func (f *facts) readGoal(h *headFacts) {
	add := func(to *[]string, domain string) {
		if org := organization(domain); strings.Contains(org, ".") && !slices.Contains(*to, org) {
			*to = append(*to, org)
		}
	}
	for _, d := range f.OwnDomains {
		add(&h.ours, d)
	}
	for _, a := range f.RcptTo {
		add(&h.ours, a.Domain)
		add(&h.goal, a.Domain)
	}
	if len(f.RcptTo) > 0 {
		return
	}
	for _, b := range h.to[:min(len(h.to), 5)] {
		add(&h.goal, b.Addr.Domain)
	}
}

// maxField bounds what is read of a field of addresses.
const maxField = 4 << 10

// mailboxes returns what a field of addresses holds, as far as it can be read.
func mailboxes(value []byte) []mailaddr.Mailbox {
	if len(value) > maxField {
		value = value[:maxField]
		value = value[:bytes.LastIndexByte(value, ',')+1]
	}
	bs, _ := mailaddr.ParseMailboxes(value)
	return bs
}

// organization returns the registered domain of domain in A-labels and lower
// case, domain itself where it has none.
func organization(domain string) string {
	if org, ok := publicsuffix.Organization(domain); ok {
		return org
	}
	return strings.ToLower(domain)
}

// listID returns the identifier in v, which is of the form of RFC 2919 §2: a name
// with a dot in angle brackets at the end.
func listID(v string) (string, bool) {
	open := strings.LastIndexByte(v, '<')
	if open < 0 || !strings.HasSuffix(v, ">") {
		return "", false
	}
	id := v[open+1 : len(v)-1]
	return id, strings.Contains(id, ".") && !strings.ContainsAny(id, " \t<>")
}

// has reports whether there is a field of that name.
func (f *facts) has(name string) bool {
	for i := range f.Raw.Fields {
		if f.Raw.Fields[i].Is(name) {
			return true
		}
	}
	return false
}

// viaList reports whether the author's name says that a mailing list speaks
// for the author ("Alice via list"), as lists write where the author's domain
// forbids others to use it. The address is the list's then. Anybody can write
// such a name and a List-Id of his own, so it has to be an author who wrote
// before, where that is known.
func (f *facts) viaList() bool {
	h := f.head()
	return !f.Known.First && h.list && h.listOrg == h.fromOrg && indexFold(h.from.Name, " via ") >= 0
}

// provedList reports whether a mailing list passed the message on, and SPF or a
// signature proves that it is of the organization in its List-Id.
func (f *facts) provedList() bool {
	h, spf := f.head(), &f.Auth.SPF.MailFrom
	if !h.list {
		return false
	}
	return spf.Result == authres.Pass && organization(spf.Domain) == h.listOrg ||
		slices.ContainsFunc(f.Auth.DKIM, func(d mailauth.DKIM) bool {
			return d.Result == authres.Pass && organization(d.Domain) == h.listOrg
		})
}

// isOurs reports whether domain is of an organization of ours.
func (f *facts) isOurs(domain string) bool {
	h := f.head()
	return domain != "" && len(h.ours) > 0 && slices.Contains(h.ours, organization(domain))
}

// proof is what authentication says of the domain in From.
type proof int

const (
	// unasked: nothing was checked, or an answer is missing: never a reason.
	unasked proof = iota
	// proved: SPF, DKIM or DMARC vouch for the organization in From.
	proved
	// unproved: all was checked, and nothing vouches for it.
	unproved
)

// proof tells whether somebody proved that the author's domain answers for the
// message.
func (f *facts) proof() proof {
	a, h := &f.Auth, f.head()
	if h.fromOrg == "" {
		return unasked
	}
	if a.DMARC.Result == authres.Pass || a.Forwarder.Domain != "" {
		return proved
	}
	spf := &a.SPF.MailFrom
	if spf.Result == authres.Pass && organization(spf.Domain) == h.fromOrg {
		return proved
	}
	open := !a.DKIMChecked || spf.Result == "" || spf.Result == authres.TempError || a.DMARC.Result == authres.TempError
	for _, d := range a.DKIM {
		if d.Result == authres.Pass && organization(d.Domain) == h.fromOrg {
			return proved
		}
		open = open || d.Result == authres.TempError
	}
	if open {
		return unasked
	}
	return unproved
}

// anySignature reports whether a right signature is there, of whomever.
func (f *facts) anySignature() bool {
	return slices.ContainsFunc(f.Auth.DKIM, func(d mailauth.DKIM) bool { return d.Result == authres.Pass })
}

// isReply reports whether the message names one that it answers.
func (f *facts) isReply() bool { return f.has("In-Reply-To") || f.has("References") }

// copied returns the mailboxes in Cc.
func (f *facts) copied() []mailaddr.Mailbox {
	for i := range f.Raw.Fields {
		if fd := &f.Raw.Fields[i]; fd.Is("Cc") {
			return mailboxes(fd.Value)
		}
	}
	return nil
}
