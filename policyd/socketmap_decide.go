package policyd

import (
	"slices"
	"strings"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/mailaddr"
)

// The maps, by the name of the Postfix setting that they serve.
const (
	MapDomains   = "virtual_mailbox_domains"
	MapMailboxes = "virtual_mailbox_maps"
	MapAliases   = "virtual_alias_maps"
	// MapSenderLogin has the logins that own a sender.
	MapSenderLogin = "smtpd_sender_login_maps"
	// MapCanonical rewrites SRS addresses of ours back. It wants
	// recipient_canonical_classes = envelope_recipient: no header is to change.
	MapCanonical = "recipient_canonical_maps"
	MapTransport = "transport_maps"
	MapTLSPolicy = "smtp_tls_policy_maps"
)

// Rows are what the account store has of one address, found by exact names. A
// row that is not there is the zero value.
type Rows struct {
	// Local says that the domain is ours. Nothing else counts if it is not: a
	// forgotten alias or a catch-all makes no domain ours.
	Local bool
	// Candidates are the address and, if it has a detail, the address without,
	// in this order.
	Candidates []Candidate
	// CatchAll is the alias of the whole domain.
	CatchAll account.Alias
}

// Candidate is the rows of one spelling of an address.
type Candidate struct {
	Addr mailaddr.Address
	// Detail is what was cut off, with the delimiter before it as it was typed.
	Detail  string
	Mailbox bool
	Alias   account.Alias
}

// DecideMailbox answers virtual_mailbox_maps with the mailbox's address: that
// of the address itself, else that of the address without its detail.
func DecideMailbox(r Rows) Answer {
	if !r.Local {
		return Answer{Status: StatusNotFound}
	}
	for _, c := range r.Candidates {
		if c.Mailbox {
			return Answer{Status: StatusOK, Text: c.Addr.String()}
		}
	}
	return Answer{Status: StatusNotFound}
}

// DecideAlias answers virtual_alias_maps in the order of virtual(5): the
// address, the address without its detail, the catch-all. A mailbox ends the
// search: Postfix asks for the aliases of mailboxes too, and one without an
// alias of its own must not fall to the catch-all.
//
// A detail that the alias does not name goes on to each target, as Postfix's
// propagate_unmatched_extensions has it for tables that it splits keys for;
// the catch-all passes none on, as there.
func DecideAlias(r Rows) Answer {
	if !r.Local {
		return Answer{Status: StatusNotFound}
	}
	for _, c := range r.Candidates {
		if len(c.Alias.To) > 0 {
			return aliasAnswer(c.Alias.To, c.Detail)
		}
		if c.Mailbox {
			return Answer{Status: StatusNotFound}
		}
	}
	if len(r.CatchAll.To) > 0 {
		return aliasAnswer(r.CatchAll.To, "")
	}
	return Answer{Status: StatusNotFound}
}

// DecideSenderLogin answers smtpd_sender_login_maps with the owners of an
// address. Postfix splits the answer at blanks and commas, so a login that has
// one cannot be named; an address that only such ones own is refused to all
// rather than left to everybody.
func DecideSenderLogin(owners []mailaddr.Address) Answer {
	if len(owners) == 0 {
		return Answer{Status: StatusNotFound}
	}
	var names []string
	for _, o := range owners {
		if name := o.String(); !strings.ContainsAny(name, " ,\"") && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return Answer{Status: StatusPerm, Text: "the owner's name has a blank or a comma"}
	}
	return Answer{Status: StatusOK, Text: strings.Join(names, ", ")}
}

// DecideTransport answers transport_maps in the order of transport(5): the
// address, the address without its detail, the domain, then its parents with a
// leading dot. Postfix asks a table of this kind for whole addresses only.
func DecideTransport(r routes, addr mailaddr.Address, delim string) Answer {
	if len(r) == 0 {
		return Answer{Status: StatusNotFound}
	}
	for _, c := range candidates(addr, delim) {
		if t, ok := r[c.Addr.String()]; ok && addr.LocalPart != "" {
			return Answer{Status: StatusOK, Text: t}
		}
	}
	name := addr.Domain
	for name != "" {
		if t, ok := r[name]; ok {
			return Answer{Status: StatusOK, Text: t}
		}
		dot := strings.IndexByte(name[1:], '.')
		if dot < 0 {
			break
		}
		name = name[1+dot:]
	}
	return Answer{Status: StatusNotFound}
}

// aliasAnswer lists targets, each with the detail.
func aliasAnswer(to []mailaddr.Address, detail string) Answer {
	var b strings.Builder
	for i, a := range to {
		if i > 0 {
			b.WriteString(", ")
		}
		a.LocalPart += detail
		b.WriteString(a.String())
	}
	return Answer{Status: StatusOK, Text: b.String()}
}

// candidates returns the spellings under which addr may have rows.
func candidates(addr mailaddr.Address, delim string) []Candidate {
	out := []Candidate{{Addr: addr.Folded()}}
	if base, _, ok := addr.CutDetail(delim); ok {
		out = append(out, Candidate{Addr: base.Folded(), Detail: addr.LocalPart[len(base.LocalPart):]})
	}
	return out
}
