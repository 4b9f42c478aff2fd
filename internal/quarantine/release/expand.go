package release

import (
	"context"
	"errors"
	"slices"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/mailaddr"
)

// Bounds of following aliases: Postfix's virtual_alias_recursion_limit is a
// thousand, its expansion limit too.
const (
	maxDepth = 20
	maxSteps = 2000
)

var errTooMany = errors.New("its aliases lead to too many addresses")

// expansion finds the mailboxes behind addresses, as Postfix would with the maps
// that policyd serves (virtual(5)).
type expansion struct {
	accounts
	delimiter string
	seen      map[mailaddr.Address]bool
	boxes     []mailaddr.Address
	// outside are addresses that are no mailbox here.
	outside []mailaddr.Address
}

// add finds the mailboxes behind addr.
func (x *expansion) add(ctx context.Context, addr mailaddr.Address, depth int) error {
	key := addr.Folded()
	if x.seen[key] {
		return nil
	}
	if depth > maxDepth || len(x.seen) > maxSteps {
		return errTooMany
	}
	x.seen[key] = true
	if _, err := x.Domain(ctx, addr.Domain); err != nil {
		return x.notHere(addr, err)
	}
	base, detail, cut := addr.CutDetail(x.delimiter)
	if cut {
		detail = addr.LocalPart[len(base.LocalPart):] // with its delimiter
	}
	done, err := x.name(ctx, addr, "", depth)
	if !done && err == nil && cut {
		done, err = x.name(ctx, base, detail, depth)
	}
	if done || err != nil {
		return err
	}
	a, err := x.Alias(ctx, mailaddr.Address{Domain: addr.Domain})
	if err != nil || len(a.To) == 0 {
		return x.notHere(addr, err)
	}
	return x.targets(ctx, a, "", depth)
}

// name looks at the rows of one spelling of an address. An alias goes before the
// mailbox of that name, and may lead to it.
func (x *expansion) name(ctx context.Context, name mailaddr.Address, detail string, depth int) (done bool, err error) {
	a, err := x.Alias(ctx, name)
	if err != nil && !errors.Is(err, account.ErrNotFound) {
		return false, err
	}
	u, uerr := x.User(ctx, name)
	if uerr != nil && !errors.Is(uerr, account.ErrNotFound) {
		return false, uerr
	}
	if len(a.To) == 0 || err != nil {
		if uerr == nil {
			x.box(u)
		}
		return uerr == nil, nil
	}
	for _, to := range a.To {
		if uerr == nil && to.Folded() == name.Folded() {
			x.box(u)
		}
	}
	return true, x.targets(ctx, a, detail, depth)
}

// targets follows an alias.
func (x *expansion) targets(ctx context.Context, a account.Alias, detail string, depth int) error {
	for _, to := range a.To {
		to.LocalPart += detail
		if err := x.add(ctx, to, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// box notes the mailbox of u, once. A detail is left out: it names no folder.
func (x *expansion) box(u account.User) {
	if !slices.Contains(x.boxes, u.Addr) {
		x.boxes = append(x.boxes, u.Addr)
	}
}

// notHere notes an address without a mailbox, unless err is of the store.
func (x *expansion) notHere(addr mailaddr.Address, err error) error {
	if err != nil && !errors.Is(err, account.ErrNotFound) {
		return err
	}
	x.outside = append(x.outside, addr)
	return nil
}
