package account

import (
	"context"
	"errors"

	"github.com/gatepost/gatepost/internal/mailaddr"
)

// reader is what the rules need of a store.
type reader interface {
	Domain(ctx context.Context, name string) (Domain, error)
	User(ctx context.Context, addr mailaddr.Address) (User, error)
	Alias(ctx context.Context, addr mailaddr.Address) (Alias, error)
}

// Bounds of following aliases. Beyond them the answer is no.
const (
	maxAliasDepth = 10
	maxAliasSteps = 2 * MaxTargets
)

// MaySend reports whether user may send as the address: it is the user's own,
// with any detail, or an alias or catch-all of a domain of ours that leads to
// the user, also through other aliases. Whose mail it is decides, in the order
// of virtual(5): the address itself, then without its detail, then the
// catch-all. So a catch-all covers no mailbox, and an alias that is spelled
// like a detail belongs to its targets. Besides, a grant lets a user send as an
// address and its details, or as every address of a domain, whosever they are.
// delim is recipient_delimiter, empty for none. The null reverse-path and a bare
// local part are nobody's.
//
// Whether the user is held or disabled is not looked at. An error is the
// store's, and transient.
func MaySend(ctx context.Context, s reader, user, as mailaddr.Address, delim string) (bool, error) {
	user, as = Fold(user), Fold(as)
	if as.Domain == "" || as.LocalPart == "" || user.Domain == "" || user.LocalPart == "" {
		return false, nil
	}
	if as == user {
		return true, nil
	}
	w := walk{reader: s, user: user, delim: delim, seen: map[mailaddr.Address]bool{}}
	if yes, err := w.leads(ctx, as, 0); yes || err != nil {
		return yes, err
	}
	return granted(ctx, s, user, as, delim)
}

// walk follows aliases towards one user.
type walk struct {
	reader
	user  mailaddr.Address
	delim string
	seen  map[mailaddr.Address]bool
}

// leads reports whether mail for addr, which is folded, reaches the user.
func (w *walk) leads(ctx context.Context, addr mailaddr.Address, depth int) (bool, error) {
	if depth > maxAliasDepth || len(w.seen) > maxAliasSteps || w.seen[addr] {
		return false, nil
	}
	w.seen[addr] = true
	if _, err := w.Domain(ctx, addr.Domain); err != nil {
		return false, ignoreNotFound(err)
	}
	base, _, cut := addr.CutDetail(w.delim)
	for _, name := range candidates(addr, base, cut) {
		found, yes, err := w.row(ctx, addr, name, depth)
		if found || err != nil {
			return yes, err
		}
	}
	return false, nil
}

// candidates has the rows that may hold addr, in the order of virtual(5).
func candidates(addr, base mailaddr.Address, cut bool) []mailaddr.Address {
	all := []mailaddr.Address{addr}
	if cut {
		all = append(all, base)
	}
	return append(all, mailaddr.Address{Domain: addr.Domain})
}

// row looks at the user and the alias of that exact name, which may hold addr and
// may both be there: a mailbox with a copy for somebody else.
func (w *walk) row(ctx context.Context, addr, name mailaddr.Address, depth int) (found, yes bool, err error) {
	if name.LocalPart != "" {
		_, err := w.User(ctx, name)
		if err == nil && name == w.user {
			return true, true, nil
		}
		if ignoreNotFound(err) != nil {
			return false, false, err
		}
		found = err == nil
	}
	a, err := w.Alias(ctx, name)
	if err != nil {
		return found, false, ignoreNotFound(err)
	}
	for _, to := range a.For(addr) {
		if yes, err := w.leads(ctx, Fold(to), depth+1); yes || err != nil {
			return true, yes, err
		}
	}
	return true, false, nil
}

func ignoreNotFound(err error) error {
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// Resolve returns the user whose mailbox is meant by rcpt, and the detail as it
// was typed: the row of that very name, else the one without the detail. It is
// ErrNotFound when there is none: aliases are Postfix's business.
func Resolve(ctx context.Context, s reader, rcpt mailaddr.Address, delim string) (u User, detail string, err error) {
	u, err = s.User(ctx, rcpt)
	if err == nil || !errors.Is(err, ErrNotFound) {
		return u, "", err
	}
	base, detail, cut := rcpt.CutDetail(delim)
	if !cut {
		return User{}, "", ErrNotFound
	}
	u, err = s.User(ctx, base)
	if err != nil {
		return User{}, "", err
	}
	return u, detail, nil
}
