package account

import (
	"context"
	"slices"

	"github.com/gatepost/gatepost/internal/mailaddr"
)

// Targets returns the addresses at which mail for rcpt is delivered here, limit
// at most, folded: as Postfix names them to the delivery daemon, behind all
// aliases, and with the detail that it passes on to the targets of an alias. An
// address that no alias is of is its own, and one that ends elsewhere has none.
// delim is recipient_delimiter, empty for none.
//
// Of a loop, and of aliases behind more than ten others, the rest is not looked
// at. An error is the store's, and transient.
func Targets(ctx context.Context, s reader, rcpt mailaddr.Address, delim string, limit int) ([]mailaddr.Address, error) {
	rcpt = Fold(rcpt)
	if rcpt.Domain == "" || rcpt.LocalPart == "" {
		return nil, nil
	}
	w := targetWalk{reader: s, delim: delim, limit: limit, seen: map[mailaddr.Address]bool{}}
	err := w.follow(ctx, rcpt, 0)
	return w.found, err
}

// targetWalk follows aliases to where they end.
type targetWalk struct {
	reader
	delim string
	limit int
	seen  map[mailaddr.Address]bool
	found []mailaddr.Address
}

// follow notes where mail for addr, which is folded, ends.
func (w *targetWalk) follow(ctx context.Context, addr mailaddr.Address, depth int) error {
	if depth > maxAliasDepth || len(w.seen) > maxAliasSteps || w.seen[addr] || len(w.found) >= w.limit {
		return nil
	}
	w.seen[addr] = true
	if _, err := w.Domain(ctx, addr.Domain); err != nil {
		return ignoreNotFound(err)
	}
	to, err := w.next(ctx, addr)
	if err != nil {
		return err
	}
	for _, t := range to {
		if t == addr {
			w.found = append(w.found, addr)
			continue
		}
		if err := w.follow(ctx, t, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// next returns the targets of addr, folded: addr itself where it is a mailbox
// without an alias, none where it is nobody's. It goes in the order of
// virtual(5), and a mailbox does not fall to the catch-all.
func (w *targetWalk) next(ctx context.Context, addr mailaddr.Address) ([]mailaddr.Address, error) {
	base, _, cut := addr.CutDetail(w.delim)
	for _, name := range candidates(addr, base, cut) {
		a, err := w.Alias(ctx, name)
		if err == nil {
			detail := "" // a catch-all passes none on
			if name == base && cut {
				detail = addr.LocalPart[len(base.LocalPart):]
			}
			return withDetail(a.For(addr), detail), nil
		}
		if ignoreNotFound(err) != nil {
			return nil, err
		}
		if name.LocalPart == "" {
			continue
		}
		if _, err = w.User(ctx, name); err == nil {
			return []mailaddr.Address{addr}, nil
		}
		if ignoreNotFound(err) != nil {
			return nil, err
		}
	}
	return nil, nil
}

// withDetail returns the targets folded, with the detail appended to each local
// part.
func withDetail(to []mailaddr.Address, detail string) []mailaddr.Address {
	all := slices.Clone(to)
	for i, t := range all {
		t.LocalPart += detail
		all[i] = Fold(t)
	}
	return all
}
