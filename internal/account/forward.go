package account

import (
	"context"
	"slices"

	"github.com/gatepost/gatepost/internal/mailaddr"
)

// For returns the targets of mail for rcpt. A target without local part, which
// only the catch-all of a domain has, is another domain: it gets the local part of
// rcpt, so that one domain is another name of the other.
func (a Alias) For(rcpt mailaddr.Address) []mailaddr.Address {
	if a.Addr.LocalPart != "" || !slices.ContainsFunc(a.To, isDomain) {
		return a.To
	}
	to := slices.Clone(a.To)
	for i := range to {
		if isDomain(to[i]) {
			to[i].LocalPart = rcpt.LocalPart
		}
	}
	return to
}

// isDomain reports whether a target is a domain alone.
func isDomain(to mailaddr.Address) bool { return to.LocalPart == "" }

// Forwards reports whether mail to one of rcpts leaves for a domain that is not
// ours, by its alias, by that of the address without its detail or by the
// catch-all, in the order of virtual(5), also through other aliases. A recipient
// at a domain that is not ours is not forwarded: it was addressed there. delim
// is recipient_delimiter, empty for none.
//
// Of a loop, and of aliases behind more than ten others, the rest is not looked
// at. An error is the store's, and transient.
func Forwards(ctx context.Context, s reader, rcpts []mailaddr.Address, delim string) (outside bool, err error) {
	w := expansion{reader: s, delim: delim, seen: map[mailaddr.Address]bool{}}
	for _, rcpt := range rcpts {
		rcpt = Fold(rcpt)
		if rcpt.Domain == "" || rcpt.LocalPart == "" {
			continue
		}
		if ours, err := w.local(ctx, rcpt.Domain); err != nil || !ours {
			if err != nil {
				return false, err
			}
			continue
		}
		if err := w.follow(ctx, rcpt, 0); err != nil || w.outside {
			return w.outside, err
		}
	}
	return false, nil
}

// expansion follows aliases until one ends outside.
type expansion struct {
	reader
	delim   string
	seen    map[mailaddr.Address]bool
	outside bool
}

func (w *expansion) local(ctx context.Context, domain string) (bool, error) {
	_, err := w.Domain(ctx, domain)
	return err == nil, ignoreNotFound(err)
}

// follow notes whether mail for addr, which is folded, ends outside. It walks like
// walk.leads.
func (w *expansion) follow(ctx context.Context, addr mailaddr.Address, depth int) error {
	if depth > maxAliasDepth || len(w.seen) > maxAliasSteps || w.seen[addr] || w.outside {
		return nil
	}
	w.seen[addr] = true
	ours, err := w.local(ctx, addr.Domain)
	if err != nil || !ours {
		w.outside = w.outside || err == nil
		return err
	}
	base, _, cut := addr.CutDetail(w.delim)
	for _, name := range candidates(addr, base, cut) {
		found, err := w.row(ctx, addr, name, depth)
		if found || err != nil {
			return err
		}
	}
	return nil
}

// row looks at the user and the alias of that exact name, which may hold addr.
func (w *expansion) row(ctx context.Context, addr, name mailaddr.Address, depth int) (found bool, err error) {
	if name.LocalPart != "" {
		_, err := w.User(ctx, name)
		if ignoreNotFound(err) != nil {
			return false, err
		}
		found = err == nil
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

// lister lists all that a store has.
type lister interface {
	Domains(ctx context.Context) ([]Domain, error)
	Aliases(ctx context.Context, mask string) ([]Alias, error)
}

// External lists the aliases with a target at a domain that is not ours, by
// domain and local part: mail for them leaves, and needs SRS.
func External(ctx context.Context, s lister) ([]Alias, error) {
	domains, err := s.Domains(ctx)
	if err != nil {
		return nil, err
	}
	ours := make(map[string]bool, len(domains))
	for _, d := range domains {
		ours[d.Name] = true
	}
	all, err := s.Aliases(ctx, "")
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(a Alias) bool {
		return !slices.ContainsFunc(a.To, func(to mailaddr.Address) bool { return !ours[FoldDomain(to.Domain)] })
	}), nil
}
