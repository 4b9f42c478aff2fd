package account

import (
	"context"
	"errors"
	"slices"

	"github.com/gatepost/gatepost/internal/access"
	"github.com/gatepost/gatepost/internal/mailaddr"
)

// MaxGrants bounds what one user is granted.
const MaxGrants = 500

// Rights is what a store knows of who may do what besides its users and
// aliases. Like Reader it finds exact rows, and folds addresses.
type Rights interface {
	// Grants lists what a user may send as besides what is his or hers, by domain
	// and local part; an empty LocalPart is every address of the domain. A user
	// that is not there has none.
	Grants(ctx context.Context, user mailaddr.Address) ([]mailaddr.Address, error)
	// Grantees lists the users who were granted exactly that address, or with an
	// empty LocalPart that domain.
	Grantees(ctx context.Context, as mailaddr.Address) ([]mailaddr.Address, error)
	// Posting says who may write to exactly that address, ErrNotFound when
	// nobody has said.
	Posting(ctx context.Context, addr mailaddr.Address) (Posting, error)
	// Postings lists like Users.
	Postings(ctx context.Context, mask string) ([]Posting, error)
	// Access lists the allow and deny entries, those that have ended too, in the
	// order in which they were added.
	Access(ctx context.Context) ([]access.Entry, error)
}

// RightsWriter changes what Rights knows, under the promises of Writer.
type RightsWriter interface {
	// AddGrant lets a user send as an address, or as every address of a domain.
	// It is ErrNotFound without that user, ErrExists for what is granted.
	AddGrant(ctx context.Context, user, as mailaddr.Address) error
	RemoveGrant(ctx context.Context, user, as mailaddr.Address) error
	// SetPosting replaces what is said of p.Addr.
	SetPosting(ctx context.Context, p Posting) error
	RemovePosting(ctx context.Context, addr mailaddr.Address) error
	// AddAccess adds e as e.Normal writes it and returns it. It is ErrExists for
	// one that holds already, and replaces one that has ended.
	AddAccess(ctx context.Context, e access.Entry) (access.Entry, error)
	// RemoveAccess removes the entry that allows or denies that name in that
	// scope.
	RemoveAccess(ctx context.Context, deny bool, name, scope string) error
}

// PostingRule says who may write to an address.
type PostingRule string

// The posting rules.
const (
	// PostPublic lets everybody write, as without a rule.
	PostPublic PostingRule = "public"
	// PostDomain lets users of the address's own domain write.
	PostDomain PostingRule = "domain"
	// PostMembers lets those write to whom the address leads, and moderators.
	PostMembers PostingRule = "members"
	// PostModerators lets only moderators write.
	PostModerators PostingRule = "moderators"
	// PostNobody takes no mail: a tag that leaked.
	PostNobody PostingRule = "nobody"
)

// PostingRules are all of them.
func PostingRules() []PostingRule {
	return []PostingRule{PostPublic, PostDomain, PostMembers, PostModerators, PostNobody}
}

// Posting says who may write to an address of a domain of ours.
type Posting struct {
	// Addr is folded. It need not be an alias: alice+shop@ can be one.
	Addr       mailaddr.Address   `json:"addr"`
	Rule       PostingRule        `json:"rule"`
	Moderators []mailaddr.Address `json:"moderators,omitempty"`
	Reason     string             `json:"reason,omitempty"`
}

// granter is the part of Rights that MaySend asks, of a store that has it.
type granter interface {
	Grants(ctx context.Context, user mailaddr.Address) ([]mailaddr.Address, error)
}

// granted reports whether user, who is folded, may send as addr by a grant: for
// the address, for what it is a detail of, or for its domain.
func granted(ctx context.Context, s reader, user, addr mailaddr.Address, delim string) (bool, error) {
	g, ok := s.(granter)
	if !ok {
		return false, nil
	}
	all, err := g.Grants(ctx, user)
	if err != nil || len(all) == 0 {
		return false, ignoreNotFound(err)
	}
	base, _, cut := addr.CutDetail(delim)
	for _, name := range candidates(addr, base, cut) {
		if slices.Contains(all, name) {
			return true, nil
		}
	}
	return false, nil
}

// Owners returns the users whose address as is: its mailbox, or those to whom
// its aliases lead, limit at most. None is an address that nobody has.
func Owners(ctx context.Context, s reader, as mailaddr.Address, delim string, limit int) ([]mailaddr.Address, error) {
	as = Fold(as)
	if as.Domain == "" || as.LocalPart == "" {
		return nil, nil
	}
	w := ownerWalk{walk{reader: s, delim: delim, seen: map[mailaddr.Address]bool{}}, limit, nil}
	err := w.follow(ctx, as, 0)
	return w.owners, err
}

// ownerWalk follows aliases towards all their users.
type ownerWalk struct {
	walk
	limit  int
	owners []mailaddr.Address
}

// follow notes the users whom mail for addr, which is folded, reaches.
func (w *ownerWalk) follow(ctx context.Context, addr mailaddr.Address, depth int) error {
	if depth > maxAliasDepth || len(w.seen) > maxAliasSteps || w.seen[addr] || len(w.owners) >= w.limit {
		return nil
	}
	w.seen[addr] = true
	if _, err := w.Domain(ctx, addr.Domain); err != nil {
		return ignoreNotFound(err)
	}
	base, _, cut := addr.CutDetail(w.delim)
	for _, name := range candidates(addr, base, cut) {
		if found, err := w.row(ctx, addr, name, depth); found || err != nil {
			return err
		}
	}
	return nil
}

// row notes the user of that exact name, and follows its alias.
func (w *ownerWalk) row(ctx context.Context, addr, name mailaddr.Address, depth int) (found bool, err error) {
	if name.LocalPart != "" {
		_, err := w.User(ctx, name)
		if ignoreNotFound(err) != nil {
			return false, err
		}
		if found = err == nil; found && !slices.Contains(w.owners, name) {
			w.owners = append(w.owners, name)
		}
	}
	a, err := w.Alias(ctx, name)
	if err != nil {
		return found, ignoreNotFound(err)
	}
	for _, to := range a.For(addr) {
		if err := w.follow(ctx, Fold(to), depth+1); err != nil {
			return true, err
		}
	}
	return true, nil
}

// grantees is the part of Rights that Senders asks, of a store that has it.
type grantees interface {
	Grantees(ctx context.Context, as mailaddr.Address) ([]mailaddr.Address, error)
}

// Senders returns the users who may send as an address, as MaySend judges: its
// owners, limit at most, and those who were granted it, what it is a detail of,
// or its domain.
func Senders(ctx context.Context, s reader, as mailaddr.Address, delim string, limit int) ([]mailaddr.Address, error) {
	as = Fold(as)
	all, err := Owners(ctx, s, as, delim, limit)
	g, ok := s.(grantees)
	if err != nil || !ok || as.Domain == "" || as.LocalPart == "" {
		return all, err
	}
	base, _, cut := as.CutDetail(delim)
	for _, name := range candidates(as, base, cut) {
		more, err := g.Grantees(ctx, name)
		if err != nil {
			return all, err
		}
		for _, u := range more {
			if !slices.Contains(all, u) {
				all = append(all, u)
			}
		}
	}
	return all, nil
}

// IsMember reports whether mail for list reaches addr: as a target, also of
// another domain, or as a user. addr may have a detail.
func IsMember(ctx context.Context, s reader, addr, list mailaddr.Address, delim string) (bool, error) {
	addr, list = Fold(addr), Fold(list)
	if addr.Domain == "" || list.Domain == "" {
		return false, nil
	}
	base, _, _ := addr.CutDetail(delim)
	w := memberWalk{walk{reader: s, user: addr, delim: delim, seen: map[mailaddr.Address]bool{}}, base}
	return w.reaches(ctx, list, 0)
}

// memberWalk follows aliases towards one address, which need not be ours.
type memberWalk struct {
	walk
	base mailaddr.Address
}

func (w *memberWalk) reaches(ctx context.Context, list mailaddr.Address, depth int) (bool, error) {
	if depth > maxAliasDepth || len(w.seen) > maxAliasSteps || w.seen[list] {
		return false, nil
	}
	w.seen[list] = true
	base, _, cut := list.CutDetail(w.delim)
	for _, name := range candidates(list, base, cut) {
		a, err := w.Alias(ctx, name)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return false, err
		}
		for _, to := range a.For(list) {
			to = Fold(to)
			if to == w.user || to == w.base {
				return true, nil
			}
			if yes, err := w.reaches(ctx, to, depth+1); yes || err != nil {
				return yes, err
			}
		}
		return false, nil
	}
	return false, nil
}

// PostingFor returns the posting rule for a recipient: that of the address as it
// is written, else of the one without its detail. Without a rule it is
// PostPublic, whose Addr is empty.
func PostingFor(ctx context.Context, s interface {
	Posting(ctx context.Context, addr mailaddr.Address) (Posting, error)
}, rcpt mailaddr.Address, delim string) (Posting, error) {
	rcpt = Fold(rcpt)
	p, err := s.Posting(ctx, rcpt)
	if base, _, cut := rcpt.CutDetail(delim); cut && errors.Is(err, ErrNotFound) {
		p, err = s.Posting(ctx, base)
	}
	if errors.Is(err, ErrNotFound) {
		return Posting{Rule: PostPublic}, nil
	}
	return p, err
}
